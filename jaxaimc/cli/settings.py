"""Settings files: the options of a command by name, in JSON or TOML, with a schema version.

    schema = 1
    command = "evaluate"
    examples = 500
    times = [1, 3600]
    config = "tile.json"

Options on the command line win over the file. Relative paths are relative to the file. The tile can stand in it itself,
as a table of type `AnalogConfig` in the names of the tile's schema 2.
"""

import json
import os
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import tyro

from jaxaimc._core import fields
from jaxaimc._core.checks import shown
from jaxaimc._core.files import replacing
from jaxaimc.cli.options import SOURCE, TILE, Option, name_of, options
from jaxaimc.config import AnalogConfig, ConfigFileError, decode, dumps
from jaxaimc.config.by_rule import Configs, save_configs
from jaxaimc.config.errors import nearest
from jaxaimc.config.parse import form_of, read_text, values

# To be raised with the schema of tiles, so that a tile in a settings file says its schema too.
SCHEMA_VERSION = 1
FILE = "settings.json"
LAYERS_FILE = "layers.json"
# The place of a tile in a settings file, as a path: "run.toml#config".
_INLINE = f"#{TILE}"


def given_in(arguments: Sequence[str]) -> Path | None:
    """Return the settings file that a command line names, None without one.

    Args:
        arguments: Command-line arguments, the command first.

    Raises:
        ValueError: If it names several.
    """
    option = f"--{SOURCE}"
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    found = [following for argument, following in pairs if argument == option and following]
    found += [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{option}=")]
    if len(found) > 1:
        raise ValueError(f"Argument `{SOURCE}` must be one file, but is given {len(found)} times.")
    return Path(found[0]) if found else None


def read_settings(command: type, path: Path) -> dict[str, Any]:
    """Return what a settings file says of a command.

    Args:
        command: Dataclass of the command.
        path: TOML file if it ends in `.toml`, else JSON.

    Returns:
        Values by field; those that the file does not name are absent. A tile in the file is a path to it.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it cannot be read, is for another command or version, or has a key or a value that is not
            allowed; the message is one line and names file and key.
    """
    known, found = options(command), {}
    try:
        content = _content(path, name_of(command))
        for key, value in content.items():
            if key not in known:
                others = [*known, "schema", "command"]
                raise ConfigFileError(
                    f"unknown key {key!r}{nearest(key, others)}; {name_of(command)} has: {', '.join(known)}."
                )
            if value is None and _is_optional(known[key]):
                found[known[key].field] = None
            elif known[key].is_tile and isinstance(value, dict):
                found[known[key].field] = path.with_name(path.name + _INLINE)
            else:
                found[known[key].field] = _value(known[key], value, path.parent)
    except ConfigFileError as error:
        raise _named(path, error) from error.__cause__
    return found


def prefilled(command: type, path: Path) -> Any:
    """Return a command as a settings file fills it, for the command line to go on from.

    Args:
        command: Dataclass of the command.
        path: The file.

    Raises:
        ValueError: As `read_settings`.
    """
    found = read_settings(command, path)
    needed = [option.field for option in options(command).values() if option.required]
    return command(**{name: tyro.MISSING for name in needed if name not in found}, **found)


def tile_in(path: Path) -> AnalogConfig | None:
    """Return the tile that stands in a settings file.

    Args:
        path: The file and `#config`, as `read_settings` returns it.

    Returns:
        The tile, validated, or None if the path is of another form.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it does not hold a tile.
    """
    if path.is_file() or not path.name.endswith(_INLINE):
        return None
    file = path.with_name(path.name.removesuffix(_INLINE))
    try:
        return decode.component_of(_content(file).get(TILE), TILE, AnalogConfig)
    except ConfigFileError as error:
        raise _named(file, error) from error.__cause__


def keep_settings(command: Any, folder: Path, config: Configs | None = None) -> None:
    """Write what a command was run with into its results folder, as a settings file that repeats the run.

    Args:
        command: The command.
        folder: The folder, made if needed. Relative paths are written relative to it, so that all can be moved
            together.
        config: The tile that was read; it is written into the file itself. Configs by rule are written beside it, as
            `layers.json`.

    Raises:
        OSError: If the disk refuses.
    """
    content: dict[str, Any] = {"schema": SCHEMA_VERSION, "command": name_of(type(command))}
    for option in options(type(command)).values():
        value = getattr(command, option.field)
        if option.is_tile and isinstance(config, AnalogConfig):
            content[option.key] = json.loads(dumps(config))["config"]
        elif option.is_tile and config is not None:
            content[option.key] = LAYERS_FILE
        elif value is not None:
            content[option.key] = _written(value, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None and not isinstance(config, AnalogConfig):
        save_configs(folder / LAYERS_FILE, config)
    with replacing(folder / FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _content(path: Path, command: str | None = None) -> dict[str, Any]:
    """Return what a settings file says beside schema and command."""
    content = values(read_text(path, "settings"), form_of(path))
    if not isinstance(content, dict) or "schema" not in content or "command" not in content:
        _refuse(content, command)
    schema, name = content.pop("schema"), content.pop("command")
    if type(schema) is not int or schema < 1:
        raise ConfigFileError(f"`schema` must be {SCHEMA_VERSION}, but is {shown(schema)}.")
    if schema > SCHEMA_VERSION:
        raise ConfigFileError(
            f"`schema` must be at most {SCHEMA_VERSION} for this version of jaxaimc, but is {schema}: it was written "
            "for a newer one."
        )
    if command is not None and name != command:
        raise ConfigFileError(f"`command` must be {command!r}, which is what runs, but is {shown(name)}.")
    return content


def _refuse(content: Any, command: str | None) -> NoReturn:
    missing = [key for key in ("schema", "command") if not isinstance(content, dict) or key not in content]
    tile = isinstance(content, dict) and isinstance(content.get(TILE), dict) and missing == ["command"]
    raise ConfigFileError(
        f'must have "schema": {SCHEMA_VERSION} and "command": "{command or "..."}", but has no '
        + " and no ".join(map(repr, missing))
        + (f"; a file of the tile alone is given with --{TILE}." if tile else ".")
    )


def _named(path: Path, error: ConfigFileError) -> ConfigFileError:
    return error if str(error).startswith("Settings ") else ConfigFileError(f"Settings {str(path)!r}: {error}")


def _is_optional(option: Option) -> bool:
    return type(None) in fields.choices(option.declared)


def _value(option: Option, given: Any, folder: Path) -> Any:
    value = _tuples(given)
    if not fields.fits(value, option.as_written) or value is None:
        raise ConfigFileError(f"`{option.key}` must be {option.words}, but is {shown(given)}.")
    for text in _texts(value):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ConfigFileError(f"`{option.key}` must hold characters that a text can have, but is {shown(given)}.")
    return _made(value, option.declared, folder)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _texts(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [text for entry in value for text in _texts(entry)]
    return [value] if isinstance(value, str) else []


def _made(value: Any, declared: Any, folder: Path) -> Any:
    """Return a value that fits as the command line would have made it."""
    if isinstance(value, tuple):
        kinds = [one for one in fields.choices(declared) if typing.get_origin(one) is tuple]
        entries = typing.get_args(kinds[0])
        each = [entries[0]] * len(value) if entries[1:] == (Ellipsis,) else entries
        return tuple(_made(entry, kind, folder) for entry, kind in zip(value, each, strict=True))
    if isinstance(value, str) and Path in fields.choices(declared):
        return Path(value) if _is_of_hub(value) else folder / value
    if type(value) is int and int not in fields.choices(declared) and float in fields.choices(declared):
        return float(value)
    return value


def _written(value: Any, folder: Path) -> Any:
    if isinstance(value, tuple):
        return [_written(entry, folder) for entry in value]
    if not isinstance(value, Path):
        return value
    if value.is_absolute() or _is_of_hub(str(value)):
        return str(value)
    # Of a link itself, not of what it leads to, whose name may be another.
    there = os.path.join(os.path.realpath(value.parent), value.name)
    return os.path.relpath(there, os.path.realpath(folder))


def _is_of_hub(text: str) -> bool:
    return text.startswith("hf:")
