"""Published systems as configs. Each names its paper and every value that it takes from it."""

import math

import jax.numpy as jnp

from jaxaimc.adcs import (
    CCO,
    BothEnds,
    ChargeNoise,
    ConversionNoise,
    FullRange,
    GaussianADC,
    MidTread,
    NoNoise,
    StepRange,
    Symmetric,
    TileRange,
    Uniform,
)
from jaxaimc.cells import BitPlanes, Differential, DifferentialSlices, OffsetSlices, Quantised, UnitColumn
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import PCM, SONOS, Device, IdealDevice
from jaxaimc.devices.curves import ClippedPower
from jaxaimc.devices.laws import NormalReadNoise
from jaxaimc.drives import (
    PWM,
    AbsoluteMaximum,
    BitGroups,
    BitSerial,
    LearnedRange,
    SignMagnitude,
    Signs,
    TwosComplement,
    Unsigned,
    VoltageDAC,
)
from jaxaimc.units import GHz, V, kohm, ns, ohm, uA, uS
from jaxaimc.wires import Ladder, NoWires
from jaxaimc.wires.surrogates import StaticFactor

_UNSIGNED, _NO_NOISE = Unsigned(), NoNoise()


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


def asim(
    *,
    weight_bits: int = 8,
    input_bits: int = 8,
    adc_bits: float = 8.0,
    rows: int = 256,
    cols: int = 256,
    group: int = 1,
    signs: Signs = _UNSIGNED,
    noise: ConversionNoise = _NO_NOISE,
) -> AnalogConfig:
    """The charge-domain SRAM macro of Zhang et al. 2024 (ASiM, arXiv 2411.11022).

    Weights and inputs are quantised by the largest magnitude of their tensor and cut into two's-complement planes; a
    conversion counts the products of one input plane (or group of bits) with one weight plane over all rows of the
    macro, `code = round(clip(m / rows + noise) (2**adc_bits - 1))`. The paper's remedies are converters around this
    one: `adcs.Hybrid` (top diagonals exact) and `adcs.Voting`; mismatch is `adcs.Mismatch` for converters and
    a device's programming noise for capacitors. `collapsed_asim` is the fast stand-in for training.

    Args:
        weight_bits: Weight bits, sign included.
        input_bits: Input bits, sign included if there is one.
        adc_bits: Resolution of the converter [bit].
        rows: Rows of the macro, whose full sum is the converter's full scale.
        cols: Columns of the macro.
        group: Input bits driven at once: 1 for bit-serial, more for bit-parallel encoding.
        signs: `Unsigned` for inputs behind a rectifier, `TwosComplement` for signed ones.
        noise: Noise of a conversion, in shares of full scale: `adcs.FullScaleNoise`, or `adcs.MacroNoise` with the
            paper's part that depends on the signal.

    Returns:
        The config.

    Raises:
        ValueError: If `signs` drives with both polarities: the converter counts from zero.

    Example:
        >>> from jaxaimc import presets
        >>> presets.asim(weight_bits=4, adc_bits=6).adc.bits
        6
    """
    _check_macro_signs("asim", signs)
    return AnalogConfig(
        cell=BitPlanes(bits=weight_bits),
        device=IdealDevice(),
        wires=NoWires(),
        drive=BitSerial(bits=input_bits, group=group, signs=signs, range=AbsoluteMaximum()),
        adc=Uniform(bits=adc_bits, range=TileRange(), codes=BothEnds(), noise=noise),
        rows=rows,
        cols=cols,
        column_scales=False,
    )


def collapsed_asim(
    *,
    weight_bits: int = 8,
    input_bits: int = 8,
    adc_bits: float = 8.0,
    rows: int = 256,
    cols: int = 256,
    group: int = 1,
    signs: Signs = _UNSIGNED,
    fixed: float = 0.0,
) -> AnalogConfig:
    """A stand-in for `asim` with one product and one draw instead of one per pair of planes, for training.

    As long as nothing clips, the independent errors of all conversions add up to one that is very nearly Gaussian:
    each has the variance of the noise and of the rounding, `fixed^2 + (1 / (2**adc_bits - 1))^2 / 12` of full scale,
    and counts with the square of its plane's and its slice's significance. Bit by bit that is `sigma = rows
    sqrt(variance (4**W - 1) / 3 (4**X - 1) / 3)` in integer units and for each tile (our derivation). Weights and
    inputs are quantised as in `asim`. The rounding is uniform only where noise or many different sums make it so:
    without noise and with `rows = 2**adc_bits - 1`, `asim` is exact and this is not. Noise that depends on the signal
    does not collapse, since its variance differs from plane to plane.

    Args:
        weight_bits: Weight bits, sign included.
        input_bits: Input bits, sign included if there is one.
        adc_bits: Resolution of the converter that is stood in for [bit].
        rows: Rows of the macro.
        cols: Columns of the macro.
        group: Input bits that the macro drives at once.
        signs: How the macro drives negative inputs; here they are driven in one cycle, with the opposite polarity.
        fixed: Noise of a conversion [share of full scale].

    Returns:
        The config.

    Raises:
        ValueError: As `asim`.

    Example:
        >>> from jaxaimc import presets
        >>> from jaxaimc.drives import TwosComplement
        >>> round(float(presets.collapsed_asim(signs=TwosComplement(), fixed=0.001).adc.sigma), 3)
        0.524
    """
    _check_macro_signs("collapsed_asim", signs)
    serial = BitSerial(bits=input_bits, group=group, signs=signs)
    serial.validate()
    variance = fixed**2 + (1 / (2**adc_bits - 1)) ** 2 / 12
    one_cycle = BitGroups(
        widths=(signs.digit_bits(input_bits),),
        signs=signs if signs == Unsigned() else SignMagnitude(),
        range=AbsoluteMaximum(),
    )
    _, weights = signs.planes(jnp.zeros(1), serial.widths)
    planes = [serial.digit * weight / one_cycle.digit for weight in weights]
    slices = BitPlanes(bits=weight_bits).significance
    return AnalogConfig(
        cell=Quantised(cell=Differential(), states=2 ** (weight_bits - 1)),
        device=IdealDevice(),
        wires=NoWires(),
        drive=one_cycle,
        adc=GaussianADC(sigma=rows * math.sqrt(variance) * math.hypot(*planes) * math.hypot(*slices)),
        rows=rows,
        cols=cols,
        column_scales=False,
    )


def _check_macro_signs(owner: str, signs: Signs) -> None:
    if signs == SignMagnitude():
        raise ValueError(
            f"Argument `signs` of {owner} must be Unsigned, TwosComplement or TwoPasses, whose charges are never "
            "negative, as the converter's range begins at zero, but is SignMagnitude."
        )
