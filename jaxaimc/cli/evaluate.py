"""`jaxaimc evaluate`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional

from jaxaimc.cli import signals, startup
from jaxaimc.cli.config import read_configs
from jaxaimc.cli.record import notes_of, say
from jaxaimc.cli.settings import keep_settings
from jaxaimc.tasks import hub, load_model, load_task
from jaxaimc.tasks.demo import DEMO

_FULL = {"examples": None, "chips": 16, "batch": 125, "sweep_examples": 2000}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure what each effect of an analog chip does to a network's accuracy.

    Every linear layer is put on tiles. Tables are printed as they fill; tables (Parquet) and a figure (PNG) are written
    to OUTPUT/<task>-<fingerprint>. The same command goes on where an interrupted one stopped.

    Args:
        task: Network, data and metric: package.module:function, or the name of a registered task.
        data: Folder with the task's data, or hf://datasets/owner/name; its own by default.
        checkpoint: Weights (safetensors), or hf://owner/name; the task's own by default.
        config: The tile as a file (JSON or TOML), see `jaxaimc config`, or tiles by layer as `jaxaimc design` writes
            them (layers.json); the tile circuit by default.
        output: Folder in which the results folder is made.
        full: All test examples on 16 chips, 2,000 examples in the sweep of wire resistances.
        examples: Test examples, from the first: 2,000, or all with --full.
        chips: Chips: 4, or 16 with --full.
        times: Times since programming [s]: 1 second to 1 year.
        resistances: Wire resistances per segment [ohm]: 0 to 20.
        sweep_examples: Test examples of the sweep of wire resistances: 500, or 2,000 with --full.
        layer_examples: Examples of the layers' output errors: 250.
        batch: Examples computed at once on each chip: 250, or 125 with --full. Results do not depend on it.
        seed: Seed of chips and reads.
    """

    task: Positional[str] = DEMO
    data: Path | None = None
    checkpoint: Path | None = None
    config: Path | None = None
    output: Path = Path("results")
    full: Annotated[bool, FlagCreatePairsOff] = False
    examples: int | None = None
    chips: int | None = None
    times: tuple[float, ...] | None = None
    resistances: tuple[float, ...] | None = None
    sweep_examples: int | None = None
    layer_examples: int | None = None
    batch: int | None = None
    seed: int = 0

    def run(self) -> None:
        """Run the command."""
        from jaxaimc.studies import Settings, standard_study, tables
        from jaxaimc.studies.facts import describe, folder_name
        from jaxaimc.studies.screen import Screen
        from jaxaimc.studies.store import ResultsFolder

        startup.begin()
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)}
        given = {name: value for name, value in named.items() if value is not None}
        settings = Settings(**{**(_FULL if self.full else {}), **given})
        task = load_task(self.task, self.data)
        # After the task, whose package may define components that the file names.
        config = read_configs(self.config)
        checkpoint = None if self.checkpoint is None else hub.file(self.checkpoint)
        model = load_model(task, checkpoint)
        facts = describe(task, config, settings, task_path=self.task, checkpoint=checkpoint, model=model)
        network = {name: value for name, value in facts.items() if name not in ("config", "settings")}
        study = standard_study(task, config, model=model, settings=settings, network=network)
        chip = study.summary
        command = ["jaxaimc", *sys.argv[1:]]
        folder = ResultsFolder(
            self.output / folder_name(task, facts),
            facts,
            command,
            notes_of(chip, study.wire_errors, metric=task.metric, chance=task.chance),
        )
        keep_settings(self, folder.path, config)
        console = Console()
        on_tiles = f"{chip.analog} of {len(chip.rows)} products on tiles"
        say(console, f"Task {task.name}, {on_tiles}, results in {folder.path}")
        for line in [*tables.summary_lines(chip), *tables.method_lines(config, study.wire_errors)]:
            say(console, line)
        try:
            before = [row for rows in study.finished(folder).values() for row in rows.scores]
            with signals.gently(), Screen(console, task.metric, before) as screen:

                def show(progress: Any) -> None:
                    screen.update(progress)
                    signals.check()

                evaluation = study.run(folder, show, compile_ahead=True)
        except KeyboardInterrupt:
            kept = len(study.finished(folder))
            raise KeyboardInterrupt(
                f"Interrupted: {kept} finished rows are kept in {folder.path}; the same command goes on from there."
            ) from None
        if evaluation.layers:
            console.print(tables.layer_table(evaluation.layers))
        if study.cost is not None:
            folder.note({"cost": study.cost.facts()})
            console.print("", tables.cost_table(study.cost))
            for line in tables.cost_lines(study.cost):
                say(console, line)
        from jaxaimc.studies import figures

        figures.save(evaluation, folder.path / "figure.png")
        for name, content in (
            ("scores.parquet", "scores"),
            ("layers.parquet", "layer errors"),
            ("figure.png", "figure"),
        ):
            say(console, f"{content + ':':13} {folder.path / name}")
