"""One swept path of a plan: what kind of field it leads to, and its values as a column of the table."""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from jaxaimc._core.checks import Limits, check_limits, shown
from jaxaimc._core.component import Component, roles
from jaxaimc.config import AnalogConfig, at, field_at, with_at
from jaxaimc.sweeps.axes import Named

_PLAIN = {bool: pl.Boolean, int: pl.Int64, str: pl.String}
# Columns of every table that are no paths.
RESERVED = ("design", "network", "chip")


@dataclasses.dataclass(frozen=True)
class Swept:
    """A swept path.

    Attributes:
        path: The path, as in `jaxaimc.config.at`.
        unit: Unit of a continuous field; empty for a pure number or structure.
        continuous: Whether it is a leaf, whose values share one compilation.
        series: The values of its axis, as they stand in the table.
        named: Values that the table calls by a name, by name: parts, and structure that is not one number or text.
    """

    path: str
    unit: str
    continuous: bool
    series: pl.Series
    named: dict[str, Any]

    def value(self, entry: Any) -> Any:
        """Return what the config gets for an entry of the table."""
        return self.named[entry] if self.named else entry


def swept(base: AnalogConfig, path: str, entries: Sequence[Any], *, rounded: bool) -> Swept:
    """Hold the values of a path against its field.

    Args:
        base: The config that the plan starts from.
        path: The path.
        entries: Values of its axis.
        rounded: Whether structural integers get the nearest whole number.

    Raises:
        ValueError: If there is no such field, or a value is not allowed in it.
    """
    owner, field = field_at(base, path)
    is_part = isinstance(at(base, path), Component) or (roles(field.type) and _hold_parts(entries))
    if not is_part and not field.metadata.get("static"):
        return _leaf(owner, field, path, entries)
    if not is_part and rounded:
        entries = [int(np.rint(entry)) if isinstance(entry, float) else entry for entry in entries]
    for entry in entries:
        try:
            _ = with_at(base, {path: entry.value if isinstance(entry, Named) else entry})
        except (ValueError, TypeError) as error:
            raise ValueError(f"Path {path!r}: {error}") from error
    return _structure(path, entries)


def _leaf(owner: Component, field: dataclasses.Field, path: str, entries: Sequence[Any]) -> Swept:
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, numbers.Real):
            raise ValueError(f"Path {path!r}: Field `{field.name}` of {type(owner).__name__} must be a number, but is "
                             f"{shown(entry.value if isinstance(entry, Named) else entry)}.")  # fmt: skip
    limits = field.metadata.get("limits", Limits())
    # Zero is zero, of whatever sign: designs are found again by their values.
    values = np.array(entries, float) + 0.0
    try:
        check_limits(type(owner).__name__, field.name, values, dataclasses.replace(limits, array=True))
    except ValueError as error:
        raise ValueError(f"Path {path!r}: {error}") from None
    return Swept(path, limits.unit, True, pl.Series(path, values, pl.Float64), {})


def _structure(path: str, entries: Sequence[Any]) -> Swept:
    kinds = {type(entry) for entry in entries}
    if len(kinds) == 1 and (kind := kinds.pop()) in _PLAIN:
        return Swept(path, "", False, pl.Series(path, entries, _PLAIN[kind]), {})
    named = {}
    for entry in entries:
        name, value = (entry.name, entry.value) if isinstance(entry, Named) else (_name(entry), entry)
        if name in named:
            raise ValueError(
                f"Path {path!r}: two values are called {name!r}; give names of your own: Values({path!r}, "
                f"{{'one': {shown(named[name])}, ...}})."
            )
        named[name] = value
    return Swept(path, "", False, pl.Series(path, list(named), pl.String), named)


def _name(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Component) else str(value)


def _hold_parts(entries: Sequence[Any]) -> bool:
    return any(isinstance(entry.value if isinstance(entry, Named) else entry, Component) for entry in entries)
