"""Docstrings as the site shows them: Google style with code in single backticks, fields from the fields' own data."""

import dataclasses
import inspect
import re
from typing import Any

from fields import field_names, field_table, meaning_table, without_attributes

from jaxaimc._core.component import Component

# A span of code, over the end of a line too.
_CODE = re.compile(r"(?<!`)`(?!`)([^`]+)`(?!`)")
_MARKUP = re.compile(r"(?<!\\)([*|])")


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    table: list[str] = []
    if isinstance(obj, type):
        lines[:], meanings = without_attributes(lines)
        if field_names(obj):
            table = field_table(obj, meanings)
        elif meanings:
            table = meaning_table(meanings)
    lines[:] = as_rst(lines) + table


def as_rst(lines: list[str]) -> list[str]:
    """Return a docstring in which backticks are code and nothing else is markup; examples stay as they are."""
    found: list[str] = []
    prose: list[str] = []
    in_example = False
    for line in lines:
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if in_example:
            found += _prose(prose)
            prose = []
            found.append(line)
        else:
            prose.append(line)
    return found + _prose(prose)


def _prose(lines: list[str]) -> list[str]:
    if not lines:
        return []
    parts: list[str] = []
    end = 0
    text = "\n".join(lines)
    for code in _CODE.finditer(text):
        parts += [_MARKUP.sub(r"\\\1", text[end : code.start()]), f"``{code[1].strip()}``"]
        end = code.end()
        if text[end : end + 1].isalnum():
            parts.append("\\ ")
    parts.append(_MARKUP.sub(r"\\\1", text[end:]))
    return "".join(parts).split("\n")


def _signature(app: Any, what: str, name: str, obj: Any, options: Any, signature: Any, returned: Any) -> Any:
    """Show the names of a component's fields only: their defaults are in the table below it."""
    if isinstance(obj, type) and field_names(obj):
        return f"(*, {', '.join(field_names(obj))})", None
    if isinstance(obj, type) and (inspect.isabstract(obj) or issubclass(obj, Component)):
        return "()" if dataclasses.is_dataclass(obj) else "", None
    return _readable(signature), _readable(returned)


def _readable(text: str | None) -> str | None:
    """Return a signature in which arrays are called what one imports them as."""
    return text and text.replace("jaxlib._jax.Array", "Array").replace("jaxtyping.", "")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx, before Napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
