"""What is finished of a sweep: rows by design and chip, in memory or in a folder that several runs may fill."""

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jaxaimc._core.checks import shown
from jaxaimc.config import dumps
from jaxaimc.studies.chunks import ChunkFolder, Facts, ResultsError, digest, fingerprint
from jaxaimc.sweeps.measure import Measure
from jaxaimc.sweeps.plan import Chunk, Plan, listed
from jaxaimc.sweeps.plan_files import axis_facts, axis_of, value_facts

# Of the layout of a folder.
_FORMAT = 1
# Of the time, at most this share is spent on writing the merged table while a sweep runs, and on looking at what other
# runs have finished.
_SHARE = 0.05


class DamagedChunkWarning(UserWarning):
    """A file among the chunks of a sweep that holds something else, was set aside, and is computed anew."""


class Finished:
    """Rows that are finished, kept in memory.

    Args:
        plan: The plan.
        measure: What is measured; several by the name of their network.

    Attributes:
        measures: The measures by name; one alone is under None.
    """

    def __init__(self, plan: Plan, measure: Measure | Mapping[str, Measure]):
        self.plan = plan
        self.measures = measures = _named(measure)
        self._frames: dict[str, pl.DataFrame] = {}
        shape = len(plan.designs), plan.chips
        self._done = {network: np.zeros(shape, bool) for network in measures}
        self._grounds = {name: fingerprint(self._ground(name)) for name in measures}

    @property
    def columns(self) -> dict[str, str]:
        """Unit of every measured column."""
        return {name: unit for measure in self.measures.values() for name, unit in measure.columns.items()}

    def counter(self, jobs: Sequence[tuple[str | None, Chunk]]) -> Callable[[], int]:
        """Return a function that says how many rows of some chunks are finished."""
        wanted = {network: np.zeros_like(done) for network, done in self._done.items()}
        for network, chunk in jobs:
            wanted[network][chunk.numbers, chunk.chips.start : chunk.chips.stop] = True
        return lambda: sum(int(np.count_nonzero(done & wanted[name])) for name, done in self._done.items())

    def missing(self, network: str | None, chunk: Chunk) -> list[Chunk]:
        """Return what is not finished of a chunk, cut into blocks of designs on the same chips."""
        done = self._done[network][chunk.numbers, chunk.chips.start : chunk.chips.stop]
        if not done.any():
            return [chunk]
        blocks: dict[bytes, list[int]] = {}
        for place in np.flatnonzero(~done.all(1)).tolist():
            blocks.setdefault(done[place].tobytes(), []).append(place)
        return [
            chunk.part(places, chips) for places in blocks.values() for chips in _gaps(done[places[0]], chunk.chips)
        ]

    def add(self, network: str | None, chunk: Chunk, rows: pl.DataFrame) -> bool:
        """Keep the rows of a chunk, and return whether nobody else had finished it meanwhile."""
        rows = self._complete(network, rows)
        name, is_first = self._keep(network, rows)
        self._frames[name] = rows
        self._done[network][chunk.numbers, chunk.chips.start : chunk.chips.stop] = True
        return is_first

    def look(self, *, now: bool = False) -> None:
        """Take in what other runs have finished since."""

    def close(self) -> None:
        """Bring everything up to date at the end of a run."""

    def table(self) -> pl.DataFrame:
        """Return all finished rows: `design`, `network` where there are several, paths, `chip`, measured columns."""
        ids = self._ids(next(iter(self.measures)))
        schema: dict[str, Any] = {"design": pl.Int64, **ids, **dict.fromkeys(self.columns, pl.Float64)}
        if not self._frames:
            return pl.DataFrame(schema=schema)
        # In the order of names: which of two equal chunks counts does not depend on who came first.
        table = pl.concat([self._frames[name] for name in sorted(self._frames)], how="diagonal")
        table = table.join(self.plan.designs, on=list(self.plan.paths), how="inner", maintain_order="left")
        table = table.filter(pl.col("chip") < self.plan.chips)
        keys = [name for name in ("network", "design", "chip") if name in table.columns]
        table = table.unique(keys, keep="first", maintain_order=True)
        order: list[Any] = [pl.col(name) for name in keys]
        if "network" in keys:
            order[0] = pl.col("network").replace_strict({name: place for place, name in enumerate(self.measures)})
        return table.sort(order).select(list(schema))

    @cached_property
    def facts(self) -> Facts:
        """All that the results follow from, and units, as JSON values."""
        units = {**self.plan.units, **{name: unit for name, unit in self.columns.items() if unit}}
        return {
            "kind": "sweep",
            "format": _FORMAT,
            "axes": [axis_facts(axis) for axis in self.plan.axes],
            "chips": self.plan.chips,
            "seed": self.plan.seed,
            "base": json.loads(dumps(self.plan.base)),
            "measures": {network or "": measure.facts() for network, measure in self.measures.items()},
            "columns": {network or "": dict(measure.columns) for network, measure in self.measures.items()},
            "units": units,
            "designs": len(self.plan.designs),
            "measured": list(self.columns),
            "version": version("jaxaimc"),
        }

    def key(self, network: str | None, rows: pl.DataFrame) -> str:
        """Return the hash of all that some rows follow from."""
        named = {
            path: {name: value_facts(column.named[name]) for name in sorted(rows[path].unique())}
            for path, column in self.plan.paths.items()
            if column.named
        }
        ids = rows.select(list(self._ids(network))).rows()
        return digest(json.dumps([self._grounds[network], named, ids], sort_keys=True).encode())

    def _keep(self, network: str | None, rows: pl.DataFrame) -> tuple[str, bool]:
        """Keep rows, and return their name and whether there were none of this key."""
        return self.key(network, rows), True

    def _ground(self, network: str | None) -> Facts:
        """Return what all rows of a network follow from, besides design and chip."""
        return {
            "format": _FORMAT,
            "base": json.loads(dumps(self.plan.base)),
            "seed": self.plan.seed,
            "measure": self.measures[network].facts(),
            "version": version("jaxaimc"),
        }

    def _ids(self, network: str | None) -> dict[str, Any]:
        """Return the columns that tell rows apart."""
        named = {} if network is None else {"network": pl.String}
        return {**named, **{path: one.series.dtype for path, one in self.plan.paths.items()}, "chip": pl.Int64}

    def _schema(self, network: str | None) -> dict[str, Any]:
        return {**self._ids(network), **dict.fromkeys(self.measures[network].columns, pl.Float64)}

    def _complete(self, network: str | None, rows: pl.DataFrame) -> pl.DataFrame:
        if network is not None:
            rows = rows.with_columns(network=pl.lit(network))
        return rows.select(list(self._schema(network)))

    def _mark(self, frames: Sequence[pl.DataFrame]) -> None:
        """Note which rows there are."""
        for network in self.measures:
            ids = list(self._ids(network))
            own = [frame.select(ids) for frame in frames if network is None or frame["network"][0] == network]
            if own:
                found = pl.concat(own).join(self.plan.designs, on=list(self.plan.paths), how="inner")
                found = found.filter(pl.col("chip") < self.plan.chips)
                self._done[network][found["design"].to_numpy(), found["chip"].to_numpy()] = True


class SweepFolder(Finished):
    """A folder with `run.json`, a Parquet file per finished chunk in `chunks/`, and all of them in `sweep.parquet`.

    Several runs, on one machine or on many with a common disk, may fill one folder. A plan that has all designs of the
    recorded one, and more, goes on in its folder. A chunk that is truncated, edited or of another sweep is set aside.

    Args:
        path: The folder; made if needed.
        plan: The plan.
        measure: What is measured; several by the name of their network.
        command: How the sweep was started, for the record.
        notes: Further JSON values for the record.

    Raises:
        ResultsError: If the folder belongs to another sweep, or its record was edited.

    Warns:
        DamagedChunkWarning: If a chunk is set aside.
    """

    def __init__(
        self,
        path: str | Path,
        plan: Plan,
        measure: Measure | Mapping[str, Measure],
        command: Sequence[str] = (),
        notes: Mapping[str, Any] | None = None,
    ):
        super().__init__(plan, measure)
        self._folder = ChunkFolder(path, self.facts, command, notes, self._extends)
        self._looked = (-np.inf, 0.0)
        self._written = (-np.inf, 0.0)
        self.look(now=True)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def add(self, network: str | None, chunk: Chunk, rows: pl.DataFrame) -> bool:
        """Write the rows of a chunk, and from time to time the merged table.

        Raises:
            OSError: If the disk refuses; what was finished before is kept.
        """
        is_first = super().add(network, chunk, rows)
        last, took = self._written
        if time.monotonic() - last > took / _SHARE:
            self._write_table()
        return is_first

    def look(self, *, now: bool = False) -> None:
        """Take in the chunks that other runs have written since the last look."""
        start = time.monotonic()
        last, took = self._looked
        if not now and start - last < took / _SHARE:
            return
        new = []
        for name in self._folder.names():
            if name not in self._frames and (frame := self._read(name)) is not None:
                self._frames[name] = frame
                new.append(frame)
        self._mark(new)
        self._looked = time.monotonic(), time.monotonic() - start

    def close(self) -> None:
        """Take in everything and write the merged table."""
        self.look(now=True)
        self._write_table()

    def _keep(self, network: str | None, rows: pl.DataFrame) -> tuple[str, bool]:
        return self._folder.write(self.key(network, rows), rows)

    def _write_table(self) -> None:
        start = time.monotonic()
        # A run of a plan that has grown meanwhile leaves the table to that one.
        if fingerprint(self._folder.facts()) == fingerprint(self.facts):
            self._folder.write_table("sweep.parquet", self.table())
        self._written = time.monotonic(), time.monotonic() - start

    def _read(self, name: str) -> pl.DataFrame | None:
        """Return the rows of a chunk; None if it is set aside, or was by another run."""
        try:
            frame = self._folder.read(name)
            network = None if None in self.measures else frame["network"][0]
            if dict(frame.schema) != self._schema(network) or self.key(network, frame) != name.partition("-")[0]:
                raise ResultsError(f"Results chunk {str(self._folder.chunks / name)!r} is not of this sweep.")
            return frame
        except FileNotFoundError:
            return None
        except (ResultsError, KeyError, IndexError, pl.exceptions.PolarsError) as error:
            path = self._folder.chunks / name
            aside = path.with_name(f"{name}.aside")
            with contextlib.suppress(FileNotFoundError):
                path.replace(aside)
            why = (
                "of another sweep" if not isinstance(error, ResultsError) or "not of this" in str(error) else "damaged"
            )
            warnings.warn(
                f"Chunk {str(path)!r} is {why}; it was set aside as {aside.name!r} and is computed anew.",
                DamagedChunkWarning,
                stacklevel=2,
            )
            return None

    def _extends(self, recorded: Facts) -> str:
        """Return why this sweep may not go on in the folder of another, empty if it has everything of it, and more."""
        facts = self.facts
        fixed = {"base": "config", "seed": "seed", "version": "version of jaxaimc"}
        if recorded.get("kind") != "sweep" or recorded.get("format") != _FORMAT:
            return "It holds no sweep."
        for name, words in fixed.items():
            if recorded.get(name) != facts[name]:
                return f"That one has another {words}."
        for network, found in recorded["measures"].items():
            if network not in facts["measures"] or facts["measures"][network] != found:
                of = f" of {network!r}" if network else ""
                return f"That one measures something else{of}, or on other examples; a sweep may only add networks."
        before = Plan(self.plan.base, [axis_of(axis) for axis in recorded["axes"]], chips=recorded["chips"])
        if before.paths.keys() != self.plan.paths.keys():
            return f"That one varies {', '.join(before.paths)}."
        if before.chips > self.plan.chips:
            return f"That one has {before.chips} chips; a sweep may only add some."
        for path, column in before.paths.items():
            own = self.plan.paths[path]
            if own.series.dtype != column.series.dtype or any(
                name not in own.named or value_facts(own.named[name]) != value_facts(value)
                for name, value in column.named.items()
            ):
                return f"That one has other values of {path!r}; a sweep may only add some."
        lost = before.designs.join(self.plan.designs, on=list(self.plan.paths), how="anti")
        if len(lost):
            row = listed(lost.row(0, named=True))
            return f"That one has {len(lost):,} designs more, such as {row}; a sweep may only add some."
        return ""


def _named(measure: Measure | Mapping[str, Measure]) -> dict[str | None, Measure]:
    if not isinstance(measure, Mapping):
        return {None: measure}
    if not measure or not all(isinstance(name, str) and name for name in measure):
        raise ValueError(f"Argument `measure` must hold measures by name, at least one, but is {shown(measure)}.")
    return {**measure}


def _gaps(done: np.ndarray, chips: range) -> Iterator[range]:
    """Yield the runs of chips that are not finished."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], done, [True]]).astype(int)))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield range(chips.start + start, chips.start + stop)
