"""Designs with whole numbers, where a quantity such as a resolution can be nothing else."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Key

from jaxaimc._core.arguments import check_key
from jaxaimc._core.checks import check_integer
from jaxaimc.design.constraints import Constraint
from jaxaimc.design.minimise import DesignDivergedError, Progress, make_stepper, run
from jaxaimc.design.result import Design
from jaxaimc.design.space import Space, plain, validate
from jaxaimc.design.step import Objective, as_pytree, mean_value, penalised
from jaxaimc.design.variables import BoundVariable


def rounded(
    found: Design,
    objective: Objective,
    optimizer: optax.GradientTransformation | None = None,
    *,
    steps: int = 0,
    key: Key[Array, ""],
    chips: int = 1,
    fresh_chips: bool = True,
    constraints: Sequence[Constraint] = (),
    projection: Callable[[Any], Any] | None = None,
    parameter_optimizer: optax.GradientTransformation | None = None,
    tries: int = 16,
    progress: Progress | None = None,
) -> Design:
    """Round the integer variables of a design to the better neighbours, and optimise the others once more.

    Both whole neighbours of every variable are tried, on the same chips: all combinations where there are at most
    `tries`, otherwise one variable after the other from the nearest whole numbers, those first that lie halfway. The
    objective is evaluated without its gradient, which compiles once for all designs of an objective and config of one
    structure.

    Args:
        found: Result of `minimise`. Its parameters, where some were trained along, go on from where they are.
        objective: The objective, as in `minimise`.
        optimizer: Of the steps, as in `minimise`.
        steps: Steps in which the other variables (and the parameters) are optimised once more; 0 keeps them.
        key: As in `minimise`.
        chips: As in `minimise`.
        fresh_chips: As in `minimise`.
        constraints: As in `minimise`.
        projection: As in `minimise`.
        parameter_optimizer: As in `minimise`.
        tries: Combinations of neighbours that are evaluated at most, where all are; 1 takes the nearest.
        progress: As in `minimise`.

    Returns:
        A design with all variables of `found`; those that are whole now are constant in its history.

    Raises:
        ValueError: If no variable is an integer, or one has no whole number between its bounds, or as `minimise`.
        DesignDivergedError: As `minimise`.

    Example:
        >>> import jax
        >>> from jaxaimc import design, presets
        >>> def objective(config, key):
        ...     return (config.adc.bits - 5.3) ** 2
        >>> found = design.minimise(objective, presets.asim(), ["adc.bits"], steps=200, key=jax.random.key(0))
        >>> rounded(found, objective, key=jax.random.key(0)).values
        {'adc.bits': 5.0}
    """
    check_integer("rounded", "steps", steps, low=0)
    check_integer("rounded", "tries", tries, low=1)
    nearest = whole_numbers(found)
    if not nearest:
        raise ValueError("Argument `found` must have an integer variable, but has none; set `integer` of a Variable.")
    check_key("key", key)
    check_integer("rounded", "chips", chips, low=1)
    every = Space(found.config, found.variables)
    # The keys of the first step of a run.
    keys = jax.random.split(jax.random.fold_in(key, 0) if fresh_chips else key, chips)

    def look(whole: Mapping[str, float]) -> dict[str, float]:
        config = every.configs({**found.values, **whole})
        mean, scalars = mean_value(as_pytree(objective), config, found.parameters, keys)
        total, penalties = penalised(constraints, config, mean)
        return plain({**scalars, **penalties, "total": total})

    whole, scalars = _better(found, nearest, look, tries) if tries > 1 or not steps else (nearest, {})
    values = {**found.values, **whole}
    if not steps:
        return _kept(found, every.configs(values), values, scalars)
    config = every.configs(values)
    rest = tuple(dataclasses.replace(one, start=values[one.name]) for one in found.variables if not one.integer)
    space = Space(config, rest)
    trained = None if found.parameters is None else parameter_optimizer or optax.adam(1e-3)
    stepper = make_stepper(
        space, optimizer, chips=chips, fresh_chips=fresh_chips, constraints=constraints, projection=projection,
        parameter_optimizer=trained,
    )  # fmt: skip
    again = run(
        stepper, objective, steps=steps, key=key, parameters=found.parameters, numbers=space.numbers(values),
        progress=progress,
    )  # fmt: skip
    constant = {name: np.full(len(again.history["total"]), value) for name, value in whole.items()}
    ordered = lambda some: {one.name: {**some, **whole}[one.name] for one in found.variables}  # noqa: E731
    return dataclasses.replace(
        again,
        variables=found.variables,
        values=ordered(again.values),
        best=ordered(again.best),
        last=ordered(again.last),
        history={**again.history, **constant},
    )


def _better(
    found: Design,
    nearest: Mapping[str, float],
    look: Callable[[Mapping[str, float]], dict[str, float]],
    tries: int,
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the whole numbers with the lowest objective of those that are tried, and what was found there."""
    others = {}
    for one in found.variables:
        if one.integer:
            value = found.values[one.name]
            other = math.floor(value) + math.ceil(value) - nearest[one.name]
            if other != nearest[one.name] and _allowed(one, other):
                others[one.name] = float(other)
    if 2 ** len(others) <= tries:
        choices = itertools.product(*((nearest[name], other) for name, other in others.items()))
        every = [{**nearest, **dict(zip(others, choice, strict=True))} for choice in choices]
        return min(((whole, look(whole)) for whole in every), key=lambda pair: _low(pair[1]))
    best, scalars = dict(nearest), look(nearest)
    if tries > 1:
        for name in sorted(others, key=lambda name: abs(found.values[name] - others[name])):
            whole = {**best, name: others[name]}
            there = look(whole)
            if _low(there) < _low(scalars):
                best, scalars = whole, there
    return best, scalars


def _low(scalars: Mapping[str, float]) -> float:
    return scalars["total"] if math.isfinite(scalars["total"]) else math.inf


def _kept(found: Design, config: Any, values: dict[str, float], scalars: Mapping[str, float]) -> Design:
    """Return a rounded design whose other variables stay."""
    if not math.isfinite(scalars["total"]):
        raise DesignDivergedError("The objective of the rounded design is not finite.", found)
    validate(config)
    history = {name: np.array([value]) for name, value in {**scalars, **values}.items()}
    return dataclasses.replace(
        found, config=config, values=values, steps=0, history=history, row=0, best=values, last=values
    )


def whole_numbers(found: Design) -> dict[str, float]:
    """Return the integer variables of a design, rounded to the nearest whole numbers inside of their bounds.

    Args:
        found: Result of `minimise`.

    Raises:
        ValueError: If there is no whole number within the bounds of one.
    """
    return {one.name: _nearest(one, found.values[one.name]) for one in found.variables if one.integer}


def _nearest(one: BoundVariable, value: float) -> float:
    low, high = _whole_interval(one)
    if low > high:
        raise ValueError(
            f"Variable {one.name!r} must have a whole number between its bounds, but has none from {one.low:g} to "
            f"{one.high:g}."
        )
    return float(min(max(round(value), low), high))


def _allowed(one: BoundVariable, value: float) -> bool:
    low, high = _whole_interval(one)
    return low <= value <= high


def _whole_interval(one: BoundVariable) -> tuple[float, float]:
    low = -math.inf if one.low is None else math.ceil(one.low)
    high = math.inf if one.high is None else math.floor(one.high)
    return low, high
