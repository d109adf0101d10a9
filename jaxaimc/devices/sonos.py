"""SONOS charge-trap memory in subthreshold operation (Agrawal et al. 2022, IEDM 21.7), 0 to 1600 nA.

The paper gives currents of 128,000 cells at one drain voltage. Here 1600 nA stands for 16 uS, the full scale that the
simulator CrossSim, which published the fitted coefficients, suggests (0.1 V); another `g_max` scales all of it.
"""

import numpy as np

from jaxaimc._core.component import component
from jaxaimc.devices.base import Device, DriftLaw, ProgrammingNoise, ReadNoise
from jaxaimc.devices.curves import Chebyshev, Saturating
from jaxaimc.devices.laws import NormalProgramming, NormalReadNoise
from jaxaimc.devices.relaxation import Relaxation, ShiftSinceFirst, StdSinceFirst, Timeline
from jaxaimc.units import day, uS

_FULL_SCALE_NA = 1600.0
_G_MAX = 16 * uS
_DAYS = np.arange(6.0) * day

# Standard deviation [nA] A (1 - exp(-I / B)) about the expected current, zero to five days on (Fig. 10a).
_A = np.array([19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909])
_B = np.array([176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309])

# Change of the expected current [nA], tenth order in the current [nA], constant first, zero to five days (Fig. 10b):
# the fits with which their authors superseded those of 2022 (CrossSim 3.2.0, 2026). They hold up to 1600 nA.
# fmt: off
_SHIFT = np.array(
    [
        [0.0] * 11,
        [1.72684e-1, 5.72552e-2, -6.85715e-4, 3.50271e-6, -9.37682e-9, 1.40575e-11,
         -1.19803e-14, 5.41293e-18, -8.85448e-22, -1.66869e-25, 5.9518e-29],
        [2.50712e-1, 6.62195e-2, -6.83218e-4, 2.99442e-6, -6.78255e-9, 7.70482e-12,
         -3.04983e-15, -2.15919e-18, 2.94617e-21, -1.23359e-24, 1.85329e-28],
        [-1.753e-2, 9.76883e-2, -9.63791e-4, 4.55551e-6, -1.22391e-8, 1.93786e-11,
         -1.85899e-14, 1.07659e-17, -3.58211e-21, 5.96785e-25, -3.3041e-29],
        [4.03338e-2, 1.03111e-1, -1.0474e-3, 4.83961e-6, -1.28132e-8, 1.99484e-11,
         -1.85139e-14, 1.00008e-17, -2.84944e-21, 3.01008e-25, 1.18747e-29],
        [3.19927e-1, 1.06596e-1, -1.04054e-3, 4.5029e-6, -1.10352e-8, 1.56477e-11,
         -1.27592e-14, 5.45513e-18, -7.26841e-22, -2.43893e-25, 7.14608e-29],
    ]
)
# fmt: on
_SHIFT_TIMELINE = Timeline(
    times=_DAYS, curve=Chebyshev.of_powers(_SHIFT * _FULL_SCALE_NA ** np.arange(11)), t_scale=float("inf")
)
_STD_TIMELINE = Timeline(times=_DAYS, curve=Saturating(height=_A, width=_B / _FULL_SCALE_NA), t_scale=1 * day)


@component
class SONOS(Device):
    """SONOS charge-trap memory (Agrawal et al. 2022), 0 to 16 uS (1600 nA), measured for five days.

    Programming has the standard deviation of day zero; mean and deviation then move as measured, and stay after the
    fifth day. Between the days the coefficients of the mean are interpolated linearly, as their authors do, those of
    the deviation in `ln(1 + t / 1 day)`. After one day currents of 100, 400 and 800 nA have shifted by +1.735, +0.615
    and -3.827 nA. Read noise is `12.58037 (1 - exp(-I / 215.36557))` in nA at all times.

    Attributes:
        programming: Saturating standard deviation of day zero.
        drift: Change of mean and standard deviation with time.
        read_noise: Saturating read noise.
    """

    programming: ProgrammingNoise = NormalProgramming(
        std=Saturating(height=_A[0].item(), width=_B[0].item() / _FULL_SCALE_NA),
        g_max=_G_MAX,
        full_scale=_FULL_SCALE_NA,
    )
    drift: DriftLaw = Relaxation(
        shift=ShiftSinceFirst(total=_SHIFT_TIMELINE),
        std=StdSinceFirst(total=_STD_TIMELINE),
        g_max=_G_MAX,
        full_scale=_FULL_SCALE_NA,
    )
    read_noise: ReadNoise = NormalReadNoise(
        std=Saturating(height=12.58037, width=215.36557 / _FULL_SCALE_NA), g_max=_G_MAX, full_scale=_FULL_SCALE_NA
    )
