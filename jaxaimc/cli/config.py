"""`jaxaimc config`."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from jaxaimc import presets
from jaxaimc.cli.formats import TILE_FILE, files_schema_text, template
from jaxaimc.cli.settings import tile_in
from jaxaimc.config import AnalogConfig, dumps, load
from jaxaimc.config.by_rule import Configs, load_any
from jaxaimc.config.errors import nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Print a published system, to start a config file from, or what files of configs and settings look like.

    Args:
        name: Name of the preset.
        format: How it is printed. Both can be read wherever a config file can.
        schema: Print the JSON schema of all files instead, or with a value that of `tile` or of one command's settings.
        settings: Print a settings file (TOML) of this command instead, with its defaults.
    """

    name: Positional[str] = "tile_circuit"
    format: Literal["json", "toml"] = "json"
    schema: tuple[str, ...] | None = None
    settings: str | None = None

    def run(self) -> None:
        """Run the command."""
        # The table of commands holds this one too.
        from jaxaimc.cli.parser import COMMANDS

        if self.schema is not None and self.settings is not None:
            raise ValueError("Argument `settings` must not be given with `schema`, which prints something else.")
        if self.schema is not None:
            if len(self.schema) > 1:
                raise ValueError(f"Argument `schema` must have at most one value, but has {len(self.schema)}.")
            for name in self.schema:
                _check("schema", name, [TILE_FILE, *COMMANDS])
            print(files_schema_text(COMMANDS, *self.schema), end="")
        elif self.settings is not None:
            _check("settings", self.settings, COMMANDS)
            print(template(COMMANDS[self.settings]), end="")
        else:
            _check("name", self.name, presets.__all__)
            print(dumps(getattr(presets, self.name)(), self.format), end="")


def read_config(path: Path | None) -> AnalogConfig:
    """Read a tile from a file, JSON or TOML.

    Args:
        path: The file; None for the tile circuit. `run.toml#config` is the tile in a settings file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not describe a tile.
    """
    if path is None:
        return presets.tile_circuit()
    return tile_in(path) or load(path)


def read_configs(path: Path | None) -> Configs:
    """Read a tile, or configs by rule such as `layers.json` of `jaxaimc design`.

    Args:
        path: The file; None for the tile circuit. `run.toml#config` is the tile in a settings file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it describes neither.
    """
    if path is None:
        return presets.tile_circuit()
    return tile_in(path) or load_any(path)


def _check(argument: str, given: str, allowed: Iterable[str]) -> None:
    known = list(allowed)
    if given not in known:
        near = nearest(given, known)
        raise ValueError(f"Argument `{argument}` must be one of {', '.join(known)}, but is {given!r}{near}.")
