"""Ranges of a converter: the charges at which it saturates, in units of one fully driven cell at full weight."""

from abc import abstractmethod
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxaimc._core.checks import check_less
from jaxaimc._core.component import Component, component, leaf, static
from jaxaimc.adcs.base import ADC, Readout

# Part of a range by which a charge must lie beyond it: rounding in single precision is no saturation.
_SLACK = 1e-5

Bounds = tuple[Float[Array, "..."] | float, Float[Array, "..."] | float]


class Range(Component):
    """Base of all ranges. One of your own needs `limits`."""

    @property
    def unipolar(self) -> bool:
        """Whether it begins at zero whatever the columns are, so that negative charges would be lost."""
        return False

    @abstractmethod
    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return the lowest and the highest charge [1], broadcastable to charges of shape (plane, slice, cols).

        Args:
            readout: What is known about the columns.
            steps: Steps of the converter from the lowest to the highest charge.
        """

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return the limits of the planes that are being converted; converters call this one.

        Args:
            readout: What is known about the columns.
            steps: Steps of the converter from the lowest to the highest charge.

        Raises:
            ValueError: If a limit has another number of planes than there are conversions of a slice.
        """
        low, high = self.limits(readout, steps)
        return self._of_part(low, readout), self._of_part(high, readout)

    def _of_part(self, limit: Float[Array, "..."] | float, readout: Readout) -> Float[Array, "..."] | float:
        part = readout.part
        if part is None or jnp.ndim(limit) < 3:
            return limit
        planes, now = jnp.shape(limit)[-3], part.last - part.first
        if planes not in (1, now, part.planes):
            raise ValueError(
                f"A {type(self).__name__} for each plane must have shape (plane={part.planes}, slice, 1), as a slice "
                f"has {part.planes} conversions here, but has shape {jnp.shape(limit)}."
            )
        return limit[..., part.first : part.last, :, :] if planes not in (1, now) else limit  # pyright: ignore[reportIndexIssue]


class RangedADC(ADC):
    """A converter that saturates at both ends of its field `range`.

    One of your own whose codes are not `2**bits` steps from end to end says so by `steps`.
    """

    bits: Any
    range: Range

    @property
    def unipolar(self) -> bool:
        """As the range."""
        return self.range.unipolar

    @property
    def saturates(self) -> bool:
        """Yes."""
        return True

    def steps(self, dtype: jnp.dtype) -> Float[Array, ""] | float:
        """Return how many steps there are from the low to the high end of the range."""
        return 2.0**self.bits

    def resolution(self, readout: Readout) -> Float[Array, ""] | float:
        """Return its field `bits` [bit]."""
        return self.bits

    def saturated(self, q: Float[Array, "*out"], readout: Readout) -> Bool[Array, "*out"]:
        """Return which charges lie beyond the range."""
        low, high = self.range.bounds(readout, self.steps(q.dtype))
        slack = _SLACK * (high - low)
        return (q < low - slack) | (q > high + slack)


@component
class FullRange(Range):
    """The largest charge that the rows in use can deliver: nothing saturates, most codes stay unused.

    A row adds at most one fully driven cell where devices are subtracted, whatever their `g_min`, and at most
    `g_max / g_span` of one where a cell is a single device; of a group of bits that is narrower than its DAC, it adds
    as much less as the group's largest level. Planes that accumulate add no more, as an input never exceeds one. What
    exceeds the range is noise, and the charge of idle columns.
    """

    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return the charge of `rows` rows with minus and plus."""
        most = readout.rows * readout.row
        return -most, most


@component
class PositiveRange(Range):
    """As `FullRange` for charges that are never negative: single devices, inputs driven without polarity."""

    @property
    def unipolar(self) -> bool:
        """Yes."""
        return True

    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return zero and the charge of `rows` rows."""
        return 0.0, readout.rows * readout.row


@component
class TileRange(Range):
    """Zero to the largest charge of all rows of the tile, used or not, as in a charge-domain macro.

    Each plane has its own: that of a group of `e` bits is `2**e - 1` steps of the DAC per row, and that of the sign
    one.
    """

    @property
    def unipolar(self) -> bool:
        """Yes."""
        return True

    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return zero and the charge of `tile_rows` rows."""
        return 0.0, readout.tile_rows * readout.row


@component
class Symmetric(Range):
    """A range about zero.

    Attributes:
        limit: Largest charge [fully driven cells], greater than zero; differentiable, which is how it is learned.
            An array of shape (slice, 1) or (plane, slice, 1) gives each slice (and plane) its own.
    """

    limit: float = leaf(above=0.0, array=True)

    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return `-limit, limit`."""
        return -self.limit, self.limit


@component
class Span(Range):
    """A range between two charges. Arrays of shape (slice, 1) or (plane, slice, 1) give each slice its own.

    Attributes:
        low: Smallest charge [fully driven cells]; differentiable.
        high: Largest charge [fully driven cells]; differentiable.
    """

    low: float = leaf(array=True)
    high: float = leaf(array=True)

    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return `low, high`."""
        return self.low, self.high

    def check(self) -> None:
        """Refuse an empty range.

        Raises:
            ValueError: If `low` is not below `high`.
        """
        check_less("Span", "low", self.low, "high", self.high, "")


@component
class StepRange(Range):
    """A range that follows from the step: every code is a multiple of it, and the resolution says how far they go.

    With the step of the smallest product of a digit and a cell state, `1 / ((2**group - 1) (2**cell_bits - 1))`, the
    conversion is exact until it saturates (Xiao et al. 2022, arXiv 2109.01262); powers of two of it trade one for the
    other.

    Attributes:
        step: Charge of one step [fully driven cells], greater than zero; differentiable.
        signed: Whether the range is centred on zero, or begins there.
    """

    step: float = leaf(above=0.0, array=True)
    signed: bool = static(default=True)

    @property
    def unipolar(self) -> bool:
        """Unless it is centred on zero."""
        return not self.signed

    def limits(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return what that many steps reach."""
        reach = self.step * steps
        return (-reach / 2, reach / 2) if self.signed else (0.0 * reach, reach)
