"""`jaxaimc config`."""

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from jaxaimc import presets
from jaxaimc.config import AnalogConfig, dumps, load


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Print a published system as JSON, to start a config file from.

    Args:
        name: Name of the preset.
    """

    name: Positional[str] = "tile_circuit"

    def run(self) -> None:
        """Run the command."""
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
