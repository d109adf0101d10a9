"""Studies of a network on analog tiles, and the standard one, which measures what each effect does to its score."""

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxaimc import nn
from jaxaimc._core.ahead import Ahead, Call, directly
from jaxaimc._core.checks import warn_of_lost_inputs
from jaxaimc.config.by_rule import Configs, each, parts_of
from jaxaimc.cost import AssumedCostWarning, InvalidCostWarning
from jaxaimc.nn.activity import layer_inputs, method_errors, with_activity_of
from jaxaimc.presets import tile_circuit
from jaxaimc.studies import memory
from jaxaimc.studies.measure import Measurements, Reporter
from jaxaimc.studies.results import Evaluation, EvaluationProgress, Memory, Rows, Store, summarise
from jaxaimc.studies.scenarios import Scenario, Settings, standard
from jaxaimc.studies.store import fingerprint
from jaxaimc.tasks import Split, Task, check_contract, load_model
from jaxaimc.tasks.chips import LayerInputs, lost_inputs

# Test examples from which the activity of rows is known, and the error of the wires' method.
_PROFILED = 64
# Test examples of which the cost is known.
_COSTED = 16

Progress = Callable[[EvaluationProgress], None]


@dataclass(frozen=True)
class Study:
    """A list of scenarios on one network.

    Args:
        task: Network, data and metric.
        model: Trained network.
        scenarios: What is measured, in this order.
        settings: On how many chips and examples.
        network: Anything further that the results follow from, as JSON values; results in a store are found by it.

    Raises:
        ValueError: If a field of a config is out of range, the config does not fit the network, or there is not enough
            memory for so many chips. Nothing has been computed then.
        FileNotFoundError: If the task's data are missing.
    """

    task: Task
    model: nn.Module
    scenarios: Sequence[Scenario]
    settings: Settings
    network: Any = None

    def __post_init__(self) -> None:
        for scenario in self.scenarios:
            for part in () if (config := scenario.config) is None else parts_of(config):
                part.validate()
        check_contract(self.task, self.model, self.test, "test")
        _ = self._lock  # made before there are threads
        if self.layers:
            for scenario in self.scenarios:
                self._check_digital(scenario)
            memory.check_rows(list(self.scenarios), self.settings, len(self.layers))
            _ = self._at_once  # refuses what cannot be programmed

    @cached_property
    def test(self) -> Split:
        """The examples."""
        return self.task.split("test").first(self.settings.examples)

    @cached_property
    def layers(self) -> list[str]:
        """Paths of the network's analog layers."""
        if self._whole is None:
            return []
        return [product.path for product in nn.products(nn.convert(self.model, self._whole)) if product.analog]

    @cached_property
    def summary(self) -> nn.Summary:
        """What the network takes of a chip, a call being one example: products, tiles, conversions."""
        model = self.model if self._whole is None else nn.convert(self.model, self._whole)
        return nn.summary(model, self.test.first(1).inputs)

    @cached_property
    def keys(self) -> list[str]:
        """One hash for each scenario, of all that its result follows from."""
        how = {"network": self.network, "seed": self.settings.seed, "chips": self.settings.chips}
        how |= {"layers": self.layers, "layer_examples": min(self.settings.layer_examples, len(self.test))}
        return [
            fingerprint({**how, **scenario.facts(), "examples": len(self.test.first(scenario.examples))})
            for scenario in self.scenarios
        ]

    def finished(self, store: Store) -> dict[str, Rows]:
        """Return the complete results that a store holds, by key, in the order of the scenarios."""
        there = store.open(self.keys)
        pairs = zip(self.keys, self.scenarios, strict=True)
        return {key: there[key] for key, scenario in pairs if key in there and self._is_complete(scenario, there[key])}

    def run(
        self, store: Store | None = None, progress: Progress | None = None, *, compile_ahead: bool = False
    ) -> Evaluation:
        """Measure every scenario that the store does not hold.

        Args:
            store: Where finished scenarios are kept; in memory by default.
            progress: Called during and after every scenario.
            compile_ahead: Whether threads compile what later scenarios need, and then find the `cost`, while earlier
                ones are measured.

        Returns:
            All scores and per-layer errors.

        Raises:
            ConvergenceError: If the wires of a layer miss their own check.
            FloatingPointError: If the network's outputs are not finite.

        Warns:
            ClippedInputWarning: If a layer's drive is unsigned and its inputs are not.
        """
        store = store if store is not None else Memory()
        found = self.finished(store)
        todo = [(key, s) for key, s in zip(self.keys, self.scenarios, strict=True) if key not in found]
        report = Reporter(progress, sum(self._measurements.passes(scenario) for _, scenario in todo))
        if todo and self._whole is not None:
            inputs = self.test.first(self.settings.layer_examples).inputs
            for path, share in lost_inputs(self.model, self._whole, inputs).items():
                warn_of_lost_inputs(share, f"Layer {path!r}")
        plan = functools.partial(self._plan, [scenario for _, scenario in todo])
        with Ahead(plan) if compile_ahead else contextlib.nullcontext(directly) as call:
            for key, scenario in todo:
                if key in found:  # a scenario that is listed twice
                    continue
                found[key] = self._measurements.measure(scenario, report, call)
                store.add(key, found[key])
                report.finish(*summarise(found[key].scores))
        self._measurements.forget()
        ordered = [found[key] for key in dict.fromkeys(self.keys)]
        return Evaluation(
            task=self.task.name,
            metric=self.task.metric,
            chance=self.task.chance,
            scores=[row for rows in ordered for row in rows.scores],
            layers=[row for rows in ordered for row in rows.layers],
        )

    def _plan(self, scenarios: Sequence[Scenario], shapes: Call) -> None:
        self._measurements.compile(scenarios, shapes)
        if scenarios:
            _ = self.cost

    @cached_property
    def _measurements(self) -> Measurements:
        at_once = self.settings.chips if self._whole is None else self._at_once
        return Measurements(self.task, self.model, self.test, self.settings, at_once, lambda: self._layer_inputs)

    @cached_property
    def _whole(self) -> Configs | None:
        """The config, or those by rule, in which most acts."""
        analog = [scenario for scenario in self.scenarios if scenario.base is not None]
        return max(analog, key=lambda scenario: len(scenario.acting)).config if analog else None

    @cached_property
    def _at_once(self) -> int:
        """How many chips are programmed and read at once."""
        assert self._whole is not None
        return memory.chips_at_once(self.model, self._whole, self.settings, self.test)

    @cached_property
    def _layer_inputs(self) -> LayerInputs:
        """Inputs of every layer on the first test examples, which say how active rows are."""
        assert self._whole is not None
        inputs = jnp.asarray(self.test.first(_PROFILED).inputs)
        # A copy: running statistics are left alone.
        network = nnx.clone(self.model)
        network.eval()
        return layer_inputs(nn.convert(network, self._whole), inputs)

    @cached_property
    def wire_errors(self) -> dict[str, float]:
        """Error of the wires' method over their effect, by layer [1]; empty where wires are exact.

        By a finer method, on the first of the programmed chips and a few inputs of the first test examples.
        """
        whole = self._whole
        if whole is None or all(part.wires.finer is None for part in parts_of(whole)):
            return {}
        quiet = each(whole, lambda part: replace(part, device=part.device.only()))
        chip = nn.program(with_activity_of(nn.convert(self.model, quiet), self._layer_inputs), jax.random.key(0))
        return method_errors(chip, self._layer_inputs)

    @property
    def cost(self) -> nn.NetworkCost | None:
        """What an inference costs with the default hardware, on one chip right after programming; None without tiles.

        Where everything acts, for the activations of the first test examples.
        """
        with self._lock:
            return self._cost

    @cached_property
    def _lock(self) -> threading.Lock:
        """Held by the thread that finds the cost."""
        return threading.Lock()

    @cached_property
    def _cost(self) -> nn.NetworkCost | None:
        whole = self._whole
        if whole is None:
            return None
        network = nnx.clone(self.model)
        network.eval()
        analog = nn.convert(network, whole)
        with warnings.catch_warnings():
            # The result has what they say.
            warnings.simplefilter("ignore", AssumedCostWarning)
            warnings.simplefilter("ignore", InvalidCostWarning)
            known = nn.cost_inputs(analog, jnp.asarray(self.test.first(_COSTED).inputs))
            chip = nn.program(with_activity_of(analog, known.vectors), jax.random.key(0))
            return nn.cost(chip, known)

    def _check_digital(self, scenario: Scenario) -> None:
        unknown = [path for path in scenario.digital if path not in self.layers]
        if unknown:
            raise ValueError(
                f"Field `digital` of Scenario must hold paths among {', '.join(map(repr, self.layers))}, but holds "
                f"{unknown[0]!r}."
            )

    def _is_complete(self, scenario: Scenario, rows: Rows) -> bool:
        """Whether every chip is there once, with a finite score, and every layer on each of them."""
        chips = range(self.settings.chips if scenario.random else 1)
        layers = self.layers if scenario.layers else []
        return (
            sorted(row["chip"] for row in rows.scores) == list(chips)
            and sorted((row["layer"], row["chip"]) for row in rows.layers)
            == sorted((layer, chip) for layer in layers for chip in chips)
            and bool(np.isfinite([row["score"] for row in rows.scores]).all())
            and not any(np.isnan(row["error"]) for row in rows.layers)
        )


def evaluate(
    task: Task,
    config: Configs | None = None,
    *,
    model: nn.Module | None = None,
    settings: Settings | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Put every linear layer of a network on analog tiles and measure what each effect does to its score.

    The studies, in this order: the digital network; each effect alone and all together; everything together at
    several times since programming, without and with drift compensation; wire resistance from zero to past the cliff.

    Args:
        task: Network, data and metric.
        config: The tile of every layer, or configs by rule; `presets.tile_circuit()` by default.
        model: Trained network; the task's own by default.
        settings: How much is evaluated.
        store: Where finished scenarios are kept, and not computed again; in memory by default.
        progress: Called during and after every scenario.

    Returns:
        All scores and per-layer errors.

    Raises:
        ValueError: If a field of the config is out of range, or it does not fit the network.
        FileNotFoundError: If the task's data or weights are missing.

    Example:
        >>> from jaxaimc import AnalogConfig, adcs, devices, wires
        >>> from jaxaimc.studies import Settings, evaluate
        >>> from jaxaimc.tasks import load_task
        >>> ideal = AnalogConfig(device=devices.IdealDevice(), wires=wires.NoWires(), adc=adcs.IdealADC())
        >>> few = Settings(examples=8, chips=1, times=(), layer_examples=8)
        >>> result = evaluate(load_task("jaxaimc_models.vit:fashion_mnist"), ideal, settings=few)
        >>> [row["name"] for row in result.summary()][:3]
        ['digital', 'input pulses only', 'ADC only']
    """
    return standard_study(task, config, model=model, settings=settings).run(store, progress)


def standard_study(
    task: Task,
    config: Configs | None = None,
    *,
    model: nn.Module | None = None,
    settings: Settings | None = None,
    network: Any = None,
) -> Study:
    """Return what `evaluate` runs; arguments as there.

    Args:
        task: Network, data and metric.
        config: The tile of every layer, or configs by rule.
        model: Trained network.
        settings: How much is evaluated.
        network: Anything further that the results follow from, as JSON values.
    """
    config = tile_circuit() if config is None else config
    for part in parts_of(config):
        part.validate()
    settings = settings or Settings()
    model = load_model(task) if model is None else model
    examples = len(task.split("test").first(settings.examples))
    return Study(task, model, standard(config, settings, examples), settings, network)
