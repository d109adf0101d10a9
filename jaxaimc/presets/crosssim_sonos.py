"""The SONOS accelerator of Xiao et al. 2022."""

from jaxaimc.adcs import FullRange, MidTread, Uniform
from jaxaimc.cells import Differential, Quantised
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import SONOS
from jaxaimc.drives import BitSerial, SignMagnitude
from jaxaimc.units import V, ns, uS
from jaxaimc.wires import NoWires


def crosssim_sonos() -> AnalogConfig:
    """A SONOS inference accelerator after Xiao et al. 2022 (arXiv 2109.01262; IEEE TCAS-I 69, 1480).

    Their proportional mapping: 8-bit weights in unsliced differential pairs, one scale per layer, zero weight at zero
    current; 8-bit inputs bit by bit with analog accumulation, so one conversion for all bits; an 8-bit ADC whose range
    is calibrated on data, here the largest possible until `nn.calibrate` is called; up to 1152 rows and 256 columns.
    Devices are the measured SONOS cells of `devices.SONOS` (0 to 1600 nA as 0 to 16 uS). Wires are without resistance.

    Returns:
        The config.

    Example:
        >>> from jaxaimc import presets
        >>> presets.crosssim_sonos().drive.accumulates
        True
    """
    return AnalogConfig(
        cell=Quantised(cell=Differential(g_min=0.0, g_max=16 * uS), states=128),
        device=SONOS(),
        wires=NoWires(),
        drive=BitSerial(bits=8, signs=SignMagnitude(), accumulates=True, t_pulse=10 * ns, v_read=0.1 * V),
        adc=Uniform(bits=8, range=FullRange(), codes=MidTread()),
        rows=1152,
        cols=256,
        column_scales=False,
    )
