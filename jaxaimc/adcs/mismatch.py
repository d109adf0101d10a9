"""Converters that differ from each other, and converters that serve several columns."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc.adcs.base import ADC, Readout
from jaxaimc.adcs.uniform import Uniform


@component
class Mismatch:
    """Another converter, of which each has its own gain and offset: it digitises `(1 + gain) q + offset`.

    Both are drawn once per chip from normal distributions. Exact gradients in both fields along the drawn sample
    where the chip is programmed within the differentiated function.

    Attributes:
        adc: The converter.
        gain: Relative standard deviation of the gain [1].
        offset: Standard deviation of the offset [fully driven cells].
    """

    adc: ADC = Uniform()
    gain: float = 0.0
    offset: float = 0.0

    @property
    def noisy(self) -> bool:
        """As the converter."""
        return self.adc.noisy

    @property
    def mismatched(self) -> bool:
        """Yes."""
        return True

    @property
    def unipolar(self) -> bool:
        """As the converter."""
        return self.adc.unipolar

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Any]:
        """Return gain error and offset of every converter, and what the converter itself has."""
        gain_key, offset_key, own_key = jax.random.split(key, 3)
        return {
            "gain": self.gain * jax.random.normal(gain_key, (slices, cols)),
            "offset": self.offset * jax.random.normal(offset_key, (slices, cols)),
            "adc": self.adc.draw_mismatch(own_key, slices, cols),
        }

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return what each converter makes of the charge, in the unit of `q`."""
        chip = readout.converters
        gain, offset = jnp.asarray(chip["gain"], q.dtype), jnp.asarray(chip["offset"], q.dtype)
        return self.adc.convert(q * (1 + gain) + offset, readout._replace(converters=chip["adc"]), key)

    def with_range(self, range: Any) -> "Mismatch":
        """Return this with the converter's range set."""
        return replace(self, adc=self.adc.with_range(range))

    def validate(self) -> None:
        """Check the converter and the spread.

        Raises:
            ValueError: If a standard deviation is negative, or a field of the converter out of range.
        """
        self.adc.validate()
        check_number("Mismatch", "gain", self.gain, low=0.0)
        check_number("Mismatch", "offset", self.offset, low=0.0)


@component
class ColumnMux:
    """Another converter that serves a group of neighbouring columns one after the other.

    All columns of a group see the same mismatch. How long the columns wait for it is a matter of the latency model.

    Attributes:
        adc: The converter, one with mismatch: others are alike anyway, and sharing them changes no result.
        columns: Columns per converter; the last group of a tile may be smaller.
    """

    adc: ADC = Mismatch()
    columns: int = static(default=8)

    def __post_init__(self) -> None:
        check_integer("ColumnMux", "columns", self.columns, low=1, high=65536)

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

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> Any:
        """Return what one converter per group has, repeated for its columns."""
        groups = self.adc.draw_mismatch(key, slices, -(-cols // self.columns))
        return jax.tree.map(lambda leaf: jnp.repeat(leaf, self.columns, axis=-1)[..., :cols], groups)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return what each column's converter makes of the charge, in the unit of `q`."""
        return self.adc.convert(q, readout, key)

    def with_range(self, range: Any) -> "ColumnMux":
        """Return this with the converter's range set."""
        return replace(self, adc=self.adc.with_range(range))

    def validate(self) -> None:
        """Check the converter.

        Raises:
            ValueError: If it has no mismatch to share, or one of its fields is out of range.
        """
        self.adc.validate()
        if not self.adc.mismatched:
            raise ValueError(
                f"Field `adc` of ColumnMux must be one with mismatch, such as Mismatch, but {type(self.adc).__name__} "
                "has none, so that `columns` could not act."
            )
