"""`jaxaimc config`."""

import dataclasses
import inspect
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
        known = {name: make for name, make in vars(presets).items() if _is_preset(make)}
        if self.name not in known:
            raise ValueError(f"Argument `name` must be one of {', '.join(known)}, but is {self.name!r}.")
        print(dumps(known[self.name]()), end="")


def read_config(path: Path | None) -> AnalogConfig:
    """Read a tile from a JSON file.

    Args:
        path: The file; None for the tile circuit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not describe a tile.
    """
    if path is None:
        return presets.tile_circuit()
    try:
        return load(path)
    except RecursionError:
        raise ValueError(f"Config file {str(path)!r} nests deeper than any config does.") from None


def _is_preset(value: object) -> bool:
    return inspect.isfunction(value) and value.__module__ == presets.__name__ and not value.__name__.startswith("_")
