"""Converters that differ from each other, and converters that serve several columns."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxaimc._core.component import component, leaf, static
from jaxaimc.adcs.base import ADC, Readout, Wrapped
from jaxaimc.adcs.uniform import Uniform


@component
class Mismatch(Wrapped):
    """Another converter, of which each has its own gain and offset: it digitises `(1 + gain) q + offset`.

    Both are drawn once per chip from normal distributions. Exact gradients in both fields along the drawn sample
    where the chip is programmed within the differentiated function.

    Attributes:
        adc: The converter.
        gain: Relative standard deviation of the gain [1].
        offset: Standard deviation of the offset [fully driven cells].
    """

    adc: ADC = Uniform()
    gain: float = leaf(0.0, low=0.0)
    offset: float = leaf(0.0, low=0.0)

    @property
    def mismatched(self) -> bool:
        """Yes."""
        return True

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
        return self.adc.convert(*_as_seen(q, readout), key)

    def saturated(self, q: Float[Array, "*out"], readout: Readout) -> Bool[Array, "*out"]:
        """Return which charges lie beyond the range, gain and offset of each converter included."""
        return self.adc.saturated(*_as_seen(q, readout))


@component
class ColumnMux(Wrapped):
    """Another converter that serves a group of neighbouring columns one after the other.

    All columns of a group see the same mismatch. How long the columns wait for it is in `jaxaimc.cost`.

    Attributes:
        adc: The converter, one with mismatch: others are alike anyway, and sharing them changes no result.
        columns: Columns per converter; the last group of a tile may be smaller.
    """

    adc: ADC = Mismatch()
    columns: int = static(default=8, low=1, high=65536)

    @property
    def columns_served(self) -> int:
        """Those of a group."""
        return self.columns

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> Any:
        """Return what one converter per group has, repeated for its columns."""
        groups = self.adc.draw_mismatch(key, slices, -(-cols // self.columns))
        return jax.tree.map(lambda leaf: jnp.repeat(leaf, self.columns, axis=-1)[..., :cols], groups)

    def check(self) -> None:
        """Check that sharing acts.

        Raises:
            ValueError: If the converter has no mismatch to share.
        """
        if not self.adc.mismatched:
            raise ValueError(
                f"Field `adc` of ColumnMux must be one with mismatch, such as Mismatch, but {type(self.adc).__name__} "
                "has none, so that `columns` could not act."
            )


def _as_seen(q: Float[Array, "*out"], readout: Readout) -> tuple[Float[Array, "*out"], Readout]:
    """Return `(1 + gain) q + offset` of each converter, and what it is otherwise known by."""
    chip = readout.converters
    gain, offset = jnp.asarray(chip["gain"], q.dtype), jnp.asarray(chip["offset"], q.dtype)
    return q * (1 + gain) + offset, readout._replace(converters=chip["adc"])
