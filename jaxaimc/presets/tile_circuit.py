"""The tile circuit of Luquin et al. 2025."""

from jaxaimc.adcs import CCO
from jaxaimc.cells import Differential
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import PCM
from jaxaimc.drives import PWM
from jaxaimc.units import GHz, V, ns, ohm, uA, uS
from jaxaimc.wires import Ladder


def tile_circuit() -> AnalogConfig:
    """The tile-circuit model of Luquin et al. 2025 (arXiv 2506.00004).

    512 x 512 tiles of differential phase-change memory, 0 to 25 uS, 0.15 ohm per wire segment, conventional 8-bit
    pulse-width modulation in steps of 1 ns at 0.2 V, columns held at 0.4 V and read at 0.4005 V by current-controlled
    oscillators of 6.24 GHz at 100 uA. Read noise is the paper's fit for nanosecond pulses; programming noise and drift
    are those of Joshi et al. 2020 (Nature Communications 11, 2473), which the paper does not model.

    Returns:
        The config.

    Example:
        >>> from jaxaimc import presets
        >>> presets.tile_circuit().wires.r
        0.15
    """
    return AnalogConfig(
        cell=Differential(g_min=0.0, g_max=25 * uS),
        device=PCM(),
        wires=Ladder(r=0.15 * ohm, adc_segments=0.5, v_idle=0.4 * V, v_adc=0.4005 * V),
        drive=PWM(bits=8, t_lsb=1 * ns, v_read=0.2 * V),
        adc=CCO(f_adc=6.24 * GHz, i_ref=100 * uA),
        rows=512,
        cols=512,
    )
