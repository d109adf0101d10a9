"""Phase-change memory of the HERMES project chip, with one or two devices per polarity.

Source: Le Gallo et al. 2023 (Nature Electronics 6, 680). Coefficients are in uS over `r = g / g_max`; drift counts from
`t0`, the time of the first read after programming. The logarithmic branches describe low states, the polynomial ones
the rest up to `g_max`, where they stay.
"""

from jaxaimc._core.component import component
from jaxaimc.devices.base import Device, DriftLaw, ProgrammingNoise, ReadNoise
from jaxaimc.devices.curves import Branches, ClippedLogarithm, Polynomial
from jaxaimc.devices.laws import FlickerNoise, NormalProgramming, PowerLawDrift
from jaxaimc.units import ns, uS

# The mean drift exponent was found to be the same for one and for two devices.
_MEAN_EXPONENT = Branches(
    split=0.0945,
    below=ClippedLogarithm(slope=-0.0387, offset=-0.0182, low=0.072, high=0.13),
    above=Polynomial(coefficients=(0.0736, -0.0126, -0.0436)),
)


@component
class HermesPairPCM(Device):
    """HERMES phase-change memory, two devices in parallel per polarity: g_max 20.7 uS, drift from 300 s.

    Attributes:
        programming: Standard deviation cubic in the state.
        drift: Power law with a normal exponent.
        read_noise: 1/f noise since programming, reads of 512 ns.
    """

    programming: ProgrammingNoise = NormalProgramming(
        std=Polynomial(coefficients=(0.16603222, 4.71806468, -8.48101252, 4.68961419)),
        g_max=20.7 * uS,
        full_scale=20.7,
    )
    drift: DriftLaw = PowerLawDrift(
        mean=_MEAN_EXPONENT,
        std=Branches(
            split=0.3055,
            below=ClippedLogarithm(slope=-0.0117, offset=-0.0057, low=0.0091, high=0.04),
            above=Polynomial(coefficients=(0.0073, 0.0093, -0.0118)),
        ),
        t0=300.0,
        g_max=20.7 * uS,
    )
    read_noise: ReadNoise = FlickerNoise(
        amplitude=Branches(
            split=0.16,
            below=ClippedLogarithm(slope=-0.0117, offset=-0.0069, low=0.015, high=0.04),
            above=Polynomial(coefficients=(0.0123, 0.0211, -0.0280, 0.0069)),
        ),
        t_read=512 * ns,
        g_max=20.7 * uS,
    )


@component
class HermesSinglePCM(Device):
    """HERMES phase-change memory, one device per polarity: g_max 10.35 uS, drift from 200 s.

    Attributes:
        programming: Standard deviation cubic in the state.
        drift: Power law with a normal exponent.
        read_noise: 1/f noise since programming, reads of 512 ns.
    """

    programming: ProgrammingNoise = NormalProgramming(
        std=Polynomial(coefficients=(0.15781817, 2.32443916, -2.16310839, 0.68841818)),
        g_max=10.35 * uS,
        full_scale=10.35,
    )
    drift: DriftLaw = PowerLawDrift(
        mean=_MEAN_EXPONENT,
        std=Branches(
            split=0.3039,
            below=ClippedLogarithm(slope=-0.0120, offset=-0.0023, low=0.0124, high=0.04),
            above=Polynomial(coefficients=(0.0104, 0.0116, -0.0165)),
        ),
        t0=200.0,
        g_max=10.35 * uS,
    )
    read_noise: ReadNoise = FlickerNoise(
        amplitude=Branches(
            split=0.1591,
            below=ClippedLogarithm(slope=-0.0078, offset=0.0038, low=0.0179, high=0.04),
            above=Polynomial(coefficients=(0.0088, 0.0768, -0.1352, 0.0664)),
        ),
        t_read=512 * ns,
        g_max=10.35 * uS,
    )
