"""Configs as JSON files: readable, versioned, and refused with a reason when they do not fit.

A component is written as an object with its class under `"type"` and its fields beside it. Only classes of modules
that are already imported can be named, so that reading a file runs no code.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np

from jaxaimc.config import AnalogConfig

SCHEMA_VERSION = 1


class ConfigFileError(ValueError):
    """A file that is no config, or one that names classes or fields that do not exist."""


def dumps(config: AnalogConfig) -> str:
    """Write a config as JSON text.

    Args:
        config: Config with concrete values.

    Returns:
        Indented JSON with the schema version.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> loads(dumps(AnalogConfig())) == AnalogConfig()
        True
    """
    return json.dumps({"schema": SCHEMA_VERSION, "config": _encode(config)}, indent=2) + "\n"


def loads(text: str, source: str = "text") -> AnalogConfig:
    """Read a config from JSON text. Fields that are left out keep their defaults.

    Args:
        text: JSON as written by `dumps`.
        source: What to call the text in errors.

    Returns:
        The config, validated.

    Raises:
        ConfigFileError: If the text is not JSON, has another schema version, or names an unknown class or field.
        ValueError: If a field is out of its range.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigFileError(f"Config {source} is not JSON: {error.msg} at line {error.lineno}.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION or "config" not in content:
        found = content.get("schema") if isinstance(content, dict) else None
        raise ConfigFileError(
            f'Config {source} must be an object with "schema": {SCHEMA_VERSION} and "config", but has schema {found!r}.'
        )
    try:
        config = _decode(content["config"], "config")
    except ConfigFileError as error:
        raise ConfigFileError(f"Config {source}: {error}") from None
    if not isinstance(config, AnalogConfig):
        raise ConfigFileError(f"Config {source}: config must be an AnalogConfig, but is {type(config).__name__}.")
    config.validate()
    return config


def load(path: str | Path) -> AnalogConfig:
    """Read a config file. See `loads`.

    Args:
        path: JSON file.

    Returns:
        The config, validated.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it does not hold a config.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no config file {str(path)!r}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"Config {str(path)!r} is not text: {error.reason}.") from error
    return loads(text, repr(str(path)))


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    array = np.asarray(value)
    if array.ndim:
        return [_encode(entry) for entry in array.tolist()]
    number = float(array)
    # JSON has no infinity; Python's extension of it would not be read elsewhere.
    return number if np.isfinite(number) else str(number)


def _decode(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return _decode_component(value, where)
    if isinstance(value, list):
        return np.asarray([_decode(entry, f"{where}[{i}]") for i, entry in enumerate(value)])
    if value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, str) or value is None:
        raise ConfigFileError(f"{where} must be a number, a list of numbers or a component, but is {value!r}.")
    return value


def _decode_component(value: dict[str, Any], where: str) -> Any:
    name = value.get("type")
    if not isinstance(name, str):
        raise ConfigFileError(f'{where} must name its class under "type".')
    module_name, _, class_name = name.rpartition(".")
    cls = getattr(sys.modules.get(module_name), class_name, None)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ConfigFileError(f"{where} names the class {name!r}, which is not a component of an imported module.")
    known = [field.name for field in dataclasses.fields(cls)]
    unknown = sorted(set(value) - {"type", *known})
    if unknown:
        raise ConfigFileError(f"{where} has no field {unknown[0]!r}; {class_name} has: {', '.join(known) or 'none'}.")
    fields = {key: _decode(entry, f"{where}.{key}") for key, entry in value.items() if key != "type"}
    for field in dataclasses.fields(cls):
        entry = fields.get(field.name)
        if _may_be_tuple(field.type) and isinstance(entry, np.ndarray) and entry.ndim == 1:
            fields[field.name] = tuple(entry.tolist())
    try:
        return cls(**fields)
    except TypeError as error:
        raise ConfigFileError(f"{where}: {error}.") from error


def _may_be_tuple(declared: Any) -> bool:
    """Return whether a field's annotation is a tuple of numbers, alone or as one of several choices."""
    return any(get_origin(choice) is tuple for choice in (declared, *get_args(declared)))
