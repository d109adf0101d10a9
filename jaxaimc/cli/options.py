"""The options of a command as its settings files know them: names, types, defaults and words."""

import dataclasses
import functools
import inspect
import operator
import re
import typing
from pathlib import Path
from typing import Any

from jaxaimc._core import fields

# "name: What it is." in the arguments of a docstring, until the next name or the end of the section.
_ARGUMENT = re.compile(r"^(\w+): (.+?)(?=^\w+: |\Z)", re.MULTILINE | re.DOTALL)
# A field of this name and of type Path is the tile, which can stand in a settings file itself.
TILE = "config"
# What a command reads its settings from is none of them.
SOURCE = "settings"


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a command.

    Args:
        key: Its name in a settings file: that on the command line, with underscores.
        field: Its name in the command's class.
        declared: Type of its values, without annotations.
        default: The value where it is not given.
        required: Whether it has to be given.
        text: What it is.
    """

    key: str
    field: str
    declared: Any
    default: Any
    required: bool
    text: str

    @property
    def is_tile(self) -> bool:
        """Whether the value can be a tile."""
        return self.field == TILE and Path in fields.choices(self.declared)

    @property
    def as_written(self) -> Any:
        """The type of its values in a file, where a path is a text."""
        return _as_written(self.declared)

    @property
    def words(self) -> str:
        """What it may be, in words."""
        tile = ", or an object of type 'AnalogConfig'" if self.is_tile else ""
        return _words(self.declared) + tile


def options(command: type) -> dict[str, Option]:
    """Return the options of a command by their keys.

    Args:
        command: Dataclass of the command.

    Example:
        >>> from jaxaimc.cli.evaluate import Evaluate
        >>> options(Evaluate)["times"].words
        'a list, each entry a number'
    """
    annotations = typing.get_type_hints(command, include_extras=True)
    texts = _texts(command)
    found = {}
    for field in dataclasses.fields(command):
        if field.name == SOURCE:
            continue
        key, declared = field.name, annotations[field.name]
        if typing.get_origin(declared) is typing.Annotated:
            declared, *marks = typing.get_args(declared)
            named = [mark.name for mark in marks if isinstance(getattr(mark, "name", None), str)]
            key = (named or [key])[0].replace("-", "_")
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        required = default is dataclasses.MISSING
        found[key] = Option(
            key, field.name, declared, None if required else default, required, texts.get(field.name, "")
        )
    return found


def name_of(command: type) -> str:
    """Return the name of a command, which is that of its class in small letters.

    Args:
        command: Dataclass of the command.
    """
    return command.__name__.lower()


def _texts(command: type) -> dict[str, str]:
    _, _, section = inspect.cleandoc(command.__doc__ or "").partition("Args:\n")
    found = _ARGUMENT.findall(inspect.cleandoc(section))
    return {name: " ".join(text.split()) for name, text in found}


def _as_written(declared: Any) -> Any:
    if len(fields.choices(declared)) > 1:
        return functools.reduce(operator.or_, map(_as_written, fields.choices(declared)))
    if typing.get_origin(declared) is tuple:
        return tuple[tuple(entry if entry is Ellipsis else _as_written(entry) for entry in typing.get_args(declared))]
    return str if declared is Path else declared


def _words(declared: Any) -> str:
    given = [choice for choice in fields.choices(declared) if choice is not type(None)]
    if len(given) > 1:
        return " or ".join(map(_words, given))
    [one], arguments = given, typing.get_args(given[0])
    if typing.get_origin(one) is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"a list, each entry {_words(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(map(_words, arguments))}"
    return {float: "a number", Path: "a path"}.get(one) or fields.allowed(one)
