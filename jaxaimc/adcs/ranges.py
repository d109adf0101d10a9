"""Ranges of a converter: the charges at which it saturates, in units of one fully driven cell at full weight."""

from typing import Protocol

from jaxtyping import Array, Float

from jaxaimc._core.checks import check_less, check_number
from jaxaimc._core.component import component, static
from jaxaimc.adcs.base import Readout

Bounds = tuple[Float[Array, "..."] | float, Float[Array, "..."] | float]


class Range(Protocol):
    """What every range offers."""

    @property
    def unipolar(self) -> bool:
        """Whether it begins at zero whatever the columns are, so that negative charges would be lost."""
        ...

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return the lowest and the highest charge [1], broadcastable to charges of shape (plane, slice, cols).

        Args:
            readout: What is known about the columns.
            steps: Steps of the converter from the lowest to the highest charge.
        """
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


class _Unipolar:
    @property
    def unipolar(self) -> bool:
        """Yes."""
        return True


class _Bipolar:
    @property
    def unipolar(self) -> bool:
        """No."""
        return False


@component
class FullRange(_Bipolar):
    """The largest charge that the rows in use can deliver: nothing saturates, most codes stay unused.

    A row adds at most one fully driven cell where devices are subtracted, whatever their `g_min`, and at most
    `g_max / g_span` of one where a cell is a single device. Planes that accumulate add no more, as an input never
    exceeds one. What exceeds the range is noise, and the charge of idle columns.
    """

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return `-rows peak, rows peak`."""
        reach = readout.rows * readout.peak
        return -reach, reach

    def validate(self) -> None:
        """Nothing to check."""


@component
class PositiveRange(_Unipolar):
    """As `FullRange` for charges that are never negative: single devices, inputs driven without polarity."""

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return `0, rows peak`."""
        return 0.0, readout.rows * readout.peak

    def validate(self) -> None:
        """Nothing to check."""


@component
class TileRange(_Unipolar):
    """Zero to the charge of all rows of the tile, used or not, as in a charge-domain macro."""

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return `0, tile_rows peak`."""
        return 0.0, readout.tile_rows * readout.peak

    def validate(self) -> None:
        """Nothing to check."""


@component
class Symmetric(_Bipolar):
    """A range about zero.

    Attributes:
        limit: Largest charge [fully driven cells], greater than zero; differentiable, which is how it is learned.
            An array of shape (slice, 1) or (plane, slice, 1) gives each slice (and plane) its own.
    """

    limit: float

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return `-limit, limit`."""
        return -self.limit, self.limit

    def validate(self) -> None:
        """Check the range.

        Raises:
            ValueError: If `limit` is not greater than zero.
        """
        check_number("Symmetric", "limit", self.limit, low=0.0, open_low=True)


@component
class Span(_Bipolar):
    """A range between two charges. Arrays of shape (slice, 1) or (plane, slice, 1) give each slice its own.

    Attributes:
        low: Smallest charge [fully driven cells]; differentiable.
        high: Largest charge [fully driven cells]; differentiable.
    """

    low: float
    high: float

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
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
class StepRange:
    """A range that follows from the step: every code is a multiple of it, and the resolution says how far they go.

    With the step of the smallest product of a digit and a cell state, `1 / ((2**group - 1) (2**cell_bits - 1))`, the
    conversion is exact until it saturates (Xiao et al. 2022, arXiv 2109.01262); powers of two of it trade one for the
    other.

    Attributes:
        step: Charge of one step [fully driven cells], greater than zero; differentiable.
        signed: Whether the range is centred on zero, or begins there.
    """

    step: float
    signed: bool = static(default=True)

    @property
    def unipolar(self) -> bool:
        """Unless it is centred on zero."""
        return not self.signed

    def bounds(self, readout: Readout, steps: Float[Array, ""] | float) -> Bounds:
        """Return what that many steps reach."""
        reach = self.step * steps
        return (-reach / 2, reach / 2) if self.signed else (0.0 * reach, reach)

    def validate(self) -> None:
        """Check the step.

        Raises:
            ValueError: If `step` is not greater than zero.
        """
        check_number("StepRange", "step", self.step, low=0.0, open_low=True)
