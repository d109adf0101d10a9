"""Converters that amplify what is left: pipeline and cyclic, with 1.5 bits per stage.

A stage compares its input `v` in `[-1, 1]` with `±1/4`, decides `d` in `-1, 0, 1`, and hands `2 v - d` on; the last
decision is the sign. The amplifier of capacitors `C1` and `C2` and open-loop gain `A` makes of this
`((1 + C1/C2) v - d C1/C2) / (1 + (1 + C1/C2) / A)`. The half bit of redundancy forgives comparator offsets up to 1/4;
the capacitors' ratio and the gain are not forgiven. Circuits: Spear et al. 2023 (see `jaxaimc.adcs.circuits`).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import component, leaf, static
from jaxaimc.adcs.base import Readout
from jaxaimc.adcs.circuits import MismatchedCircuit, through
from jaxaimc.adcs.ranges import FullRange, Range


@component
class Pipeline(MismatchedCircuit):
    """Pipeline converter: `bits - 1` stages one behind the other, each with its own mismatch.

    Codes are mid-rise. Gradient: straight-through inside the range, zero outside; none in the mismatch.

    Attributes:
        bits: Resolution [bit].
        range: Charges at which the converter saturates.
        capacitor: Relative standard deviation of each capacitor [1].
        comparator: Standard deviation of the offset of each comparator [share of the range].
        gain: Open-loop gain of the amplifiers [1]; infinite for ideal ones.
    """

    bits: int = static(default=8, low=2, high=16)
    range: Range = FullRange()
    capacitor: float = leaf(0.0, low=0.0)
    comparator: float = leaf(0.0, low=0.0)
    gain: float = leaf(math.inf, above=0.0, infinite=True)

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Array]:
        """Return capacitor ratios and comparator offsets of every stage."""
        return _draw_mismatch(self, key, self.bits - 1, slices, cols)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        return _convert(self, q, readout)


@component
class Cyclic(MismatchedCircuit):
    """Cyclic converter: one stage used `bits - 1` times, so that its mismatch repeats in every bit.

    Codes are mid-rise. Gradient: straight-through inside the range, zero outside; none in the mismatch.

    Attributes:
        bits: Resolution [bit].
        range: Charges at which the converter saturates.
        capacitor: Relative standard deviation of each capacitor [1].
        comparator: Standard deviation of the offset of each comparator [share of the range].
        gain: Open-loop gain of the amplifier [1]; infinite for an ideal one.
    """

    bits: int = static(default=8, low=2, high=16)
    range: Range = FullRange()
    capacitor: float = leaf(0.0, low=0.0)
    comparator: float = leaf(0.0, low=0.0)
    gain: float = leaf(math.inf, above=0.0, infinite=True)

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Array]:
        """Return capacitor ratio and comparator offsets of the stage."""
        return _draw_mismatch(self, key, 1, slices, cols)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        return _convert(self, q, readout)


def _draw_mismatch(
    adc: Pipeline | Cyclic, key: Key[Array, ""], stages: int, slices: int, cols: int
) -> dict[str, Array]:
    capacitor_key, offset_key = jax.random.split(key)
    c = jnp.maximum(1 + adc.capacitor * jax.random.normal(capacitor_key, (2, stages, slices, cols)), 1e-3)
    # Two comparators per stage, and the sign decision at the end; the range is two units of `v` wide.
    offset = 2 * adc.comparator * jax.random.normal(offset_key, (3, stages, slices, cols))
    return {"ratio": c[0] / c[1], "upper": offset[0], "lower": offset[1], "last": offset[2, -1]}


def _convert(adc: Pipeline | Cyclic, q: Float[Array, "*out"], readout: Readout) -> Float[Array, "*out"]:
    chip = {name: jnp.asarray(value, q.dtype) for name, value in readout.converters.items()}
    stages = len(chip["ratio"])

    def decide(place: Array) -> Array:
        v, result = 2 * place - 1, jnp.zeros_like(place)
        for index in range(adc.bits - 1):
            # A single stage is used again and again.
            stage = index if stages > 1 else 0
            ratio = chip["ratio"][stage]
            d = (v > 0.25 + chip["upper"][stage]).astype(v.dtype) - (v < -0.25 + chip["lower"][stage])
            v = ((1 + ratio) * v - ratio * d) / (1 + (1 + ratio) / adc.gain)
            result = result + d / 2 ** (index + 1)
        sign = jnp.where(v >= chip["last"], 1.0, -1.0).astype(v.dtype)
        return (result + sign / 2**adc.bits + 1) / 2

    return through(q, adc.range.bounds(readout, adc.steps(q.dtype)), decide)
