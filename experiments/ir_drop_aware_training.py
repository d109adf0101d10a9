"""Does training on the real circuit close what Gaussian noise leaves open?

Run it with `python -m experiments.ir_drop_aware_training`.

Networks are put on 512-row tiles whose wires are worse than the published 0.15 ohm per segment: the embedded vision
transformer (columns of 49 to 128 rows in the middle of a tile), a wide one (columns of 196 to 512 rows), and a text
encoder on Banking77 (`--networks text --data FOLDER`). From the same digital weights, and for the same number of steps,
each is fine-tuned

- with Gaussian weight noise of several strengths; for every resistance and treatment the one that scores best on the
  test chips is taken, in its favour;
- through the circuit at that resistance: wires, quantisers, programming and read noise, a fresh chip in every step;
- through the circuit, with a digital gain and offset per column that are trained along and start from the calibration
  of one chip; they are the same for all chips.

Scores are on fresh chips with everything on. Networks that know nothing of the wires are scored a second time with a
per-column digital gain and offset fitted to the digital outputs of each chip after programming; for a network that was
trained through the circuit the digital outputs are no reference. Idle cells are held at the read voltage in training;
scores with open idle cells (`wires.OpenIdle`) are on fewer images, because those cost a solve per vector.

Every training and every score is kept in the output folder, and the same command goes on from there.
"""

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments import _ir_drop_report as report
from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.cli import startup
from jaxaimc.nn.chip import without_chip
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import Split, Task, load_model, load_task, weights
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import chips, fit, noise, objectives
from jaxaimc.wires import OpenIdle
from models.transformer import PatchEmbedding, Transformer

Record = report.Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is computed.

    Args:
        resistances: Wire resistances of each network [ohm per segment].
        strengths: Gaussian noise strengths, relative to a column's largest weight.
        steps: Steps of every fine-tuning.
        wide_epochs: Epochs of the wide network's digital training.
        text_epochs: Epochs of the text encoder's digital training.
        seeds: Seeds of every fine-tuning.
        chips: Fresh chips of every score.
        examples: Test examples of every score.
        calibration: Training examples that the per-column calibration reads.
        open_resistances: Wire resistances at which idle cells are open as well [ohm per segment].
        open_chips: Fresh chips of a score with open idle cells.
        open_examples: Test examples of a score with open idle cells.
        open_calibration: Training examples that the calibration reads with open idle cells.
    """

    resistances: dict[str, tuple[float, ...]]
    strengths: tuple[float, ...]
    steps: int
    wide_epochs: int
    text_epochs: int
    seeds: int
    chips: int
    examples: int
    calibration: int
    open_resistances: dict[str, tuple[float, ...]]
    open_chips: int
    open_examples: int
    open_calibration: int


REDUCED = Settings(
    resistances={"embedded": (3.0, 20.0, 80.0), "wide": (2.0, 16.0, 40.0), "text": (3.0, 80.0)},
    strengths=(0.04, 0.1, 0.2, 0.35),
    steps=234,
    wide_epochs=6,
    text_epochs=20,
    seeds=2,
    chips=4,
    examples=2000,
    calibration=500,
    open_resistances={"embedded": (3.0,), "wide": (), "text": ()},
    open_chips=2,
    open_examples=100,
    open_calibration=50,
)
FULL = Settings(
    resistances={
        "embedded": (2.0, 3.0, 6.0, 20.0, 40.0, 80.0, 120.0),
        "wide": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0),
        "text": (2.0, 3.0, 6.0, 20.0, 40.0, 80.0, 120.0),
    },
    strengths=(0.02, 0.04, 0.08, 0.15, 0.2, 0.35, 0.5),
    steps=2340,
    wide_epochs=30,
    text_epochs=40,
    seeds=3,
    chips=16,
    examples=10_000,
    calibration=2000,
    open_resistances={"embedded": (3.0, 20.0, 80.0), "wide": (2.0, 8.0, 16.0), "text": (3.0, 20.0, 80.0)},
    open_chips=4,
    open_examples=1000,
    open_calibration=500,
)


def wide_network(key: jax.Array) -> Transformer:
    """Make an untrained vision transformer with long columns: four tokens of 256 features, perceptrons of 512."""
    rngs = nnx.Rngs(key)
    patches = PatchEmbedding(size=28, patch=14, width=256, mean=0.2860, deviation=0.3530, rngs=rngs)
    return Transformer(patches, length=4, width=256, layers=2, heads=4, hidden=512, classes=10, rngs=rngs)


def network(name: str, settings: Settings, output: Path, data: Path | None = None) -> tuple[Task, nnx.Module]:
    """Return the task of a network and its digitally trained weights.

    Args:
        name: `"embedded"`, `"wide"` or `"text"`; the last two are trained here.
        settings: How long.
        output: Folder of the experiment.
        data: Folder with Banking77, for the text encoder.
    """
    if name == "text":
        task = load_task("models.text:banking77", data)
        recipe = dataclasses.replace(task.recipe, epochs=settings.text_epochs)
        return task, fit(task, recipe, directory=output / "text" / "digital").model
    task = load_task("models.vit:fashion_mnist")
    if name == "embedded":
        return task, load_model(task)
    task = dataclasses.replace(task, name="fashion_mnist_wide", build=wide_network, default_checkpoint=None)
    recipe = dataclasses.replace(task.recipe, epochs=settings.wide_epochs, learning_rate=1e-3)
    return task, fit(task, recipe, directory=output / "wide" / "digital").model


def tiles(r: float) -> AnalogConfig:
    """Return the tile circuit with another wire resistance [ohm per segment]."""
    config = presets.tile_circuit()
    return dataclasses.replace(config, wires=dataclasses.replace(config.wires, r=r))  # type: ignore[arg-type]


def with_open_idle_cells(model: nnx.Module, r: float) -> nnx.Module:
    """Return an analog model whose idle cells are disconnected; corrections and ranges stay."""
    config = dataclasses.replace(tiles(r), wires=OpenIdle(r=r))
    changed = nnx.clone(model)
    for dot in analog_products(changed):
        dot.config.set_value(config)
    return changed


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of fine-tuning.

    Args:
        name: Name in the table.
        forward: How the network is seen in training; None for the digital weights as they are.
        r: Wire resistance that training knows about [ohm per segment], None for none.
        gains: Whether a digital gain and offset per column are trained along.
    """

    name: str
    forward: objectives.Forward | None
    r: float | None = None
    gains: bool = False


def methods(settings: Settings, r: float) -> list[Method]:
    """Return the ways of fine-tuning for a wire resistance [ohm per segment]."""
    noises = [noise.AdditiveNoise(scale=strength) for strength in settings.strengths]
    gaussian = [Method(f"Gaussian {kind.scale:g}", objectives.weight_noise(kind)) for kind in noises]
    through = objectives.circuit()
    return [
        Method("digital", None),
        *gaussian,
        Method("circuit", through, r),
        Method("circuit+gains", through, r, gains=True),
    ]


def shortened(task: Task, steps: int) -> tuple[Task, int]:
    """Return a task and the epochs that make about `steps` steps; fewer than an epoch take the first examples."""
    per_epoch = len(task.split("train")) // task.recipe.batch
    if steps >= per_epoch:
        return task, round(steps / per_epoch)

    def split(name: str) -> Split:
        whole = task.split(name)
        return whole.first(steps * task.recipe.batch) if name == "train" else whole

    return dataclasses.replace(task, split=split), 1


@dataclasses.dataclass(frozen=True)
class Study:
    """One network: its digital weights, its fine-tunings and their scores.

    Args:
        settings: How much.
        name: Name of the network.
        task: Its task.
        start: Its digital weights.
        output: Folder of the experiment.
    """

    settings: Settings
    name: str
    task: Task
    start: nnx.Module
    output: Path

    def calibrated(self, chip: nnx.Module, key: jax.Array, *, examples: int) -> nnx.Module:
        """Return a chip with a gain and an offset per column, fitted to the digital outputs for some examples."""
        return nn.calibrate_columns(chip, [jnp.asarray(self.task.split("train").inputs[:examples])], key)

    def fine_tuned(self, method: Method, r: float, seed: int) -> nnx.Module:
        """Return the network after fine-tuning, analog at a wire resistance `r` [ohm per segment]."""
        if method.forward is None:
            return nn.convert(self.start, tiles(r))
        converted = nn.convert(self.start, tiles(method.r or 0.0))
        if method.gains:
            key = jax.random.key(seed)
            chip = nn.program(converted, key)
            converted = without_chip(self.calibrated(chip, key, examples=self.settings.calibration))
        task, epochs = shortened(self.task, self.settings.steps)
        where = "" if method.r is None else f" {method.r:g} ohm"
        trained = fit(
            task,
            dataclasses.replace(task.recipe, epochs=epochs, learning_rate=1e-3, warmup=0.1, seed=seed),
            directory=self.output / self.name / f"{method.name}{where}, seed {seed}",
            model=converted,
            objective=objectives.objective(task.loss, method.forward),
            scorer=lambda task, model, split: float("nan"),  # scored below, on more than one chip
            notes={"method": method.name, "r": method.r},
        ).model
        if method.gains:
            return trained
        plain = self.task.build(jax.random.key(0))
        nnx.update(plain, weights(trained))
        return nn.convert(plain, tiles(r))

    def score(self, method: Method, r: float, seed: int, idle: str, *, calibrated: bool) -> list[float]:
        """Return the accuracy on every fresh chip."""
        model = self.fine_tuned(method, r, seed)
        opened = idle == "open"
        if opened:
            model = with_open_idle_cells(model, r)
        settings = self.settings
        references = settings.open_calibration if opened else settings.calibration
        found = chips.fresh_chips(
            self.task,
            model,
            self.task.split("test").first(settings.open_examples if opened else settings.examples),
            chips=settings.open_chips if opened else settings.chips,
            finish=functools.partial(self.calibrated, examples=references) if calibrated else None,
        )
        return [float(score) for score in found]

    def held(self) -> Iterator[tuple[Method, float, int, bool]]:
        """Yield what is scored with held idle cells: method, resistance, seed, whether calibrated."""
        for seed in range(self.settings.seeds):
            for r in self.settings.resistances[self.name]:
                for method in methods(self.settings, r):
                    if method.forward is None and seed:
                        continue
                    yield method, r, seed, False
                    if method.r is None:
                        yield method, r, seed, True

    def opened(self, records: list[Record]) -> Iterator[tuple[Method, float, int, bool]]:
        """Yield what is scored with open idle cells: of the Gaussian strengths the best with held ones, one seed."""
        best = {
            (row["r"], row["method"], row["calibrated"]) for row in report.best(records) if row["network"] == self.name
        }
        for r in self.settings.open_resistances[self.name]:
            for method in methods(self.settings, r):
                for calibrated in (False, True):
                    if (r, method.name, calibrated) in best:
                        yield method, r, 0, calibrated

    def run(self, log: "Log") -> None:
        """Compute all scores that are not there yet."""
        place = {"network": self.name, "r": 0.0, "idle": "none", "method": "software", "seed": 0, "calibrated": False}
        test = self.task.split("test").first(self.settings.examples)
        log.add(place, lambda: [mean_score(self.task, self.start, test)])
        for idle in ("held", "open"):
            for method, r, seed, calibrated in self.held() if idle == "held" else self.opened(log.records):
                place = {"network": self.name, "r": r, "idle": idle, "method": method.name, "seed": seed}
                compute = functools.partial(self.score, method, r, seed, idle, calibrated=calibrated)
                log.add({**place, "calibrated": calibrated}, compute)


class Log:
    """All scores, one line of JSON each; a line that a killed run left half written is dropped.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self.path = path
        text = path.read_text() if path.is_file() else ""
        self.records: list[Record] = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        path.write_text("".join(json.dumps(record) + "\n" for record in self.records))

    def add(self, place: Record, compute: Callable[[], list[float]]) -> None:
        """Compute, write and print a score unless it is there."""
        if any(all(record[name] == value for name, value in place.items()) for record in self.records):
            return
        record = {**place, "scores": compute()}
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        print(report.show(report.summary([record])[0]), flush=True)


def main() -> None:
    """Compute, print the table and draw the figure."""
    startup.prefer_short_compilation()
    parser = argparse.ArgumentParser(
        description="Does training on the real circuit close what Gaussian noise leaves open?"
    )
    parser.add_argument("--output", type=Path, default=Path("results/ir_drop_aware_training"))
    parser.add_argument("--full", action="store_true", help="all resistances, strengths, seeds and test examples")
    parser.add_argument("--networks", nargs="+", choices=("embedded", "wide", "text"), default=["embedded", "wide"])
    parser.add_argument("--data", type=Path, help="folder with Banking77, for the text encoder")
    parser.add_argument("--resistances", type=float, nargs="+", help="wire resistances [ohm per segment]")
    parser.add_argument("--open-resistances", type=float, nargs="*", help="those with open idle cells as well [ohm]")
    parser.add_argument("--strengths", type=float, nargs="+", help="Gaussian noise strengths")
    numbers = (
        "steps",
        "wide_epochs",
        "text_epochs",
        "seeds",
        "chips",
        "examples",
        "open_chips",
        "open_examples",
        "open_calibration",
    )
    for name in numbers:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    arguments = parser.parse_args()
    given: dict[str, Any] = {name: getattr(arguments, name) for name in numbers if getattr(arguments, name)}
    for name in ("resistances", "open_resistances"):
        if getattr(arguments, name) is not None:
            given[name] = dict.fromkeys(arguments.networks, tuple(getattr(arguments, name)))
    if arguments.strengths:
        given["strengths"] = tuple(arguments.strengths)
    settings = dataclasses.replace(FULL if arguments.full else REDUCED, **given)
    arguments.output.mkdir(parents=True, exist_ok=True)
    log = Log(arguments.output / "scores.jsonl")
    for name in arguments.networks:
        Study(settings, name, *network(name, settings, arguments.output, arguments.data), arguments.output).run(log)
    chosen = report.best(log.records)
    report.write_table(chosen, arguments.output / "table.csv")
    scored = [idle for idle in ("held", "open") if any(row["idle"] == idle for row in chosen)]
    tables = [report.markdown(chosen, idle) for idle in scored]
    (arguments.output / "table.md").write_text("\n\nOpen idle cells:\n\n".join(tables) + "\n")
    report.figure(chosen, arguments.output / "figure.png")
    print("\n" + "\n".join(report.show(row) for row in chosen))
    print("\n" + "\n".join(report.verdicts(chosen)))
    print(f"\nTable and figure: {arguments.output}")


if __name__ == "__main__":
    main()
