"""SONOS charge-trap memory in subthreshold operation (Agrawal et al. 2022, IEDM 21.7), 0 to 1600 nA.

The paper gives currents of 128,000 cells at one drain voltage. Here 1600 nA stands for 16 uS, the full scale that the
simulator CrossSim, which published the fitted coefficients, suggests (0.1 V); another `g_max` scales all of it.
"""

import numpy as np

from jaxaimc._core.component import component
from jaxaimc.devices.base import Device, DriftLaw, ProgrammingNoise, ReadNoise
from jaxaimc.devices.curves import Saturating, Tabulated
from jaxaimc.devices.laws import NormalProgramming, NormalReadNoise
from jaxaimc.devices.relaxation import Relaxation, ShiftSinceFirst, SpreadSinceFirst, Timeline
from jaxaimc.units import day, uS

_FULL_SCALE_NA = 1600.0
_G_MAX = 16 * uS
_DAYS = np.arange(6.0) * day

# Spread [nA] A (1 - exp(-I / B)) about the expected current, zero to five days after programming (Fig. 10a).
_A = np.array([19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909])
_B = np.array([176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309])

# Change of the expected current [nA], tenth order in the current [nA], constant first, zero to five days (Fig. 10b).
# fmt: off
_SHIFT = np.array(
    [
        [0.0] * 11,
        [6.83650e-1, 6.51250e-3, -4.03163e-4, 3.37944e-6, -1.87435e-8, 5.88902e-11,
         -1.07685e-13, 1.17751e-16, -7.60016e-20, 2.67255e-23, -3.94954e-27],
        [6.60925e-1, 8.60627e-3, -1.72936e-4, 7.44096e-7, -5.94866e-9, 2.36734e-11,
         -4.83740e-14, 5.56072e-17, -3.65397e-20, 1.28405e-23, -1.87450e-27],
        [1.15821, 1.96116e-2, -4.70807e-4, 3.67510e-6, -2.08786e-8, 6.59752e-11,
         -1.19499e-13, 1.28435e-16, -8.11574e-20, 2.78802e-23, -4.02057e-27],
        [8.72216e-1, 1.70926e-2, -2.23370e-4, 1.57526e-6, -1.32779e-8, 5.08256e-11,
         -1.01251e-13, 1.14633e-16, -7.46124e-20, 2.60559e-23, -3.78724e-27],
        [1.15294, 1.03149e-2, -6.05199e-5, 1.76086e-8, -6.46690e-9, 3.39044e-11,
         -7.53872e-14, 8.98185e-17, -6.00346e-20, 2.12615e-23, -3.11099e-27],
    ]
)
# fmt: on
# Past 1400 nA the tenth-order fits leave the measured trend (-39 nA at 1400, -246 nA at 1600 after a day). Up to there
# they are tabulated: in float32 their terms, up to a million nA, would not cancel to better than 0.1 nA. Straight lines
# between points 5 nA apart are within 0.005 nA of them.
_SHIFT_STATES = np.linspace(0.0, 1400.0, 281)
_SHIFT_TABLE = np.array([np.polyval(c[::-1], _SHIFT_STATES) for c in _SHIFT])

_SPREAD_TIMELINE = Timeline(times=_DAYS, curve=Saturating(height=_A, width=_B / _FULL_SCALE_NA), t_scale=1 * day)
_SHIFT_TIMELINE = Timeline(
    times=_DAYS,
    curve=Tabulated(states=np.tile(_SHIFT_STATES / _FULL_SCALE_NA, (6, 1)), values=_SHIFT_TABLE),
    t_scale=1 * day,
)


@component
class SONOS(Device):
    """SONOS charge-trap memory (Agrawal et al. 2022), 0 to 16 uS (1600 nA), measured for five days.

    Programming has the spread of day zero; mean and spread then move as measured, interpolated between the days, and
    stay after the fifth. The change of the mean is clamped to that of 1400 nA above it. Read noise is
    `12.58037 (1 - exp(-I / 215.36557))` in nA at all times.

    Attributes:
        programming: Saturating spread of day zero.
        drift: Change of mean and spread with time.
        read_noise: Saturating read noise.
    """

    programming: ProgrammingNoise = NormalProgramming(
        spread=Saturating(height=_A[0].item(), width=_B[0].item() / _FULL_SCALE_NA),
        g_max=_G_MAX,
        full_scale=_FULL_SCALE_NA,
    )
    drift: DriftLaw = Relaxation(
        shift=ShiftSinceFirst(total=_SHIFT_TIMELINE),
        spread=SpreadSinceFirst(total=_SPREAD_TIMELINE),
        g_max=_G_MAX,
        full_scale=_FULL_SCALE_NA,
    )
    read_noise: ReadNoise = NormalReadNoise(
        spread=Saturating(height=12.58037, width=215.36557 / _FULL_SCALE_NA), g_max=_G_MAX, full_scale=_FULL_SCALE_NA
    )
