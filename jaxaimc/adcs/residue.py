"""Converters that amplify what is left: pipeline and cyclic, with 1.5 bits per stage.

A stage compares its input `v` in `[-1, 1]` with `±1/4`, decides `d` in `-1, 0, 1`, and hands `2 v - d` on; the last
decision is the sign. The amplifier of capacitors `C1` and `C2` and open-loop gain `A` makes of this
`((1 + C1/C2) v - d C1/C2) / (1 + (1 + C1/C2) / A)`. The half bit of redundancy forgives comparator offsets up to 1/4;
the capacitors' ratio and the gain are not forgiven. Circuits: Spear et al. 2023 (see `jaxaimc.adcs.circuits`).
"""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc.adcs.base import Readout
from jaxaimc.adcs.circuits import through
from jaxaimc.adcs.ranges import FullRange, Range


@component
class Pipeline:
    """Pipeline converter: `bits - 1` stages one behind the other, each with its own mismatch.

    Codes are mid-rise. Gradient: straight-through inside the range, zero outside; none in the mismatch.

    Attributes:
        bits: Resolution [bit].
        range: Charges at which the converter saturates.
        capacitor: Relative standard deviation of each capacitor [1].
        comparator: Standard deviation of the offset of each comparator [share of the range].
        gain: Open-loop gain of the amplifiers [1]; infinite for ideal ones.
    """

    bits: int = static(default=8)
    range: Range = FullRange()
    capacitor: float = 0.0
    comparator: float = 0.0
    gain: float = math.inf

    def __post_init__(self) -> None:
        check_integer("Pipeline", "bits", self.bits, low=2, high=16)

    @property
    def noisy(self) -> bool:
        """No: all is static."""
        return False

    @property
    def mismatched(self) -> bool:
        """Yes."""
        return True

    @property
    def unipolar(self) -> bool:
        """As the range."""
        return self.range.unipolar

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Array]:
        """Return capacitor ratios and comparator offsets of every stage."""
        return _draw_mismatch(self, key, self.bits - 1, slices, cols)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        return _convert(self, q, readout)

    def with_range(self, range: Range) -> "Pipeline":
        """Return this converter with another range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check range, mismatch and gain.

        Raises:
            ValueError: If a standard deviation is negative, the gain not greater than zero, or the range empty.
        """
        _validate("Pipeline", self)


@component
class Cyclic:
    """Cyclic converter: one stage used `bits - 1` times, so that its mismatch repeats in every bit.

    Codes are mid-rise. Gradient: straight-through inside the range, zero outside; none in the mismatch.

    Attributes:
        bits: Resolution [bit].
        range: Charges at which the converter saturates.
        capacitor: Relative standard deviation of each capacitor [1].
        comparator: Standard deviation of the offset of each comparator [share of the range].
        gain: Open-loop gain of the amplifier [1]; infinite for an ideal one.
    """

    bits: int = static(default=8)
    range: Range = FullRange()
    capacitor: float = 0.0
    comparator: float = 0.0
    gain: float = math.inf

    def __post_init__(self) -> None:
        check_integer("Cyclic", "bits", self.bits, low=2, high=16)

    @property
    def noisy(self) -> bool:
        """No: all is static."""
        return False

    @property
    def mismatched(self) -> bool:
        """Yes."""
        return True

    @property
    def unipolar(self) -> bool:
        """As the range."""
        return self.range.unipolar

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Array]:
        """Return capacitor ratio and comparator offsets of the stage."""
        return _draw_mismatch(self, key, 1, slices, cols)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        return _convert(self, q, readout)

    def with_range(self, range: Range) -> "Cyclic":
        """Return this converter with another range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check range, mismatch and gain.

        Raises:
            ValueError: If a standard deviation is negative, the gain not greater than zero, or the range empty.
        """
        _validate("Cyclic", self)


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

    return through(q, adc.range.bounds(readout, 2.0**adc.bits), decide)


def _validate(owner: str, adc: Pipeline | Cyclic) -> None:
    adc.range.validate()
    check_number(owner, "capacitor", adc.capacitor, low=0.0)
    check_number(owner, "comparator", adc.comparator, low=0.0)
    check_number(owner, "gain", adc.gain, low=0.0, open_low=True, finite=False)
