"""Checks of components' fields. They look at concrete values only: under jit a traced value passes unchecked."""

import warnings
from dataclasses import dataclass
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxaimc.units import format_si


def concrete(value: Any) -> np.ndarray | None:
    """Return the value as a NumPy array, or None where it is not known yet (a tracer, an abstract shape)."""
    if is_traced(value):
        return None
    try:
        # Whole numbers beyond 64 bit would be objects.
        return np.asarray(float(value) if type(value) is int else value)
    except (TypeError, ValueError, OverflowError):
        return None


def is_traced(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(is_traced, value))
    return isinstance(value, (jax.core.Tracer, jax.ShapeDtypeStruct))


def is_real(array: np.ndarray | jax.Array) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)


class ClippedInputWarning(UserWarning):
    """Inputs that a drive cannot express, and drives as zero."""


def warn_of_lost_inputs(lost: Any, where: str) -> None:
    """Warn of inputs that are driven as zero, where their share is known.

    Args:
        lost: Share of the inputs that are lost, as `Drive.lost` returns it.
        where: What was called, or which layer.
    """
    share = concrete(lost)
    if share is not None and share > 0:
        warnings.warn(
            f"{where}: {100 * float(share):.3g} % of the inputs are negative, which unsigned pulses drive as zero, so "
            "that the result is that of the others; signed ones (`signs=TwosComplement()`) drive them.",
            ClippedInputWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class Limits:
    """What is allowed in a numeric field.

    Args:
        unit: Symbol of the base unit; empty for a pure number.
        low: Smallest allowed value.
        high: Largest allowed value.
        above: Bound that the value must exceed.
        below: Bound that the value must stay under.
        infinite: Whether infinity is allowed.
        array: Whether arrays are allowed.
    """

    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    infinite: bool = False
    array: bool = False


# Sizes that a quantity of each unit has on a chip, or can have in a calculation. What lies beyond is a slip of units,
# and its squares and quotients leave the range of single precision.
SIZES = {
    "S": (1e-15, 1e3), "ohm": (1e-9, 1e12), "V": (1e-9, 1e4), "s": (1e-15, 1e12), "A": (1e-18, 1e3), "Hz": (1e-3, 1e15),
    "C": (1e-24, 1e3), "J": (1e-24, 1e6), "F": (1e-21, 1e3),
}  # fmt: skip
# Normal numbers of single precision, for pure numbers and units that are not listed.
SINGLE = (float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max))


def check_limits(owner: str, field: str, value: Any, limits: Limits) -> None:
    """Check a numeric field, or each entry of a tuple, against what is allowed.

    Args:
        owner: Class that owns the field, for the message.
        field: Name of the field.
        value: Number, array or tuple of numbers.
        limits: What is allowed.

    Raises:
        ValueError: If it is no real number, an array where one number is due, empty, NaN, infinite where it must be
            finite, out of range, or of a size that no quantity of this unit has or single precision cannot hold.
    """
    if _is_allowed(value, limits):
        return
    if isinstance(value, tuple):
        _check_entries(owner, field, value, limits)
        return
    array = value if hasattr(value, "shape") else concrete(value)
    shape = () if array is None else tuple(array.shape)
    if 0 in shape:
        raise ValueError(f"Field `{field}` of {owner} must hold at least one number, but has shape {shape}.")
    if shape and not limits.array:
        raise ValueError(
            f"Field `{field}` of {owner} must be one number, but has shape {shape}; map over components with "
            "`jax.vmap`."
        )
    low = limits.above if limits.low is None else limits.low
    high = limits.below if limits.high is None else limits.high
    check_number(
        owner,
        field,
        value,
        limits.unit,
        low=-np.inf if low is None else low,
        high=np.inf if high is None else high,
        open_low=limits.above is not None,
        open_high=limits.below is not None,
        finite=not limits.infinite,
    )
    _check_size(owner, field, value, limits)


def _is_allowed(value: Any, limits: Limits) -> bool:
    """Return whether a plain number is allowed; False where it is not, or the value something else.

    Nearly all fields of nearly all components are plain numbers, and every verb has them checked: NumPy takes ten times
    as long.
    """
    if type(value) is not float and type(value) is not int:
        return False
    least, most = _sizes(limits)
    return (
        (value == 0 or least <= abs(value) <= most or (limits.infinite and abs(value) == np.inf))
        and (limits.low is None or value >= limits.low)
        and (limits.high is None or value <= limits.high)
        and (limits.above is None or value > limits.above)
        and (limits.below is None or value < limits.below)
    )


def _check_entries(owner: str, field: str, value: tuple[Any, ...], limits: Limits) -> None:
    if not value:
        raise ValueError(f"Field `{field}` of {owner} must hold at least one number, but is empty.")
    for entry in value:
        if isinstance(entry, (tuple, list)):
            raise ValueError(f"Field `{field}` of {owner} must be a flat tuple of numbers, but is {shown(value)}.")
        check_limits(owner, field, entry, limits)


def _sizes(limits: Limits) -> tuple[float, float]:
    """Return the smallest and the largest size of a value that is not zero."""
    if limits.unit in SIZES:
        return SIZES[limits.unit]
    # What single precision rounds to zero is harmless where zero itself is allowed.
    positive = limits.above is not None and limits.above >= 0
    return SINGLE if positive or (limits.low is not None and limits.low > 0) else (0.0, SINGLE[1])


def _check_size(owner: str, field: str, value: Any, limits: Limits) -> None:
    array = concrete(value)
    if array is None:
        return
    least, most = _sizes(limits)
    size = np.abs(np.asarray(array[np.isfinite(array) & (array != 0)], float))
    bad = size[(size < least) | (size > most)]
    if bad.size:
        unit = f" {limits.unit}" if limits.unit else ""
        why = "quantities are in base SI units" if limits.unit in SIZES else "single precision holds no other"
        raise ValueError(
            f"Field `{field}` of {owner} must be zero or {least:.3g} to {most:.3g}{unit} in size, but is "
            f"{bad.ravel()[0]:g}{unit}: {why}."
        )


def shown(value: Any) -> str:
    """Return a value for an error: as Python writes it, on one line and not longer than half of it.

    Args:
        value: What was given.
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a stranger's repr, or an integer too long to be written
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:50]}... (a {type(value).__name__})"


def check_number(
    owner: str,
    field: str,
    value: Any,
    unit: str = "",
    *,
    low: float = -np.inf,
    high: float = np.inf,
    open_low: bool = False,
    open_high: bool = False,
    finite: bool = True,
) -> None:
    """Check that every entry of a numeric field is a number in a closed (or left-open) range.

    Args:
        owner: Class that owns the field, for the message.
        field: Name of the field.
        value: Number or array.
        unit: Unit of the field, for the message.
        low: Smallest allowed value [unit].
        high: Largest allowed value [unit].
        open_low: Whether `low` itself is refused.
        open_high: Whether `high` itself is refused.
        finite: Whether infinite values are refused.

    Raises:
        ValueError: If an entry is NaN, infinite where it must be finite, or out of range.
    """
    if is_traced(value):
        return
    array = concrete(value)
    if array is None or not is_real(array):
        raise ValueError(f"Field `{field}` of {owner} must be a number [{unit or '1'}], but is {shown(value)}.")
    bad = np.isnan(array) | (array < low) | (array > high)
    if open_low:
        bad |= array <= low
    if open_high:
        bad |= array >= high
    if finite:
        bad |= np.isinf(array)
    if np.any(bad):
        worst = float(array[bad].ravel()[0])
        left = "(" if open_low or (finite and low == -np.inf) else "["
        right = ")" if open_high or (finite and high == np.inf) else "]"
        allowed = f"in {left}{low:g}, {high:g}{right}" + (f" {unit}" if unit else "")
        size = format_si(worst, unit) if unit else f"{worst:g}"
        raise ValueError(f"Field `{field}` of {owner} must be {allowed}, but is {size}.")


def check_integer(
    owner: str,
    field: str,
    value: Any,
    *,
    low: int | None = None,
    high: int | None = None,
    optional: bool = False,
) -> None:
    """Check a structural (static) integer field.

    Args:
        owner: Class that owns the field, for the message.
        field: Name of the field.
        value: What was given.
        low: Smallest allowed value; None for no bound.
        high: Largest allowed value; None for no bound.
        optional: Whether the message names None, which the caller lets pass.

    Raises:
        ValueError: If the value is not an integer in `[low, high]`.
    """
    least, most = -np.inf if low is None else low, np.inf if high is None else high
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        left, right = "(" if low is None else "[", ")" if high is None else "]"
        allowed = f"an integer in {left}{least}, {most}{right}" + (" or None" if optional else "")
        raise ValueError(f"Field `{field}` of {owner} must be {allowed}, but is {shown(value)}.")


def check_less(owner: str, small: str, a: Any, large: str, b: Any, unit: str) -> None:
    """Check that one numeric field is below another.

    Raises:
        ValueError: If `a >= b` anywhere.
    """
    a, b = concrete(a), concrete(b)
    if a is None or b is None or not np.any(a >= b):
        return
    a, b = (side[a >= b].ravel()[0] for side in np.broadcast_arrays(a, b))
    sizes = [format_si(float(value), unit) if unit else f"{float(value):g}" for value in (a, b)]
    raise ValueError(
        f"Field `{small}` of {owner} must be less than `{large}`, but {small} is {sizes[0]} and {large} is {sizes[1]}."
    )
