"""What the annotation of a component's field says, and whether structural fields hold it."""

import dataclasses
import enum
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxaimc._core import checks

_STRUCTURE: tuple[Any, ...] = (int, bool, str, bytes, type(None))
_WORDS = {int: "an integer", bool: "true or false", str: "a text", float: "a finite number", type(None): "None"}


def declared_types(cls: type) -> dict[str, Any]:
    """Return the types of a class's fields; a text that names nothing known here stays a text.

    Args:
        cls: The class, inherited annotations included.
    """
    try:
        return typing.get_type_hints(cls)
    except Exception:  # whatever evaluating a stranger's annotation may raise: then each by itself
        found = {}
        for base in reversed(cls.__mro__):
            for name, annotation in inspect.get_annotations(base).items():
                found[name] = _resolved(annotation, base)
        return found


def _resolved(annotation: Any, base: type) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, vars(sys.modules[base.__module__]), dict(vars(base)))
    except Exception:  # a name that only a function knows
        return annotation


def choices(declared: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the one type that there is.

    Args:
        declared: Type of a field.
    """
    is_union = typing.get_origin(declared) in (typing.Union, types.UnionType)
    return typing.get_args(declared) if is_union else (declared,)


def is_open(declared: Any) -> bool:
    """Return whether an annotation says nothing that can be checked.

    Args:
        declared: Type of a field: `Any`, a type variable, a protocol, a dataclass, or a text that names nothing known.
    """
    if declared is Any or isinstance(declared, (str, typing.TypeVar)):
        return True
    return isinstance(declared, type) and (
        getattr(declared, "_is_protocol", False) or dataclasses.is_dataclass(declared)
    )


def is_tuple(declared: Any) -> bool:
    """Return whether a field may hold a tuple.

    Args:
        declared: Type of a field.
    """
    return any(choice is tuple or typing.get_origin(choice) is tuple for choice in choices(declared))


def is_structure(declared: Any) -> bool:
    """Return whether a type holds no continuous quantity, so that a field of it must be static.

    Args:
        declared: Type of a field.
    """
    if declared is type(None):
        return False
    return all(_is_structural(choice) for choice in choices(declared))


def _is_structural(declared: Any) -> bool:
    origin, args = typing.get_origin(declared), typing.get_args(declared)
    if origin in (tuple, list, set, frozenset, dict):
        return all(_is_structural(entry) for entry in args if entry is not Ellipsis) and bool(args)
    if origin is typing.Literal or origin is Callable or declared is Callable:
        return True
    return declared in _STRUCTURE or (isinstance(declared, type) and issubclass(declared, enum.Enum))


def name_of(declared: Any) -> str:
    """Return a type as one writes it.

    Args:
        declared: Type of a field.
    """
    return declared.__name__ if isinstance(declared, type) and not typing.get_args(declared) else str(declared)


def checked_static(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """Check a structural field against its type and bounds.

    Args:
        owner: Class that owns the field, for the message.
        field: The field.
        value: What was given for it.

    Returns:
        The value; lists and arrays (from a config file) as the tuples that static fields must be.

    Raises:
        ValueError: If it is of another type, or an integer out of its bounds.
    """
    declared, low, high = field.type, field.metadata.get("low"), field.metadata.get("high")
    if type(value) is declared and (low is None or low <= value) and (high is None or value <= high):
        return value  # components are rebuilt often, most of them with numbers and flags that are right
    if is_tuple(declared) and isinstance(value, (list, np.ndarray)):
        value = _as_tuple(value)
    optional = type(None) in choices(declared)
    bounded = (low is not None or high is not None) and not (optional and value is None)
    if bounded and not (isinstance(value, tuple) and not value):
        for entry in value if isinstance(value, tuple) else (value,):
            checks.check_integer(owner, field.name, entry, low=low, high=high, optional=optional)
    if (bounded and value == ()) or not fits(value, declared):
        raise ValueError(f"Field `{field.name}` of {owner} must be {allowed(declared)}, but is {checks.shown(value)}.")
    return value


def _as_tuple(value: Any) -> Any:
    value = value.tolist() if isinstance(value, np.ndarray) else value
    return tuple(_as_tuple(entry) for entry in value) if isinstance(value, list) else value


def fits(value: Any, declared: Any) -> bool:
    """Return whether a value is of a type that structure has.

    Args:
        value: Any value; sequences as tuples.
        declared: The type; one that cannot be checked fits.
    """
    origin, args = typing.get_origin(declared), typing.get_args(declared)
    if len(choices(declared)) > 1:
        return any(fits(value, choice) for choice in choices(declared))
    if origin is typing.Literal:
        return any(value == choice and type(value) is type(choice) for choice in args)
    if origin is tuple:
        return isinstance(value, tuple) and _fits_tuple(value, args)
    if declared in (bool, str):
        return isinstance(value, declared)
    if declared in (int, float):
        kind = numbers.Integral if declared is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool) and bool(np.isfinite(float(value)))
    return value is None if declared is type(None) else True


def _fits_tuple(value: tuple[Any, ...], args: tuple[Any, ...]) -> bool:
    if len(args) == 2 and args[1] is Ellipsis:
        return all(fits(entry, args[0]) for entry in value)
    return not args or (len(args) == len(value) and all(map(fits, value, args)))


def allowed(declared: Any) -> str:
    """Return what a structural field may be, in words.

    Args:
        declared: Its type.
    """
    if len(choices(declared)) > 1:
        return " or ".join(allowed(choice) for choice in choices(declared))
    if typing.get_origin(declared) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(declared)))
    if typing.get_origin(declared) is tuple:
        return f"a tuple of type {name_of(declared)}"
    return _WORDS.get(declared, f"a {name_of(declared)}")
