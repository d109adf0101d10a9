"""What files say, for editors and for people: a JSON schema of tiles and settings, and a template of settings."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxaimc.cli.options import Option, name_of, options
from jaxaimc.cli.settings import SCHEMA_VERSION
from jaxaimc.config import schema as tile_schema
from jaxaimc.config.schema import structure
from jaxaimc.config.toml import toml_value

TILE_FILE = "tile"


def files_schema(commands: Mapping[str, type], only: str | None = None) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the files that the command line reads.

    Args:
        commands: Dataclasses of the commands by name.
        only: One of them, or `"tile"`; None for a schema that any of these files fits.

    Returns:
        A definition for the tile's file, for the settings of every command, and for every component. TOML files fit it
        as well, as the values that they stand for.

    Example:
        >>> from jaxaimc.cli.train import Train
        >>> files_schema({"train": Train})["$defs"]["train"]["properties"]["objective"]["enum"]
        ['digital', 'gaussian', 'circuit']
    """
    tile = tile_schema()
    dialect, title, parts = tile.pop("$schema"), tile.pop("title"), tile.pop("$defs")
    files = {TILE_FILE: {"description": title, **tile}}
    files |= {name: _settings(name, command) for name, command in commands.items()}
    if only is not None:
        files = {only: files[only]}
    choices = [{"$ref": f"#/$defs/{name}"} for name in files]
    return {
        "$schema": dialect,
        "title": "Files of jaxaimc",
        **({"anyOf": choices} if len(choices) > 1 else choices[0]),
        "$defs": {**files, **parts},
    }


def files_schema_text(commands: Mapping[str, type], only: str | None = None) -> str:
    """Return the JSON schema as indented text. See `files_schema`.

    Args:
        commands: Dataclasses of the commands by name.
        only: One of them, or `"tile"`.
    """
    return json.dumps(files_schema(commands, only), indent=2) + "\n"


def template(command: type) -> str:
    """Return a settings file of a command as TOML text: every option with its default, as comments.

    Args:
        command: Dataclass of the command.
    """
    name = name_of(command)
    head = [
        f"# Settings of `jaxaimc {name}`, to be run by `jaxaimc {name} --settings FILE`. Options on the command line",
        "# win over this file. Relative paths are relative to it. Lines such as #seed = 0 show the defaults.",
        f"schema = {SCHEMA_VERSION}",
        f"command = {toml_value(name)}",
    ]
    return "\n".join([*head, *(line for option in options(command).values() for line in _lines(option))]) + "\n"


def _settings(name: str, command: type) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"Settings of `jaxaimc {name}`: {(command.__doc__ or '').partition(chr(10))[0]}",
        "properties": {
            "schema": {"const": SCHEMA_VERSION},
            "command": {"const": name},
            **{option.key: _property(option) for option in options(command).values()},
        },
        # What a command needs beside these can stand on the command line.
        "required": ["schema", "command"],
        "additionalProperties": False,
    }


def _property(option: Option) -> dict[str, Any]:
    allowed = structure(option.as_written)
    if option.is_tile:
        tile = {"$ref": "#/$defs/AnalogConfig"}
        allowed = {"anyOf": [*allowed.get("anyOf", [allowed]), tile]}
    default = _plain(option.default)
    return {"description": option.text, **({} if default is None else {"default": default}), **allowed}


def _lines(option: Option) -> list[str]:
    note = f"{option.text} ({option.words}{'; needed' if option.required else ''})"
    default = _plain(option.default)
    value = "" if default is None else f" {toml_value(default)}"
    return ["", *textwrap.wrap(note, 118, initial_indent="# ", subsequent_indent="# "), f"#{option.key} ={value}"]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return str(value) if isinstance(value, Path) else value
