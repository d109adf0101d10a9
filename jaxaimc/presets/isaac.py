"""ISAAC, Shafiee et al. 2016."""

from jaxaimc.adcs import BothEnds, StepRange, Uniform
from jaxaimc.cells import OffsetSlices, UnitColumn
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import BitSerial, TwosComplement
from jaxaimc.units import ns, uS
from jaxaimc.wires import NoWires


def isaac() -> AnalogConfig:
    """ISAAC (Shafiee et al. 2016, ISCA).

    128 x 128 crossbars of 2-bit cells; 16-bit weights in eight of them, biased by 2**15 and corrected by a unit
    column; 16-bit two's-complement inputs bit by bit in cycles of 100 ns. The paper's 8-bit ADCs lose nothing, because
    columns whose sum could exceed half the range are stored inverted: this is the 9-bit converter with one step per
    level that they amount to. Device noise and wires are not part of the paper; 25 uS stand for a full cell.

    Returns:
        The config.

    Example:
        >>> from jaxaimc import presets
        >>> presets.isaac().cell.cell.widths
        (2, 2, 2, 2, 2, 2, 2, 2)
    """
    return AnalogConfig(
        cell=UnitColumn(cell=OffsetSlices(bits=16, widths=(2,) * 8, g_min=0.0, g_max=25 * uS)),
        device=IdealDevice(),
        wires=NoWires(),
        drive=BitSerial(bits=16, signs=TwosComplement(), t_pulse=100 * ns),
        adc=Uniform(bits=9, range=StepRange(step=1 / 3, signed=False), codes=BothEnds()),
        rows=128,
        cols=128,
        column_scales=False,
    )
