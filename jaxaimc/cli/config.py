"""`jaxaimc config`."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional

from jaxaimc import presets
from jaxaimc.config import AnalogConfig, dumps, load, schema_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Print a published system as JSON, to start a config file from.

    Args:
        name: Name of the preset.
        schema: Print the JSON schema of config files instead.
    """

    name: Positional[str] = "tile_circuit"
    schema: Annotated[bool, FlagCreatePairsOff] = False

    def run(self) -> None:
        """Run the command."""
        if self.schema:
            print(schema_text(), end="")
            return
        if self.name not in presets.__all__:
            raise ValueError(f"Argument `name` must be one of {', '.join(presets.__all__)}, but is {self.name!r}.")
        print(dumps(getattr(presets, self.name)()), end="")


def read_config(path: Path | None) -> AnalogConfig:
    """Read a tile from a JSON file.

    Args:
        path: The file; None for the tile circuit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not describe a tile.
    """
    return presets.tile_circuit() if path is None else load(path)
