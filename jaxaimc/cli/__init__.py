"""The command line's door: what must happen before anything is computed, and how it ends.

Each command is a file of its own beside this one.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from jaxaimc.cli import programs, signals

_APP = ("tyro", "rich", "polars", "matplotlib")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `jaxaimc`.

    Exit status: 0 done, 2 refused with one message, 130, 143 or 129 ended by a signal (Ctrl-C, `kill`, a closed
    terminal).

    Args:
        arguments: Command-line arguments; those of the process by default, which is then taken to end with the command.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    with signals.watched():
        try:
            _guarded(given)
        except SystemExit as end:
            if arguments is None:
                signals.finish(end.code)
            raise
        if arguments is None:
            signals.finish(0)


def _guarded(arguments: Sequence[str]) -> None:
    """Run a command; what it raises becomes one message and an exit status."""
    debug = "--debug" in arguments
    try:
        _run([argument for argument in arguments if argument != "--debug"])
    except BaseException as error:
        status = signals.status()
        if status is None and isinstance(error, KeyboardInterrupt):
            status = 130
        if status is not None:
            # Whatever the interruption became on its way: imports and callbacks turn it into other exceptions.
            _stop(status, (isinstance(error, KeyboardInterrupt) and str(error)) or "Interrupted.")
        if isinstance(error, SystemExit) and not _is_users(error):
            raise
        if isinstance(error, BrokenPipeError):
            # Whoever read the output has enough of it; Python would complain once more when it flushes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(128 + 13) from None
        from jaxaimc.cli.errors import sentence

        message = sentence(error)
        if debug or message is None:
            raise
        _stop(2, f"Error: {message}")


def _run(arguments: Sequence[str]) -> None:
    missing = [name for name in _APP if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"the command line needs {', '.join(missing)}: pip install 'jaxaimc[app]'.")
    programs.quiet_loading()
    from jaxaimc.cli import parser

    parser.run(arguments)


def _is_users(error: SystemExit) -> bool:
    """Whether code of the user's own wanted to exit, which must not look like success."""
    from jaxaimc.cli.errors import sentence

    return sentence(error) is not None


def _stop(status: int, message: str) -> NoReturn:
    with contextlib.suppress(OSError):  # a closed terminal
        print(message, file=sys.stderr)
    raise SystemExit(status)
