"""`jaxaimc cache`."""

import dataclasses
from typing import Annotated

from tyro.conf import FlagCreatePairsOff

from jaxaimc.cli import programs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cache:
    """Say where compiled programs are kept, so that a command need not compile them again, or remove them.

    The environment variable JAXAIMC_CACHE names another folder, or is off. JAX's own JAX_COMPILATION_CACHE_DIR is
    respected.

    Args:
        clear: Remove them.
    """

    clear: Annotated[bool, FlagCreatePairsOff] = False

    def run(self) -> None:
        """Run the command."""
        root = programs.home()
        if root is None:
            print(f"Compiled programs are not kept: {programs.VARIABLE} is off.")
        elif self.clear:
            print(f"{programs.clear()} compiled programs removed from {root}")
        else:
            found = programs.entries()
            size = sum(path.stat().st_size for path in found)
            print(f"{len(found)} compiled programs, {size / 1e6:.1f} MB, in {root}")
