"""Constraints between variables, as penalties."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number, shown


@dataclasses.dataclass(frozen=True)
class Constraint:
    """`g(config) <= 0`, by the penalty `weight sum(max(g, 0)^2)` that is added to the objective.

    A penalty leaves a violation: where the objective falls by `s` for each unit of `g`, the optimum lies at
    `g = s / (2 weight)`. Scale `g` to be near one, such as `area / limit - 1`.

    Args:
        function: `g`, of the config or of the configs by rule, to a number or an array; differentiable.
        weight: Weight of the penalty, greater than zero.
        name: Name in the history.

    Raises:
        ValueError: If an argument is of another kind or out of range.
    """

    function: Callable[[Any], Any]
    weight: float = 100.0
    name: str = "constraint"

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"Field `function` of Constraint must be a function, but is {shown(self.function)}.")
        check_number("Constraint", "weight", self.weight, low=0.0, open_low=True)
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"Field `name` of Constraint must be a text that is not empty, but is {shown(self.name)}.")

    def excess(self, config: Any) -> Float[Array, "..."]:
        """Return by how much the constraint is violated, zero where it is not."""
        return jnp.maximum(jnp.asarray(self.function(config)), 0.0)
