"""A step of a design: objective and gradient over many chips in one compiled call, then the optimiser's update."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from jaxaimc._core.checks import shown
from jaxaimc._core.component import Component
from jaxaimc.design.constraints import Constraint
from jaxaimc.design.space import Numbers, Space
from jaxaimc.design.variables import Configs

# Of a config, or configs by rule, and a key to a scalar, or a scalar and named scalars; with `parameters` as third.
Objective = Callable[..., Any]


class Best(NamedTuple):
    """The best design so far.

    Args:
        total: Objective with penalties.
        numbers: Unconstrained numbers of the variables.
        parameters: What was trained along.
    """

    total: Float[Array, ""]
    numbers: Numbers
    parameters: Any


class State(NamedTuple):
    """Everything a step changes.

    Args:
        step: Steps done.
        numbers: Unconstrained numbers of the variables.
        parameters: What is trained along, None for nothing.
        optimizer: State of the variables' optimiser.
        parameter_optimizer: State of the parameters' optimiser.
        best: The best design so far.
    """

    step: Int[Array, ""]
    numbers: Numbers
    parameters: Any
    optimizer: Any
    parameter_optimizer: Any
    best: Best


class Record(NamedTuple):
    """What a step found before its update.

    Args:
        scalars: Objective, penalties and parts by name.
        values: The variables' values.
        sound: Which gradients are finite, by variable, and `""` for those of the parameters.
        parts: Which parts of the objective are finite.
        finite: Whether all of it is; if not, the step changed nothing.
    """

    scalars: dict[str, Float[Array, ""]]
    values: Numbers
    sound: dict[str, Bool[Array, ""]]
    parts: dict[str, Bool[Array, ""]]
    finite: Bool[Array, ""]


class Stepper:
    """What makes the steps of one problem; objectives of one structure share its compilation.

    Args:
        space: Configs and variables.
        optimizer: Turns gradients of the unconstrained numbers into updates.
        parameter_optimizer: The same for the parameters.
        chips: Keys over which the objective is averaged.
        fresh: Whether each step has keys of its own.
        constraints: Added as penalties.
        projection: Applied after every update, None for none.
    """

    def __init__(
        self,
        space: Space,
        optimizer: optax.GradientTransformation,
        parameter_optimizer: optax.GradientTransformation | None,
        *,
        chips: int,
        fresh: bool,
        constraints: Sequence[Constraint],
        projection: Callable[[Any], Any] | None,
    ):
        self.space, self.chips, self.fresh = space, chips, fresh
        self.constraints, self.projection = tuple(constraints), projection
        self._optimizer = optax.with_extra_args_support(optimizer)
        self._parameter_optimizer = parameter_optimizer or optax.identity()
        self._step = jax.jit(self._traced)

    def start(self, numbers: Numbers, parameters: Any) -> State:
        """Return the state before the first step."""
        parameters = jax.tree.map(jnp.asarray, parameters)
        nothing = Best(jnp.asarray(jnp.inf, jnp.result_type(float)), numbers, parameters)
        optimizers = self._optimizer.init(numbers), self._parameter_optimizer.init(parameters)
        return State(jnp.zeros((), jnp.int32), numbers, parameters, *optimizers, nothing)

    def __call__(self, objective: Objective, state: State, key: Key[Array, ""]) -> tuple[State, Record]:
        """Return the next state, and what was found at this one, as NumPy's numbers."""
        state, record = self._step(as_pytree(objective), state, key)
        return state, jax.device_get(record)

    def _traced(self, objective: Any, state: State, key: Key[Array, ""]) -> tuple[State, Record]:
        keys = jax.random.split(jax.random.fold_in(key, state.step) if self.fresh else key, self.chips)

        def total(numbers: Numbers, parameters: Any) -> tuple[Array, dict[str, Array]]:
            return self._total(objective, numbers, parameters, keys)

        differentiate = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)
        (value, scalars), (slope, parameter_slope) = differentiate(state.numbers, state.parameters)
        sound = {name: jnp.isfinite(one) for name, one in slope.items()}
        sound[""] = jnp.isfinite(optax.tree.norm(parameter_slope))
        parts = {name: jnp.isfinite(one) for name, one in scalars.items()}
        finite = jnp.isfinite(value) & jnp.all(jnp.stack(list(sound.values())))
        update, optimizer = self._optimizer.update(
            slope,
            state.optimizer,
            state.numbers,
            value=value,
            grad=slope,
            value_fn=lambda numbers: total(numbers, state.parameters)[0],
        )
        moved: Any = optax.apply_updates(state.numbers, update)
        numbers = self._projected(moved)
        update, parameter_optimizer = self._parameter_optimizer.update(
            parameter_slope, state.parameter_optimizer, state.parameters
        )
        parameters = optax.apply_updates(state.parameters, update)
        better = value < state.best.total
        best = _chosen(better, Best(value, state.numbers, state.parameters), state.best)
        new = State(state.step + 1, numbers, parameters, optimizer, parameter_optimizer, best)
        record = Record(scalars, self.space.values(state.numbers), sound, parts, finite)
        return _chosen(finite, new, state), record

    def _total(
        self, objective: Any, numbers: Numbers, parameters: Any, keys: Key[Array, " chip"]
    ) -> tuple[Array, dict[str, Array]]:
        """Return objective and penalties, and the scalars by name."""
        config = self.space.configs(self.space.values(numbers))
        mean, scalars = _mean(objective, config, parameters, keys)
        mean, penalties = penalised(self.constraints, config, mean)
        return mean, {**scalars, **penalties, "total": mean}

    def _projected(self, numbers: Numbers) -> Numbers:
        if self.projection is None:
            return numbers
        projected = self.projection(self.space.configs(self.space.values(numbers)))
        return self.space.numbers(self.space.values_of(projected))


def mean_value(
    objective: Any, config: Configs, parameters: Any, keys: Key[Array, " chip"]
) -> tuple[Array, dict[str, Array]]:
    """Return an objective without its gradient; configs that differ in continuous fields share the compilation.

    Args:
        objective: A pytree with `__call__`.
        config: A config, or configs by rule.
        parameters: What is trained along, None for nothing.
        keys: Of the chips.

    Returns:
        Mean over chips, and the scalars by name.
    """
    if isinstance(config, Component):
        return _compiled_mean(objective, (config,), parameters, keys, None)
    # As an argument a dictionary would be sorted, but the order of rules decides which one wins.
    return _compiled_mean(objective, tuple(config.values()), parameters, keys, tuple(config))


@functools.partial(jax.jit, static_argnames="rules")
def _compiled_mean(
    objective: Any, parts: tuple[Any, ...], parameters: Any, keys: Key[Array, " chip"], rules: tuple[str, ...] | None
) -> tuple[Array, dict[str, Array]]:
    return _mean(objective, parts[0] if rules is None else dict(zip(rules, parts, strict=True)), parameters, keys)


def as_pytree(objective: Objective) -> Any:
    """Return an objective that can be an argument of a compiled function."""
    return Partial(objective) if jax.tree_util.treedef_is_leaf(jax.tree.structure(objective)) else objective


def penalised(constraints: Sequence[Constraint], config: Any, mean: Array) -> tuple[Array, dict[str, Array]]:
    """Add the penalties of constraints to an objective.

    Returns:
        The sum, and the largest violation of each.
    """
    excesses = {}
    for constraint in constraints:
        excess = constraint.excess(config)
        excesses[constraint.name] = jnp.max(excess)
        mean = mean + constraint.weight * jnp.sum(excess**2)
    return mean, excesses


def _mean(objective: Any, config: Any, parameters: Any, keys: Key[Array, " chip"]) -> tuple[Array, dict[str, Array]]:
    def one(key: Key[Array, ""]) -> tuple[Array, dict[str, Array]]:
        found = objective(config, key) if parameters is None else objective(config, key, parameters)
        return _scalars(found)

    each, parts = jax.vmap(one)(keys)
    mean = jnp.mean(each)
    scalars = {"objective": mean, **{name: jnp.mean(part) for name, part in parts.items()}}
    if len(keys) > 1:
        scalars["std"] = jnp.std(each, ddof=1)
    return mean, scalars


def _scalars(found: Any) -> tuple[Array, dict[str, Array]]:
    value, parts = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
    if not isinstance(parts, Mapping) or not all(isinstance(name, str) for name in parts):
        raise ValueError(
            "Argument `objective` must return a scalar, or a scalar and named scalars, but returns "
            f"{shown(parts)} beside the first."
        )
    reserved = {"objective", "total", "std", "step"} & set(parts)
    if reserved:
        raise ValueError(f"Argument `objective` must not name a part {min(reserved)!r}, which the history has itself.")
    for name, part in {"objective": value, **parts}.items():
        shape = getattr(part, "shape", () if isinstance(part, (int, float)) else None)
        if shape != ():
            raise ValueError(
                f"Argument `objective` must return scalars, but {name!r} is "
                f"{shown(part) if shape is None else f'of shape {tuple(shape)}'}."
            )
    kind = jnp.result_type(float)
    return jnp.asarray(value, kind), {name: jnp.asarray(part, kind) for name, part in parts.items()}


def _chosen(condition: Bool[Array, ""], a: Any, b: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
