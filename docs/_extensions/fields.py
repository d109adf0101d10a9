"""What a component's fields say of themselves: unit, bounds, default, meaning."""

import dataclasses
import math
import re
from typing import Any, NamedTuple

from jaxaimc._core.checks import Limits
from jaxaimc._core.component import Component
from jaxaimc._core.fields import name_of
from jaxaimc.units import format_si


class FieldRow(NamedTuple):
    """A field as texts."""

    name: str
    meaning: str
    unit: str
    allowed: str
    default: str


def field_names(cls: type) -> tuple[str, ...]:
    """Return the names of a component's fields; none for any other class."""
    if not (issubclass(cls, Component) and dataclasses.is_dataclass(cls)):
        return ()
    return tuple(field.name for field in dataclasses.fields(cls))


def without_attributes(lines: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take the section `Attributes` out of a docstring.

    Returns:
        The other lines, and what the section says of each attribute.
    """
    kept: list[str] = []
    meanings: dict[str, str] = {}
    inside, name = False, ""
    for line in lines:
        if line.rstrip() == "Attributes:":
            inside = True
        elif inside and line and not line.startswith(" "):
            inside = False
            kept.append(line)
        elif inside:
            if found := re.match(r" {4}(\w+)(?: \([^)]*\))?: (.*)", line):
                name = found[1]
                meanings[name] = found[2]
            elif name and line.strip():
                meanings[name] += " " + line.strip()
        else:
            kept.append(line)
    return kept, meanings


def rows_of(cls: type, meanings: dict[str, str] | None = None) -> list[FieldRow]:
    """Return a row for each field of a component.

    Args:
        cls: Class of components.
        meanings: What the docstring says of each; from the class and its bases if None.
    """
    meanings = meanings_of(cls) | (meanings or {})
    return [_row(field, meanings.get(field.name, "")) for field in dataclasses.fields(cls)]  # pyright: ignore


def meanings_of(cls: type) -> dict[str, str]:
    """Return what the docstrings of a class and of its bases say of each field; the class itself comes first."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found |= without_attributes((base.__doc__ or "").replace("\n    ", "\n").split("\n"))[1]
    return found


def _row(field: dataclasses.Field, meaning: str) -> FieldRow:
    limits = field.metadata.get("limits")
    if limits is None:
        limits = Limits(low=field.metadata.get("low"), high=field.metadata.get("high"))
    # The unit has a column of its own.
    meaning = re.sub(r" \[[^\]]*\](?=[.;,]|$)", "", meaning) if field.metadata.get("limits") else meaning
    return FieldRow(field.name, meaning, limits.unit, _allowed(field, limits), _default(field, limits.unit))


def _allowed(field: dataclasses.Field, limits: Limits) -> str:
    low = limits.low if limits.above is None else limits.above
    high = limits.high if limits.below is None else limits.below
    if low is None and high is None:
        return "" if field.metadata.get("limits") else _kind(field.type)
    whole = "whole, " if field.metadata.get("static") else ""
    if high is None:
        return f"{whole}{'>' if limits.above is not None else '≥'} {low:g}"
    if low is None:
        return f"{whole}{'<' if limits.below is not None else '≤'} {high:g}"
    left, right = "(" if limits.above is not None else "[", ")" if limits.below is not None else "]"
    return f"{whole}{left}{low:g}, {high:g}{right}"


def _kind(declared: Any) -> str:
    text = name_of(declared)
    return "" if text in ("float", "Any") else re.sub(r"\b[\w.]+\.(\w+)", r"\1", text)


def _default(field: dataclasses.Field, unit: str) -> str:
    if field.default is dataclasses.MISSING:
        return "required" if field.default_factory is dataclasses.MISSING else ""
    return shown(field.default, unit)


def shown(value: Any, unit: str = "") -> str:
    """Return a default: a number with its unit, a part by its class."""
    if isinstance(value, Component):
        return type(value).__name__
    if isinstance(value, float) and math.isinf(value):
        return "infinite"
    if isinstance(value, float) and "^" in unit:
        return f"{value:g} {unit}"  # a prefix would be squared
    if isinstance(value, float) and unit:
        return format_si(value, unit)
    if isinstance(value, float):
        return f"{value:g}"
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} of {len(value)}"


def field_table(cls: type, meanings: dict[str, str]) -> list[str]:
    """Return a table of a component's fields as lines of reStructuredText."""
    head = FieldRow("field", "meaning", "unit", "allowed", "default")
    return _table([head, *(row._replace(name=f"`{row.name}`") for row in rows_of(cls, meanings))])


def meaning_table(meanings: dict[str, str]) -> list[str]:
    """Return a table of attributes and what a docstring says of each, as lines of reStructuredText."""
    return _table([("attribute", "meaning"), *((f"`{name}`", meaning) for name, meaning in meanings.items())])


def _table(rows: list[Any]) -> list[str]:
    from docstrings import as_rst

    found = ["", ".. list-table::", "   :class: fields", "   :header-rows: 1", ""]
    for row in rows:
        cells = [" ".join(as_rst([text])) for text in row]
        found += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(cells)]
    return [*found, ""]
