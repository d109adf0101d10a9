"""JSON values to components: every value is held against the field that it is for."""

import dataclasses
from typing import Any, TypeVar

import numpy as np

from jaxaimc._core import fields
from jaxaimc._core.checks import Limits, shown
from jaxaimc._core.component import roles, wrong_role
from jaxaimc.config.errors import ConfigFileError, nearest
from jaxaimc.config.migrate import fields_of, new_name
from jaxaimc.config.names import named, public_name
from jaxaimc.config.parse import Unreadable

T = TypeVar("T")

_INFINITIES = ("inf", "-inf")


def component_of(value: Any, where: str, role: type[T]) -> T:
    """Return the component of a kind that a JSON value stands for.

    Args:
        value: Decoded JSON.
        where: Path to it, for errors.
        role: Kind of component that is due.

    Raises:
        ConfigFileError: If it is something else, or as `component`.
    """
    found = component(value, where) if isinstance(value, dict) else value
    if not isinstance(found, role):
        given = type(found).__name__ if isinstance(value, dict) else shown(value)
        raise ConfigFileError(f"{where} must be an object of type {public_name(role)!r}, but is {given}.")
    return found


def component(value: dict[str, Any], where: str) -> Any:
    """Return the component that a JSON object stands for.

    Args:
        value: An object with its class under `"type"` and its fields beside it.
        where: Path to it, for errors.

    Raises:
        ConfigFileError: If the class is not known, or a field unknown, missing, of the wrong kind or out of range.
    """
    cls = _class(value, where)
    own = {field.name: field for field in dataclasses.fields(cls)}
    given = {key: entry for key, entry in value.items() if key != "type"}
    for key in given:
        if key not in own:
            raise ConfigFileError(f"{where} has no field {key!r}{_hint(cls, key, list(own))}")
    missing = [name for name, field in own.items() if name not in given and _is_required(field)]
    if missing:
        raise ConfigFileError(f"{where} of class {cls.__name__} needs the field {missing[0]!r}.")
    parts = {key: _entry(cls.__name__, own[key], entry, f"{where}.{key}") for key, entry in given.items()}
    try:
        built = cls(**parts)
        if hasattr(built, "validate"):
            built.validate()
    except ValueError as error:
        raise ConfigFileError(f"{where}: {_one_line(error)}") from error
    except Exception as error:  # a user's own class may raise anything
        raise ConfigFileError(f"{where}: {cls.__name__} cannot be made: {_one_line(error)}") from error
    return built


def _class(value: Any, where: str) -> type:
    name = value.get("type")
    if not isinstance(name, str):
        raise ConfigFileError(f'{where} must name its class under "type", but has {shown(name)} there.')
    try:
        return named(name)
    except ConfigFileError as error:
        now = new_name(name)
        if now != name:
            raise ConfigFileError(f'{where}: the class {shown(name)} of schema 1 is "{now}" in schema 2.') from None
        raise ConfigFileError(f"{where}: {error}") from None


def _hint(cls: type, key: str, known: list[str]) -> str:
    now = fields_of(public_name(cls)).get(key)
    if now in known:
        return f", which is {now!r} since schema 2."
    return f"{nearest(key, known)}; {cls.__name__} has: {', '.join(known) or 'no fields'}."


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _entry(owner: str, field: dataclasses.Field, value: Any, where: str) -> Any:
    """Return what a field gets for a JSON value. Values out of range are left to the component's own check."""
    kinds = roles(field.type)
    if value is None and type(None) in fields.choices(field.type):
        return None
    if isinstance(value, dict):
        if kinds or fields.is_open(field.type):
            part = component(value, where)
            if kinds and not isinstance(part, kinds):
                raise ConfigFileError(f"{where}: {wrong_role(owner, field.name, kinds, part)}")
            return part
        raise ConfigFileError(f"{where}: Field `{field.name}` of {owner} must be {_kind(field)}, but is an object.")
    if kinds and len(kinds) == len(fields.choices(field.type)):
        raise ConfigFileError(f"{where}: {wrong_role(owner, field.name, kinds, value)}")
    try:
        return _structure(value) if field.metadata.get("static") else _numbers(value, field.type)
    except (TypeError, ValueError, OverflowError):
        raise ConfigFileError(
            f"{where}: Field `{field.name}` of {owner} must be {_kind(field)}, but is {shown(value)}."
        ) from None


def _kind(field: dataclasses.Field) -> str:
    if field.metadata.get("static"):
        return fields.allowed(field.type)
    limits = field.metadata.get("limits") or Limits()
    several = fields.is_tuple(field.type) or limits.array
    infinity = ' or "inf"' if limits.infinite else ""
    return f"{'numbers' if several else 'a number'} [{limits.unit or '1'}]{infinity}"


def _structure(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_structure(entry) for entry in value)
    if isinstance(value, (Unreadable, dict)):
        raise TypeError
    return value


def _numbers(value: Any, declared: Any) -> Any:
    """Return a number, an array, or a tuple where the field may hold one and the list is flat."""
    if not isinstance(value, list):
        return _number(value)
    if not _is_flat(value) or not fields.is_tuple(declared):
        return np.array(_nested(value), float)
    return tuple(map(_number, value))


def _nested(value: Any) -> Any:
    return [_nested(entry) for entry in value] if isinstance(value, list) else _number(value)


def _is_flat(value: list[Any]) -> bool:
    return not any(isinstance(entry, list) for entry in value)


def _number(value: Any) -> float:
    if value in _INFINITIES:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return float(value)


def _one_line(error: Exception) -> str:
    """Return an error's message on one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
