"""The command line's door: what must happen before anything is computed, and how it ends.

The commands themselves are in `jaxaimc.commands`.
"""

import importlib.util
import sys
from collections.abc import Sequence
from typing import NoReturn

# What a user can cause. Anything else is a fault of the program and shows its traceback.
_EXPECTED = (ValueError, TypeError, OSError, ImportError, FloatingPointError)
_APP = ("tyro", "rich", "polars", "matplotlib")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `jaxaimc`.

    Exit status: 0 done, 2 refused with one message, 130 interrupted.

    Args:
        arguments: Command-line arguments; those of the process by default.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    missing = [name for name in _APP if importlib.util.find_spec(name) is None]
    if missing:
        _stop(2, f"Error: the command line needs {', '.join(missing)}: pip install 'jaxaimc[app]'.")
    from jaxaimc import commands

    debug = "--debug" in arguments
    try:
        commands.run([argument for argument in arguments if argument != "--debug"])
    except KeyboardInterrupt as interrupt:
        _stop(130, str(interrupt) or "Interrupted.")
    except _EXPECTED as error:
        if debug:
            raise
        _stop(2, f"Error: {error}")


def _stop(status: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(status)
