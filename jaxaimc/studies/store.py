"""Results of a study on disk: a chunk per scenario, and tables made of them."""

import contextlib
import hashlib
import io
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc._core.files import remove_unfinished, replacing
from jaxaimc.studies.results import Rows

_SCORES = pl.Schema(
    {
        "study": pl.String,
        "name": pl.String,
        "sets": pl.String,
        "t": pl.Float64,
        "compensated": pl.Boolean,
        "r": pl.Float64,
        "random": pl.Boolean,
        "examples": pl.Int64,
        "chip": pl.Int64,
        "score": pl.Float64,
    }
)
_LAYERS = pl.Schema({"name": pl.String, "layer": pl.String, "chip": pl.Int64, "error": pl.Float64})
# One file holds both, so that a scenario is there as a whole or not at all; rows of layers have no score.
_CHUNK = pl.Schema({**_SCORES, **_LAYERS})
_VERSIONED = ("jaxaimc", "jax", "jaxlib", "flax", "numpy")


class ResultsError(ValueError):
    """A results folder that holds something else, or a file in it that cannot be read."""


class ResultsFolder:
    """A `Store` in a folder: `chunks/`, `scores.parquet`, `layers.parquet` and `run.json`.

    A finished scenario is a Parquet file in `chunks/`, named by the hash of all that its result follows from and by
    that of its content. The two tables are all chunks that are there, put together anew after every scenario. All files
    appear under their name only when they are complete, so a process that was killed leaves all that it had finished,
    and two runs into one folder find each other's results. Nothing that cannot be read is ever overwritten.

    Args:
        path: The folder; made if needed.
        facts: All that the results follow from, as JSON values. A folder made from other facts is refused.
        command: How the study was started, for the record.
        notes: Further JSON values for the record.

    Raises:
        ResultsError: If the folder belongs to another study, its record was edited, or a table in it is damaged or
            foreign.
    """

    def __init__(
        self,
        path: str | Path,
        facts: Mapping[str, Any],
        command: Sequence[str] = (),
        notes: Mapping[str, Any] | None = None,
    ):
        self.path = Path(path)
        self.chunks = self.path / "chunks"
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.chunks):
            remove_unfinished(folder)
        self._claim(dict(facts), list(command), dict(notes or {}))
        for table, schema in (("scores", _SCORES), ("layers", _LAYERS)):
            _check_schema(self.path / f"{table}.parquet", schema)
        self.chunks.mkdir(exist_ok=True)
        self._found: dict[str, Rows] = {}
        self._order: list[str] = []

    def open(self, keys: Sequence[str]) -> dict[str, Rows]:
        """Return what is there of these results, and bring the tables up to date.

        Raises:
            ResultsError: If a chunk is damaged or was edited.
            OSError: If the disk refuses.
        """
        self._order = list(keys)
        self._look()
        if self._found:
            self._write_tables()
        return {key: self._found[key] for key in keys if key in self._found}

    def add(self, key: str, rows: Rows) -> None:
        """Write the rows of one finished scenario.

        Args:
            key: Hash of all that they follow from.
            rows: The rows.

        Raises:
            OSError: If the disk refuses; the tables then stay as they were.
        """
        content = _parquet(pl.DataFrame([*rows.scores, *rows.layers], schema=_CHUNK))
        path = self.chunks / f"{key}-{_digest(content)}.parquet"
        _write(path, content)
        for incomplete in self.chunks.glob(f"{key}-*.parquet"):
            if incomplete != path:
                incomplete.unlink(missing_ok=True)
        self._found[key] = rows
        self._look()
        self._write_tables()

    def _look(self) -> None:
        """Read the chunks that another run has written since."""
        for path in sorted(self.chunks.glob("*-*.parquet")):
            key, _, digest = path.stem.partition("-")
            if key not in self._found:
                self._found[key] = _rows(_read_chunk(path, digest))

    def _write_tables(self) -> None:
        planned = [key for key in self._order if key in self._found]
        found = [self._found[key] for key in dict.fromkeys([*planned, *self._found])]
        scores = pl.DataFrame([row for rows in found for row in rows.scores], schema=_SCORES)
        layers = pl.DataFrame([row for rows in found for row in rows.layers], schema=_LAYERS)
        # A table without rows need not be there: a study may measure no layers.
        for name, table in (("layers", layers), ("scores", scores)):
            if len(table) or (self.path / f"{name}.parquet").exists():
                _write(self.path / f"{name}.parquet", _parquet(table))

    def _claim(self, facts: dict[str, Any], command: list[str], notes: dict[str, Any]) -> None:
        record = self.path / "run.json"
        if record.is_file():
            if _recorded_fingerprint(record) != fingerprint(facts):
                raise ResultsError(f"Results folder {str(self.path)!r} belongs to another run: see its run.json.")
            return
        others = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
        if others:
            raise ResultsError(
                f"Results folder {str(self.path)!r} must hold a run.json or nothing, but holds {', '.join(others[:5])}."
            )
        content = {
            "fingerprint": fingerprint(facts),
            "facts": facts,
            "command": command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}},
            **notes,
        }
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


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
    return _digest(json.dumps(facts, sort_keys=True).encode())


def _recorded_fingerprint(record: Path) -> Any:
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
    return found


def _rows(table: pl.DataFrame) -> Rows:
    """Return the rows of a chunk; a row that is there twice counts once."""
    table = table.unique(maintain_order=True)
    scores, layers = (table.filter(pl.col("layer").is_null() == null) for null in (True, False))
    return Rows(scores.select(list(_SCORES)).to_dicts(), layers.select(list(_LAYERS)).to_dicts())


def _check_schema(path: Path, schema: Mapping[str, Any]) -> None:
    if path.exists():
        with _one_sentence(path):
            found = pl.read_parquet_schema(path)
        _compare(path, found, schema)


def _read_chunk(path: Path, digest: str) -> pl.DataFrame:
    content = path.read_bytes()
    if _digest(content) != digest:
        raise ResultsError(
            f"Results chunk {str(path)!r} is damaged or was edited: its content no longer gives the hash in its name. "
            "Move it away, and the same command computes it anew."
        )
    return pl.read_parquet(io.BytesIO(content))


def _compare(path: Path, found: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
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
        with _without_standard_error():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise ResultsError(
            f"Results table {str(path)!r} is truncated or not Parquet ({path.stat().st_size} bytes) and was left as it "
            "is: move it away, and the same command computes what is missing."
        ) from error


@contextlib.contextmanager
def _without_standard_error() -> Iterator[None]:
    try:
        saved = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
