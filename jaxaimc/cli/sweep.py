"""`jaxaimc sweep`."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional

from jaxaimc.cli import signals, startup
from jaxaimc.cli.config import read_config
from jaxaimc.cli.record import say
from jaxaimc.cli.settings import keep_settings
from jaxaimc.config import AnalogConfig
from jaxaimc.tasks import hub, load_task
from jaxaimc.tasks.demo import DEMO

if TYPE_CHECKING:
    from jaxaimc import sweeps
    from jaxaimc.tasks import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """Score a network on many designs of a chip.

    Every linear layer is put on tiles. Designs are the grid of all that is varied, or samples, and each is scored on
    the same chips. Results are kept chunk by chunk: the same command goes on where an interrupted one stopped, computes
    what is new of a plan that has grown, and runs beside itself on machines with a common disk.

    Args:
        task: Networks with data and metric, one or several: package.module:function.
        vary: What is varied, by path: adc.bits=4,6,8 for values, wires.r=0.1:10:16:log for a range of 16 points,
            wires.r=0.1:10:log to be sampled, device=devices.PCM,devices.IdealDevice for parts. Base units.
        samples: Samples of the intervals that have no points, a Sobol sequence.
        plan: File (TOML or JSON) with axes of any kind, beside or in place of --vary.
        output: Folder of the results: sweep.parquet, chunks, run.json, settings.json.
        data: Folder with the task's data, or hf://datasets/owner/name; its own by default.
        checkpoint: Weights (safetensors), or hf://owner/name; the task's own by default.
        config: The tile that designs start from as a JSON file, see `jaxaimc config`; the tile circuit by default.
        chips: Chips of every design; they are the same ones for all designs.
        examples: Test examples, from the first.
        batch: Examples computed at once. Results do not depend on it.
        t: Time of the read since programming [s]; right after it by default.
        compensated: Compensate drift.
        cost: Energy, latency and area of an inference as well.
        seed: Seed of chips, reads and samples.
        chunk: Designs in a chunk, the unit of work that is kept; by default chosen by size.
        shard: Compute every n-th chunk, from the i-th on: i/n, with i from 0.
        merge: Put copies of a sweep's folder together in OUTPUT, and do nothing else.
        processes: Compute in so many processes of this machine.
        cluster: Compute on a Dask cluster: dask://HOST:PORT.
        slurm: Compute in an array of Slurm jobs on this partition.
        slurm_options: Options of the Slurm jobs, such as minutes=60 memory=8 gpus=1 cluster=local.
        distributed: Be one process of several that compute each chunk together (jax.distributed).
    """

    task: Positional[tuple[str, ...]] = (DEMO,)
    vary: tuple[str, ...] = ()
    samples: int | None = None
    plan: Path | None = None
    output: Path
    data: Path | None = None
    checkpoint: Path | None = None
    config: Path | None = None
    chips: int = 1
    examples: int = 500
    batch: int = 250
    t: float | None = None
    compensated: Annotated[bool, FlagCreatePairsOff] = False
    cost: Annotated[bool, FlagCreatePairsOff] = False
    seed: int = 0
    chunk: int | None = None
    shard: str | None = None
    merge: tuple[Path, ...] = ()
    processes: int | None = None
    cluster: str | None = None
    slurm: str | None = None
    slurm_options: tuple[str, ...] = ()
    distributed: Annotated[bool, FlagCreatePairsOff] = False

    def run(self) -> None:
        """Run the command."""
        startup.begin()
        self._check()
        console = Console()
        if self.merge:
            self._merge(console)
        elif self.distributed:
            from jaxaimc.sweeps import distributed

            distributed.initialize()
            with distributed.processes() as executor:
                if executor is not None:
                    self._sweep(console, contextlib.nullcontext(executor))
        else:
            self._sweep(console, self._engine())

    def _check(self) -> None:
        given = [name for name in ("processes", "cluster", "slurm") if getattr(self, name) is not None]
        given += ["distributed"] if self.distributed else []
        if len(given) > 1:
            raise ValueError(f"Arguments `{given[0]}` and `{given[1]}` both say where to compute: give one of them.")
        if self.slurm_options and self.slurm is None:
            raise ValueError("Argument `slurm_options` needs `slurm`, the partition.")
        if self.merge and (self.vary or self.plan):
            raise ValueError("Argument `merge` puts finished folders together: give it without `vary` and `plan`.")
        if len(self.task) > 1:
            for name in ("data", "checkpoint"):
                if getattr(self, name) is not None:
                    raise ValueError(f"Argument `{name}` is for one task, but {len(self.task)} are given.")

    def _merge(self, console: Console) -> None:
        from jaxaimc import sweeps

        table = sweeps.merge(self.merge, self.output)
        say(console, f"table: {self.output / _TABLE} ({len(table):,} rows of {table['design'].n_unique():,} designs)")

    def _sweep(self, console: Console, engine: contextlib.AbstractContextManager[Executor | None]) -> None:
        from jaxaimc import sweeps

        shard = None if self.shard is None else shard_of(self.shard)
        tasks, measures = self._measures()
        # After the tasks, whose packages may define components that the file names.
        config = read_config(self.config)
        plan = sweeps.Plan(config, self._axes(config), chips=self.chips, seed=self.seed, chunk=self.chunk)
        measure = dict(zip(_names(tasks), measures, strict=True)) if len(tasks) > 1 else measures[0]
        revisions = hub.revisions()
        notes = {"hub": revisions} if revisions else {}
        folder = sweeps.SweepFolder(self.output, plan, measure, ["jaxaimc", *sys.argv[1:]], notes)
        keep_settings(self, self.output, config)
        kinds = f"{plan.structures:,} structure{'s' if plan.structures > 1 else ''}"
        designs = f"{len(plan.designs):,} designs of {kinds}, {_chips(self.chips)} each"
        say(console, f"{', '.join(task.name for task in tasks)}: {designs}, results in {self.output}")
        try:
            with signals.gently(), engine as executor, _bar(console) as show:
                table = sweeps.run(plan, measure, folder, executor, shard, show)
        except KeyboardInterrupt as interruption:
            notes = " ".join(["", *getattr(interruption, "__notes__", [])])
            raise KeyboardInterrupt(
                f"Interrupted: all finished chunks are kept in {self.output}; the same command goes on from there."
                + notes
            ) from None
        self._show(console, table, plan, tasks)

    def _measures(self) -> "tuple[list[Task], list[sweeps.NetworkScore]]":
        from jaxaimc import sweeps

        checkpoint = None if self.checkpoint is None else hub.file(self.checkpoint)
        how: dict[str, Any] = {name: getattr(self, name) for name in ("examples", "batch", "t", "compensated", "cost")}
        measures = [
            sweeps.NetworkScore.of(path, data=self.data, checkpoint=checkpoint, **how)
            for path in dict.fromkeys(self.task)
        ]
        return [load_task(path, self.data) for path in dict.fromkeys(self.task)], measures

    def _axes(self, config: AnalogConfig) -> "list[sweeps.Axis]":
        from jaxaimc import sweeps

        if not self.vary and self.plan is None:
            raise ValueError(
                "Argument `vary` must hold what is varied, such as wires.r=0.1:10:16:log, or `plan` a file of it."
            )
        axes = [] if self.plan is None else sweeps.read_axes(self.plan)
        return [*axes, *sweeps.axes_of(self.vary, config, self.samples, self.seed)]

    @contextlib.contextmanager
    def _engine(self) -> Iterator[Executor | None]:
        from jaxaimc.sweeps import engines

        if self.slurm is not None:
            options = _options(self.slurm_options)
            with engines.slurm(self.output / "jobs", partition=self.slurm or None, **options) as executor:
                yield executor
        elif self.cluster is not None or self.processes is not None:
            with engines.dask(self.cluster, processes=self.processes) as executor:
                yield executor
        else:
            yield None

    def _show(self, console: Console, table: Any, plan: "sweeps.Plan", tasks: "list[Task]") -> None:
        from jaxaimc.sweeps import tables

        names = _names(tasks) if len(tasks) > 1 else [None]
        for name, task in zip(names, tasks, strict=True):
            rows = table if name is None else table.filter(network=name).drop("network")
            if len(rows):
                console.print(tables.best_table(rows, plan, task))
        say(console, f"table: {self.output / _TABLE} ({len(table):,} rows)")


_TABLE = "sweep.parquet"


def shard_of(text: str) -> tuple[int, int]:
    """Return the shard that a text stands for.

    Args:
        text: `i/n`.

    Raises:
        ValueError: If it is none.

    Example:
        >>> shard_of("0/4")
        (0, 4)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"Argument `shard` must be i/n with i from 0 to n - 1, such as 0/4, but is {text!r}.")
    return int(index), int(count)


def _names(tasks: "list[Task]") -> list[str]:
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"Argument `task` must name tasks of different names, but they are {', '.join(names)}.")
    return names


def _chips(chips: int) -> str:
    return f"{chips:,} chips" if chips > 1 else "1 chip"


def _options(texts: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"Argument `slurm_options` must hold texts such as minutes=60, but holds {text!r}.")
        for kind in (int, float, str):
            with contextlib.suppress(ValueError):
                options[name] = kind(value)
                break
    return options


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Callable[[Any], None]]:
    """Show a bar with the designs times chips that are done, their rate and the time left."""
    from jaxaimc.training.fit.progress import step_bar

    said = [-1]
    with step_bar("design x chip") as bar:
        row = bar.add_task("sweep", total=1, status="compiling")

        def show(progress: Any) -> None:
            status = f"{progress.rate:,.3g}/s" if progress.computed else "compiling"
            bar.update(row, completed=progress.done, total=progress.total, status=status)
            tenth = 10 * progress.done // max(progress.total, 1)
            if not console.is_terminal and tenth > said[0]:
                said[0] = tenth
                say(console, f"{10 * tenth:3} %  {progress.done:,} of {progress.total:,}, {status}")
            signals.check()

        yield show
