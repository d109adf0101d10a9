"""The charge-domain SRAM macro of Zhang et al. 2024 (ASiM), and a fast stand-in for training."""

import math

import jax.numpy as jnp

from jaxaimc.adcs import BothEnds, ConversionNoise, GaussianADC, NoNoise, TileRange, Uniform
from jaxaimc.cells import BitPlanes, Differential, Quantised
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import AbsoluteMaximum, BitGroups, BitSerial, SignMagnitude, Signs, Unsigned
from jaxaimc.wires import NoWires

_UNSIGNED, _NO_NOISE = Unsigned(), NoNoise()


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
    macro, `code = round(clip(m / full + noise) (2**adc_bits - 1))`, with `full = (2**e - 1) rows` for a group of `e`
    bits and `rows` for the sign. The paper's remedies are converters around this one: `adcs.Hybrid` (top diagonals
    exact) and `adcs.Voting`; mismatch is `adcs.Mismatch` for converters and a device's programming noise for
    capacitors. `collapsed_asim` is the fast stand-in for training.

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
    largest = 2 ** sum(serial.widths) - 1
    # The full scale of a plane is its largest digit in every row.
    planes = [full * weight / largest for full, weight in zip(signs.largest(serial.widths), weights, strict=True)]
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
