"""The protocol of converters, and the ones that quantise nothing.

Charges are given in units of one cell at full weight under a full-scale pulse, so that the ideal value is the
dot product of normalised inputs and weights.
"""

from typing import Any, NamedTuple, Protocol

import jax
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component
from jaxaimc._core.random import normal

# Axes of a charge array that are not batch axes: plane, slice, cols.
AXES = 3
# Where a converter needs a read key, for errors.
NOISY = "the ADC is noisy"


class Readout(NamedTuple):
    """What a converter knows about the columns that it reads.

    Attributes:
        unit_charge: Charge of one fully driven cell at full weight [C], broadcastable to the charges.
        rows: Rows in use.
        tile_rows: Rows of the physical tile.
        weight: Size of each conversion's part in the result, over that of the most significant one [1],
            broadcastable to the charges.
        converters: What `draw_mismatch` drew for this chip.
        peak: Largest magnitude of the charge that one row can add without noise [1]: one, more for a single device with
            a `g_min` above zero.
        conversions: Conversions that an output is put together from.
    """

    unit_charge: Float[Array, "..."]
    rows: int
    tile_rows: int
    weight: Float[Array, "..."] | float = 1.0
    converters: Any = ()
    peak: Float[Array, ""] | float = 1.0
    conversions: int = 1


class ADC(Protocol):
    """What every converter offers. A converter of your own is a component with these members."""

    @property
    def noisy(self) -> bool:
        """Whether a conversion draws random numbers, and so needs a read key."""
        ...

    @property
    def mismatched(self) -> bool:
        """Whether each converter of a chip differs from the others."""
        ...

    @property
    def unipolar(self) -> bool:
        """Whether its range begins at zero whatever the columns are, so that negative charges would be lost."""
        ...

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> Any:
        """Draw what is particular to each converter of a tile.

        Args:
            key: Chip key.
            slices: Slices per column.
            cols: Columns.

        Returns:
            A pytree of arrays, each of shape (..., slices, cols); empty where all converters are alike.
        """
        ...

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge, in the unit of `q`.

        Args:
            q: Charge in units of one fully driven cell at full weight [1], shape (*batch, plane, slice, cols).
            readout: What is known about the columns.
            key: Read key, one or one per leading batch index.
        """
        ...

    def with_range(self, range: Any) -> "ADC":
        """Return this converter with another range; itself where there is none to set."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


def draw_normals(
    key: Key[Array, "*keys"] | None, shape: tuple[int, ...], dtype: jax.typing.DTypeLike
) -> Float[Array, "*out"]:
    """Draw a standard normal for every conversion.

    Args:
        key: One key, or an array of keys whose shape leads `shape`.
        shape: Shape of the charges.
        dtype: Type of the result.

    Returns:
        Independent draws, the same on every platform to rounding.

    Raises:
        ValueError: If `key` is None, not a typed key, or has a shape that does not lead the batch axes.
    """
    return normal(key, shape, dtype, axes=AXES, where=NOISY)


class Alike:
    """Converters without mismatch: none differs from the others."""

    @property
    def mismatched(self) -> bool:
        """No."""
        return False

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> Any:
        """Return nothing."""
        return ()


@component
class IdealADC(Alike):
    """A converter of infinite resolution and range."""

    @property
    def noisy(self) -> bool:
        """No."""
        return False

    @property
    def unipolar(self) -> bool:
        """No."""
        return False

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return `q`."""
        return q

    def with_range(self, range: Any) -> "IdealADC":
        """Return itself: there is no range."""
        return self

    def validate(self) -> None:
        """Nothing to check."""


@component
class GaussianADC(Alike):
    """A converter of infinite resolution and range that adds Gaussian noise. Exact gradients.

    Attributes:
        sigma: Standard deviation of a conversion [fully driven cells].
    """

    sigma: float

    @property
    def noisy(self) -> bool:
        """Yes."""
        return True

    @property
    def unipolar(self) -> bool:
        """No."""
        return False

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return `q` and noise."""
        sigma = jax.numpy.asarray(self.sigma, q.dtype)
        return q + sigma * draw_normals(key, q.shape, q.dtype)

    def with_range(self, range: Any) -> "GaussianADC":
        """Return itself: there is no range."""
        return self

    def validate(self) -> None:
        """Check the noise.

        Raises:
            ValueError: If `sigma` is negative.
        """
        check_number("GaussianADC", "sigma", self.sigma, low=0.0)
