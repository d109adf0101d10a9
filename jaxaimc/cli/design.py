"""`jaxaimc design`."""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from tyro.conf import Positional

from jaxaimc.cli import signals, startup
from jaxaimc.cli.config import read_config
from jaxaimc.cli.record import say, write_record
from jaxaimc.cli.settings import keep_settings
from jaxaimc.cli.variables import by_layer, variable
from jaxaimc.config import AnalogConfig, dumps
from jaxaimc.tasks import hub, load_model, load_task
from jaxaimc.tasks.demo import DEMO

if TYPE_CHECKING:
    from jaxaimc import design

_UNITS = {"energy": "J", "latency": "s"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """Choose fields of the tile by gradient: task loss plus a weight times the logarithm of a cost.

    Every linear layer is put on tiles, which are programmed anew in every step. Integers such as bits are rounded at
    the end, and the design is scored by the ordinary evaluation, on test examples. The same command goes on where an
    interrupted one stopped, and with more steps it goes further. Several weights give a Pareto front, each begun at the
    result before.

    Args:
        task: Network, data and loss: package.module:function.
        variables: Fields by path, such as wires.r, or with bounds in base units: adc.bits=3:10; of some layers:
            head:adc.bits=3:10, where head may be a regular expression; or of every layer by itself: *:adc.bits=3:10.
        weights: Weight of the logarithm of the cost against the loss, one or several.
        output: Folder for states, settings.json, design.json, history.parquet, front.parquet and figure.png.
        cost: Which cost of an inference counts.
        data: Folder with the task's data, or hf://datasets/owner/name; its own by default.
        checkpoint: Weights (safetensors), or hf://owner/name; the task's own by default.
        config: The tile to start from as a file (JSON or TOML), see `jaxaimc config`; the tile circuit by default.
        train_weights: Train the network's weights along, on the same examples.
        weight_learning_rate: Of Adam for them.
        steps: Steps for each weight.
        learning_rate: Of Adam, in unconstrained numbers: near a bound, share of the distance from it.
        chips: Chips in every step.
        train_examples: Training examples, from the first.
        batch: Training examples of each chip in a step.
        polish: Steps of the other variables after rounding; they are kept by default.
        examples: Test examples of the evaluation, from the first.
        fresh_chips: Chips of the evaluation.
        seed: Seed of chips, reads and examples.
    """

    task: Positional[str] = DEMO
    variables: tuple[str, ...]
    weights: Annotated[tuple[float, ...], tyro.conf.arg(name="lambda")] = (0.01,)
    output: Path
    cost: Literal["energy", "latency", "area"] = "energy"
    data: Path | None = None
    checkpoint: Path | None = None
    config: Path | None = None
    train_weights: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    weight_learning_rate: float = 1e-3
    steps: int = 100
    learning_rate: float = 0.05
    chips: int = 1
    train_examples: int = 1000
    batch: int = 50
    polish: int = 0
    examples: int = 500
    fresh_chips: int = 4
    seed: int = 0

    def run(self) -> None:
        """Run the command."""
        startup.begin()
        import jax
        import optax

        from jaxaimc import design, nn

        named = [variable(text) for text in self.variables]
        task = load_task(self.task, self.data)
        # After the task, whose package may define components that the file names.
        config = read_config(self.config)
        checkpoint = None if self.checkpoint is None else hub.file(self.checkpoint)
        model = load_model(task, checkpoint)
        configs, variables = by_layer(named, config, [product.path for product in nn.products(model)])
        data, test = task.split("train").first(self.train_examples), task.split("test").first(self.examples)
        figure = {"energy": design.log_energy, "latency": design.log_latency, "area": design.log_area}[self.cost]
        objective = design.NetworkObjective.of(
            model, configs, data.inputs, data.targets, task.loss, figure=figure, batch=min(self.batch, len(data.inputs))
        )
        optimizer, key = optax.adam(self.learning_rate), jax.random.key(self.seed)
        of_weights = optax.adam(self.weight_learning_rate) if self.train_weights else None
        how: dict[str, Any] = {"key": key, "chips": self.chips, "parameter_optimizer": of_weights}
        console = Console()
        say(console, f"Task {task.name}, {len(variables)} variables, results in {self.output}")

        def finish(found: "design.Design", of_weight: Any) -> "design.Design":
            whole = any(one.integer for one in found.variables)
            return design.rounded(found, of_weight, optimizer, steps=self.polish, **how) if whole else found

        def figures(config: Any, parameters: Any = None) -> dict[str, float]:
            network = objective.model(parameters)
            exact = design.evaluate(task, network, config, test, chips=self.fresh_chips, seed=self.seed)
            return exact.figures()

        # From the first step on nothing more is refused.
        keep = functools.cache(lambda: keep_settings(self, self.output, config))
        try:
            with signals.gently(), _bar(len(self.weights), keep) as progress:
                front = design.pareto(
                    objective.with_weight,
                    configs,
                    variables,
                    self.weights,
                    optimizer,
                    names=["loss", self.cost],
                    steps=self.steps,
                    finish=finish,
                    check=figures,
                    parameters=objective.parameters if self.train_weights else None,
                    folder=self.output / "states",
                    notes=self._notes(checkpoint),
                    progress=progress,
                    **how,
                )
                before = figures(configs)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Interrupted: every finished step is kept in {self.output}; the same command goes on from there."
            ) from None
        self._show(console, front, before, task.metric)
        keep()
        self._write(console, front, objective, before, task.metric)

    def _notes(self, checkpoint: Path | None) -> dict[str, Any]:
        """Return what identifies the run besides configs, variables, chips and weight."""
        names = ["task", "cost", "learning_rate", "train_examples", "batch"]
        names += ["train_weights", "weight_learning_rate"] if self.train_weights else []
        digest = None if checkpoint is None else hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        return {**{name: getattr(self, name) for name in names}, "checkpoint": digest}

    def _show(self, console: Console, front: "design.Front", before: dict[str, float], metric: str) -> None:
        from jaxaimc.design.result import bounds, table
        from jaxaimc.units import format_si

        def text(name: str, value: float) -> str:
            if name == "area":
                return f"{1e6 * value:.4g} mm^2"
            return format_si(value, _UNITS[name]) if name in _UNITS else f"{value:.4f}"

        several = len(front.points) > 1
        columns = [f"weight {point.weight:g}" if several else "found" for point in front.points]
        rows = [
            [one.name, one.text(one.start), *(one.text(p.design.values[one.name]) for p in front.points), bounds(one)]
            for one in front.points[0].design.variables
        ]
        say(console, "\n" + table(["variable", "start", *columns, "bounds"], rows))
        rows = [
            [metric if name == "score" else name, text(name, before[name]),
             *(text(name, point.figures[name]) for point in front.points)]
            for name in ("loss", "score", "energy", "latency", "area")
        ]  # fmt: skip
        if several:
            rows.append(["", "", *("dominated" if point.dominated else "" for point in front.points)])
        say(console, "\n" + table(["evaluated", "before", *columns], rows))
        losses = ", ".join(f"{point.smooth.parts['loss']:.4f}" for point in front.points)
        say(
            console,
            f"first {self.examples:,} test examples, mean of {self.fresh_chips} fresh chips; before rounding, the loss "
            f"of training examples was {losses}\n",
        )

    def _write(
        self,
        console: Console,
        front: "design.Front",
        objective: "design.NetworkObjective",
        before: dict[str, float],
        metric: str,
    ) -> None:
        import polars

        from jaxaimc import design
        from jaxaimc._core.files import replacing
        from jaxaimc.design import figures
        from jaxaimc.tasks import checkpoints, weights

        written, trained = [], []
        for number, point in enumerate(front.points):
            config = point.design.config
            ends = [""] if number == len(front.points) - 1 else []
            ends += [f"-{number:02d}"] if len(front.points) > 1 else []
            for end in ends:
                if isinstance(config, AnalogConfig):
                    written.append(f"design{end}.json")
                    with replacing(self.output / written[-1]) as temporary:
                        temporary.write_text(dumps(config), encoding="utf-8")
                else:
                    written.append(f"layers{end}.json")
                    design.save_configs(self.output / written[-1], config)  # pyright: ignore[reportArgumentType]
                if point.design.parameters is not None:
                    trained.append(f"weights{end}.safetensors")
                    network = weights(objective.model(point.design.parameters))
                    checkpoints.save(self.output / trained[-1], network)
        tables = [
            polars.DataFrame(
                {"weight": [point.weight] * len(history["total"]), "step": range(len(history["total"])), **history}
            )
            for point in front.points
            for history in [dict(point.smooth.history)]
        ]
        with replacing(self.output / "history.parquet") as temporary:
            polars.concat(tables).write_parquet(temporary)
        with replacing(self.output / "front.parquet") as temporary:
            polars.DataFrame(_evaluated(front, before, metric)).write_parquet(temporary)
        units = {one.name: one.unit for point in front.points for one in point.design.variables}
        write_record(self.output, "design", {"metric": metric, "units": units})
        figures.save(front, self.output / "figure.png")
        for name, content in (
            (", ".join(sorted(written)), "configs"), (", ".join(sorted(trained)), "weights"),
            ("history.parquet", "history"), ("front.parquet", "designs"), ("figure.png", "figure"),
        ):  # fmt: skip
            if not name:
                continue
            say(console, f"{content + ':':9} {self.output / name}")


def _evaluated(front: "design.Front", before: dict[str, float], metric: str) -> list[dict[str, Any]]:
    """Return a row for the start and for each design: its variables and its figures by the ordinary evaluation."""

    def row(name: str, weight: float | None, values: dict[str, Any], figures: Any, dominated: bool | None) -> dict:
        found = {metric if key == "score" else key: float(figures[key]) for key in before}
        numbers = {key: float(value) for key, value in values.items()}
        return {"design": name, "weight": weight, **numbers, **found, "dominated": dominated}

    several = len(front.points) > 1
    start = {one.name: one.start for one in front.points[0].design.variables}
    rows = [row("start", None, start, before, None)]
    for number, point in enumerate(front.points):
        name = f"design-{number:02d}" if several else "design"
        rows.append(row(name, point.weight, dict(point.design.values), point.figures, point.dominated))
    return rows


@contextlib.contextmanager
def _bar(weights: int, keep: Callable[[], None]) -> Iterator[Callable[[int], Callable[[Any], None]]]:
    """Show a bar with weight, step, objective and time left, and keep the settings at the first step."""
    from jaxaimc.training.fit.progress import step_bar

    with step_bar() as bar:
        row = bar.add_task("design", total=1, status="compiling")

        def of_weight(number: int) -> Callable[[Any], None]:
            def show(progress: Any) -> None:
                keep()
                scalars = progress.scalars
                bar.update(
                    row,
                    description=f"weight {number + 1}/{weights}",
                    completed=progress.step,
                    total=progress.steps,
                    status=f"objective {scalars['total']:.4g}, loss {scalars['loss']:.4g}",
                )
                signals.check()

            return show

        yield of_weight
