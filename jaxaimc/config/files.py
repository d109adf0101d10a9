"""Configs as JSON or TOML files: readable, versioned, and refused with a reason when they do not fit.

A component is written as an object with its class under `"type"` and its fields beside it. Only classes of modules
that are already imported can be named, so that reading a file runs no code.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from jaxaimc.config import decode
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.config.encode import encoded
from jaxaimc.config.errors import ConfigFileError, nearest
from jaxaimc.config.migrate import upgraded
from jaxaimc.config.parse import Form, form_of, read_text, values
from jaxaimc.config.toml import toml_text

SCHEMA_VERSION = 2


def dumps(config: AnalogConfig, form: Form = "json") -> str:
    """Write a config as text.

    Args:
        config: Config with concrete values.
        form: `"json"` or `"toml"`.

    Returns:
        Indented text with the schema version.

    Raises:
        ValueError: If a field is out of its range.
        ConfigFileError: If a class cannot be named in a file, or TOML cannot say that a field is None.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> loads(dumps(AnalogConfig())) == AnalogConfig()
        True
    """
    config.validate()
    content = {"schema": SCHEMA_VERSION, "config": encoded(config)}
    text = json.dumps(content, indent=2) + "\n"
    if form == "json":
        return text
    written = toml_text(content)
    if dumps(loads(written, form="toml")) != text:
        raise ConfigFileError(
            "This config cannot be written as TOML, which has no null, because a field of it is None whose default is "
            "another value; write JSON."
        )
    return written


def loads(text: str, source: str = "text", form: Form = "json") -> AnalogConfig:
    """Read a config from text. Fields that are left out keep their defaults; schema 1 is read as well.

    Args:
        text: Text as written by `dumps`.
        source: What to call the text in errors.
        form: `"json"` or `"toml"`.

    Returns:
        The config, validated.

    Raises:
        ConfigFileError: If the text is not JSON or TOML, has another schema version, or a class, a field or a value in
            it is not allowed; the message is one line and names the field.
    """
    try:
        content = values(text, form)
    except ConfigFileError as error:
        raise ConfigFileError(f"Config {source}: {error}") from error.__cause__
    return of_values(content, source)


def of_values(content: Any, source: str = "text") -> AnalogConfig:
    """Return the config in the values of a file.

    Args:
        content: Values as `jaxaimc.config.parse.values` returns them.
        source: What to call the file in errors.

    Raises:
        ConfigFileError: As `loads`.
    """
    try:
        return decode.component_of(_content(content), "config", AnalogConfig)
    except ConfigFileError as error:
        raise ConfigFileError(f"Config {source}: {error}") from error.__cause__


def load(path: str | Path) -> AnalogConfig:
    """Read a config file. See `loads`.

    Args:
        path: TOML file if it ends in `.toml`, else JSON.

    Returns:
        The config, validated.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it cannot be read or does not hold a config.
    """
    path = Path(path)
    return loads(read_text(path, "config"), repr(str(path)), form_of(path))


def _content(content: Any) -> Any:
    """Return the component in a file, in the names of this schema."""
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
