"""The standard AIMC model of Rasch et al. 2023."""

from jaxaimc.adcs import ChargeNoise, MidTread, Symmetric, Uniform
from jaxaimc.cells import Differential
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import Device
from jaxaimc.devices.curves import ClippedPower
from jaxaimc.devices.laws import NormalReadNoise
from jaxaimc.drives import LearnedRange, VoltageDAC
from jaxaimc.units import uS
from jaxaimc.wires.surrogates import StaticFactor


def standard_aimc() -> AnalogConfig:
    """The standard AIMC model of Rasch et al. 2023 (Nature Communications 14, 5282).

    512-row tiles of differential cells with a scale per column; 8-bit inputs over a learned range (first 3, decay
    1e-3) driven in one cycle; output noise of 0.04 and weight noise of `0.0175 sqrt(sum_i |w_i| x_i^2)` in units of the
    largest weight and input; the static IR-drop factor; 8-bit outputs over -10 to 10 in 254 steps. The paper's weights
    have no unit: 25 uS stand for one, which scales out. Its noise after programming and drift, for evaluation, is
    `devices.PCM` with this config's read noise in place of its own.

    Returns:
        The config.

    Example:
        >>> from jaxaimc import presets
        >>> presets.standard_aimc().drive.range.limit
        3.0
    """
    g_max = 25 * uS
    weight_noise = NormalReadNoise(std=ClippedPower(factor=0.0175, exponent=0.5, high=0.0175), g_max=g_max)
    return AnalogConfig(
        cell=Differential(g_min=0.0, g_max=g_max),
        device=Device(read_noise=weight_noise),
        wires=StaticFactor(g_max=g_max),
        drive=VoltageDAC(bits=8, range=LearnedRange(limit=3.0, decay=1e-3, inside=0.95)),
        adc=Uniform(bits=8, range=Symmetric(limit=10.0), codes=MidTread(), noise=ChargeNoise(rms=0.04)),
        rows=512,
        cols=512,
    )
