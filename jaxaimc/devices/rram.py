"""Resistive memories: published deviations of three technologies, and the current-voltage curve of one.

Sources: Wan et al. 2022 (Nature 608, 504); Milo et al. 2021 (IRPS); Falcone et al. 2023 and 2025 (CMO/HfOx devices).
Where a publication gives no read noise there is none here either.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.component import component
from jaxaimc.devices.base import Device, DriftLaw, NoDrift, NoReadNoise, ProgrammingNoise, ReadNoise
from jaxaimc.devices.curves import CommonLogarithm, Polynomial
from jaxaimc.devices.laws import FlickerNoise, NormalProgramming
from jaxaimc.devices.relaxation import LogTime, Relaxation, StdSinceFirst, Timeline
from jaxaimc.units import day, s, uS, us

# Standard deviation [uS] about the target over r = g / 40 uS, fourth order, after one second, one day and two days.
_WAN_STD = np.array(
    [
        [0.348, 16.030, -43.853, 45.393, -16.815],
        [0.701, 22.086, -50.773, 47.095, -16.458],
        [0.782, 20.274, -43.507, 37.062, -11.934],
    ]
)


@component
class WanRRAM(Device):
    """RRAM of the NeuRRAM chip (Wan et al. 2022), fitted to 40 uS: the deviation one second, one day and two days on.

    Programming holds the standard deviation after one second; what it grows by later is drawn independently, so that
    it is the published one at each published time. Between those times it is interpolated, after two days it stays.
    A conductance is cut at zero at either step, which moves the moments of states within about two deviations of zero.
    No read noise was published.

    Attributes:
        programming: Standard deviation after one second.
        drift: Growth of the standard deviation.
        read_noise: None.
    """

    programming: ProgrammingNoise = NormalProgramming(
        std=Polynomial(coefficients=tuple(_WAN_STD[0].tolist())), g_max=40 * uS, full_scale=40.0
    )
    drift: DriftLaw = Relaxation(
        std=StdSinceFirst(
            total=Timeline(times=np.array([1 * s, 1 * day, 2 * day]), curve=Polynomial(coefficients=_WAN_STD))
        ),
        g_max=40 * uS,
        full_scale=40.0,
    )
    read_noise: ReadNoise = NoReadNoise()


@component
class MiloRRAM(Device):
    """Multilevel RRAM (Milo et al. 2021), 50 to 225 uS: `sigma = max(4.782321 - 0.009107 g, 0)` in uS.

    Outside 50 to 225 uS sigma is that at the end of the range. No drift and no read noise were published; its
    non-linear current is `milo_current_coefficients`.

    Attributes:
        programming: Standard deviation linear in the state.
        drift: None.
        read_noise: None.
    """

    programming: ProgrammingNoise = NormalProgramming(
        std=Polynomial(coefficients=(4.782321, -0.009107 * 225), low=50 / 225), g_max=225 * uS, full_scale=225.0
    )
    drift: DriftLaw = NoDrift()
    read_noise: ReadNoise = NoReadNoise()


def milo_current_coefficients(g: Float[Array, "*cell"]) -> tuple[Float[Array, "*cell"], Float[Array, "*cell"]]:
    """Return the curvature of the current `i = g V + n2 V^2 + n3 V^3` of RRAM.

    With `L = log10(g / 1 S)`: `n2 = 1.388e-4 L^3 + 1.541e-3 L^2 + 5.711e-3 L + 7.063e-3` and
    `n3 = 8.871e-5 L^2 + 6.7919e-4 L + 1.2968e-3` (Milo et al. 2021), `g` clamped to the fit's 50 to 225 uS.

    Args:
        g: Conductance at small voltage [S].

    Returns:
        `n2` [A/V^2] and `n3` [A/V^3].

    Example:
        >>> import jax.numpy as jnp
        >>> n2, n3 = milo_current_coefficients(jnp.array(100e-6))
        >>> round(float(n2) * 1e6, 2), round(float(n3) * 1e6, 2)
        (-8.2, -0.6)
    """
    log_g = jnp.log10(jnp.clip(g, 50 * uS, 225 * uS))
    n2 = ((1.388e-4 * log_g + 1.541e-3) * log_g + 5.711e-3) * log_g + 7.063e-3
    n3 = (8.871e-5 * log_g + 6.7919e-4) * log_g + 1.2968e-3
    return n2, n3


# Falcone et al.: the change of conductance is independent of the state [uS over ln(t / 1 s)].
_FALCONE_RELAXATION = Relaxation(
    shift=LogTime(slope=-0.08900206),
    std=LogTime(slope=0.04201137, offset=0.41183342),
    g_max=88.2 * uS,
    full_scale=88.2,
)
_FALCONE_READ = FlickerNoise(
    amplitude=CommonLogarithm(factor=0.0277316483, full_scale=88.2, low=9 / 88.2),
    t_read=1 * us,
    g_max=88.2 * uS,
    full_scale=88.2,
    proportional=False,
)


def _falcone_programming(offset: float, slope: float) -> NormalProgramming:
    """Return a standard deviation that is linear in the target between 9 and 88.2 uS."""
    std = Polynomial(coefficients=(offset, slope * 88.2), low=9 / 88.2)
    return NormalProgramming(std=std, g_max=88.2 * uS, full_scale=88.2)


@component
class CMOHfOx(Device):
    """Conductive-metal-oxide/HfOx RRAM (Falcone et al.), 9 to 88.2 uS, programmed to within 2 % of the target.

    Programming `sigma = 0.0112185391 + 0.01129027418 g` in uS; relaxation by `-0.08900206 ln t` with deviation
    `0.04201137 ln t + 0.41183342` in uS from one second on (before, it grows linearly from zero); read noise
    `0.0277316483 log10(g) sqrt(ln((t + 1 us) / 2 us))` in uS. States outside 9 to 88.2 uS have the deviation of the
    end of the range.

    Attributes:
        programming: Standard deviation linear in the state; `CMOHfOxFine` has that of a tolerance of 0.2 %.
        drift: Logarithmic relaxation, the same for all states.
        read_noise: 1/f noise since programming.
    """

    programming: ProgrammingNoise = _falcone_programming(0.0112185391, 0.01129027418)
    drift: DriftLaw = _FALCONE_RELAXATION
    read_noise: ReadNoise = _FALCONE_READ


@component
class CMOHfOxFine(Device):
    """`CMOHfOx` (Falcone et al.) programmed to within 0.2 %: `sigma = 0.00081107 + 0.00106879 g` in uS.

    Attributes:
        programming: Standard deviation linear in the state.
        drift: Logarithmic relaxation, the same for all states.
        read_noise: 1/f noise since programming.
    """

    programming: ProgrammingNoise = _falcone_programming(0.00081107, 0.00106879)
    drift: DriftLaw = _FALCONE_RELAXATION
    read_noise: ReadNoise = _FALCONE_READ
