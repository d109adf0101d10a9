"""A folder of finished work: one record of what it follows from, and a Parquet file per piece of it, never half there.

A piece is named by the hash of all that it follows from and by that of its content, so that runs into one folder find
each other's results, and damage is seen.
"""

import contextlib
import hashlib
import io
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc._core.files import remove_unfinished, replacing, without_standard_error

_VERSIONED = ("jaxaimc", "jax", "jaxlib", "flax", "numpy")
Facts = dict[str, Any]


class ResultsError(ValueError):
    """A results folder that holds something else, or a file in it that cannot be read."""


class ChunkFolder:
    """`run.json`, which says what the results follow from, and the folder `chunks`.

    Args:
        path: The folder; made if needed.
        facts: All that the results follow from, as JSON values. A folder made from other facts is refused.
        command: How the run was started, for the record.
        notes: Further JSON values for the record.
        extends: Why a run of these facts may not go on in a folder of those recorded there, a sentence; empty if it
            may, and the record is then replaced. By default it may only if they are equal.

    Raises:
        ResultsError: If the folder belongs to another run, or its record was edited.
    """

    def __init__(
        self,
        path: str | Path,
        facts: Mapping[str, Any],
        command: Sequence[str] = (),
        notes: Mapping[str, Any] | None = None,
        extends: Callable[[Facts], str] | None = None,
    ):
        self.path = Path(path)
        self.chunks = self.path / "chunks"
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.chunks):
            remove_unfinished(folder)
        self._claim(dict(facts), list(command), dict(notes or {}), extends or (lambda _: " "))
        self.chunks.mkdir(exist_ok=True)

    @property
    def record(self) -> Path:
        """Where it is written what the results follow from."""
        return self.path / "run.json"

    def facts(self) -> Facts:
        """Return what the folder's results follow from.

        Raises:
            ResultsError: If the record was edited or is damaged.
        """
        return recorded_facts(self.record)

    def note(self, notes: Mapping[str, Any]) -> None:
        """Add JSON values to the record, or replace them.

        Args:
            notes: The values; what the results follow from is not among them.

        Raises:
            ResultsError: If the record was edited or is damaged.
            OSError: If the disk refuses; the record then stays as it was.
        """
        self.facts()
        content = {**json.loads(self.record.read_text(encoding="utf-8")), **notes}
        with replacing(self.record) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def names(self) -> list[str]:
        """Return the names of all pieces that are there, sorted."""
        return sorted(path.name for path in self.chunks.glob("*-*.parquet"))

    def read(self, name: str) -> pl.DataFrame:
        """Read a piece.

        Raises:
            ResultsError: If it is damaged or was edited.
            OSError: If it is gone.
        """
        path = self.chunks / name
        content = path.read_bytes()
        if digest(content) != path.stem.partition("-")[2]:
            raise ResultsError(
                f"Results chunk {str(path)!r} is damaged or was edited: its content no longer gives the hash in its "
                "name. Move it away, and the same command computes it anew."
            )
        return pl.read_parquet(io.BytesIO(content))

    def write(self, key: str, table: pl.DataFrame) -> tuple[str, bool]:
        """Write a finished piece.

        Args:
            key: Hash of all that it follows from.
            table: Its rows.

        Returns:
            Its name, and whether there was none of this name.

        Raises:
            OSError: If the disk refuses.
        """
        content = parquet(table)
        path = self.chunks / f"{key}-{digest(content)}.parquet"
        is_first = not path.exists()
        write(path, content)
        return path.name, is_first

    def write_table(self, name: str, table: pl.DataFrame) -> None:
        """Write a table beside the record; it is replaced as a whole or stays as it was.

        Args:
            name: Name of the file.
            table: The table.

        Raises:
            OSError: If the disk refuses.
        """
        write(self.path / name, parquet(table))

    def _claim(self, facts: Facts, command: list[str], notes: Facts, extends: Callable[[Facts], str]) -> None:
        is_new = not self.record.is_file()
        if is_new:
            others = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
            is_new = not self.record.is_file()  # another run may have claimed it meanwhile
            if is_new and others:
                raise ResultsError(
                    f"Results folder {str(self.path)!r} must hold a run.json or nothing, but holds "
                    f"{', '.join(others[:5])}."
                )
        if not is_new:
            found = self.facts()
            if fingerprint(found) == fingerprint(facts):
                return
            if why := extends(found):
                raise ResultsError(
                    f"Results folder {str(self.path)!r} belongs to another run: see its run.json. {why}".strip()
                )
        content = {
            "fingerprint": fingerprint(facts),
            "facts": facts,
            "command": command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            **notes,
        }
        with replacing(self.record) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}}


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that tell studies and scenarios apart.

    Args:
        facts: JSON values.

    Returns:
        Start of the SHA-256 of their canonical JSON text.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    return digest(json.dumps(facts, sort_keys=True).encode())


def recorded_facts(record: Path) -> Facts:
    """Return the facts in the record of a results folder.

    Args:
        record: Its `run.json`.

    Raises:
        ResultsError: If it was edited or is damaged.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        found, facts = content["fingerprint"], content["facts"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ResultsError(f"Record {str(record)!r} is truncated or was not written by an evaluation.") from error
    if found != fingerprint(facts):
        raise ResultsError(
            f"Record {str(record)!r} was edited: its facts no longer give its fingerprint {found}. Move the folder "
            "away to start anew."
        )
    return facts


def check_schema(path: Path, schema: Mapping[str, Any]) -> None:
    """Refuse a table with other columns, if there is one.

    Args:
        path: Its file.
        schema: Type of every column.

    Raises:
        ResultsError: If it is damaged or another table.
    """
    if not path.exists():
        return
    with _one_sentence(path):
        found = pl.read_parquet_schema(path)
    if dict(found) != dict(schema):
        raise ResultsError(
            f"Results table {str(path)!r} must have the columns {', '.join(schema)}, but has "
            f"{', '.join(found) or 'none'}; it was left as it is: move it away, and the same command computes what is "
            "missing."
        )


@contextlib.contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes Polars do into one sentence: its panics are no `Exception`, and print."""
    try:
        with without_standard_error():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise ResultsError(
            f"Results table {str(path)!r} is truncated or not Parquet ({path.stat().st_size} bytes) and was left as it "
            "is: move it away, and the same command computes what is missing."
        ) from error


def parquet(table: pl.DataFrame) -> bytes:
    """Return a table as the content of a Parquet file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file that appears when it is complete."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def digest(content: bytes) -> str:
    """Return twelve hexadecimal digits of the SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()[:12]
