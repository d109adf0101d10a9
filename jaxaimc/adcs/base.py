"""What every converter is, and the ones that quantise nothing.

Charges are given in units of one cell at full weight under a full-scale pulse, so that the ideal value is the
dot product of normalised inputs and weights.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Key

from jaxaimc._core.component import Component, component, leaf
from jaxaimc._core.random import Shape, normal

# Axes of a charge array that are not batch axes: plane, slice, cols.
AXES = 3
# Where a converter needs a read key, for errors.
NOISY = "the ADC is noisy"


class Part(NamedTuple):
    """Which planes of a tile are converted in one call.

    Attributes:
        first: The first of them.
        last: The one behind the last.
        planes: How many there are in all.
    """

    first: int
    last: int
    planes: int


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
        reach: Largest level that the pulses of each conversion can have [1], broadcastable to the charges: less than
            one for a group of bits that is narrower than its DAC.
        part: Which planes are converted, where it is not all of them.
    """

    unit_charge: Float[Array, "..."]
    rows: int
    tile_rows: int
    weight: Float[Array, "..."] | float = 1.0
    converters: Any = ()
    peak: Float[Array, ""] | float = 1.0
    conversions: int = 1
    reach: Float[Array, "..."] | float = 1.0
    part: Part | None = None

    @property
    def row(self) -> Float[Array, "..."] | float:
        """Largest magnitude of the charge that one row can add to each conversion [1]."""
        return self.peak * self.reach


class ADC(Component):
    """Base of all converters. A converter of your own derives from it, and needs `convert`."""

    @property
    def noisy(self) -> bool:
        """Whether a conversion draws random numbers, and so needs a read key."""
        return False

    @property
    def mismatched(self) -> bool:
        """Whether each converter of a chip differs from the others."""
        return False

    @property
    def unipolar(self) -> bool:
        """Whether its range begins at zero whatever the columns are, so that negative charges would be lost."""
        return False

    @property
    def saturates(self) -> bool:
        """Whether there are charges that its codes cannot express, however coarsely, since they lie beyond a range."""
        return False

    def saturated(self, q: Float[Array, "*out"], readout: Readout) -> Bool[Array, "*out"]:
        """Return which charges lie beyond the range: an end code stands for them, whatever they are.

        A charge within the range is none of them, though its code may be the first or the last. Noise of the conversion
        is left out.

        Args:
            q: Charge in units of one fully driven cell at full weight [1], shape (*batch, plane, slice, cols).
            readout: What is known about the columns.
        """
        return jnp.zeros(q.shape, bool)

    def uses(self, readout: Readout) -> Integer[Array, "..."]:
        """Return how often each charge is converted: once, unless a converter says otherwise.

        Args:
            readout: What is known about the columns.

        Returns:
            Uses of the converter, broadcastable to the charges.
        """
        return jnp.ones(jnp.shape(readout.weight), int)

    @property
    def columns_served(self) -> int:
        """Columns that one converter digitises one after the other."""
        return 1

    def resolution(self, readout: Readout) -> Float[Array, ""] | float | None:
        """Return the bits of its codes [bit], which costs go by; None where it has no codes, or counts a charge.

        Args:
            readout: What is known about the columns.
        """
        return None

    @property
    def counting(self) -> bool:
        """Whether it counts a charge, and has `counts`."""
        return False

    def counts(self, q: Float[Array, "*out"], readout: Readout) -> Float[Array, "*out"]:
        """Return how far a converter that counts does so for each charge, parts of a count included [1].

        Args:
            q: Charge in units of one fully driven cell at full weight [1], shape (*batch, plane, slice, cols).
            readout: What is known about the columns.
        """
        raise NotImplementedError(f"{type(self).__name__} does not count.")

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> Any:
        """Draw what is particular to each converter of a tile.

        Args:
            key: Chip key.
            slices: Slices per column.
            cols: Columns.

        Returns:
            A pytree of arrays, each of shape (..., slices, cols); empty where all converters are alike.
        """
        return ()

    @abstractmethod
    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge, in the unit of `q`.

        Args:
            q: Charge in units of one fully driven cell at full weight [1], shape (*batch, plane, slice, cols).
            readout: What is known about the columns.
            key: Read key, one or one per leading batch index.
        """


class Wrapped(ADC):
    """Another converter, its field `adc`, with something changed; everything else is passed on."""

    adc: ADC

    @property
    def noisy(self) -> bool:
        """As the converter."""
        return self.adc.noisy

    @property
    def mismatched(self) -> bool:
        """As the converter."""
        return self.adc.mismatched

    @property
    def unipolar(self) -> bool:
        """As the converter."""
        return self.adc.unipolar

    @property
    def saturates(self) -> bool:
        """As the converter."""
        return self.adc.saturates

    def saturated(self, q: Float[Array, "*out"], readout: Readout) -> Bool[Array, "*out"]:
        """Return which charges lie beyond the converter's range."""
        return self.adc.saturated(q, readout)

    def uses(self, readout: Readout) -> Integer[Array, "..."]:
        """Return how often the converter converts each charge."""
        return self.adc.uses(readout)

    @property
    def columns_served(self) -> int:
        """As the converter."""
        return self.adc.columns_served

    def resolution(self, readout: Readout) -> Float[Array, ""] | float | None:
        """Return the converter's bits [bit]."""
        return self.adc.resolution(readout)

    @property
    def counting(self) -> bool:
        """As the converter."""
        return self.adc.counting

    def counts(self, q: Float[Array, "*out"], readout: Readout) -> Float[Array, "*out"]:
        """Return the converter's counts [1]."""
        return self.adc.counts(q, readout)

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> Any:
        """Return what the converters have."""
        return self.adc.draw_mismatch(key, slices, cols)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return what the converter makes of the charge, in the unit of `q`."""
        return self.adc.convert(q, readout, key)


def draw_normals(key: Key[Array, "*keys"] | None, shape: Shape, dtype: jax.typing.DTypeLike) -> Float[Array, "*out"]:
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


@component
class IdealADC(ADC):
    """A converter of infinite resolution and range."""

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return `q`."""
        return q


@component
class GaussianADC(ADC):
    """A converter of infinite resolution and range that adds Gaussian noise. Exact gradients.

    Attributes:
        sigma: Standard deviation of a conversion [fully driven cells].
    """

    sigma: float = leaf(low=0.0)

    @property
    def noisy(self) -> bool:
        """Yes."""
        return True

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return `q` and noise."""
        sigma = jax.numpy.asarray(self.sigma, q.dtype)
        return q + sigma * draw_normals(key, q.shape, q.dtype)
