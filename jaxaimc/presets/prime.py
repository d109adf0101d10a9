"""PRIME, Chi et al. 2016."""

from jaxaimc.adcs import FullRange, MidTread, Uniform
from jaxaimc.cells import DifferentialSlices
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import BitGroups, Unsigned
from jaxaimc.units import kohm
from jaxaimc.wires import NoWires


def prime() -> AnalogConfig:
    """PRIME (Chi et al. 2016, ISCA).

    256 x 256 arrays of 4-bit cells, 1 to 20 kohm; the 8-bit magnitude of a weight in two cells, positive and negative
    weights in separate arrays; 6-bit unsigned inputs (behind a rectifier or sigmoid) as two 3-bit voltages; 6-bit
    sense amplifiers, here over the range that the rows in use can reach. Device noise and wires are not part of it.

    Returns:
        The config.

    Example:
        >>> from jaxaimc import presets
        >>> presets.prime().drive.widths
        (3, 3)
    """
    return AnalogConfig(
        cell=DifferentialSlices(bits=9, widths=(4, 4), g_min=1 / (20 * kohm), g_max=1 / (1 * kohm)),
        device=IdealDevice(),
        wires=NoWires(),
        drive=BitGroups(widths=(3, 3), signs=Unsigned()),
        adc=Uniform(bits=6, range=FullRange(), codes=MidTread()),
        rows=256,
        cols=256,
        column_scales=False,
    )
