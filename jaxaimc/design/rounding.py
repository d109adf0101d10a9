"""Designs with whole numbers, where a quantity such as a resolution can be nothing else."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optax
from jaxtyping import Array, Key

from jaxaimc.design.constraints import Constraint
from jaxaimc.design.minimise import Progress, make_stepper, run
from jaxaimc.design.result import Design
from jaxaimc.design.space import Space
from jaxaimc.design.step import Objective
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
    progress: Progress | None = None,
) -> Design:
    """Round the integer variables of a design to the nearest whole numbers, and optimise the others once more.

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
    whole = whole_numbers(found)
    if not whole:
        raise ValueError("Argument `found` must have an integer variable, but has none; set `integer` of a Variable.")
    values = {**found.values, **whole}
    config = Space(found.config, found.variables).configs(values)
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


def whole_numbers(found: Design) -> dict[str, float]:
    """Return the integer variables of a design, rounded to the nearest whole numbers inside of their bounds.

    Args:
        found: Result of `minimise`.

    Raises:
        ValueError: If there is no whole number within the bounds of one.
    """
    return {one.name: _nearest(one, found.values[one.name]) for one in found.variables if one.integer}


def _nearest(one: BoundVariable, value: float) -> float:
    low = -math.inf if one.low is None else math.ceil(one.low)
    high = math.inf if one.high is None else math.floor(one.high)
    if low > high:
        raise ValueError(
            f"Variable {one.name!r} must have a whole number between its bounds, but has none from {one.low:g} to "
            f"{one.high:g}."
        )
    return float(min(max(round(value), low), high))
