"""Values of swept fields: refused before anything is computed where a config may not have them."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from jaxaimc._core.checks import Limits, check_limits, shown
from jaxaimc._core.component import Component
from jaxaimc.config import AnalogConfig, at, leaf_paths, with_at

Values: TypeAlias = Mapping[str, Float[np.ndarray, " design"] | Sequence[float]]


def check_values(base: AnalogConfig, values: Values) -> dict[str, Float[np.ndarray, " design"]]:
    """Refuse values that a config may not have.

    Args:
        base: The tile.
        values: Values of leaves by path, one for each design.

    Returns:
        The values, as arrays of one length.

    Raises:
        ValueError: If a path leads to no continuous field with one number, there are not as many values for each path,
            or one is not allowed, by itself or together with the others of its design.

    Example:
        >>> check_values(AnalogConfig(), {"wires.r": [0.1, -1.0]})
        Traceback (most recent call last):
        ValueError: Field `wires.r` of a design must be in [0, 1e+09] ohm, but is -1 ohm.
    """
    base.validate()
    checked = {}
    for path, given in values.items():
        limits = _limits(base, path)
        array = np.asarray(given)
        if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf":
            raise ValueError(
                f"Argument `values` must have one number for each design at {path!r}, but has {shown(given)}."
            )
        checked[path] = array.astype(np.float64)
        check_limits("a design", path, checked[path], dataclasses.replace(limits, array=True))
    sizes = {len(array) for array in checked.values()}
    if len(sizes) > 1:
        each = ", ".join(f"{len(array)} at {path!r}" for path, array in checked.items())
        raise ValueError(f"Argument `values` must have as many values at every path, but has {each}.")
    if broken := broken_rule(base, checked):
        place, error = broken
        given = ", ".join(f"{path} = {array[place]:g}" for path, array in checked.items())
        raise ValueError(f"{error} So it is in row {place} of the designs, {given}.") from error
    return checked


def _limits(base: AnalogConfig, path: str) -> Limits:
    """Return what is allowed at a path.

    Raises:
        ValueError: If it leads to no continuous field with one number.
    """
    value, marker = at(base, path), np.float64(1.0)
    try:
        marked = leaf_paths(with_at(base, {path: marker}))
        limits = next((limits for found, limits in marked.values() if found is marker), None)
    except ValueError:  # a structural field does not take the number
        limits = None
    if limits is None or isinstance(value, (tuple, list, Component)) or np.ndim(value):
        given = f"a {type(value).__name__}" if isinstance(value, Component) else shown(value)
        raise ValueError(
            f"Argument `values` must have paths of continuous fields with one number, but {path!r} is {given}; "
            f"there are {', '.join(sorted(leaf_paths(base)))}."
        )
    return limits


def broken_rule(base: AnalogConfig, values: Values) -> tuple[int, ValueError] | None:
    """Find the first of many designs that breaks a rule between fields.

    The rules of this library compare quantities that rise or fall with every field, so that they hold for all designs
    where they hold in the corners of the box around them. Otherwise, and for classes of others, each design is asked.

    Args:
        base: The config of all designs, with allowed values.
        values: Values of leaves by path, each allowed by itself.

    Returns:
        Its place and what is wrong, or None.
    """
    base.validate()
    designs = max(map(len, values.values()), default=0)
    if 2 ** len(values) < designs and all(_is_own(part) for part in _parts(base)):
        ends = [(float(np.min(array)), float(np.max(array))) for array in values.values()]
        try:
            for corner in itertools.product(*ends):
                with_at(base, dict(zip(values, corner, strict=True))).validate()
        except ValueError:
            pass
        else:
            return None
    for place in range(designs):
        try:
            with_at(base, {path: float(array[place]) for path, array in values.items()}).validate()
        except ValueError as error:
            return place, error
    return None


def _is_own(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] == "jaxaimc"


def _parts(part: Any) -> Iterator[Any]:
    """Yield a part and all in it; parts that are no components of this library are their own."""
    yield part
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _parts(value)
