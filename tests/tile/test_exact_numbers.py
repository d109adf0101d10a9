"""Whole numbers in single precision, against fractions: ties, codes, groups of bits, planes in parts, one bit."""

from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, analog_matmul, mvm, prepare, program
from jaxaimc.adcs import (
    SAR,
    BothEnds,
    CodeTable,
    Floor,
    FullRange,
    FullScaleNoise,
    Hybrid,
    MidRise,
    MidTread,
    PositiveRange,
    Ramp,
    Readout,
    Span,
    Symmetric,
    TileRange,
    Truncate,
    Uniform,
)  # fmt: skip
from jaxaimc.cells import BitPlanes, Differential, DifferentialSlices, Quantised
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, BitGroups, BitSerial, FixedRange, TwoPasses, TwosComplement, Unsigned
from jaxaimc.presets import asim, collapsed_asim
from jaxaimc.wires import NoWires

X = np.array([[3, 0, 15, 7], [1, 2, 4, 8]])
W = np.array([[7, -7, 3, -1], [-2, 5, -6, 4]])
KEY = jax.random.key(0)
PARTS = {"device": IdealDevice(), "wires": NoWires()}


def half_to_even(numerator, denominator):
    """Round whole numbers over whole numbers exactly, ties to even."""
    down, rest = np.divmod(numerator, denominator)
    up = (2 * rest > denominator) | ((2 * rest == denominator) & (down % 2 == 1))
    return down + up


def multiply(config, w, x):
    return np.asarray(analog_matmul(config, jnp.asarray(w.T, jnp.float32), jnp.asarray(x, jnp.float32), KEY))


def test_the_rounding_of_the_test_itself_is_that_of_fractions():
    for numerator, denominator in ((-3, 2), (5, 2), (7, 2), (10, 4), (127, 3), (-7, 4)):
        assert half_to_even(np.array(numerator), np.array(denominator)) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize("traced", [False, True], ids=["constant range", "traced range"])
@pytest.mark.parametrize(
    ("codes", "bits"),
    [
        # Two codes of which one is dropped have no middle.
        *((MidTread(), bits) for bits in (2, 3, 4, 6, 8, 10, 12)),
        *((codes, bits) for codes in (BothEnds(), MidRise()) for bits in (1, 2, 3, 4, 6, 8, 10, 12)),
    ],
)
def test_c5_all_whole_charges_round_as_fractions(codes, bits, traced):
    """Every charge of every number of rows from 1 to 256."""
    rows = np.arange(1, 257)
    q = np.arange(257)[:, None] * np.ones_like(rows)
    steps = 2**bits - {BothEnds: 1, MidTread: 2, MidRise: 0}[type(codes)]
    # Twice the place among the codes, in parts of a row: the middle of a range and of a code may be halves.
    if isinstance(codes, MidTread):
        code = half_to_even((2 * q - rows) * steps, 2 * rows) + steps // 2
    elif isinstance(codes, MidRise):
        code = half_to_even(2 * q * steps - rows, 2 * rows)
    else:
        code = half_to_even(q * steps, rows)
    last = steps - 1 if isinstance(codes, MidRise) else steps
    code = np.clip(code, 0, last)

    def convert(q, high):
        adc = Uniform(bits=float(bits), range=Span(low=0.0, high=high), codes=codes)
        return adc.convert(q, Readout(jnp.ones(()), 8, 8))

    high = jnp.asarray(rows, jnp.float32)
    charges = jnp.asarray(q, jnp.float32)
    y = jax.jit(convert)(charges, high) if traced else jax.jit(lambda q: convert(q, high))(charges)
    found = np.asarray(y, float) / rows * steps - (0.5 if isinstance(codes, MidRise) else 0.0)
    used = q <= rows
    np.testing.assert_array_equal(np.round(found)[used], code[used])
    np.testing.assert_allclose(found[used], code[used], atol=2e-3)


@pytest.mark.parametrize("rounding", [Floor(), Truncate()], ids=lambda r: type(r).__name__)
def test_c5_charges_on_a_code_are_not_rounded_down_to_the_one_below(rounding):
    @jax.jit
    def convert(q, high):
        adc = Uniform(bits=8, range=Span(low=0.0, high=high), codes=BothEnds(), rounding=rounding)
        return adc.convert(q, Readout(jnp.ones(()), 8, 8))

    for rows in range(1, 257):
        q = np.minimum(np.arange(257), rows)
        y = convert(jnp.asarray(q, jnp.float32), float(rows))
        np.testing.assert_array_equal(np.round(np.asarray(y) / rows * 255), q * 255 // rows)


def test_c5_half_of_a_tile_is_code_128():
    adc = Uniform(bits=8, range=TileRange(), codes=BothEnds())
    y = jax.jit(lambda q: adc.convert(q, Readout(jnp.ones(()), 128, 256)))(jnp.full((1, 1, 1, 1), 128.0))
    assert float(y.ravel()[0]) * 255 / 256 == pytest.approx(128)


@pytest.mark.parametrize("adc", [Ramp(bits=6), SAR(bits=6), SAR(bits=6, split=True)], ids=["ramp", "sar", "split"])
def test_c5_circuits_reach_a_threshold_that_a_whole_charge_is_at(adc):
    for rows in (3, 7, 10, 60, 96, 255):
        q = np.arange(rows + 1)
        chip = adc.draw_mismatch(KEY, 1, 1)
        ranged = replace(adc, range=Span(low=0.0, high=float(rows)))
        y = ranged.convert(jnp.asarray(q, jnp.float32)[:, None, None, None], Readout(jnp.ones(()), 8, 8, 1.0, chip))
        code = np.minimum(q * 64 // rows, 63)
        np.testing.assert_allclose(np.ravel(y) / rows * 64 - 0.5, code, atol=1e-3)


def test_c5_a_table_is_looked_up_at_the_even_code():
    table = CodeTable(mean=np.arange(16.0), std=np.zeros(16), range=Span(low=0.0, high=10.0))
    y = table.convert(jnp.arange(11.0)[:, None, None, None], Readout(jnp.ones(()), 8, 8), KEY)
    np.testing.assert_allclose(np.ravel(y) * 1.5, half_to_even(3 * np.arange(11), np.array(2)), atol=1e-4)


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_c5_inputs_round_as_fractions(bits):
    steps, x = 2 ** (bits - 1) - 1, np.arange(-256, 257)
    encode = jax.jit(lambda limit, x: PWM(bits=bits, range=FixedRange(limit=limit)).encode(x).level[0])
    for limit in range(1, 257):
        level = np.asarray(encode(float(limit), jnp.asarray(x, jnp.float32)), float)
        clipped = np.clip(x, -limit, limit)
        np.testing.assert_array_equal(np.round(level * steps), half_to_even(clipped * steps, np.array(limit)))


@pytest.mark.parametrize(
    "cell", [DifferentialSlices(bits=8, widths=(7,), g_max=1.0), Quantised(cell=Differential(g_max=1.0), states=128)]
)
def test_c5_weights_round_as_fractions(cell):
    encode = jax.jit(lambda w, largest: cell.encode(w[None] / largest)[0, 0, 0])
    for largest in range(1, 257):
        w = np.minimum(np.arange(257), largest)
        g = np.asarray(encode(jnp.asarray(w, jnp.float32), float(largest)), float)
        np.testing.assert_array_equal(np.round(g * 127), half_to_even(w * 127, np.array(largest)))


@pytest.mark.parametrize(
    ("group", "bits", "expected"),
    [
        (1, 2, [[66.666667, -90.666667], [-4, 21.333333]]),
        (1, 4, [[60.533333, -72.533333], [-3.2, 17.066667]]),
        (1, 8, [[59.090196, -68.266667], [-3.011765, 16.062745]]),
        (2, 6, [[59.619048, -70.095238], [-0.380952, 16]]),
    ],
)
def test_c5_reference_values_in_single_precision(group, bits, expected):
    config = asim(weight_bits=4, input_bits=4, adc_bits=bits, rows=4, cols=2, group=group)
    np.testing.assert_allclose(multiply(config, W, X), expected, atol=1e-4)


def test_c5_a_small_macro_of_three_bits():
    config = asim(weight_bits=4, input_bits=4, adc_bits=3, rows=4, cols=2)
    assert multiply(config, W, X)[0, 0] == pytest.approx(62.29, abs=5e-3)


def test_c4_a_top_group_has_its_own_full_scale():
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=4, cols=2, group=3)
    np.testing.assert_allclose(multiply(config, W, X), [[57.27, -68.32], [-1.90, 17.40]], atol=5e-3)


@pytest.mark.parametrize(("group", "error"), [(1, 0.005), (2, 0.0125), (3, 0.016), (4, 0.029), (5, 0.029), (7, 0.033)])
def test_c4_signed_inputs_in_groups(group, error):
    generator = np.random.default_rng(0)
    x, w = generator.integers(-127, 128, (256, 64)), generator.integers(-127, 128, (64, 64))
    x[0, 0] = w[0, 0] = 127
    config = asim(rows=64, cols=64, group=group, signs=TwosComplement())
    y, exact = multiply(config, w, x), x @ w.T
    assert np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2.0)) < error


@pytest.mark.parametrize("chosen", [FullRange(), PositiveRange(), TileRange()], ids=lambda r: type(r).__name__)
def test_c4_every_range_of_the_largest_charge_knows_its_group(chosen):
    """Widths of three and one on a DAC of seven steps, and the sign: 1, 1/7 and 1/7 of the rows."""
    pulses = BitGroups(widths=(3, 1), signs=TwosComplement()).encode(jnp.ones(4))
    np.testing.assert_allclose(pulses.reach, [1, 1 / 7, 1 / 7], rtol=1e-6)
    readout = Readout(jnp.ones(()), 4, 4, reach=pulses.reach[:, None, None])
    np.testing.assert_allclose(np.ravel(chosen.bounds(readout, 255.0)[1]), 4 * pulses.reach, rtol=1e-6)


@pytest.mark.parametrize("group", [1, 2, 3])
@pytest.mark.parametrize("signs", [Unsigned(), TwosComplement()], ids=["unsigned", "signed"])
def test_c4_diagonals_of_groups_are_those_of_the_bits(signs, group):
    """A diagonal is the place of the lowest bit of a product: all of them digital make the product exact."""
    config = asim(weight_bits=4, input_bits=4, adc_bits=2, rows=4, cols=2, group=group, signs=signs)
    x = X if signs == Unsigned() else X // 2 * [1, -1, 1, -1]
    planes = len(signs.largest(config.drive.widths))
    exact = replace(config, adc=Hybrid(adc=config.adc, digital=4 * planes - 1))
    _, weights = signs.planes(jnp.zeros(1), config.drive.widths)
    diagonals = {i + int(np.log2(abs(weight))) for i in range(4) for weight in weights}
    assert max(diagonals) - min(diagonals) < 4 * planes - 1
    np.testing.assert_allclose(multiply(exact, W, x), x @ W.T, atol=1e-4)
    one = replace(config, adc=Hybrid(adc=config.adc, digital=1))
    assert np.abs(multiply(one, W, x) - multiply(config, W, x)).max() > 0


def test_c4_the_collapsed_macro_has_the_noise_of_its_groups():
    """Mean square over many products of uniform inputs: that of conversions at full scales of their own."""
    generator = np.random.default_rng(1)
    x, w = generator.integers(-127, 128, (64, 64)), generator.integers(-127, 128, (64, 64))
    x[0, 0] = w[0, 0] = 127
    sizes = {"rows": 64, "cols": 64, "group": 2, "signs": TwosComplement()}
    macro = asim(**sizes, noise=FullScaleNoise(rms=0.003))
    errors = [multiply(c, w, x) - x @ w.T for c in (macro, collapsed_asim(**sizes, fixed=0.003))]
    assert np.std(errors[0]) == pytest.approx(np.std(errors[1]), rel=0.1)


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 4, 1), (4, 1)], ids=str)
def test_c3_a_range_for_each_plane_meets_planes_that_share_a_product(shape):
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=4, cols=2)
    one, each = (
        replace(config, adc=config.adc.with_(range=Span(low=0.0, high=high))) for high in (4.0, jnp.full(shape, 4.0))
    )
    # Two compiled programs may differ in the last places of a sum; a code would be a tenth of the result.
    np.testing.assert_allclose(multiply(one, W, X), multiply(each, W, X), rtol=1e-6, atol=1e-6)


def test_c3_each_plane_gets_its_own_range():
    limits = jnp.asarray([4.0, 3.0, 2.0, 1.0]).reshape(4, 1, 1)
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=4, cols=2)
    for range_ in (Span(low=0.0, high=limits), Symmetric(limit=limits)):
        packed = replace(config, adc=config.adc.with_(range=range_))
        prepared = prepare(packed, program(packed, jnp.asarray(W.T, jnp.float32), KEY))
        x = jnp.asarray(X, jnp.float32)
        one_by_one = mvm(packed, replace(prepared, exact=False), x)
        np.testing.assert_allclose(mvm(packed, prepared, x), one_by_one, rtol=1e-5, atol=1e-5)


def test_c3_a_range_for_other_planes_is_refused():
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=4, cols=2)
    config = replace(config, adc=config.adc.with_(range=Symmetric(limit=jnp.ones((3, 1, 1)))))
    with pytest.raises(ValueError, match=r"A Symmetric for each plane must have shape \(plane=4, slice, 1\)"):
        multiply(config, W, X)


def test_c12_one_unsigned_bit_is_exact():
    x, w = (X > 3).astype(int), W
    config = asim(weight_bits=4, input_bits=1, adc_bits=float(np.log2(5)), rows=4, cols=2)
    config.validate()
    np.testing.assert_allclose(multiply(config, w, x), x @ w.T, atol=1e-4)
    BitSerial(bits=1, signs=Unsigned(), accumulates=True).validate()
    for signs in (TwosComplement(), TwoPasses()):
        with pytest.raises(ValueError, match=r"`bits` of BitSerial must be an integer in \[2, 16\], but is 1"):
            BitSerial(bits=1, signs=signs).validate()


def test_c12_a_comparator_is_a_converter_of_one_bit():
    adc = Uniform(bits=1, range=Span(low=0.0, high=1.0), codes=BothEnds())
    config = AnalogConfig(cell=BitPlanes(bits=4), drive=BitSerial(bits=4, signs=Unsigned()), adc=adc, rows=1, **PARTS)
    config.validate()
    x = np.arange(16)[:, None]
    x_range = replace(config, drive=config.drive.with_(range=FixedRange(limit=15.0)))
    one = analog_matmul(x_range, jnp.full((1, 1), 7.0), jnp.asarray(x, jnp.float32), KEY)
    np.testing.assert_allclose(one, 7 * x, atol=1e-4)
