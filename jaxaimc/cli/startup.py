"""How JAX compiles for the command line: many small programs that run for seconds, so compiling must be short."""

import os
from importlib.metadata import entry_points

# LLVM's first optimisation level compiles 2 to 5 times faster than its default and runs these programs as fast.
_QUICK = "--xla_backend_optimization_level=1"


def prefer_short_compilation() -> None:
    """Make XLA compile quickly for CPUs; call it before anything is computed.

    Nothing is changed where an accelerator's plugin is installed, or where the user's own `XLA_FLAGS` name a level.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_backend_optimization_level" not in flags and not entry_points(group="jax_plugins"):
        os.environ["XLA_FLAGS"] = f"{flags} {_QUICK}".strip()
