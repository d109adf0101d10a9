"""Current-controlled oscillator: counts cycles whose rate follows the column current."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxaimc._core.checks import concrete
from jaxaimc._core.component import component, leaf
from jaxaimc._core.rounding import clip, trunc_ste
from jaxaimc.adcs.base import ADC, Readout
from jaxaimc.units import GHz, uA


@component
class CCO(ADC):
    """Oscillator-based ADC: `counts = trunc(Q f_adc / i_ref)`, 16.03 fC per count at the defaults.

    Source: Luquin et al. 2025 (arXiv 2506.00004). Started counts are lost, in either direction of the current.
    Gradient: straight-through in the truncation, zero beyond `max_count`; `f_adc` and `i_ref` act on the rounding
    error that they leave.

    Attributes:
        f_adc: Oscillation frequency at the reference current [Hz].
        i_ref: Reference current [A].
        max_count: Largest count that the register holds [1]; infinite for none.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.adcs import Readout
        >>> readout = Readout(unit_charge=jnp.array(0.2 * 127e-9 * 25e-6), rows=512, tile_rows=512)
        >>> round(float(CCO().convert(jnp.array([10.0]), readout)[0]), 3)
        9.994
    """

    f_adc: float = leaf(6.24 * GHz, "Hz", above=0.0)
    i_ref: float = leaf(100 * uA, "A", above=0.0)
    max_count: float = leaf(math.inf, low=1.0, infinite=True)

    @property
    def charge_per_count(self) -> float:
        """Charge of one count [C]."""
        return self.i_ref / self.f_adc

    @property
    def saturates(self) -> bool:
        """Where the register has a largest count."""
        largest = concrete(self.max_count)
        return largest is None or not bool((largest == math.inf).all())

    def saturated(self, q: Float[Array, "*out"], readout: Readout) -> Bool[Array, "*out"]:
        """Return which charges have more counts than the register holds."""
        return jnp.trunc(jnp.abs(q * (readout.unit_charge / self.charge_per_count))) > self.max_count

    @property
    def counting(self) -> bool:
        """Yes."""
        return True

    def counts(self, q: Float[Array, "*out"], readout: Readout) -> Float[Array, "*out"]:
        """Return the oscillation's cycles up to the largest count, parts of one included [1]."""
        return jnp.minimum(jnp.abs(q) * (readout.unit_charge / self.charge_per_count), self.max_count)

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the counted charge in the unit of `q`."""
        counts_per_unit = readout.unit_charge / self.charge_per_count
        counts = trunc_ste(clip(q * counts_per_unit, -self.max_count, self.max_count))
        return counts / counts_per_unit
