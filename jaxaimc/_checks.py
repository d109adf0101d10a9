"""Checks at the public doors. They look at concrete values only: under jit a traced value passes unchecked."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jaxaimc.units import format_si


def _concrete(value: Any) -> np.ndarray | None:
    """Return the value as a NumPy array, or None where it is not known yet (a tracer, an abstract shape)."""
    if isinstance(value, (jax.core.Tracer, jax.ShapeDtypeStruct)):
        return None
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return None


def check_number(
    owner: str,
    field: str,
    value: Any,
    unit: str = "",
    *,
    low: float = -np.inf,
    high: float = np.inf,
    open_low: bool = False,
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

    Raises:
        ValueError: If an entry is not finite where it must be, or out of range.
    """
    array = _concrete(value)
    if array is None:
        return
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"Field `{field}` of {owner} must be a number [{unit or '1'}], but is {value!r}.")
    bad = np.isnan(array) | (array < low) | (array > high) | ((array <= low) if open_low else False)
    if np.any(bad):
        worst = float(array[bad].ravel()[0])
        bracket = "(" if open_low else "["
        allowed = f"in {bracket}{low:g}, {high:g}]" + (f" {unit}" if unit else "")
        shown = format_si(worst, unit) if unit else f"{worst:g}"
        raise ValueError(f"Field `{field}` of {owner} must be {allowed}, but is {shown}.")


def check_integer(owner: str, field: str, value: Any, *, low: int, high: int) -> None:
    """Check a structural (static) integer field.

    Raises:
        ValueError: If the value is not an integer in `[low, high]`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"Field `{field}` of {owner} must be an integer in [{low}, {high}], but is {value!r}.")


def check_less(owner: str, small: str, a: Any, large: str, b: Any, unit: str) -> None:
    """Check that one numeric field is below another.

    Raises:
        ValueError: If `a >= b` anywhere.
    """
    a, b = _concrete(a), _concrete(b)
    if a is not None and b is not None and np.any(a >= b):
        raise ValueError(
            f"Field `{small}` of {owner} must be less than `{large}`, "
            f"but {small} is {format_si(float(np.max(a)), unit)} and {large} is {format_si(float(np.min(b)), unit)}."
        )


def check_matrix(name: str, value: Any, axes: str = "rows, cols") -> None:
    """Check that an argument is a non-empty, finite matrix of real numbers.

    Raises:
        ValueError: If it has another rank, an axis of size zero, or an entry that is NaN or infinite.
    """
    shape = jnp.shape(value)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"Argument `{name}` must have shape ({axes}) with no empty axis, but has shape {shape}.")
    array = _concrete(value)
    if array is None:
        return
    if not np.all(np.isfinite(array)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        count = int(np.sum(~np.isfinite(array)))
        raise ValueError(
            f"Argument `{name}` must be finite, but {count} of {array.size} entries are not, "
            f"the first {array[where]} at {where}."
        )


def check_trailing(name: str, value: Any, size: int, axis: str = "rows") -> None:
    """Check the size of an argument's last axis.

    Raises:
        ValueError: If the argument is a scalar or its last axis has another size.
    """
    shape = jnp.shape(value)
    if not shape or shape[-1] != size:
        raise ValueError(f"Argument `{name}` must have shape (..., {axis}={size}), but has shape {shape}.")


def check_time(name: str, value: Any) -> None:
    """Check that an argument is a time in seconds, zero or later.

    Raises:
        ValueError: If it is negative, NaN or infinite.
    """
    array = _concrete(value)
    if array is not None and not np.all((array >= 0) & np.isfinite(array)):
        raise ValueError(f"Argument `{name}` must be a time in [0, inf) s, but is {value!r}.")
