"""Uniform quantiser: equal steps over a range."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component, leaf
from jaxaimc._core.random import fold_in
from jaxaimc._core.rounding import clip, settle
from jaxaimc.adcs.base import Readout, draw_normals
from jaxaimc.adcs.codes import Codes, MidTread, Nearest, Rounding
from jaxaimc.adcs.noise import ConversionNoise, NoNoise
from jaxaimc.adcs.ranges import FullRange, Range, RangedADC


@component
class Uniform(RangedADC):
    """ADC with equal steps over a range, saturating at both ends.

    `q -> origin + step round((q - origin) / step)` for `q` clipped to the range, where the code convention gives
    origin and step. Whole charges on a code, or in the middle between two, are taken for exactly that in single
    precision too, up to 12 bits; charges with noise have no such places. Gradient: straight-through inside the range,
    zero outside; the range gets the exact derivative of what is left (saturated outputs follow it, others by their
    rounding error, as in Esser et al. 2020, arXiv 1902.08153), and so do real-valued `bits`.

    Attributes:
        bits: Resolution [bit]; a leaf, so it can be swept and differentiated.
        range: Charges at which the converter saturates.
        codes: Where the codes lie in the range.
        rounding: What happens between two codes.
        noise: Noise of a conversion, before the quantiser.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.adcs import Readout, Symmetric
        >>> adc = Uniform(bits=2, range=Symmetric(limit=1.0))
        >>> adc.convert(jnp.array([-3.0, 0.2, 0.6]), Readout(jnp.array(1e-15), rows=8, tile_rows=8)).tolist()
        [-1.0, 0.0, 1.0]
    """

    bits: float = leaf(8.0, "bit", low=1.0, high=24.0)
    range: Range = FullRange()
    codes: Codes = MidTread()
    rounding: Rounding = Nearest()
    noise: ConversionNoise = NoNoise()

    @property
    def noisy(self) -> bool:
        """Where noise or rounding is."""
        return self.noise.noisy or self.rounding.noisy

    def steps(self, dtype: jnp.dtype) -> Float[Array, ""]:
        """Return the steps that the code convention has at this resolution."""
        return self.codes.steps(_exp2(self.bits, dtype))

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the digitised charge in the unit of `q`."""
        steps = self.steps(q.dtype)
        low, high = self.range.bounds(readout, steps)
        grid = self.codes.grid(low, high, steps)
        if self.noise.noisy:
            draw = draw_normals(key, q.shape, q.dtype)
            # A charge beyond the range is noisy too, but the noise knows charges within it only.
            sigma = self.noise.sigma(clip(q, low, high), low, high, grid.step)
            q = q + jnp.asarray(sigma, q.dtype) * draw
            key = None if key is None else fold_in(key, 1)
        inside = clip(q, grid.bottom, grid.top)
        place = (inside - grid.origin) / grid.step
        if not self.noise.noisy:
            place = settle(place, jnp.asarray(self.bits, q.dtype))
        y = grid.origin + grid.step * self.rounding.round(place, key)
        return y.astype(q.dtype)

    def check(self) -> None:
        """Check that the convention has codes at this resolution.

        Raises:
            ValueError: If it has none.
        """
        low, excluded = self.codes.lowest_bits()
        check_number("Uniform", "bits", self.bits, "bit", low=low, high=24.0, open_low=excluded)


def _exp2(bits: Float[Array, ""] | float, dtype: jnp.dtype) -> Float[Array, ""]:
    """Return `2**bits`, exact for whole numbers (XLA's power is not) and differentiable for all."""
    bits = jnp.asarray(bits, dtype)
    whole = jax.lax.stop_gradient(jnp.floor(bits))
    return jnp.ldexp(jnp.exp2(bits - whole), whole.astype(jnp.int32))
