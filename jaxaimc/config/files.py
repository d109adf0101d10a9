"""Configs as JSON files: readable, versioned, and refused with a reason when they do not fit.

A component is written as an object with its class under `"type"` and its fields beside it. Only classes of modules
that are already imported can be named, so that reading a file runs no code.
"""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from jaxaimc.config import decode
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.config.encode import encoded
from jaxaimc.config.errors import ConfigFileError, nearest
from jaxaimc.config.migrate import upgraded

SCHEMA_VERSION = 2
# Measured devices and converters are tables of some thousand numbers; beyond this a file is something else.
LARGEST_FILE = 64 * 2**20
DEEPEST = 50


def dumps(config: AnalogConfig) -> str:
    """Write a config as JSON text.

    Args:
        config: Config with concrete values.

    Returns:
        Indented JSON with the schema version.

    Raises:
        ValueError: If a field is out of its range.
        ConfigFileError: If a class cannot be named in a file.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> loads(dumps(AnalogConfig())) == AnalogConfig()
        True
    """
    config.validate()
    return json.dumps({"schema": SCHEMA_VERSION, "config": encoded(config)}, indent=2) + "\n"


def loads(text: str, source: str = "text") -> AnalogConfig:
    """Read a config from JSON text. Fields that are left out keep their defaults; schema 1 is read as well.

    Args:
        text: JSON as written by `dumps`.
        source: What to call the text in errors.

    Returns:
        The config, validated.

    Raises:
        ConfigFileError: If the text is not JSON, has another schema version, or a class, a field or a value in it is
            not allowed; the message is one line and names the field.
    """
    try:
        return decode.component_of(_content(text), "config", AnalogConfig)
    except ConfigFileError as error:
        raise ConfigFileError(f"Config {source}: {error}") from error.__cause__


def load(path: str | Path) -> AnalogConfig:
    """Read a config file. See `loads`.

    Args:
        path: JSON file.

    Returns:
        The config, validated.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it cannot be read or does not hold a config.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no config file {str(path)!r}.")
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            limit = f"a config file has at most {LARGEST_FILE // 2**20}"
            raise ConfigFileError(f"Config {str(path)!r} has {size / 2**20:.0f} MiB, but {limit}.")
        # Editors of some systems begin a file with a byte-order mark.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"Config {str(path)!r} is not text: {error.reason}.") from error
    except OSError as error:
        raise ConfigFileError(f"Config {str(path)!r} cannot be read: {error.strerror}.") from error
    return loads(text, repr(str(path)))


def _content(text: str) -> Any:
    """Return the component in a file, in the names of this schema."""
    try:
        content = json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=decode.Unreadable,
            parse_float=_parsed(float),
            parse_int=_parsed(int),
        )
        depth = _depth(content)
    except json.JSONDecodeError as error:
        raise ConfigFileError(f"not JSON: {error.msg} at line {error.lineno}.") from error
    except RecursionError:
        depth = math.inf
        content = None
    if depth > DEEPEST:
        raise ConfigFileError(f"objects and lists are nested more than {DEEPEST} deep.")
    if not isinstance(content, dict) or type(content.get("schema")) is not int or "config" not in content:
        _refuse(content)
    for key in content:
        if key not in ("schema", "config"):
            raise ConfigFileError(
                f'unknown key {key!r}{nearest(key, ["schema", "config"])} beside "schema" and "config".'
            )
    if content["schema"] not in (1, SCHEMA_VERSION):
        _refuse(content)
    return upgraded(content["config"]) if content["schema"] == 1 else content["config"]


def _refuse(content: Any) -> NoReturn:
    found = repr(content.get("schema")) if isinstance(content, dict) else "none"
    without = "" if isinstance(content, dict) and "config" in content else ' and no "config"'
    raise ConfigFileError(
        f'must be an object with "schema": {SCHEMA_VERSION} and "config", but has schema {found[:60]}{without}.'
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            owner = found.get("type")
            raise ConfigFileError(f"the key {key!r} occurs twice in one object" + (f" ({owner})." if owner else "."))
        found[key] = value
    return found


def _parsed(kind: Any) -> Any:
    def parse(text: str) -> Any:
        # 1e999 is infinity to Python, and a whole number of some thousand digits an error of its own.
        return decode.Unreadable(text) if not math.isfinite(float(text)) else kind(text)

    return parse


def _depth(content: Any) -> int:
    """Return how deep objects and lists are nested, without recursion."""
    level, depth = [content], 0
    while level:
        depth += 1
        level = [entry for value in level for entry in _entries(value)]
    return depth


def _entries(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
