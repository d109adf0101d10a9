"""Current-controlled oscillator: counts cycles whose rate follows the column current."""

import math
from typing import Any

from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component
from jaxaimc._core.rounding import clip, trunc_ste
from jaxaimc.adcs.base import Alike, Readout
from jaxaimc.units import A, GHz, uA


@component
class CCO(Alike):
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

    f_adc: float = 6.24 * GHz
    i_ref: float = 100 * uA
    max_count: float = math.inf

    @property
    def charge_per_count(self) -> float:
        """Charge of one count [C]."""
        return self.i_ref / self.f_adc

    @property
    def noisy(self) -> bool:
        """No."""
        return False

    @property
    def unipolar(self) -> bool:
        """No: it counts in both directions."""
        return False

    def convert(
        self, q: Float[Array, "*out"], readout: Readout, key: Key[Array, "*keys"] | None = None
    ) -> Float[Array, "*out"]:
        """Return the counted charge in the unit of `q`."""
        counts_per_unit = readout.unit_charge / self.charge_per_count
        counts = trunc_ste(clip(q * counts_per_unit, -self.max_count, self.max_count))
        return counts / counts_per_unit

    def with_range(self, range: Any) -> "CCO":
        """Return itself: the charge per count is that of the oscillator."""
        return self

    def validate(self) -> None:
        """Check frequency, current and limit.

        Raises:
            ValueError: If one is not greater than zero.
        """
        check_number("CCO", "f_adc", self.f_adc, "Hz", low=0.0, open_low=True)
        check_number("CCO", "i_ref", self.i_ref, "A", low=0.0 * A, open_low=True)
        check_number("CCO", "max_count", self.max_count, low=1.0, finite=False)
