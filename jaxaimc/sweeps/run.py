"""Running a sweep: chunks that are not finished are computed, here or by an executor, and kept as they come."""

import contextlib
import errno
import random
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from typing import NamedTuple

import polars as pl

from jaxaimc._core.checks import check_integer, shown
from jaxaimc.sweeps.folder import Finished, SweepFolder
from jaxaimc.sweeps.measure import DesignWarning, Measure
from jaxaimc.sweeps.plan import Chunk, Plan, listed
from jaxaimc.sweeps.work import compute, compute_packed, packed

# No space left, or the user's share of it used up.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class SweepProgress(NamedTuple):
    """Where a sweep stands.

    Args:
        done: Pairs of design and chip that are finished, of this run's share, those found in the folder included.
        total: All of them.
        computed: Pairs that this run has computed.
        seconds: Time since it began.
    """

    done: int
    total: int
    computed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Designs times chips per second."""
        return self.computed / self.seconds if self.seconds > 0 else 0.0


Progress = Callable[[SweepProgress], None]
Job = tuple[str | None, Chunk]


def run(
    plan: Plan,
    measure: Measure | Mapping[str, Measure],
    folder: str | Path | SweepFolder | None = None,
    executor: Executor | None = None,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure all designs of a plan that are not finished yet.

    Args:
        plan: Designs and chips.
        measure: What is measured; several by the name of their network.
        folder: Where finished chunks are kept and found again; in memory by default.
        executor: Who computes the chunks: anything with the interface of `concurrent.futures`. By default this process,
            one chunk after the other, on all of its devices.
        shard: `(i, n)` for every n-th chunk from the i-th, from 0.
        progress: Called after every chunk.

    Returns:
        One row per design, network and chip, in this order: `design`, `network` where measures are named, every swept
        path, `chip`, and the measure's columns. All that is finished, also by others.

    Raises:
        ResultsError: If the folder belongs to another sweep.
        OSError: If the disk refuses. All finished chunks are kept.

    Warns:
        DamagedChunkWarning: If a chunk in the folder was damaged, and computed anew.
        DesignWarning: If figures are not finite, or not to be trusted, as the measure's `notes` say.
    """
    first, step = (0, 1) if shard is None else _checked(shard)
    finished = _finished(plan, measure, folder)
    measures = finished.measures
    jobs = list(_jobs(plan, measures))[first::step]
    runner = _Run(finished, jobs, progress or (lambda _: None))
    try:
        if executor is None:
            runner.here()
        else:
            runner.by(executor)
        finished.close()
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in _FULL and isinstance(finished, SweepFolder):
            raise OSError(
                error.errno,
                f"The disk is full: {runner.computed:,} results of this run are kept in {str(finished.path)!r} beside "
                "those that were there; make room, and the same sweep goes on from there.",
            ) from error
        with contextlib.suppress(OSError):
            finished.close()
        raise
    table = finished.table()
    _warn(table, measures)
    return table


def _finished(
    plan: Plan, measure: Measure | Mapping[str, Measure], folder: str | Path | SweepFolder | None
) -> Finished:
    if folder is None:
        return Finished(plan, measure)
    return folder if isinstance(folder, SweepFolder) else SweepFolder(folder, plan, measure)


def _jobs(plan: Plan, measures: dict[str | None, Measure]) -> Iterator[Job]:
    for network, measure in measures.items():
        for chunk in plan.chunks(getattr(measure, "chunk", None)):
            yield network, chunk


def _checked(shard: Sequence[int]) -> tuple[int, int]:
    if not isinstance(shard, Sequence) or isinstance(shard, str) or len(shard) != 2:
        raise ValueError(f"Argument `shard` must be (i, n), but is {shown(shard)}.")
    check_integer("run", "shard", shard[1], low=1)
    check_integer("run", "shard", shard[0], low=0, high=shard[1] - 1)
    return shard[0], shard[1]


class _Run:
    """One run through some chunks."""

    def __init__(self, finished: Finished, jobs: list[Job], progress: Progress):
        self._finished = finished
        self._jobs = jobs
        self._progress = progress
        self._total = sum(len(chunk.columns) * len(chunk.chips) for _, chunk in jobs)
        self._count = finished.counter(jobs)
        self._start = time.monotonic()
        self.computed = 0

    def here(self) -> None:
        """Compute in this process."""
        jobs = deque(self._jobs)
        self._report()
        while jobs:
            network, chunk = jobs.popleft()
            self._finished.look()
            for part in self._finished.missing(network, chunk):
                with _named(network, part):
                    rows = compute(self._finished.measures[network], part)
                if not self._keep(network, part, rows) and jobs:
                    # Another run is at the same place, so that this one goes on elsewhere.
                    jobs.rotate(-random.randrange(len(jobs)))
                self._report()

    def by(self, executor: Executor) -> None:
        """Have an executor compute."""
        self._report()
        payloads = {network: packed(measure) for network, measure in self._finished.measures.items()}
        waiting: dict[Future, Job] = {}
        for network, chunk in self._jobs:
            for part in self._finished.missing(network, chunk):
                waiting[executor.submit(compute_packed, payloads[network], part)] = network, part
        try:
            for future in as_completed(list(waiting)):
                network, part = waiting[future]
                with _named(network, part):
                    rows = future.result()
                del waiting[future]
                self._keep(network, part, rows)
                self._report()
        finally:
            for future in waiting:
                future.cancel()
            # What was done meanwhile is not thrown away.
            for future, (network, part) in waiting.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    with contextlib.suppress(OSError):
                        self._keep(network, part, future.result())

    def _keep(self, network: str | None, part: Chunk, rows: pl.DataFrame) -> bool:
        """Keep rows, and return whether nobody else had computed them meanwhile."""
        is_first = self._finished.add(network, part, rows)
        self.computed += len(rows)
        return is_first

    def _report(self) -> None:
        self._progress(SweepProgress(self._count(), self._total, self.computed, time.monotonic() - self._start))


@contextlib.contextmanager
def _named(network: str | None, part: Chunk) -> Iterator[None]:
    """Note of which designs an error is."""
    try:
        yield
    except Exception as error:
        of_network = "" if network is None else f" of {network!r}"
        first, several = part.numbers[0], len(part.numbers) > 1
        designs = f"designs {first} to {part.numbers[-1]}, from" if several else f"design {first}"
        chips = f"chips {part.chips[0]} to {part.chips[-1]}" if len(part.chips) > 1 else f"chip {part.chips[0]}"
        row = part.columns.row(0, named=True)
        error.add_note(f"In {designs} ({listed(row)}){of_network} on {chips}.")
        raise


def _warn(table: pl.DataFrame, measures: dict[str | None, Measure]) -> None:
    """Say once, of all designs, what measures have to say of their figures."""
    for network, measure in measures.items():
        rows = table if network is None else table.filter(pl.col("network") == network)
        found = {name: rows[name].to_numpy()[:, None] for name in measure.columns}
        for note in measure.notes(found) if len(rows) else ():
            of_network = "" if network is None else f"Network {network!r}: "
            warnings.warn(f"{of_network}{note[0].upper()}{note[1:]}.", DesignWarning, stacklevel=3)
