"""Weights and hardware together, against either alone: the same start, the same steps, the same objective."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from experiments import _design_problems as problems
from jaxaimc import design
from jaxaimc.design.minimise import make_stepper, run
from jaxaimc.design.rounding import whole_numbers
from jaxaimc.design.space import Space
from jaxaimc.tasks.score import mean_score

MODES = ("start", "weights", "hardware", "both")
# Resolution at the start [bit].
_BITS = 6.0
# Largest learning rates.
_RATES = {"hardware": 0.1, "weights": 1e-3}


def compute(seed: int, settings: problems.Settings) -> dict[str, Any]:
    """Return for every mode the history, and what it leads to by the ordinary evaluation.

    Args:
        seed: Of chips, reads and images.
        settings: How much.
    """
    problem, model, steps = problems.each_layer(settings, _BITS), problems.network(), settings.joint_steps
    split = problems.trained()
    of_network = design.NetworkObjective.of(
        model, problem.config, split.inputs, split.targets, problems.task().loss, weight=problem.weight,
        batch=settings.joint_batch,
    )  # fmt: skip
    rates = {name: optax.adam(optax.cosine_decay_schedule(rate, steps)) for name, rate in _RATES.items()}
    # One compilation for all modes: what a mode leaves as it is has no gradient.
    stepper = make_stepper(
        Space.of(problem.config, problem.variables), rates["hardware"], chips=1, fresh_chips=True, constraints=(),
        projection=None, parameter_optimizer=rates["weights"],
    )  # fmt: skip
    found = {}
    for mode in MODES:
        flags = [jnp.asarray(mode in (one, "both")) for one in ("hardware", "weights")]
        result = run(
            stepper, Partial(_partly, *flags, of_network), steps=0 if mode == "start" else steps,
            key=jax.random.fold_in(jax.random.key(1), seed), parameters=of_network.parameters,
        )  # fmt: skip
        values = {**result.values, **whole_numbers(result)}
        exact = design.evaluate(
            problems.task(), of_network.model(result.parameters), stepper.space.configs(values),
            problems.evaluated(settings.examples), chips=settings.chips, seed=seed, batch=min(250, settings.examples),
        )  # fmt: skip
        found[mode] = {
            "values": values,
            "history": {name: result.history[name].tolist() for name in ("objective", "loss", "energy")},
            "evaluated": {**exact.figures(), "scores": exact.scores.tolist()},
        }
    digital = mean_score(problems.task(), model, problems.evaluated(settings.examples))
    return {**found, "digital": digital}


def _partly(hardware: Any, weights: Any, objective: Any, config: Any, key: Any, parameters: Any) -> Any:
    """Return the objective with the gradient of the hardware and that of the weights, or with one of them."""
    # By rule, since the order of rules is to stay.
    config = {rule: _where(hardware, part) for rule, part in config.items()}
    return objective(config, key, _where(weights, parameters))


def _where(moves: Any, tree: Any) -> Any:
    """Return a tree as it is, with a gradient only where it moves."""
    return jax.tree.map(lambda leaf: jnp.where(moves, leaf, jax.lax.stop_gradient(leaf)), tree)
