"""The commands of `jaxaimc`: evaluate, sensitivity, train, design, sweep, report, config, cache.

Needs the extra `app`.
"""

import dataclasses
import functools
import operator
import sys
import typing
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from jaxaimc.cli import programs
from jaxaimc.cli.cache import Cache
from jaxaimc.cli.config import Config
from jaxaimc.cli.design import Design
from jaxaimc.cli.evaluate import Evaluate
from jaxaimc.cli.options import SOURCE
from jaxaimc.cli.report import Report
from jaxaimc.cli.sensitivity import Sensitivity
from jaxaimc.cli.settings import given_in, prefilled
from jaxaimc.cli.sweep import Sweep
from jaxaimc.cli.train import Train

# Those that a settings file can be for, under the names of their classes in small letters.
COMMANDS: dict[str, type] = {
    "evaluate": Evaluate,
    "sensitivity": Sensitivity,
    "train": Train,
    "design": Design,
    "sweep": Sweep,
    "report": Report,
}


def run(arguments: Sequence[str]) -> None:
    """Parse the command line and run the command.

    Args:
        arguments: Command-line arguments.

    Raises:
        ValueError: If a settings file that is named does not fit.
    """
    name = arguments[0] if arguments else ""
    file = given_in(arguments) if name in COMMANDS else None
    choices: list[Any] = [Annotated[Config, subcommand("config")], Annotated[Cache, subcommand("cache")]]
    for known, command in COMMANDS.items():
        of_file = file if known == name else None
        shape = _with_file(command, flags_both_ways=of_file is not None)
        default = {} if of_file is None else {"default": prefilled(shape, of_file)}
        choices.insert(-2, Annotated[shape, subcommand(known, **default)])
    command = tyro.cli(
        functools.reduce(operator.or_, choices),
        args=arguments,
        prog="jaxaimc",
        description="Analog in-memory computing. --debug shows the traceback of an error.",
        config=(tyro.conf.OmitArgPrefixes,),
    )
    with warnings.catch_warnings():
        warnings.showwarning = _Shown()
        command.run()


def _with_file(command: type, *, flags_both_ways: bool) -> type:
    """Return a command with the option for a settings file.

    Args:
        command: Dataclass of the command.
        flags_both_ways: Whether every flag has its negation as well, to win over what a file says.
    """
    words = "Settings file (JSON or TOML) of this command, see `jaxaimc config --settings`; options given here win."
    added: list[Any] = [(SOURCE, Annotated[Path | None, tyro.conf.arg(help=words)], dataclasses.field(default=None))]
    if flags_both_ways:
        hints = typing.get_type_hints(command)
        flags = [field for field in dataclasses.fields(command) if hints[field.name] is bool]
        added += [(flag.name, bool, dataclasses.field(default=flag.default)) for flag in flags]
    return dataclasses.make_dataclass(
        command.__name__, added, bases=(command,), frozen=True, kw_only=True, namespace={"__doc__": command.__doc__}
    )


class _Shown:
    """Prints a warning as one line, without the line of code that it comes from."""

    def __init__(self) -> None:
        self._trouble = False

    def __call__(self, message: Warning | str, *_: Any) -> None:
        """Print it; trouble with kept programs, which comes with every program, once."""
        text = str(message)
        if text.startswith(programs.TROUBLE):
            if self._trouble:
                return
            self._trouble = True
            text = f"Compiled programs cannot be kept or found: {text.partition(': ')[2] or text} (said once)"
        print(f"Warning: {text}", file=sys.stderr)
