"""The commands of `jaxaimc`: evaluate, sensitivity, train, design, config. Needs the extra `app`."""

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from jaxaimc.cli.config import Config
from jaxaimc.cli.design import Design
from jaxaimc.cli.evaluate import Evaluate
from jaxaimc.cli.sensitivity import Sensitivity
from jaxaimc.cli.train import Train


def run(arguments: Sequence[str]) -> None:
    """Parse the command line and run the command.

    Args:
        arguments: Command-line arguments.
    """
    commands = (
        Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Sensitivity, subcommand("sensitivity")]
        | Annotated[Train, subcommand("train")]
        | Annotated[Design, subcommand("design")]
        | Annotated[Config, subcommand("config")]
    )
    command = tyro.cli(
        commands,  # type: ignore[arg-type]
        args=arguments,
        prog="jaxaimc",
        description="Analog in-memory computing. --debug shows the traceback of an error.",
        config=(tyro.conf.OmitArgPrefixes,),
    )
    with warnings.catch_warnings():
        warnings.showwarning = _show
        command.run()


def _show(message: Warning | str, *_: Any) -> None:
    """Print a warning as one line, without the line of code that it comes from."""
    print(f"Warning: {message}", file=sys.stderr)
