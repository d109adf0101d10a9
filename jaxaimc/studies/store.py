"""Results of a study on disk: a chunk per scenario, and tables made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc.studies.chunks import ChunkFolder, ResultsError, check_schema, fingerprint
from jaxaimc.studies.results import Rows

__all__ = ["ResultsError", "ResultsFolder", "fingerprint"]

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
        self._folder = ChunkFolder(path, facts, command, notes)
        for table, schema in (("scores", _SCORES), ("layers", _LAYERS)):
            check_schema(self.path / f"{table}.parquet", schema)
        self._found: dict[str, Rows] = {}
        self._order: list[str] = []

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def chunks(self) -> Path:
        """Where the finished scenarios are."""
        return self._folder.chunks

    def note(self, notes: Mapping[str, Any]) -> None:
        """Add JSON values to the record `run.json`, such as what is known only at the end.

        Args:
            notes: The values.

        Raises:
            ResultsError: If the record was edited or is damaged.
            OSError: If the disk refuses.
        """
        self._folder.note(notes)

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
        written, _ = self._folder.write(key, pl.DataFrame([*rows.scores, *rows.layers], schema=_CHUNK))
        for incomplete in self.chunks.glob(f"{key}-*.parquet"):
            if incomplete.name != written:
                incomplete.unlink(missing_ok=True)
        self._found[key] = rows
        self._look()
        self._write_tables()

    def _look(self) -> None:
        """Read the chunks that another run has written since."""
        for name in self._folder.names():
            key = name.partition("-")[0]
            if key not in self._found:
                self._found[key] = _rows(self._folder.read(name))

    def _write_tables(self) -> None:
        planned = [key for key in self._order if key in self._found]
        found = [self._found[key] for key in dict.fromkeys([*planned, *self._found])]
        scores = pl.DataFrame([row for rows in found for row in rows.scores], schema=_SCORES)
        layers = pl.DataFrame([row for rows in found for row in rows.layers], schema=_LAYERS)
        # A table without rows need not be there: a study may measure no layers.
        for name, table in (("layers", layers), ("scores", scores)):
            if len(table) or (self.path / f"{name}.parquet").exists():
                self._folder.write_table(f"{name}.parquet", table)


def _rows(table: pl.DataFrame) -> Rows:
    """Return the rows of a chunk; a row that is there twice counts once."""
    table = table.unique(maintain_order=True)
    scores, layers = (table.filter(pl.col("layer").is_null() == null) for null in (True, False))
    return Rows(scores.select(list(_SCORES)).to_dicts(), layers.select(list(_LAYERS)).to_dicts())
