"""Uniform quantiser: equal steps over a range."""

from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._checks import check_less, check_number
from jaxaimc._component import component, static
from jaxaimc._straight_through import clip, floor_ste, round_ste, trunc_ste


class Rounding(Protocol):
    """How a value between two codes becomes one of them."""

    def round(self, x: Float[Array, "*out"]) -> Float[Array, "*out"]:
        """Return whole numbers, with derivative one."""
        ...


@component
class Nearest:
    """To the nearest code, ties to even."""

    def round(self, x: Float[Array, "*out"]) -> Float[Array, "*out"]:
        """Return the nearest whole numbers."""
        return round_ste(x)


@component
class Floor:
    """To the code below."""

    def round(self, x: Float[Array, "*out"]) -> Float[Array, "*out"]:
        """Return the whole numbers below."""
        return floor_ste(x)


@component
class Truncate:
    """To the code toward zero."""

    def round(self, x: Float[Array, "*out"]) -> Float[Array, "*out"]:
        """Return the whole numbers toward zero."""
        return trunc_ste(x)


class Range(Protocol):
    """The charges at which a converter saturates, in units of one fully driven cell at full weight."""

    def bounds(self, rows: int) -> tuple[Float[Array, ""] | float, Float[Array, ""] | float]:
        """Return the lowest and the highest charge [1] for a tile with this many rows in use."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


@component
class FullRange:
    """The largest charge that the rows in use can deliver: nothing saturates, most codes stay unused."""

    def bounds(self, rows: int) -> tuple[float, float]:
        """Return `-rows, rows`."""
        return -float(rows), float(rows)

    def validate(self) -> None:
        """Nothing to check."""


@component
class Symmetric:
    """A range about zero.

    Attributes:
        limit: Largest charge [fully driven cells], greater than zero; differentiable.
    """

    limit: float

    def bounds(self, rows: int) -> tuple[float, float]:
        """Return `-limit, limit`."""
        return -self.limit, self.limit

    def validate(self) -> None:
        """Check the range.

        Raises:
            ValueError: If `limit` is not greater than zero.
        """
        check_number("Symmetric", "limit", self.limit, low=0.0, open_low=True)


@component
class Span:
    """A range between two charges.

    Attributes:
        low: Smallest charge [fully driven cells]; differentiable.
        high: Largest charge [fully driven cells]; differentiable.
    """

    low: float
    high: float

    def bounds(self, rows: int) -> tuple[float, float]:
        """Return `low, high`."""
        return self.low, self.high

    def validate(self) -> None:
        """Check the range.

        Raises:
            ValueError: If `low` is not below `high`.
        """
        check_number("Span", "low", self.low)
        check_number("Span", "high", self.high)
        check_less("Span", "low", self.low, "high", self.high, "")


@component
class Uniform:
    """ADC with equal steps over a range, saturating at both ends.

    `q -> low + step round((q - low) / step)` for `q` clipped to the range, `step = (high - low) / (2**bits - 1)`; with
    `has_zero` one code is dropped, `step = (high - low) / (2**bits - 2)`, and for a range about zero there is a code
    for it (mid-tread). Gradient: straight-through inside the range, zero outside; the range gets the exact derivative
    of what is left (saturated outputs follow it, others by their rounding error, as in Esser et al. 2020,
    arXiv 1902.08153), and so do real-valued `bits`.

    Attributes:
        bits: Resolution [bit]; a leaf, so it can be swept and differentiated.
        range: Charges at which the converter saturates.
        rounding: What happens between two codes.
        has_zero: Whether one of the `2**bits` codes is dropped so that the middle of the range is a code.

    Example:
        >>> import jax.numpy as jnp
        >>> adc = Uniform(bits=2, range=Symmetric(limit=1.0))
        >>> adc.convert(jnp.array([-3.0, 0.2, 0.6]), jnp.array(1e-15), rows=8).tolist()
        [-1.0, 0.0, 1.0]
    """

    bits: float = 8.0
    range: Range = FullRange()
    rounding: Rounding = Nearest()
    has_zero: bool = static(default=True)

    def convert(self, q: Float[Array, "*out"], unit_charge: Float[Array, "*#out"], rows: int) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        low, high = self.range.bounds(rows)
        step = (high - low) / (_exp2(self.bits, q.dtype) - (2 if self.has_zero else 1))
        # Codes are counted from the middle of a range with a middle code, so that zero is exact in float32.
        origin = (low + high) / 2 if self.has_zero else low
        return origin + step * self.rounding.round((clip(q, low, high) - origin) / step)

    def validate(self) -> None:
        """Check resolution and range.

        Raises:
            ValueError: If `bits` is not in `(1, 24]`, or the range is empty.
        """
        check_number("Uniform", "bits", self.bits, "bit", low=1.0, high=24.0, open_low=self.has_zero)
        self.range.validate()


def _exp2(bits: Float[Array, ""] | float, dtype: jnp.dtype) -> Float[Array, ""]:
    """Return `2**bits`, exact for whole numbers (XLA's power is not) and differentiable for all."""
    bits = jnp.asarray(bits, dtype)
    whole = jax.lax.stop_gradient(jnp.floor(bits))
    return jnp.ldexp(jnp.exp2(bits - whole), whole.astype(jnp.int32))
