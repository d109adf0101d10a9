"""Smooth maps from all real numbers onto the interval in which a variable may lie, so that optimisers know no bounds.

    two bounds   low + (high - low) sigmoid(u + u_0)
    one bound    low + scale exp(u)   or   high - scale exp(u)
    none         start + scale u

Zero is the start. Near a bound a step of `u` multiplies the distance from it: a quantity far below the upper bound of a
wide interval moves on a logarithmic scale.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, ""]

# Distance that a value put on a bound keeps from it, over that of the start: at the bound itself the map ends.
_MARGIN = 1e-4
# Beyond, exponentials leave single precision.
_FAR = 60.0


@dataclasses.dataclass(frozen=True)
class Between:
    """Onto `(low, high)`.

    Args:
        low: Lower bound.
        high: Upper bound.
        start: Value at zero.

    Example:
        >>> float(Between(1.0, 3.0, 2.0).value(jnp.zeros(())))
        2.0
    """

    low: float
    high: float
    start: float

    def value(self, number: Number) -> Number:
        """Return the value that an unconstrained number stands for."""
        # The sigmoid by its odds: single precision would round a large `u_0`, and with it the start.
        odds = (self.high - self.start) / (self.start - self.low)
        return self.low + (self.high - self.low) / (1 + odds * jnp.exp(-jnp.clip(number, -_FAR, _FAR)))

    def number(self, value: Number) -> Number:
        """Return the unconstrained number of a value, which is moved inside from a bound or from beyond it."""
        below, above = self.start - self.low, self.high - self.start
        least = _MARGIN * min(below, above)
        share = jnp.maximum(value - self.low, least) / below
        return jnp.log(share) - jnp.log(jnp.maximum(self.high - value, least) / above)


@dataclasses.dataclass(frozen=True)
class OneSided:
    """Onto all values on one side of a bound.

    Args:
        bound: The bound.
        scale: Distance of the start from it: positive for values above the bound, negative for values below.

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


@dataclasses.dataclass(frozen=True)
class Free:
    """Onto all real numbers, in steps of a scale.

    Args:
        start: Value at zero.
        scale: What a step of one is.
    """

    start: float
    scale: float

    def value(self, number: Number) -> Number:
        """Return the value that an unconstrained number stands for."""
        return self.start + self.scale * number

    def number(self, value: Number) -> Number:
        """Return the unconstrained number of a value."""
        return (value - self.start) / self.scale


Bijection = Between | OneSided | Free


def between(low: float | None, high: float | None, start: float) -> Bijection:
    """Return the map onto an interval.

    Args:
        low: Lower bound; None for none.
        high: Upper bound; None for none.
        start: A value inside, at which the map is zero.
    """
    if low is not None and high is not None:
        return Between(low, high, start)
    if low is not None:
        return OneSided(low, start - low)
    if high is not None:
        return OneSided(high, start - high)
    return Free(start, abs(start) or 1.0)
