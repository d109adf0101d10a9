"""Measuring a scenario: chips are programmed and scored, and the output errors of their layers found."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxaimc import nn
from jaxaimc._core.ahead import Call
from jaxaimc.config.by_rule import Configs, content_of, parts_of
from jaxaimc.nn.modes import AnalogMode
from jaxaimc.studies.results import EvaluationProgress, Row, Rows
from jaxaimc.studies.scenarios import Scenario, Settings
from jaxaimc.studies.store import fingerprint
from jaxaimc.tasks import Split, Task
from jaxaimc.tasks.chips import (
    Chips,
    LayerInputs,
    as_read,
    chip_keys,
    config_of_reads,
    errors_on_chips,
    groups,
    layer_errors,
    program_chips,
)
from jaxaimc.tasks.score import chip_scores, examples_at, mean_score, scores_of_batch, total

# Converted networks that are kept; they share the network's weights.
_BLANKS = 8


@dataclass(frozen=True)
class Measurements:
    """What measures the scenarios of one study.

    Args:
        task: Network, data and metric.
        model: Trained network.
        test: The examples.
        settings: On how many chips.
        at_once: How many chips are programmed and read at once.
        layer_inputs: Returns the inputs of every layer on some examples, for wires that depend on them.
    """

    task: Task
    model: nn.Module
    test: Split
    settings: Settings
    at_once: int
    layer_inputs: Callable[[], LayerInputs]

    def groups(self, scenario: Scenario) -> list[tuple[range, int]]:
        """Return the groups of chips that a scenario is measured on; see `jaxaimc.tasks.chips.groups`."""
        # Scenarios without randomness run on as many equal chips, so that they share compilations; one is reported.
        every = list(groups(self.settings.chips, self.at_once))
        return every if scenario.random else every[:1]

    def passes(self, scenario: Scenario) -> int:
        """Return how many examples pass the network, on all chips together."""
        examples = len(self.test.first(scenario.examples))
        if scenario.base is None:
            return examples
        return examples * sum(len(group) - repeated for group, repeated in self.groups(scenario))

    def measure(self, scenario: Scenario, report: "Reporter", call: Call) -> Rows:
        """Measure a scenario.

        Args:
            scenario: The scenario.
            report: Is told how far it is.
            call: How compiled functions are called, see `jaxaimc._core.ahead`.

        Returns:
            Its rows.

        Raises:
            ConvergenceError: If the wires of a layer miss their own check.
            FloatingPointError: If the network's outputs are not finite.
        """
        report.start(scenario.name)
        split = self.test.first(scenario.examples)
        config = scenario.config
        if config is None:
            score = mean_score(self.task, self.model, split, call=call)
            report.step(len(split))
            return Rows([_row(scenario, examples=len(split), chip=0, score=score)], [])
        rows = Rows([], [])
        for group, repeated in self.groups(scenario):
            reported = range(repeated, len(group) if scenario.random else 1)
            chip, reads = chip_keys(self.settings.seed, group)
            chips = self._programmed(scenario, config, group, chip, call)
            blank = self._blank(scenario, config, chips)
            parts = []
            for part in chip_scores(
                self.task, blank, chips, reads, split, batch=self.settings.batch, first_chip=group.start, call=call
            ):
                parts.append(part)
                report.step(len(part[repeated:]) * part.shape[1])
            found = total(self.task, parts, split)
            rows.scores.extend(
                _row(scenario, examples=len(split), chip=group[i], score=float(found[i])) for i in reported
            )
            if scenario.layers:
                probe = self._blank(scenario, config, chips, "probe")
                errors = layer_errors(probe, chips, reads, self._probed, call)
                rows.layers.extend(
                    {"name": scenario.name, "layer": path, "chip": group[i], "error": float(error[i])}
                    for path, error in errors.items()
                    for i in reported
                )
        return rows

    def compile(self, scenarios: Sequence[Scenario], shapes: Call) -> None:
        """Have everything compiled that scenarios need, in their order.

        Args:
            scenarios: What will be measured.
            shapes: See `jaxaimc._core.ahead.Ahead`.
        """
        planned = set()
        for scenario in scenarios:
            config, split = scenario.config, self.test.first(scenario.examples)
            if config is None:
                continue  # it is the first, or has been measured
            batch = min(self.settings.batch, len(split))
            kind = jax.tree.structure(config), scenario.t is None, scenario.compensated, scenario.layers, batch
            if kind in planned:
                continue
            planned.add(kind)
            chip, reads = chip_keys(self.settings.seed, self.groups(scenario)[0][0])
            chips = self._new_chips(scenario, config, chip, shapes)
            blank = self._blank(scenario, config, chips)
            shapes(scores_of_batch, self.task.score, blank, chips, reads, *examples_at(split, 0, batch)[1:])
            if scenario.layers:
                shapes(errors_on_chips, self._blank(scenario, config, chips, "probe"), chips, reads, self._probed)

    def _blank(self, scenario: Scenario, config: Configs, chips: Chips, mode: AnalogMode = "analog") -> nn.Blank:
        """Return the converted network: that of the scenario before, where what acts in a read is the same."""
        read, digital = config_of_reads(config, chips), tuple(sorted(scenario.digital))
        same = fingerprint({"config": content_of(read)}), mode, digital
        if same not in self._blanks:
            while len(self._blanks) >= _BLANKS:
                self._blanks.pop(next(iter(self._blanks)))
            self._blanks[same] = as_read(self.model, read, chips, mode=mode, digital=digital)
        return self._blanks[same]

    def _programmed(self, scenario: Scenario, config: Configs, group: range, keys: Any, call: Call) -> Chips:
        """Return programmed chips: those of the scenario before, where they would be the same ones."""
        same = fingerprint({"config": content_of(config), "t": scenario.t, "compensated": scenario.compensated})
        found = self._last.get((same, group))
        if found is None:
            self._last.clear()  # before the next ones are made: two would not fit
            found = self._last[same, group] = self._new_chips(scenario, config, keys, call)
        return found

    def _new_chips(self, scenario: Scenario, config: Configs, keys: Any, call: Call) -> Chips:
        known = self.layer_inputs() if any(part.wires.profiled for part in parts_of(config)) else None
        how = {"compensated": scenario.compensated, "layer_inputs": known, "call": call}
        return program_chips(self.model, config, keys, scenario.t, **how)

    @cached_property
    def _probed(self) -> Array:
        """The inputs of the layers' errors."""
        return jnp.asarray(self.test.first(self.settings.layer_examples).inputs)

    @cached_property
    def _last(self) -> dict[tuple[str, range], Chips]:
        """The chips that were programmed last, by all that they follow from."""
        return {}

    @cached_property
    def _blanks(self) -> dict[Any, nn.Blank]:
        """The networks that were converted last, by what they are made from."""
        return {}

    def forget(self) -> None:
        """Let go of the chips."""
        self._last.clear()


class Reporter:
    """Counts network passes and passes them on."""

    def __init__(self, progress: Callable[[EvaluationProgress], None] | None, total: int):
        self._progress = progress or (lambda _: None)
        self._total = total
        self._done = 0
        self._name = ""

    def start(self, name: str) -> None:
        """Say which scenario begins."""
        self._name = name
        self.step(0)

    def step(self, passes: int) -> None:
        """Count some passes."""
        self._done += passes
        self._progress(EvaluationProgress(self._done, self._total, self._name))

    def finish(self, row: Row) -> None:
        """Pass on the summary of the scenario."""
        self._progress(EvaluationProgress(self._done, self._total, self._name, row))


def _row(scenario: Scenario, *, examples: int, chip: int, score: float) -> Row:
    return {
        "study": scenario.study,
        "name": scenario.name,
        "sets": json.dumps(dict(scenario.sets)),
        "t": scenario.t,
        "compensated": scenario.compensated,
        "r": scenario.r,
        "random": scenario.random,
        "examples": examples,
        "chip": chip,
        "score": score,
    }
