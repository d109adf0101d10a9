"""Texts of files, JSON or TOML, to the values in them: the same refusals for every kind of file that is read."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from jaxaimc.config.errors import ConfigFileError

Form = Literal["json", "toml"]
# Measured devices and converters are tables of some thousand numbers; beyond this a file is something else.
LARGEST_FILE = 64 * 2**20
DEEPEST = 50
# Python reads whole numbers of up to 4,300 digits.
_LONG_NUMBER = re.compile(r"[\d_]{4300,}")


class Unreadable:
    """A number that JSON or double precision cannot hold, kept until the field is known that it stands in.

    Args:
        text: As it stands in the file.
    """

    def __init__(self, text: str) -> None:
        self.text = text if len(text) <= 20 else f"{text[:20]}..."

    def __repr__(self) -> str:
        return self.text


def form_of(path: Path) -> Form:
    """Return the form of a file, which its name says: TOML if it ends in `.toml`, else JSON.

    Args:
        path: The file.
    """
    return "toml" if path.suffix.lower() == ".toml" else "json"


def read_text(path: Path, kind: str) -> str:
    """Return the text of a file.

    Args:
        path: The file.
        kind: What it is, for errors: `"config"` or `"settings"`.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it is too large or no text, or cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no {kind} file {str(path)!r}.")
    name = f"{kind.capitalize()} {str(path)!r}"
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            limit = f"a {kind} file has at most {LARGEST_FILE // 2**20}"
            raise ConfigFileError(f"{name} has {size / 2**20:.0f} MiB, but {limit}.")
        # Editors of some systems begin a file with a byte-order mark.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{name} is not text: {error.reason}.") from error
    except OSError as error:
        raise ConfigFileError(f"{name} cannot be read: {error.strerror}.") from error


def values(text: str, form: Form = "json") -> Any:
    """Return the values in a text: objects, lists, texts, numbers, true and false, and None.

    Args:
        text: The text.
        form: How it is written.

    Returns:
        What is written; numbers that are none for a component (NaN, or beyond double precision) as `Unreadable`.

    Raises:
        ConfigFileError: If it is not written so, nests too deep, or repeats a key.
    """
    try:
        content = _toml(text) if form == "toml" else _json(text)
        depth = _depth(content)
    except RecursionError:
        depth, content = math.inf, None
    if depth > DEEPEST:
        raise ConfigFileError(f"objects and lists are nested more than {DEEPEST} deep.")
    return _readable(content) if form == "toml" else content


def _json(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=Unreadable,
            parse_float=_parsed(float),
            parse_int=_parsed(int),
        )
    except json.JSONDecodeError as error:
        raise ConfigFileError(f"not JSON: {error.msg} at line {error.lineno}.") from error


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text, parse_float=_toml_float)
    except tomllib.TOMLDecodeError as error:
        message = re.sub(r" \(at (line \d+), column \d+\)$", r" at \1", " ".join(str(error).split()))
        raise ConfigFileError(f"not TOML: {message.removesuffix('.')}.") from error
    except ValueError as error:
        # Only a whole number can be at fault here, and the message does not say which.
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if _LONG_NUMBER.search(line)]
        where = f" at line {lines[0][0]}: {lines[0][1].strip()[:30]!r}..." if lines else "."
        raise ConfigFileError(f"a number has too many digits{where}") from error


def _toml_float(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) or text.lstrip("+-") == "inf" else Unreadable(text)


def _readable(value: Any) -> Any:
    """Return values of a TOML text, whose whole numbers have any size."""
    if isinstance(value, dict):
        return {key: _readable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_readable(entry) for entry in value]
    if type(value) is int and value.bit_length() > 1000:
        return Unreadable(f"{value:#x}" if value.bit_length() > 10_000 else str(value))
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            owner = found.get("type")
            raise ConfigFileError(f"the key {key!r} occurs twice in one object" + (f" ({owner})." if owner else "."))
        found[key] = value
    return found


def _parsed(kind: Any) -> Any:
    def parse(text: str) -> Any:
        # 1e999 is infinity to Python, and a whole number of some thousand digits an error of its own.
        return Unreadable(text) if not math.isfinite(float(text)) else kind(text)

    return parse


def _depth(content: Any) -> int:
    """Return how deep objects and lists are nested, without recursion."""
    level, depth = [content], 0
    while level:
        depth += 1
        level = [entry for value in level for entry in _entries(value)]
    return depth


def _entries(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
