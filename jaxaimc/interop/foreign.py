"""Configurations of other simulators, field by field: what has a counterpart here, and what has none."""

import dataclasses
import enum
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxaimc._core.checks import shown
from jaxaimc.calibration import Compensation
from jaxaimc.config import AnalogConfig

_ABSENT = object()


@dataclass(frozen=True)
class Imported:
    """A configuration of another simulator.

    Attributes:
        config: The tile.
        t: Time after programming at which the other simulator reads it [s], for `drift`; None where it does not say.
        compensation: Its correction of drift, for `jaxaimc.nn.drift`; None where it has none.
        elsewhere: Settings that act and are no part of a tile, by the name of their field: what does the same here.
    """

    config: AnalogConfig
    t: float | None = None
    compensation: Compensation | None = None
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Unmatched:
    """A field of another simulator's configuration that has no counterpart.

    Attributes:
        name: Path of the field.
        value: Its value.
        allowed: What it must be, as the end of a sentence.
    """

    name: str
    value: Any
    allowed: str


class ConversionError(ValueError):
    """A configuration of another simulator that has no counterpart; the message lists every field in the way.

    Args:
        tool: Name of the simulator.
        unmatched: The fields.
    """

    def __init__(self, tool: str, unmatched: Collection[Unmatched]):
        self.unmatched = tuple(unmatched)
        count = f"{len(unmatched)} field{'s' if len(unmatched) > 1 else ''}"
        lines = [f"Field `{one.name}` must be {one.allowed}, but is {shown(one.value)}." for one in unmatched]
        super().__init__(f"The {tool} configuration has {count} without a counterpart here.\n" + "\n".join(lines))


class Fields:
    """The fields of a configuration by their paths, each of which has to be accounted for.

    Args:
        tool: Name of the simulator.
        source: The configuration: nested dictionaries or objects, or the path of a JSON file.
        leave_out: Paths of fields that are to be read as if they did nothing.
    """

    def __init__(self, tool: str, source: Any, leave_out: Collection[str] = ()):
        if isinstance(leave_out, str):
            raise ValueError(f"Argument `leave_out` must be a collection of paths, but is the text {leave_out!r}.")
        tree = plain(_from_file(source) if isinstance(source, (str, Path)) else source)
        if not isinstance(tree, dict):
            raise ValueError(
                f"Argument `source` must be a configuration of {tool}, as a dictionary, an object or a JSON file, but "
                f"is {shown(source)}."
            )
        self._tool, self._values = tool, _flat(tree)
        self._left_out, self._rest = set(leave_out), dict.fromkeys(self._values)
        self._unmatched: list[Unmatched] = []
        self.elsewhere: dict[str, str] = {}

    def take(self, path: str, default: Any) -> Any:
        """Return a field's value, which the caller uses.

        Args:
            path: The field.
            default: The other simulator's default, where the configuration does not have the field.
        """
        self._rest.pop(path, None)
        return self._values.get(path, default)

    def number(self, path: str, default: float, allowed: str = "a number") -> float:
        """Return a field's value as a number; one that is none is refused and read as the default."""
        value = self.take(path, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(path, value, allowed)
            return default
        return float(value)

    def flag(self, path: str, *, default: bool) -> bool:
        """Return a field's value as true or false; one that is neither is refused and read as the default."""
        value = self.take(path, default)
        if not isinstance(value, bool):
            self.refuse(path, value, "true or false")
            return default
        return value

    def neutral(self, path: str, *values: Any, why: str = "") -> None:
        """Refuse a field that does something nothing here does.

        Args:
            path: The field; it may be left out.
            *values: Values with which it does nothing.
            why: A reason, as what follows a comma.
        """
        value = self.take(path, _ABSENT)
        if path in self._left_out:
            self._left_out.discard(path)
        elif value is not _ABSENT and not any(_same(value, one) for one in values):
            self.refuse(path, value, " or ".join(dict.fromkeys(map(shown, values))) + (why and f", {why}"))

    def without_effect(self, *prefixes: str) -> None:
        """Pass over fields that change no output.

        Args:
            *prefixes: Paths of fields, or of whole groups of them.
        """
        for prefix in prefixes:
            for path in [path for path in self._rest if path == prefix or path.startswith(f"{prefix}.")]:
                del self._rest[path]

    def has(self, path: str) -> bool:
        """Return whether a field is there."""
        return path in self._values

    def refuse(self, path: str, value: Any, allowed: str) -> None:
        """Note a field without a counterpart.

        Args:
            path: The field.
            value: Its value.
            allowed: What it must be, as the end of a sentence.
        """
        self._unmatched.append(Unmatched(path, value, allowed))

    def check(self) -> None:
        """Refuse the configuration if a field had no counterpart, or is one that nobody knows.

        Raises:
            ConversionError: If so.
            ValueError: If a field that was to be left out cannot be.
        """
        for path in self._rest:
            if path in self._left_out:
                self._left_out.discard(path)
            else:
                self.refuse(path, self._values[path], f"left out, as no field of {self._tool} of that name is known")
        if self._left_out:
            raise ValueError(
                f"Argument `leave_out` must name fields that do something nothing here does, but has "
                f"{', '.join(map(repr, sorted(self._left_out)))}."
            )
        if self._unmatched:
            # A field that several parts read is told once.
            raise ConversionError(self._tool, list({one.name: one for one in self._unmatched}.values()))


def plain(value: Any) -> Any:
    """Return dictionaries of plain values for what a configuration may be made of.

    Args:
        value: Dictionaries, data classes, enumerations, or other objects, whose class is noted under `class`.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, type):
        return value.__name__
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "__dict__"):
        return {"class": type(value).__name__, **{key: plain(one) for key, one in vars(value).items()}}
    return value


def word(value: Any) -> str:
    """Return the name of a choice in one spelling: `ABS_MAX`, `AbsMax` and `absmax` are the same."""
    return "".join(letter for letter in str(value).lower() if letter.isalnum())


def _from_file(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"File {str(path)!r} must be JSON, but is not: {error}.") from error


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) or isinstance(wanted, str):
        return word(value) == word(wanted)
    # `True == 1` in Python, but a switch is no number.
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    found = {}
    for key, value in tree.items():
        found.update(_flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value})
    return found
