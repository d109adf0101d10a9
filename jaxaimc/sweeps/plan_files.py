"""Axes as JSON values, for the record of a sweep and for plans in files."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxaimc._core.checks import shown
from jaxaimc._core.component import Component, is_component
from jaxaimc.config import parse
from jaxaimc.config.decode import component_of
from jaxaimc.config.encode import encoded
from jaxaimc.config.errors import ConfigFileError, nearest
from jaxaimc.sweeps.axes import Axis, Range, Samples, Together, Values

_SCHEMA = 1
_KEYS = {
    "values": ("path", "values"),
    "points": ("path", "low", "high", "points", "scale"),
    "samples": ("samples", "ranges", "seed", "scale"),
    "together": ("together",),
}
_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def axis_facts(axis: Axis) -> dict[str, Any]:
    """Return an axis as JSON values.

    Args:
        axis: An axis of this package; one of your own is written as the values that it gives.

    Example:
        >>> axis_facts(Range("wires.r", 0.1, 10.0, 5, scale="log"))
        {'path': 'wires.r', 'low': 0.1, 'high': 10.0, 'points': 5, 'scale': 'log'}
    """
    if isinstance(axis, Together):
        return {"together": [axis_facts(one) for one in axis.axes]}
    if isinstance(axis, Samples):
        ranges = {path: list(bounds) for path, bounds in axis.ranges.items()}
        return {"samples": axis.n, "ranges": ranges, "seed": axis.seed}
    if isinstance(axis, Range):
        numbers = {"low": float(axis.low), "high": float(axis.high), "points": int(axis.points)}
        return {"path": _path(axis.path), **numbers, "scale": axis.scale}
    if isinstance(axis, Values):
        if isinstance(axis.values, Mapping):
            return {
                "path": _path(axis.path),
                "values": {name: value_facts(value) for name, value in axis.values.items()},
            }
        return {"path": _path(axis.path), "values": [value_facts(value) for value in axis.values]}
    columns = axis.columns()
    return {
        "together": [{"path": path, "values": [value_facts(v) for v in values]} for path, values in columns.items()]
    }


def axis_of(value: Any, where: str = "axis") -> Axis:
    """Return the axis that JSON values stand for.

    Args:
        value: As `axis_facts` returns it. A scale, and a seed, may be left out.
        where: Path to it, for errors.

    Raises:
        ValueError: If it is no axis; the message names what is wrong in it.

    Example:
        >>> axis_of({"path": "adc.bits", "values": [4, 6]})
        Values(path=('adc.bits',), values=(4, 6))
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be an object with one of {_kinds()}, but is {shown(value)}.")
    kinds = [kind for kind in _KEYS if kind in value]
    if len(kinds) != 1:
        found = f"{kinds[0]} and {kinds[1]}" if kinds else f"only {', '.join(map(str, value)) or 'nothing'}"
        raise ValueError(f"{where} must hold one of {_kinds()}, but holds {found}.")
    (kind,) = kinds
    for key in value:
        if key not in _KEYS[kind]:
            raise ValueError(f"{where} has no key {key!r}{nearest(str(key), _KEYS[kind])}; it has: {_list(kind)}.")
    required = [key for key in _KEYS[kind] if key not in ("scale", "seed") and key not in value]
    if required:
        raise ValueError(f"{where} needs the key {required[0]!r} beside {kind!r}.")
    try:
        return _axis(kind, value, where)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def read_axes(path: str | Path) -> list[Axis]:
    """Read the axes of a plan from a file.

    Args:
        path: TOML file if it ends in `.toml`, else JSON: `schema = 1` and a list `axes`, each as `axis_of` takes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it cannot be read or does not hold axes; the message is one line and names file and key.
    """
    path = Path(path)
    try:
        return _axes(parse.values(parse.read_text(path, "plan"), parse.form_of(path)))
    except ConfigFileError as error:
        message = str(error)
        raise (error if message.startswith("Plan ") else ConfigFileError(f"Plan {str(path)!r}: {message}")) from error
    except ValueError as error:
        raise ConfigFileError(f"Plan {str(path)!r}: {error}") from error


def _axes(content: Any) -> list[Axis]:
    if not isinstance(content, dict) or "schema" not in content:
        raise ConfigFileError('must have "schema": 1 and a list "axes", but has no \'schema\'.')
    if content["schema"] != _SCHEMA:
        raise ConfigFileError(f"`schema` must be {_SCHEMA}, but is {shown(content['schema'])}.")
    for key in content:
        if key not in ("schema", "axes"):
            raise ConfigFileError(f"unknown key {key!r}{nearest(key, ['schema', 'axes'])}; it has: schema, axes.")
    axes = content.get("axes")
    if not isinstance(axes, list) or not axes:
        raise ConfigFileError(f"`axes` must be a list of at least one axis, but is {shown(axes)}.")
    return [axis_of(one, f"axes[{number}]") for number, one in enumerate(axes)]


def _axis(kind: str, value: Mapping[str, Any], where: str) -> Axis:
    optional = {key: value[key] for key in ("scale", "seed") if key in value}
    if kind == "together":
        if not isinstance(value["together"], Sequence) or isinstance(value["together"], str):
            raise ValueError(f"{where}.together must be a list of axes, but is {shown(value['together'])}.")
        return Together([axis_of(one, f"{where}.together[{i}]") for i, one in enumerate(value["together"])])
    if kind == "samples":
        return Samples(value["ranges"], value["samples"], **optional)
    if kind == "points":
        return Range(value["path"], value["low"], value["high"], value["points"], **optional)
    given = value["values"]
    if isinstance(given, Mapping):
        return Values(value["path"], {name: _value(one, f"{where}.values.{name}") for name, one in given.items()})
    if isinstance(given, Sequence) and not isinstance(given, str):
        return Values(value["path"], [_value(one, f"{where}.values[{i}]") for i, one in enumerate(given)])
    return Values(value["path"], given)


def value_facts(value: Any) -> Any:
    """Return a value of an axis as JSON values.

    Args:
        value: A number, text, tuple or part.
    """
    if is_component(value):
        return encoded(value)
    if isinstance(value, tuple):
        return [value_facts(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return component_of(dict(value), where, Component)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_value(entry, where) for entry in value)
    return _INFINITIES.get(value, value) if isinstance(value, str) else value


def _path(path: Any) -> Any:
    return path[0] if len(path) == 1 else list(path)


def _kinds() -> str:
    return ", ".join(map(repr, _KEYS))


def _list(kind: str) -> str:
    return ", ".join(_KEYS[kind])
