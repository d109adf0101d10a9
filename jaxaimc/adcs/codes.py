"""Code conventions: where the codes of a converter lie in its range; and what happens between two of them."""

from abc import abstractmethod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import Component, component
from jaxaimc._core.random import uniform
from jaxaimc._core.rounding import floor_ste, round_ste, trunc_ste
from jaxaimc.adcs.base import AXES, NOISY


class Grid(NamedTuple):
    """Codes `origin + n step` for whole `n`, from `bottom` to `top`."""

    origin: Float[Array, "..."]
    step: Float[Array, "..."]
    bottom: Float[Array, "..."] | float
    top: Float[Array, "..."] | float


class Codes(Component):
    """Base of all conventions: where codes lie in a range."""

    @abstractmethod
    def steps(self, levels: Float[Array, ""]) -> Float[Array, ""]:
        """Return how many steps there are from the low to the high end of the range."""

    @abstractmethod
    def grid(self, low: Array | float, high: Array | float, steps: Float[Array, ""]) -> Grid:
        """Return the codes."""

    def lowest_bits(self) -> tuple[float, bool]:
        """Return the lowest resolution [bit], and whether it is itself too low: one bit or more."""
        return 1.0, False


@component
class MidTread(Codes):
    """`2**bits - 1` codes: one is dropped, so that the middle of the range is a code. Both ends are codes."""

    def steps(self, levels: Float[Array, ""]) -> Float[Array, ""]:
        """Return `2**bits - 2`."""
        return levels - 2

    def grid(self, low: Array | float, high: Array | float, steps: Float[Array, ""]) -> Grid:
        """Count from the middle, so that the zero of a range about zero is exact in float32."""
        return Grid((low + high) / 2 + jnp.zeros_like(steps), (high - low) / steps, low, high)

    def lowest_bits(self) -> tuple[float, bool]:
        """More than one bit."""
        return 1.0, True


@component
class BothEnds(Codes):
    """`2**bits` codes from one end of the range to the other; a range about zero has no code for zero."""

    def steps(self, levels: Float[Array, ""]) -> Float[Array, ""]:
        """Return `2**bits - 1`."""
        return levels - 1

    def grid(self, low: Array | float, high: Array | float, steps: Float[Array, ""]) -> Grid:
        """Count from the low end."""
        return Grid(low + jnp.zeros_like(steps), (high - low) / steps, low, high)


@component
class MidRise(Codes):
    """`2**bits` codes in the middles of as many equal parts of the range, as successive approximation gives."""

    def steps(self, levels: Float[Array, ""]) -> Float[Array, ""]:
        """Return `2**bits`."""
        return levels

    def grid(self, low: Array | float, high: Array | float, steps: Float[Array, ""]) -> Grid:
        """Count from half a step above the low end."""
        step = (high - low) / steps
        return Grid(low + step / 2, step, low + step / 2, high - step / 2)


class Rounding(Component):
    """Base of all roundings: how a value between two codes becomes one of them. Gradient: straight-through."""

    @property
    def noisy(self) -> bool:
        """Whether it draws random numbers."""
        return False

    @abstractmethod
    def round(self, x: Float[Array, "*out"], key: Key[Array, "*keys"] | None) -> Float[Array, "*out"]:
        """Return whole numbers, with derivative one."""


@component
class Nearest(Rounding):
    """To the nearest code, ties to even."""

    def round(self, x: Float[Array, "*out"], key: Key[Array, "*keys"] | None = None) -> Float[Array, "*out"]:
        """Return the nearest whole numbers."""
        return round_ste(x)


@component
class Floor(Rounding):
    """To the code below."""

    def round(self, x: Float[Array, "*out"], key: Key[Array, "*keys"] | None = None) -> Float[Array, "*out"]:
        """Return the whole numbers below."""
        return floor_ste(x)


@component
class Truncate(Rounding):
    """To the code toward zero."""

    def round(self, x: Float[Array, "*out"], key: Key[Array, "*keys"] | None = None) -> Float[Array, "*out"]:
        """Return the whole numbers toward zero."""
        return trunc_ste(x)


@component
class Stochastic(Rounding):
    """To one of the two codes beside the value, with the probability that makes the mean right."""

    @property
    def noisy(self) -> bool:
        """Yes."""
        return True

    def round(self, x: Float[Array, "*out"], key: Key[Array, "*keys"] | None = None) -> Float[Array, "*out"]:
        """Return the whole numbers above or below."""
        draw = uniform(key, x.shape, x.dtype, axes=AXES, where=NOISY)
        return x + jax.lax.stop_gradient(jnp.floor(x + draw) - x)
