"""The main job: what an analog chip does to a network's accuracy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxaimc import nn
from jaxaimc.config import AnalogConfig
from jaxaimc.evaluation import engine
from jaxaimc.evaluation.scenarios import Scenario, Settings, drifts, effects, resistances
from jaxaimc.presets import tile_circuit
from jaxaimc.tasks import Split, Task, check_contract, load_model
from jaxaimc.training.scoring import evaluate as digital_score

Row = dict[str, Any]


class Progress(NamedTuple):
    """Where an evaluation stands.

    Args:
        done: Network passes done (examples times chips).
        total: Network passes of this call; scenarios that the store already holds do not count.
        scenario: What is being computed.
        row: Summary of the scenario that was just finished, or None.
    """

    done: int
    total: int
    scenario: str
    row: Row | None = None


class Store(Protocol):
    """Keeps finished results, so that an interrupted evaluation goes on where it stopped."""

    def scores(self) -> list[Row]:
        """Return the score rows already there."""
        ...

    def layers(self) -> list[Row]:
        """Return the layer rows already there."""
        ...

    def add(self, scores: list[Row], layers: list[Row]) -> None:
        """Keep the rows of one finished scenario."""
        ...


@dataclass
class Memory:
    """A store that forgets with the process."""

    _scores: list[Row] = field(default_factory=list)
    _layers: list[Row] = field(default_factory=list)

    def scores(self) -> list[Row]:
        """Return the score rows."""
        return list(self._scores)

    def layers(self) -> list[Row]:
        """Return the layer rows."""
        return list(self._layers)

    def add(self, scores: list[Row], layers: list[Row]) -> None:
        """Keep rows."""
        self._scores += scores
        self._layers += layers


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`.

    Args:
        task: Name of the task.
        metric: Name of the metric.
        chance: Metric of guessing.
        scores: One row per scenario and chip: study, name, t [s], compensated, r [ohm], random, chip, examples, score.
        layers: One row per effect, layer and chip: name, layer, chip, error (relative root mean square).
    """

    task: str
    metric: str
    chance: float
    scores: list[Row]
    layers: list[Row]

    def summary(self) -> list[Row]:
        """Return one row per scenario: its fields, and mean, standard deviation (None for one) and number of chips."""
        return summarise(self.scores)


def summarise(scores: list[Row]) -> list[Row]:
    """Gather the chips of every scenario.

    Args:
        scores: One row per scenario and chip.

    Returns:
        One row per scenario, in order of appearance: its fields, and `chips`, `mean` and `std` (None for one chip).
    """
    groups: dict[tuple, list[Row]] = {}
    for row in scores:
        groups.setdefault(_identity(row), []).append(row)
    return [_summary(rows) for rows in groups.values()]


def evaluate(
    task: Task,
    config: AnalogConfig | None = None,
    *,
    model: nn.Module | None = None,
    settings: Settings | None = None,
    store: Store | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Evaluation:
    """Put every linear layer of a network on analog tiles and measure what each effect does to its score.

    The studies, in this order: the digital network; each effect alone and all together; everything together at
    several times since programming, without and with drift compensation; wire resistance from zero to past the cliff.

    Args:
        task: Network, data and metric.
        config: The tile of every layer; `presets.tile_circuit()` by default.
        model: Trained network; the task's own by default.
        settings: How much is evaluated.
        store: Where finished scenarios are kept, and not computed again; in memory by default.
        progress: Called during and after every scenario.

    Returns:
        All scores and per-layer errors.

    Raises:
        ValueError: If a field of the config is out of range.
        FileNotFoundError: If the task's data or weights are missing.

    Example:
        >>> from jaxaimc import AnalogConfig, adcs, devices, wires
        >>> from jaxaimc.evaluation import Settings, evaluate
        >>> from jaxaimc.tasks import load_task
        >>> ideal = AnalogConfig(device=devices.IdealDevice(), wires=wires.NoWires(), adc=adcs.IdealADC())
        >>> few = Settings(examples=8, chips=1, times=(), layer_examples=8)
        >>> result = evaluate(load_task("models.vit:fashion_mnist"), ideal, settings=few)
        >>> [row["name"] for row in result.summary()][:3]
        ['digital', 'input pulses only', 'ADC only']
    """
    config = tile_circuit() if config is None else config
    config.validate()
    settings = settings or Settings()
    model = load_model(task) if model is None else model
    store = store if store is not None else Memory()
    test = task.split("test").first(settings.examples)
    check_contract(task, model, test, "test")
    plan = [
        *effects(config),
        *drifts(config, settings.times),
        *resistances(config, settings.resistances, min(settings.sweep_examples, len(test))),
    ]
    finished = {_identity(row) for row in store.scores()}
    todo = [scenario for scenario in plan if _identity(vars(scenario)) not in finished]
    report = _Reporter(progress, sum(_passes(scenario, settings, test) for scenario in todo))
    for scenario in todo:
        rows, layers = _run(scenario, task, model, settings, test, report)
        store.add(rows, layers)
        report.finish(*summarise(rows))
    return Evaluation(
        task=task.name, metric=task.metric, chance=task.chance, scores=store.scores(), layers=store.layers()
    )


def _run(
    scenario: Scenario, task: Task, model: nn.Module, settings: Settings, test: Split, report: "_Reporter"
) -> tuple[list[Row], list[Row]]:
    """Compute one scenario."""
    report.start(scenario.name)
    split = test.first(scenario.examples)
    if scenario.config is None:
        score = digital_score(task, model, split)
        report.step(len(split))
        return [_row(scenario, examples=len(split), chip=0, score=score)], []
    # Scenarios without randomness run on as many equal chips, so that they share compilations; one is reported.
    chip_keys, read_keys = engine.chip_keys(settings.seed, settings.chips)
    chips = engine.program_chips(model, scenario.config, chip_keys, scenario.t, compensated=scenario.compensated)
    parts = []
    for part in engine.scores(task, model, scenario.config, chips, read_keys, split, settings.batch):
        parts.append(part)
        report.step(part.size)
    per_chip = np.concatenate(parts, axis=1).mean(axis=1, dtype=np.float64)
    reported = range(settings.chips if scenario.random else 1)
    rows = [_row(scenario, examples=len(split), chip=chip, score=float(per_chip[chip])) for chip in reported]
    layers = []
    if scenario.study == "effect":
        inputs = test.first(settings.layer_examples).inputs
        errors = engine.layer_errors(model, scenario.config, chips, read_keys, inputs)
        layers = [
            {"name": scenario.name, "layer": path, "chip": chip, "error": float(error[chip])}
            for path, error in errors.items()
            for chip in reported
        ]
    return rows, layers


def _row(scenario: Scenario, *, examples: int, chip: int, score: float) -> Row:
    return {
        "study": scenario.study,
        "name": scenario.name,
        "t": scenario.t,
        "compensated": scenario.compensated,
        "r": scenario.r,
        "random": scenario.random,
        "examples": examples,
        "chip": chip,
        "score": score,
    }


def _identity(row: dict[str, Any]) -> tuple:
    return row["study"], row["name"], row["t"], row["compensated"], row["r"]


def _summary(rows: list[Row]) -> Row:
    values = np.array([row["score"] for row in rows])
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    kept = {key: value for key, value in rows[0].items() if key not in ("chip", "score")}
    return {**kept, "chips": len(rows), "mean": float(values.mean()), "std": spread}


def _passes(scenario: Scenario, settings: Settings, test: Split) -> int:
    chips = 1 if scenario.config is None else settings.chips
    return chips * min(scenario.examples or len(test), len(test))


class _Reporter:
    """Counts network passes and passes them on."""

    def __init__(self, progress: Callable[[Progress], None] | None, total: int):
        self._progress = progress or (lambda _: None)
        self._total = total
        self._done = 0
        self._name = ""

    def start(self, name: str) -> None:
        self._name = name
        self.step(0)

    def step(self, passes: int) -> None:
        self._done += passes
        self._progress(Progress(self._done, self._total, self._name))

    def finish(self, row: Row) -> None:
        self._progress(Progress(self._done, self._total, self._name, row))
