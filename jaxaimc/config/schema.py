"""The format of config files as a JSON schema, from what the fields say of themselves."""

import dataclasses
import inspect
import json
import math
import typing
from typing import Any
from urllib.parse import quote

import numpy as np

from jaxaimc._core import fields
from jaxaimc._core.checks import SIZES, Limits
from jaxaimc._core.component import CLASSES, roles
from jaxaimc._core.describe import attributes
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.config.files import SCHEMA_VERSION
from jaxaimc.config.names import public_name

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBERS = "numbers"


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of config files.

    Returns:
        A definition for every class of components that can stand in a config now, yours included once their modules
        are imported: its fields with bounds, and what they are and their units as descriptions. Rules across fields
        are checked on loading alone.

    Example:
        >>> definition = schema()["$defs"]["wires.Ladder"]
        >>> definition["properties"]["alternate"]["type"]
        'boolean'
    """
    definitions: dict[str, Any] = {_NUMBERS: _numbers()}
    waiting = [AnalogConfig]
    while waiting:
        cls = waiting.pop()
        if public_name(cls) not in definitions:
            definitions[public_name(cls)] = _definition(cls)
            waiting += [part for field in dataclasses.fields(cls) for role in roles(field.type) for part in _of(role)]
    return {
        "$schema": _DIALECT,
        "title": "Config of jaxaimc",
        "type": "object",
        "properties": {"schema": {"const": SCHEMA_VERSION}, "config": _reference("AnalogConfig")},
        "required": ["schema", "config"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the JSON schema as indented text, for `jaxaimc config --schema`."""
    return json.dumps(schema(), indent=2) + "\n"


def _of(role: type) -> list[type]:
    """Return the classes of a kind of part that can be made."""
    found = [cls for cls in CLASSES.values() if issubclass(cls, role) and not inspect.isabstract(cls)]
    return sorted(found, key=public_name)


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{quote(name, safe='')}"}


def _numbers() -> dict[str, Any]:
    infinity = {"enum": ["inf", "-inf"]}
    items = {"anyOf": [{"type": "number"}, infinity, _reference(_NUMBERS)]}
    return {"type": "array", "items": items, "minItems": 1, "description": "An array of numbers with any axes."}


def _definition(cls: Any) -> dict[str, Any]:
    documented = attributes(cls)
    own = dataclasses.fields(cls)
    required = [field.name for field in own if field.default is dataclasses.MISSING]
    properties = {field.name: _property(field, *documented.get(field.name, ("", ""))) for field in own}
    return {
        "type": "object",
        "description": (inspect.getdoc(cls) or "").partition("\n")[0],
        "properties": {"type": {"const": public_name(cls)}, **properties},
        "required": ["type", *required],
        "additionalProperties": False,
    }


def _property(field: dataclasses.Field, text: str, unit: str) -> dict[str, Any]:
    limits = field.metadata.get("limits") or Limits()
    words = f"{text} [{limits.unit or unit}]" if limits.unit or unit else text
    described: dict[str, Any] = {"description": words.strip()} if words else {}
    if field.metadata.get("static"):
        allowed = structure(field.type, field.metadata.get("low"), field.metadata.get("high"))
    else:
        allowed = _leaf(field.type, limits)
    if isinstance(field.default, (str, int)) or (isinstance(field.default, float) and math.isfinite(field.default)):
        described["default"] = field.default
    return {**described, **allowed}


def structure(declared: Any, low: int | None = None, high: int | None = None) -> dict[str, Any]:
    """Return the schema of values that are structure: flags, whole numbers, texts, and tuples of these.

    Args:
        declared: Their type.
        low: Least whole number.
        high: Largest whole number.
    """
    origin, args = typing.get_origin(declared), typing.get_args(declared)
    if len(fields.choices(declared)) > 1:
        return {"anyOf": [structure(choice, low, high) for choice in fields.choices(declared)]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": structure(args[0], low, high) if args else {}}
    bounds = {"minimum": low, "maximum": high} if declared is int else {}
    named = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}.get(declared)
    return ({"type": named} if named else {}) | {key: bound for key, bound in bounds.items() if bound is not None}


def _leaf(declared: Any, limits: Limits) -> dict[str, Any]:
    kinds = roles(declared)
    choices = [_reference(public_name(part)) for role in kinds for part in _of(role)]
    others = [choice for choice in fields.choices(declared) if choice not in kinds]
    if type(None) in others:
        choices.append({"type": "null"})
    if any(fields.is_open(other) for other in others):
        return {}
    if fields.is_tuple(declared):
        choices.append({"type": "array", "items": _number(limits), "minItems": 1})
        others = [other for other in others if not fields.is_tuple(other)]
    numeric = [other for other in others if other is not type(None)]
    if any(other is not float for other in numeric) or (numeric and limits.array):
        choices.append(_reference(_NUMBERS))
    if float in numeric:
        choices = [*_number(limits).get("anyOf", [_number(limits)]), *choices]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _number(limits: Limits) -> dict[str, Any]:
    largest = SIZES.get(limits.unit, (0.0, np.inf))[1]
    bounds = {
        "minimum": limits.low,
        "exclusiveMinimum": limits.above,
        "maximum": limits.high if limits.high is not None or limits.below is not None else largest,
        "exclusiveMaximum": limits.below,
    }
    bounds = {key: bound for key, bound in bounds.items() if bound is not None and math.isfinite(bound)}
    number: dict[str, Any] = {"type": "number", **bounds}
    return {"anyOf": [number, {"enum": ["inf", "-inf"]}]} if limits.infinite else number
