"""Results of an evaluation on disk: complete tables at any moment, taken up again by the same evaluation."""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jaxaimc import config_files
from jaxaimc.config import AnalogConfig
from jaxaimc.evaluation.run import Row
from jaxaimc.evaluation.scenarios import Settings
from jaxaimc.tasks import Task

_SCORES = pl.Schema(
    {
        "study": pl.String,
        "name": pl.String,
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
_VERSIONED = ("jaxaimc", "jax", "jaxlib", "flax", "numpy")


class ResultsError(ValueError):
    """A results folder that holds something else, or a table in it that cannot be read."""


class ResultsFolder:
    """A `Store` in a folder: `scores.parquet`, `layers.parquet` and `run.json`.

    A table is rewritten under a temporary name and renamed after every scenario, so it is complete at any moment, and
    a process that was killed leaves all that it had finished. Nothing that cannot be read is ever overwritten.

    Args:
        path: The folder; made if needed.
        facts: All that the results follow from, as JSON values. A folder made from other facts is refused.
        command: How the evaluation was started, for the record.

    Raises:
        ResultsError: If the folder belongs to another evaluation, or a table in it is truncated or foreign.
    """

    def __init__(self, path: str | Path, facts: Mapping[str, Any], command: Sequence[str] = ()):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._claim(dict(facts), list(command))
        self._scores = _read(self.path / "scores.parquet", _SCORES)
        # A scenario is finished once its scores are there; layer rows of an unfinished one are left over from a crash.
        finished = self._scores.filter(pl.col("study") == "effect")["name"].unique()
        self._layers = _read(self.path / "layers.parquet", _LAYERS).filter(pl.col("name").is_in(finished.to_list()))

    def scores(self) -> list[Row]:
        """Return the score rows."""
        return self._scores.to_dicts()

    def layers(self) -> list[Row]:
        """Return the layer rows."""
        return self._layers.to_dicts()

    def add(self, scores: list[Row], layers: list[Row]) -> None:
        """Write the rows of one finished scenario.

        Args:
            scores: Its score rows.
            layers: Its layer rows.

        Raises:
            OSError: If the disk refuses; the tables then stay as they were.
        """
        if layers:
            self._layers = pl.concat([self._layers, pl.DataFrame(layers, schema=_LAYERS)])
            _write(self.path / "layers.parquet", self._layers)
        self._scores = pl.concat([self._scores, pl.DataFrame(scores, schema=_SCORES)])
        _write(self.path / "scores.parquet", self._scores)

    def _claim(self, facts: dict[str, Any], command: list[str]) -> None:
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
        }
        with _replacing(record) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def describe(
    task: Task, config: AnalogConfig, settings: Settings, *, task_path: str, checkpoint: Path | None
) -> dict[str, Any]:
    """Collect all that the results of an evaluation follow from.

    Args:
        task: Network, data and metric.
        config: The tile.
        settings: How much is evaluated.
        task_path: Import path of the task.
        checkpoint: File of the weights; None for the task's own.

    Returns:
        JSON values: paths by name, files and data by their SHA-256.

    Raises:
        FileNotFoundError: If the data are missing.
    """
    weights = checkpoint or task.default_checkpoint
    test = task.split("test")
    how_much = dataclasses.asdict(settings)
    del how_much["batch"]  # results do not depend on it, so a run that lacked memory goes on with a smaller one
    return {
        "task": task_path,
        "data": _digest(np.ascontiguousarray(test.inputs).tobytes(), np.ascontiguousarray(test.targets).tobytes()),
        "checkpoint": None if weights is None else _digest(weights.read_bytes()),
        "config": json.loads(config_files.dumps(config)),
        "settings": how_much,
        "version": version("jaxaimc"),
    }


def folder_name(task: Task, facts: Mapping[str, Any]) -> str:
    """Return `<task>-<fingerprint>`, the name of a results folder."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', task.name)}-{fingerprint(facts)}"


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that tell evaluations apart.

    Args:
        facts: JSON values.

    Returns:
        Start of the SHA-256 of their canonical JSON text.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    return _digest(json.dumps(facts, sort_keys=True).encode())[:12]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _recorded_fingerprint(record: Path) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"Record {str(record)!r} is truncated or was not written by an evaluation.") from error


def _read(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    if not path.exists():
        return pl.DataFrame(schema=schema)
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ResultsError(
            f"Results table {str(path)!r} is truncated or not Parquet ({path.stat().st_size} bytes) and was left as it "
            f"is: move it away to start anew."
        ) from error
    if dict(table.schema) != dict(schema):
        raise ResultsError(
            f"Results table {str(path)!r} must have the columns {', '.join(schema)}, but has "
            f"{', '.join(table.columns) or 'none'}; it was left as it is."
        )
    return table


def _write(path: Path, table: pl.DataFrame) -> None:
    with _replacing(path) as temporary:
        table.write_parquet(temporary)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it, if all went well."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
