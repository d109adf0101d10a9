"""`jaxaimc sensitivity`."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from tyro.conf import Positional

from jaxaimc.cli import signals, startup
from jaxaimc.cli.config import read_config
from jaxaimc.cli.record import notes_of, say
from jaxaimc.cli.settings import keep_settings
from jaxaimc.tasks import hub, load_model, load_task
from jaxaimc.tasks.demo import DEMO

if TYPE_CHECKING:
    from jaxaimc.studies import Rows
    from jaxaimc.studies.store import ResultsFolder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Find which layer and which effect of an analog chip cost a network its score.

    Every layer is put on tiles alone, under each effect and under all together; then layers are kept digital one by
    one, the most damaging first. The table is printed, and written with all scores (Parquet) to
    OUTPUT/<task>-<fingerprint>. The same command goes on where an interrupted one stopped, and another tolerance,
    pattern or choice of effects takes from there what it needs.

    Args:
        task: Network, data and metric: package.module:function.
        data: Folder with the task's data, or hf://datasets/owner/name; its own by default.
        checkpoint: Weights (safetensors), or hf://owner/name; the task's own by default.
        config: The tile as a file (JSON or TOML), see `jaxaimc config`; the tile circuit by default.
        output: Folder in which the results folder is made.
        one: What one layer is while the others are the converse.
        pattern: Regular expression for the whole path of the layers that are looked at; the others are digital.
        names: Effects, such as "ADC only" "IR drop only"; all by default, none but everything together without a value.
        tolerance: Loss against the digital score that is accepted, in the metric's unit.
        examples: Test examples, from the first.
        chips: Chips.
        batch: Examples computed at once on each chip. Results do not depend on it.
        seed: Seed of chips and reads.
    """

    task: Positional[str] = DEMO
    data: Path | None = None
    checkpoint: Path | None = None
    config: Path | None = None
    output: Path = Path("results")
    one: Literal["analog", "digital"] = "analog"
    pattern: str = ".*"
    names: tuple[str, ...] | None = None
    tolerance: float = 0.01
    examples: int = 250
    chips: int = 2
    batch: int = 250
    seed: int = 0

    def run(self) -> None:
        """Run the command."""
        from jaxaimc import nn
        from jaxaimc.studies import Settings, sensitivity, tables
        from jaxaimc.studies.facts import describe, folder_name
        from jaxaimc.studies.screen import Screen

        startup.begin()
        how = {"examples": self.examples, "chips": self.chips, "batch": self.batch, "seed": self.seed}
        settings = Settings(**how, times=(), resistances=())
        task = load_task(self.task, self.data)
        # After the task, whose package may define components that the file names.
        config = read_config(self.config)
        checkpoint = None if self.checkpoint is None else hub.file(self.checkpoint)
        model = load_model(task, checkpoint)
        facts = describe(task, config, settings, task_path=self.task, checkpoint=checkpoint, model=model)
        facts["study"] = "sensitivity"
        chip = nn.summary(nn.convert(model, config), task.split("test").first(1).inputs)
        keep = functools.partial(keep_settings, self, config=config)
        store = _LateFolder(
            self.output / folder_name(task, facts), facts, notes_of(chip, metric=task.metric, chance=task.chance), keep
        )
        console = Console()
        say(console, f"Task {task.name}, {chip.analog} products on tiles, results in {store.path}")
        try:
            with signals.gently(), Screen(console, task.metric) as screen:

                def show(progress: Any) -> None:
                    screen.update(progress)
                    signals.check()

                found = sensitivity(
                    task,
                    config,
                    model=model,
                    one=self.one,
                    pattern=self.pattern,
                    names=self.names,
                    tolerance=self.tolerance,
                    store=store,
                    progress=show,
                    **how,
                )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Interrupted: {store.kept} finished scenarios are kept in {store.path}; the same command goes on from "
                "there."
            ) from None
        console.print(tables.sensitivity_table(found))
        say(console, tables.exemption_line(found))
        for name, rows, content in (
            ("sensitivity.parquet", found.rows, "losses"),
            ("exemptions.parquet", found.exemptions, "exemptions"),
        ):
            store.write(name, rows)
            say(console, f"{content + ':':13} {store.path / name}")


class _LateFolder:
    """A results folder that is made when the first results are looked for: what is refused before leaves no trace.

    Args:
        path: The folder.
        facts: All that the results follow from.
        notes: Further JSON values for its record.
        keep: Writes the command's settings into it.
    """

    def __init__(self, path: Path, facts: dict[str, Any], notes: dict[str, Any], keep: Callable[[Path], None]):
        self.path, self.facts, self.notes, self.keep = path, facts, notes, keep
        self.folder: ResultsFolder | None = None

    @property
    def kept(self) -> int:
        """Number of finished scenarios."""
        return len(list(self.path.glob("chunks/*-*.parquet")))

    def open(self, keys: Any) -> "dict[str, Rows]":
        """Return what is there of these results."""
        from jaxaimc.studies.store import ResultsFolder

        if self.folder is None:
            self.folder = ResultsFolder(self.path, self.facts, ["jaxaimc", *sys.argv[1:]], self.notes)
            self.keep(self.path)
        return self.folder.open(keys)

    def add(self, key: str, rows: "Rows") -> None:
        """Write the rows of one finished scenario."""
        assert self.folder is not None  # nothing is added before it is looked for
        self.folder.add(key, rows)

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write a table of rows, replacing the one of another choice of layers or effects."""
        import polars

        from jaxaimc._core.files import replacing

        with replacing(self.path / name) as temporary:
            polars.DataFrame(rows, infer_schema_length=None).write_parquet(temporary)
