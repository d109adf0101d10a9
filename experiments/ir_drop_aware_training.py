"""Does training on the real circuit close what Gaussian noise leaves open?

Run it with `python -m experiments.ir_drop_aware_training`.

Networks are put on 512-row tiles whose wires are worse than the published 0.15 ohm per segment: the embedded vision
transformer (columns of 49 to 128 rows in the middle of a tile), a wide one (columns of 196 to 512 rows), a text encoder
on Banking77 (`--networks text --data FOLDER`) and MiniLM on the same sentences (`--networks minilm`). There are two
circuits: idle cells stay connected (*held*), or are disconnected by their transistor (*open*), so that the wires are
loaded by the rows that are active now. From the same digital weights, and for the same number of steps, each network is
fine-tuned

- with Gaussian weight noise of several strengths; for every resistance and treatment the one that scores best on the
  test chips is taken, in its favour;
- through the circuit with held idle cells at that resistance: wires, quantisers, programming and read noise, a fresh
  chip in every step;
- through the circuit with open idle cells by mean field (`wires.MeanField`), the profile of the rows' activity
  following the batches;
- through either with a digital gain and offset per column that are trained along and start from the calibration of one
  chip; they are the same for all chips;
- the last with open idle cells solved by blocks of rows (`wires.Blocks`), to see what mean field leaves out.

Scores are on fresh chips with everything on. Networks that know nothing of the wires are scored a second time with a
per-column digital gain and offset fitted to the digital outputs of each chip after programming; for a network that was
trained through the circuit the digital outputs are no reference. Chips with open idle cells are read by `wires.Blocks`;
its error over the effect of the wires, by finer blocks, is kept with each score and printed at the end.

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
from experiments._ir_drop_networks import NETWORKS, network, shortened, tiles
from jaxaimc import nn
from jaxaimc.cli import startup
from jaxaimc.nn.activity import layer_inputs, method_errors
from jaxaimc.nn.chip import without_chip
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import Task, weights
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import chips, fit, noise, objectives
from jaxaimc.wires import Blocks, IdleMethod, MeanField

Record = report.Record

# Training examples from which the profiles of the rows' activity are taken at the start.
_PROFILE = 256
# Error of the blocks that are trained through, over the effect of the wires [1].
_TRAINING_ERROR = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is computed.

    Args:
        resistances: Wire resistances of each network with held idle cells [ohm per segment].
        open_resistances: The same with open idle cells.
        block_resistances: Those at which one seed is trained through blocks as well, at several times the cost.
        strengths: Gaussian noise strengths, relative to a column's largest weight.
        steps: Steps of every fine-tuning.
        learning_rate: Largest learning rate of every fine-tuning, by network.
        wide_epochs: Epochs of the wide network's digital training.
        text_epochs: Epochs of the text encoder's digital training.
        seeds: Seeds of every fine-tuning.
        chips: Fresh chips of every score.
        examples: Test examples of every score.
        calibration: Training examples that the per-column calibration reads.
        open_chips: Fresh chips of a score with open idle cells.
        open_examples: Test examples of a score with open idle cells.
    """

    resistances: dict[str, tuple[float, ...]]
    open_resistances: dict[str, tuple[float, ...]]
    block_resistances: dict[str, tuple[float, ...]]
    strengths: tuple[float, ...]
    steps: int
    learning_rate: dict[str, float] = dataclasses.field(
        default_factory=lambda: {"embedded": 1e-3, "wide": 1e-3, "text": 1e-3, "minilm": 1e-4}
    )
    wide_epochs: int
    text_epochs: int
    seeds: int
    chips: int
    examples: int
    calibration: int
    open_chips: int
    open_examples: int


REDUCED = Settings(
    resistances={"embedded": (3.0, 20.0, 80.0), "wide": (2.0, 16.0, 40.0), "text": (3.0, 80.0), "minilm": ()},
    open_resistances={
        "embedded": (3.0, 20.0, 80.0, 200.0),
        "wide": (2.0, 16.0, 40.0),
        "text": (3.0, 80.0),
        "minilm": (2.0,),
    },
    block_resistances={"embedded": (20.0, 80.0), "wide": (), "text": (), "minilm": ()},
    strengths=(0.04, 0.1, 0.2, 0.35),
    steps=234,
    wide_epochs=6,
    text_epochs=20,
    seeds=2,
    chips=4,
    examples=2000,
    calibration=500,
    open_chips=4,
    open_examples=2000,
)
FULL = Settings(
    resistances={
        "embedded": (2.0, 3.0, 6.0, 20.0, 40.0, 80.0, 120.0),
        "wide": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0),
        "text": (2.0, 3.0, 6.0, 20.0, 40.0, 80.0, 120.0),
        "minilm": (0.5, 2.0, 8.0),
    },
    open_resistances={
        "embedded": (3.0, 6.0, 20.0, 40.0, 80.0, 120.0),
        "wide": (1.0, 2.0, 4.0, 8.0, 16.0, 40.0),
        "text": (3.0, 6.0, 20.0, 40.0, 80.0, 120.0),
        "minilm": (0.5, 2.0, 8.0),
    },
    block_resistances={"embedded": (20.0, 80.0), "wide": (16.0, 40.0), "text": (80.0,), "minilm": ()},
    strengths=(0.02, 0.04, 0.08, 0.15, 0.2, 0.35, 0.5),
    steps=2340,
    wide_epochs=30,
    text_epochs=40,
    seeds=3,
    chips=16,
    examples=10_000,
    calibration=2000,
    open_chips=16,
    open_examples=10_000,
)


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of fine-tuning.

    Args:
        name: Name in the table.
        forward: How the network is seen in training; None for the digital weights as they are.
        r: Wire resistance that training knows about [ohm per segment], None for none.
        open_idle: How columns with open idle cells are solved in training; None where idle cells are held.
        gains: Whether a digital gain and offset per column are trained along.
    """

    name: str
    forward: objectives.Forward | None
    r: float | None = None
    open_idle: IdleMethod | None = None
    gains: bool = False

    @property
    def label(self) -> str:
        """Name with the resistance."""
        return self.name if self.r is None else f"{self.name} {self.r:g} ohm"


def methods(settings: Settings, r: float, idle: str) -> list[Method]:
    """Return the ways of fine-tuning for a wire resistance [ohm per segment] and a state of idle cells."""
    noises = [noise.AdditiveNoise(scale=strength) for strength in settings.strengths]
    gaussian = [Method(f"Gaussian {kind.scale:g}", objectives.weight_noise(kind)) for kind in noises]
    circuits: dict[str, IdleMethod | None] = {"held": None}
    if idle == "open":
        circuits |= {"open": MeanField(), "open, blocks": Blocks(error=_TRAINING_ERROR)}
    through = [
        Method(f"{circuit}{'+gains' if gains else ''}", objectives.circuit(), r, open_idle, gains)
        for circuit, open_idle in circuits.items()
        # Blocks cost several times as much, so that they are trained through the better way only.
        for gains in ((True,) if circuit == "open, blocks" else (False, True))
    ]
    return [Method("digital", None), *gaussian, *through]


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

    def some(self, count: int) -> jax.Array:
        """Return the first training examples."""
        return jnp.asarray(self.task.split("train").inputs[:count])

    def calibrated(self, chip: nnx.Module, key: jax.Array) -> nnx.Module:
        """Return a chip with a gain and an offset per column, fitted to the digital outputs for some examples."""
        return nn.calibrate_columns(chip, [self.some(self.settings.calibration)], key)

    def fine_tuned(self, method: Method, seed: int) -> nnx.Module:
        """Return the network after fine-tuning, analog and without a chip."""
        converted = nn.convert(self.start, tiles(method.r or 0.0, method.open_idle))
        if method.forward is None:
            return converted
        converted = nn.with_activity(converted, self.some(_PROFILE))
        if method.gains:
            key = jax.random.key(seed)
            converted = without_chip(self.calibrated(nn.program(converted, key), key))
        task, epochs = shortened(self.task, self.settings.steps)
        rate = self.settings.learning_rate[self.name]
        return fit(
            task,
            dataclasses.replace(task.recipe, epochs=epochs, learning_rate=rate, warmup=0.1, seed=seed),
            directory=self.output / self.name / f"{method.label}, seed {seed}",
            model=converted,
            objective=objectives.objective(task.loss, method.forward),
            scorer=lambda task, model, split: float("nan"),  # scored below, on more than one chip
            notes={"method": method.name, "r": method.r},
        ).model

    def on_tiles(self, method: Method, r: float, seed: int, idle: str) -> nnx.Module:
        """Return the fine-tuned network as it is scored; column gains that were trained stay."""
        model = self.fine_tuned(method, seed)
        config = tiles(r, Blocks() if idle == "open" else None)
        if method.gains:
            model = nnx.clone(model)
            for dot in analog_products(model):
                dot.config.set_value(config)
        else:
            plain = self.task.build(jax.random.key(0))
            nnx.update(plain, weights(model))
            model = nn.convert(plain, config)
        # The profile that the trained network has, for read noise.
        return nn.with_activity(model, self.some(_PROFILE))

    def score(self, method: Method, r: float, seed: int, idle: str, *, calibrated: bool) -> Record:
        """Return the accuracy on every fresh chip, and the error of the wires' method."""
        settings, opened = self.settings, idle == "open"
        model = self.on_tiles(method, r, seed, idle)
        found = chips.fresh_chips(
            self.task,
            model,
            self.task.split("test").first(settings.open_examples if opened else settings.examples),
            chips=settings.open_chips if opened else settings.chips,
            finish=self.calibrated if calibrated else None,
        )
        scores = [float(score) for score in found]
        if not opened:
            return {"scores": scores}
        chip = nn.program(model, jax.random.key(seed))
        errors = method_errors(chip, layer_inputs(chip, self.some(8)))
        return {"scores": scores, "wires_error": [float(error) for error in errors.values()]}

    def spared(self, method: Method, seed: int) -> bool:
        """Return whether a fine-tuning is not repeated for a seed, or not done at all."""
        if isinstance(method.open_idle, Blocks):
            return bool(seed) or method.r not in self.settings.block_resistances[self.name]
        return method.forward is None and bool(seed)

    def wanted(self, idle: str) -> Iterator[tuple[Method, float, int, bool]]:
        """Yield what is scored with idle cells held or open: method, resistance, seed, whether calibrated."""
        of_networks = self.settings.open_resistances if idle == "open" else self.settings.resistances
        for seed in range(self.settings.seeds):
            for r in of_networks[self.name]:
                for method in methods(self.settings, r, idle):
                    if self.spared(method, seed):
                        continue
                    yield method, r, seed, False
                    if method.r is None:
                        yield method, r, seed, True

    def run(self, log: "Log") -> None:
        """Compute all scores that are not there yet."""
        place = {"network": self.name, "r": 0.0, "idle": "none", "method": "software", "seed": 0, "calibrated": False}
        test = self.task.split("test").first(self.settings.examples)
        log.add(place, lambda: {"scores": [mean_score(self.task, self.start, test)]})
        for idle in ("held", "open"):
            for method, r, seed, calibrated in self.wanted(idle):
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

    def add(self, place: Record, compute: Callable[[], Record]) -> None:
        """Compute, write and print a score unless it is there."""
        if any(all(record[name] == value for name, value in place.items()) for record in self.records):
            return
        record = {**place, **compute()}
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.records.append(record)
        print(report.show(report.summary([record])[0]), flush=True)


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Return how much is computed, from the command line."""
    numbers = [field.name for field in dataclasses.fields(Settings) if field.type is int]
    given: dict[str, Any] = {name: getattr(arguments, name) for name in numbers if getattr(arguments, name)}
    for name in ("resistances", "open_resistances", "block_resistances"):
        if getattr(arguments, name) is not None:
            given[name] = dict.fromkeys(arguments.networks, tuple(getattr(arguments, name)))
    if arguments.strengths:
        given["strengths"] = tuple(arguments.strengths)
    return dataclasses.replace(FULL if arguments.full else REDUCED, **given)


def main() -> None:
    """Compute, print the table and draw the figure."""
    startup.prefer_short_compilation()
    parser = argparse.ArgumentParser(
        description="Does training on the real circuit close what Gaussian noise leaves open?"
    )
    parser.add_argument("--output", type=Path, default=Path("results/ir_drop_aware_training"))
    parser.add_argument("--full", action="store_true", help="all resistances, strengths, seeds and test examples")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["embedded", "wide"])
    parser.add_argument("--data", type=Path, help="folder with Banking77, for the text encoder and MiniLM")
    parser.add_argument("--resistances", type=float, nargs="*", help="with held idle cells [ohm per segment]")
    parser.add_argument("--open-resistances", type=float, nargs="*", help="with open idle cells [ohm per segment]")
    parser.add_argument("--block-resistances", type=float, nargs="*", help="those also trained through blocks")
    parser.add_argument("--strengths", type=float, nargs="+", help="Gaussian noise strengths")
    for field in dataclasses.fields(Settings):
        if field.type is int:
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=int)
    arguments = parser.parse_args()
    settings = settings_from(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    log = Log(arguments.output / "scores.jsonl")
    epochs = {"wide_epochs": settings.wide_epochs, "text_epochs": settings.text_epochs}
    for name in arguments.networks:
        task, start = network(name, arguments.output, data=arguments.data, **epochs)
        Study(settings, name, task, start, arguments.output).run(log)
    report.write(log.records, arguments.output)


if __name__ == "__main__":
    main()
