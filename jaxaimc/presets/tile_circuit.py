"""The tile circuit of Luquin et al. 2025."""

from typing import Literal

from jaxaimc._core.checks import shown
from jaxaimc.adcs import CCO
from jaxaimc.cells import Differential
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import PCM
from jaxaimc.drives import PWM
from jaxaimc.units import GHz, V, ns, ohm, uA, uS
from jaxaimc.wires import Blocks, Ladder, OpenIdle


def tile_circuit(idle: Literal["held", "open"] = "held") -> AnalogConfig:
    """The tile-circuit model of Luquin et al. 2025 (arXiv 2506.00004).

    512 x 512 tiles of differential phase-change memory, 0 to 25 uS, 0.15 ohm per wire segment, conventional 8-bit
    pulse-width modulation in steps of 1 ns at 0.2 V, columns held at 0.4 V and read at 0.4005 V by current-controlled
    oscillators of 6.24 GHz at 100 uA. Read noise is the paper's fit for nanosecond pulses; programming noise and drift
    are those of Joshi et al. 2020 (Nature Communications 11, 2473), which the paper does not model.

    Args:
        idle: What idle cells do. `"held"`: their rows are held at the voltage of the idle columns, 0.4 V, so that they
            load the wire at all times, and the tile is a matrix. `"open"`: an idle row is disconnected (1T1R), so that
            the load changes while pulses run; solved by `jaxaimc.wires.Blocks` with an error of 2 % of what the wires
            do. The columns are then read at the voltage at which they idle, so that idle columns add no charge.

    Returns:
        The config.

    Raises:
        ValueError: If `idle` is neither.

    Example:
        >>> from jaxaimc import presets
        >>> presets.tile_circuit().wires.r
        0.15
    """
    if idle not in ("held", "open"):
        raise ValueError(f"Argument `idle` must be 'held' or 'open', but is {shown(idle)}.")
    held = Ladder(r=0.15 * ohm, adc_segments=0.5, v_idle=0.4 * V, v_adc=0.4005 * V)
    return AnalogConfig(
        cell=Differential(g_min=0.0, g_max=25 * uS),
        device=PCM(),
        wires=held if idle == "held" else OpenIdle(r=0.15 * ohm, adc_segments=0.5, method=Blocks()),
        drive=PWM(bits=8, t_lsb=1 * ns, v_read=0.2 * V),
        adc=CCO(f_adc=6.24 * GHz, i_ref=100 * uA),
        rows=512,
        cols=512,
    )
