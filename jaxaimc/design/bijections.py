"""Smooth maps from all real numbers onto the interval in which a variable may lie, so that optimisers know no bounds.

    two bounds   low + (high - low) sigmoid(u)
    one bound    low + scale exp(u)   or   high - scale exp(u)
    none         centre + scale u

Near a bound a step of `u` multiplies the distance from it: a quantity far below the upper bound of a wide interval
moves on a logarithmic scale.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, ""]

# Distance that a value put on a bound keeps from it, over that of the start: at the bound itself the map ends.
_MARGIN = 1e-4


@dataclasses.dataclass(frozen=True)
class Between:
    """Onto `(low, high)`.

    Args:
        low: Lower bound.
        high: Upper bound.
        scale: Distance of the start from the nearer one.

    Example:
        >>> float(Between(1.0, 3.0, 0.5).value(jnp.zeros(())))
        2.0
    """

    low: float
    high: float
    scale: float

    def value(self, number: Number) -> Number:
        """Return the value that an unconstrained number stands for."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(number)

    def number(self, value: Number) -> Number:
        """Return the unconstrained number of a value, which is moved inside from a bound or from beyond it."""
        least = _MARGIN * self.scale
        return jnp.log(jnp.maximum(value - self.low, least)) - jnp.log(jnp.maximum(self.high - value, least))

    def of_start(self, start: float) -> float:
        """Return the unconstrained number of a value inside, computed in double precision."""
        return math.log(start - self.low) - math.log(self.high - start)


@dataclasses.dataclass(frozen=True)
class OneSided:
    """Onto all values on one side of a bound, at zero in the distance `scale` from it.

    Args:
        bound: The bound.
        scale: Distance at zero: positive for values above the bound, negative for values below.

    Example:
        >>> float(OneSided(1.0, 2.0).value(jnp.zeros(()))), float(OneSided(1.0, -2.0).value(jnp.zeros(())))
        (3.0, -1.0)
    """

    bound: float
    scale: float

    def value(self, number: Number) -> Number:
        """Return the value that an unconstrained number stands for."""
        return self.bound + self.scale * jnp.exp(number)

    def number(self, value: Number) -> Number:
        """Return the unconstrained number of a value, which is moved inside from the bound or from beyond it."""
        return jnp.log(jnp.maximum((value - self.bound) / self.scale, _MARGIN))

    def of_start(self, start: float) -> float:
        """Return the unconstrained number of a value inside, computed in double precision."""
        return math.log((start - self.bound) / self.scale)


@dataclasses.dataclass(frozen=True)
class Free:
    """Onto all real numbers, in steps of a scale.

    Args:
        centre: Value at zero.
        scale: What a step of one is.
    """

    centre: float
    scale: float

    def value(self, number: Number) -> Number:
        """Return the value that an unconstrained number stands for."""
        return self.centre + self.scale * number

    def number(self, value: Number) -> Number:
        """Return the unconstrained number of a value."""
        return (value - self.centre) / self.scale

    def of_start(self, start: float) -> float:
        """Return the unconstrained number of a value, computed in double precision."""
        return (start - self.centre) / self.scale


Bijection = Between | OneSided | Free


def between(low: float | None, high: float | None, start: float) -> Bijection:
    """Return the map onto an interval.

    Args:
        low: Lower bound; None for none.
        high: Upper bound; None for none.
        start: A value inside, which gives the scale where a bound is missing.
    """
    if low is not None and high is not None:
        return Between(low, high, min(start - low, high - start))
    if low is not None:
        return OneSided(low, start - low)
    if high is not None:
        return OneSided(high, start - high)
    return Free(start, abs(start) or 1.0)
