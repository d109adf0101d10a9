"""Configs in words: every component, every field with its value and unit, and what the field is."""

import dataclasses
import inspect
import re
from typing import Any

import numpy as np

from jaxaimc._core.checks import SIZES
from jaxaimc.units import format_si

# "    name: What it is [unit]; more." in the attributes of a docstring, until the next name or the end of the section.
_ATTRIBUTE = re.compile(r"^(\w+): (.+?)(?=^\w+: |^\w+:$|\Z)", re.MULTILINE | re.DOTALL)
_UNIT = re.compile(r"\[([^\]]+)\]")


def describe(component: Any, name: str = "") -> str:
    """Return a component as an indented list of its fields.

    Args:
        component: A config or any part of one.
        name: What to call it.

    Returns:
        One line per component and field: name, value with unit, and the first words of the field's documentation.

    Example:
        >>> from jaxaimc.cells import Differential
        >>> print(describe(Differential(g_max=25e-6), "cell"))
        cell: Differential
          g_min = 0 S  (Conductance of a device that holds nothing)
          g_max = 25 uS  (Conductance of a weight of one)
    """
    return "\n".join(_lines(component, name, 0))


def _lines(component: Any, name: str, depth: int) -> list[str]:
    indent = "  " * depth
    lines = [f"{indent}{name + ': ' if name else ''}{type(component).__name__}"]
    documented = attributes(type(component))
    for field in dataclasses.fields(component):
        value = getattr(component, field.name)
        if dataclasses.is_dataclass(value):
            lines += _lines(value, field.name, depth + 1)
            continue
        text, unit = documented.get(field.name, ("", ""))
        limits = field.metadata.get("limits")
        unit = limits.unit if limits is not None and limits.unit else unit
        lines.append(f"{indent}  {field.name} = {_value(value, unit)}" + (f"  ({text})" if text else ""))
    return lines


def attributes(cls: type) -> dict[str, tuple[str, str]]:
    """Return what docstrings say of a class's fields, those of its bases included.

    Args:
        cls: A class whose docstring has an `Attributes` section.

    Returns:
        By field, its first sentence without the unit, and the unit; empty texts where there is none.
    """
    found = {}
    for base in reversed(cls.__mro__):
        found |= _attributes(inspect.cleandoc(base.__doc__ or ""))
    return found


def _attributes(docstring: str) -> dict[str, tuple[str, str]]:
    _, _, section = docstring.partition("Attributes:\n")
    section = "\n".join(line.removeprefix("    ") if line.startswith("    ") else line for line in section.split("\n"))
    found = {}
    for name, text in _ATTRIBUTE.findall(section.split("\nExample:")[0]):
        text = " ".join(text.split())
        unit = _UNIT.search(text)
        first = re.split(r"[;,.:] |[;,.:]$", _UNIT.sub("", text).replace("  ", " "))[0].strip()
        found[name] = (first, unit.group(1) if unit else "")
    return found


def _value(value: Any, unit: str) -> str:
    if isinstance(value, (bool, str)) or value is None:
        return str(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(_value(entry, unit) for entry in value) + ")"
    shape = np.shape(value)
    if shape:
        low, high = (_value(float(edge), unit) for edge in (np.min(value), np.max(value)))
        return f"array of shape {shape}, {low} to {high}"
    if unit in SIZES:
        return format_si(float(value), unit)
    return f"{float(value):.6g}" + (f" {unit}" if unit and unit != "1" else "")
