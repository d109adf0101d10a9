"""How JAX compiles for the command line: many small programs that run for seconds, so compiling must be short."""

import gc
import os
from importlib.metadata import entry_points

from jaxaimc.cli import programs

# LLVM's first optimisation level compiles 2 to 5 times faster than its default and runs these programs as fast.
_QUICK = "--xla_backend_optimization_level=1"


def begin() -> None:
    """Set up what compiles and computes; call it before anything is computed."""
    prefer_short_compilation()
    programs.keep()
    # Tracing makes very many small objects that live on: looking through them all again takes a tenth of the time.
    gc.set_threshold(50_000, 20, 50)


def prefer_short_compilation() -> None:
    """Make XLA compile quickly for CPUs; call it before anything is computed.

    Nothing is changed where an accelerator's plugin is installed, or where the user's own `XLA_FLAGS` name a level.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_backend_optimization_level" not in flags and not entry_points(group="jax_plugins"):
        os.environ["XLA_FLAGS"] = f"{flags} {_QUICK}".strip()
