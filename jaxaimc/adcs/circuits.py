"""Converters as circuits with mismatch: ramp and successive approximation.

The charge becomes a voltage, a fraction `v` of the range, that is compared with what a capacitive divider makes of
the reference. Every converter of a chip has its own capacitors and comparator, drawn once. Kinds of circuit and of
mismatch: Spear et al. 2023 (IEEE J. Exploratory Solid-State Computational Devices and Circuits, "The impact of
analog-to-digital converter architecture and variability on analog neural network accuracy"). Codes are mid-rise:
without mismatch, `MidRise` of a uniform converter that rounds down.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_integer
from jaxaimc._core.component import component, leaf, static
from jaxaimc._core.rounding import clip, settle
from jaxaimc.adcs.base import Readout
from jaxaimc.adcs.ranges import FullRange, Range, RangedADC


class MismatchedCircuit(RangedADC):
    """Each converter of a chip has its own capacitors and comparators."""

    @property
    def mismatched(self) -> bool:
        """Yes."""
        return True


@component
class Ramp(MismatchedCircuit):
    """Ramp converter: a staircase of `2**bits` unit capacitors, switched one after the other, meets the input.

    Gradient: straight-through inside the range, zero outside; none in the mismatch.

    Attributes:
        bits: Resolution [bit].
        range: Charges at which the converter saturates.
        capacitor: Relative standard deviation of a unit capacitor [1].
        comparator: Standard deviation of the comparator's offset [share of the range].
    """

    bits: int = static(default=8, low=1, high=14)
    range: Range = FullRange()
    capacitor: float = leaf(0.0, low=0.0)
    comparator: float = leaf(0.0, low=0.0)

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Array]:
        """Return the input at which each further step of the staircase is taken, shape (2**bits - 1, slices, cols)."""
        unit_key, offset_key = jax.random.split(key)
        units = 1 + self.capacitor * jax.random.normal(unit_key, (2**self.bits, slices, cols))
        stairs = jnp.cumsum(jnp.maximum(units, 0), axis=0)
        offset = self.comparator * jax.random.normal(offset_key, (slices, cols))
        return {"thresholds": stairs[:-1] / stairs[-1] + offset}

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        thresholds = jnp.asarray(readout.converters["thresholds"], q.dtype)

        def decide(v: Array) -> Array:
            # The staircase never falls, so a search by halves finds the step that it reaches last.
            flat = thresholds.reshape(len(thresholds), -1)
            inputs = v.reshape(-1, flat.shape[1])
            code = jnp.zeros(inputs.shape, jnp.int32)
            for bit in reversed(range(self.bits)):
                trial = code + 2**bit
                reached = inputs >= jnp.take_along_axis(flat, trial - 1, axis=0)
                code = jnp.where(reached, trial, code)
            return (code.reshape(v.shape) + 0.5) / 2**self.bits

        return through(q, self.range.bounds(readout, self.steps(q.dtype)), decide)


@component
class SAR(MismatchedCircuit):
    """Successive approximation with a binary capacitive divider, plain or split.

    A capacitor of `2**k` units has a relative spread of `capacitor / sqrt(2**k)`. The split divider has two halves,
    the lower one coupled through a bridge of `2**m / (2**m - 1)` units for its `m` bits: far fewer units, but the
    upper half's are as small as the lower's. Gradient: straight-through inside the range, zero outside; none in the
    mismatch.

    Attributes:
        bits: Resolution [bit].
        split: Whether the divider is split, `bits // 2` bits in its lower half.
        range: Charges at which the converter saturates.
        capacitor: Relative standard deviation of a unit capacitor [1].
        comparator: Standard deviation of the comparator's offset [share of the range].
    """

    bits: int = static(default=8, low=1, high=16)
    split: bool = static(default=False)
    range: Range = FullRange()
    capacitor: float = leaf(0.0, low=0.0)
    comparator: float = leaf(0.0, low=0.0)

    def draw_mismatch(self, key: Key[Array, ""], slices: int, cols: int) -> dict[str, Array]:
        """Return the divider's weights, most significant first, (bits, slices, cols), and offsets (slices, cols)."""
        capacitor_key, offset_key = jax.random.split(key)
        weights = self._weights(capacitor_key, (slices, cols))
        return {"weights": weights, "offset": self.comparator * jax.random.normal(offset_key, (slices, cols))}

    def _weights(self, key: Key[Array, ""], shape: tuple[int, int]) -> Float[Array, "bits slice cols"]:
        def capacitors(key: Key[Array, ""], units: list[float]) -> Array:
            size = jnp.array(units)[:, None, None]
            draw = jax.random.normal(key, (len(units), *shape))
            return jnp.maximum(size + self.capacitor * jnp.sqrt(size) * draw, 0)

        if not self.split:
            array = capacitors(key, [*(2.0**k for k in reversed(range(self.bits))), 1.0])
            return array[:-1] / jnp.sum(array, axis=0)
        low_bits = self.bits // 2
        upper_key, lower_key, bridge_key = jax.random.split(key, 3)
        upper = capacitors(upper_key, [2.0**k for k in reversed(range(self.bits - low_bits))])
        lower = capacitors(lower_key, [*(2.0**k for k in reversed(range(low_bits))), 1.0])
        bridge = capacitors(bridge_key, [2.0**low_bits / (2.0**low_bits - 1)])[0]
        coupling = bridge / (bridge + jnp.sum(lower, axis=0))
        total = jnp.sum(upper, axis=0) + coupling * jnp.sum(lower, axis=0)
        return jnp.concatenate([upper, coupling * lower[:-1]]) / total

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        weights, offset = (jnp.asarray(readout.converters[name], q.dtype) for name in ("weights", "offset"))

        def decide(v: Array) -> Array:
            reached, code = jnp.zeros_like(v) + offset, jnp.zeros_like(v)
            for index in range(self.bits):
                trial = reached + weights[index]
                keep = v >= trial
                reached = jnp.where(keep, trial, reached)
                code = 2 * code + keep
            return (code + 0.5) / 2**self.bits

        return through(q, self.range.bounds(readout, self.steps(q.dtype)), decide)

    def check(self) -> None:
        """Check that a split divider has two halves.

        Raises:
            ValueError: If there is a single bit to split.
        """
        check_integer("SAR", "bits", self.bits, low=2 if self.split else 1, high=16)


def through(
    q: Float[Array, "*out"], bounds: tuple[Any, Any], decide: Callable[[Float[Array, "*out"]], Float[Array, "*out"]]
) -> Float[Array, "*out"]:
    """Digitise the place of charges in a range, with the straight-through gradient.

    Args:
        q: Charges.
        bounds: Ends of the range.
        decide: From places in `[0, 1]` to digitised ones.

    Returns:
        Digitised charges.
    """
    low, high = bounds
    v = clip((q - low) / (high - low), 0.0, 1.0)
    # A whole charge at a threshold of an ideal circuit is at it, and not a unit in the last place below.
    place = v + jax.lax.stop_gradient(decide(settle(v, 0)) - v)
    return (low + (high - low) * place).astype(q.dtype)
