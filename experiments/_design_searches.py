"""Searches over one objective: by gradient, at random, by Optuna's tree-structured Parzen estimator, and on a grid.

All see the same deterministic function of a seed: one chip, and images of that seed. The processor time of every
evaluation is kept, compilation left out.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from experiments import _design_problems as problems
from jaxaimc import design
from jaxaimc.design.minimise import make_stepper, run
from jaxaimc.design.space import Space
from jaxaimc.design.variables import BoundVariable

Values = dict[str, float]

# What a value and its gradient cost, in evaluations of the value.
STEP = 3
_LEARNING_RATE = 0.3
METHODS = ("gradient", "gradient, random start", "random", "TPE", "grid")


@dataclasses.dataclass
class Trial:
    """An evaluated design.

    Args:
        values: The variables.
        objective: What it was found worth by the search's own chip and images.
        loss: Of that, the loss.
        energy: Energy of an inference [J].
        evaluations: Network evaluations that were used up to here.
        cpu: Processor time that was used up to here, without compilation [s].
        held_out: Objective, loss and energy on held-out chips and images; None where it was not looked at.
    """

    values: Values
    objective: float
    loss: float
    energy: float
    evaluations: int
    cpu: float
    held_out: dict[str, float] | None = None


class Evaluator:
    """One problem with the chip and the images of a seed.

    Args:
        problem: The problem.
        seed: Of chip and images.
        settings: How much.
    """

    def __init__(self, problem: problems.Problem, seed: int, settings: problems.Settings):
        self.problem, self.seed, self.settings = problem, seed, settings
        self.space = Space.of(problem.config, problem.variables)
        self.key = jax.random.fold_in(jax.random.key(0), seed)
        self._model = problems.network()
        self.objective = self._of(problems.designed(seed, settings.images))
        self._held_out: list[Any] = []
        space = self.space
        self._compiled = jax.jit(lambda objective, values, key: objective(space.configs(values), key))
        self.start = {one.name: one.start for one in space.variables}
        self.steps = settings.evaluations // STEP
        self.stepper = make_stepper(
            self.space, optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, self.steps)), chips=1,
            fresh_chips=False, constraints=(), projection=None, parameter_optimizer=None,
        )  # fmt: skip
        # What compiling took [s], of what has been compiled.
        self.compilation: dict[str, float] = {}
        # The key that a step of `minimise` with one chip that stays the same gives to the objective.
        [self._chip] = jax.random.split(self.key, 1)

    def _of(self, split: Any) -> design.NetworkObjective:
        return design.NetworkObjective.of(
            self._model, self.problem.config, split.inputs, split.targets, problems.task().loss,
            weight=self.problem.weight,
        )  # fmt: skip

    def compile(self, what: str) -> None:
        """Compile the value or the gradient, and keep how long that took, the first call included."""
        if what in self.compilation:
            return
        begun = time.process_time()
        if what == "value":
            self(self.start)
        else:
            run(self.stepper, self.objective, steps=0, key=self.key)
        self.compilation[what] = time.process_time() - begun

    def __call__(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return objective, loss and energy of a design."""
        return self._numbers(self.objective, values, self._chip)

    def held_out(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return means over held-out chips and images, and the standard deviation of the objective over chips."""
        if not self._held_out:
            splits = problems.all_held_out(self.settings)
            self._held_out = [problems.with_images(self.objective, split) for split in splits]
        each = [
            self._numbers(objective, values, problems.held_out_key(number))
            for number, objective in enumerate(self._held_out)
        ]
        means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        return {**means, "std": float(np.std([one["objective"] for one in each]))}

    def _numbers(self, objective: design.NetworkObjective, values: Mapping[str, float], key: Any) -> dict[str, float]:
        numbers = {name: jax.numpy.asarray(value, float) for name, value in values.items()}
        total, parts = jax.device_get(self._compiled(objective, numbers, key))
        return {"objective": float(total), "loss": float(parts["loss"]), "energy": float(parts["energy"])}


def search(method: str, evaluator: Evaluator) -> list[Trial]:
    """Return the trials of a method.

    Args:
        method: One of `METHODS`.
        evaluator: The problem.
    """
    if method.startswith("gradient"):
        return _by_gradient(evaluator, random_start=method != "gradient")
    ask = {"random": _at_random, "TPE": _by_tpe, "grid": _on_grid}[method](evaluator)
    evaluator.compile("value")
    trials: list[Trial] = []
    found, begun = None, time.process_time()
    while len(trials) < evaluator.settings.evaluations:
        try:
            values = next(ask) if found is None else ask.send(found["objective"])
        except StopIteration:
            break
        found = evaluator(values)
        trials.append(Trial(dict(values), **found, evaluations=len(trials) + 1, cpu=time.process_time() - begun))
    return trials


def check_incumbents(trials: Sequence[Trial], evaluator: Evaluator) -> None:
    """Evaluate the best designs so far again, at some moments, on held-out chips and images."""
    evaluator.compile("value")
    known: dict[int, dict[str, float]] = {}
    for moment in moments(len(trials)):
        best = min(range(moment), key=lambda number: trials[number].objective)
        if best not in known:
            known[best] = evaluator.held_out(trials[best].values)
            trials[best].held_out = known[best]


def moments(count: int) -> list[int]:
    """Return how many trials there are at the moments at which incumbents are looked at: growing, the last included."""
    numbers = {round(count ** (k / 7)) for k in range(8)} | {round(count * 0.5), round(count * 0.75)}
    return sorted(number for number in numbers if number >= 1)


def incumbents(trials: Sequence[Trial]) -> list[tuple[int, float, dict[str, float]]]:
    """Return evaluations, processor time and held-out figures at the moments at which the best design was looked at."""
    found = []
    for moment in moments(len(trials)):
        best = min(trials[:moment], key=lambda trial: trial.objective)
        assert best.held_out is not None
        found.append((trials[moment - 1].evaluations, trials[moment - 1].cpu, best.held_out))
    return found


# A search gives designs and is sent their objectives.
_Asking = Any


def _at_random(evaluator: Evaluator) -> _Asking:
    generator = np.random.default_rng(evaluator.seed)
    yield evaluator.start
    while True:
        yield {one.name: _at(one, generator.uniform()) for one in evaluator.space.variables}


def _by_tpe(evaluator: Evaluator) -> _Asking:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=evaluator.seed))
    study.enqueue_trial(evaluator.start)
    while True:
        trial = study.ask()
        values = {
            one.name: trial.suggest_float(one.name, *_interval(one), log=_logarithmic(one))
            for one in evaluator.space.variables
        }
        study.tell(trial, (yield values))


def _on_grid(evaluator: Evaluator) -> _Asking:
    """Yield a full grid of as many points as there are evaluations at most, in random order after the start."""
    shared = [one.path for one in evaluator.problem.shared]
    of_path = {path: [one for one in evaluator.space.variables if one.targets[0][1] == path] for path in shared}
    levels = [1] * len(shared)
    while True:
        raised = levels.copy()
        raised[levels.index(min(levels))] += 1
        if math.prod(raised) >= evaluator.settings.evaluations:
            break
        levels = raised
    points = list(itertools.product(*(np.arange(count) + 0.5 for count in levels)))
    yield evaluator.start
    for number in np.random.default_rng(evaluator.seed).permutation(len(points)):
        shares = dict(zip(shared, np.asarray(points[number]) / levels, strict=True))
        yield {one.name: _at(one, shares[path]) for path, ones in of_path.items() for one in ones}


def _by_gradient(evaluator: Evaluator, *, random_start: bool) -> list[Trial]:
    steps, stepper = evaluator.steps, evaluator.stepper
    numbers = None
    if random_start:
        generator = np.random.default_rng([evaluator.seed, 1])
        start = {one.name: _at(one, generator.uniform()) for one in evaluator.space.variables}
        numbers = evaluator.space.numbers(start)
    how: Any = {"key": evaluator.key, "numbers": numbers}
    evaluator.compile("gradient")
    times, begun = [], time.process_time()
    # The last of the steps is the look at what the one before it led to.
    found = run(
        stepper, evaluator.objective, steps=steps - 1, **how,
        progress=lambda progress: times.append(time.process_time() - begun),
    )  # fmt: skip
    times.append(time.process_time() - begun)
    history = found.history
    return [
        Trial(
            values={one.name: float(history[one.name][row]) for one in evaluator.space.variables},
            objective=float(history["objective"][row]), loss=float(history["loss"][row]),
            energy=float(history["energy"][row]), evaluations=STEP * (row + 1), cpu=times[row],
        )
        for row in range(steps)
    ]  # fmt: skip


def _logarithmic(one: BoundVariable) -> bool:
    """Return whether a variable is searched on a logarithmic scale: all but resolutions."""
    return one.unit != "bit"


def _interval(one: BoundVariable) -> tuple[float, float]:
    assert one.low is not None
    assert one.high is not None
    return one.low, one.high


def _at(one: BoundVariable, share: float) -> float:
    """Return the value at a share of a variable's interval."""
    low, high = _interval(one)
    if _logarithmic(one):
        return float(math.exp((1 - share) * math.log(low) + share * math.log(high)))
    return float((1 - share) * low + share * high)
