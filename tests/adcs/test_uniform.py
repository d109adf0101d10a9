"""Converters: codes, saturation, rounding, and the gradient rule that each docstring states."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from jaxaimc.adcs import (
    CCO,
    BothEnds,
    Floor,
    FullRange,
    IdealADC,
    MidTread,
    Nearest,
    Readout,
    Span,
    Symmetric,
    Truncate,
    Uniform,
)

UNIT = jnp.array(0.2 * 127e-9 * 25e-6)  # a cell of 25 uS driven for 127 ns at 200 mV: 635 fC
ONE = Symmetric(limit=1.0)
CODES = {False: BothEnds(), True: MidTread()}


def convert(adc, q, rows=8):
    return adc.convert(jnp.asarray(q, float), Readout(jnp.asarray(UNIT, float), rows, rows))


# Uniform


@pytest.mark.parametrize(("has_zero", "count", "step"), [(False, 16, 2 / 15), (True, 15, 1 / 7)])
def test_ideal_four_bit_codes(x64, has_zero, count, step):
    codes = np.unique(
        np.round(convert(Uniform(bits=4, range=ONE, codes=CODES[has_zero]), np.linspace(-3, 3, 6001)), 12)
    )
    assert len(codes) == count
    np.testing.assert_allclose(np.diff(codes), step, rtol=1e-9)
    np.testing.assert_allclose(codes[[0, -1]], [-1.0, 1.0], rtol=1e-12)
    assert (0.0 in codes) == has_zero


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("bits", [2, 5, 8, 12])
def test_codes_are_fixed_points(x64, bits, dtype):
    adc = Uniform(bits=bits, range=Symmetric(limit=3.0))
    half = 2 ** (bits - 1) - 1
    codes = (3.0 / half * np.arange(-half, half + 1)).astype(dtype)
    found = adc.convert(jnp.asarray(codes), Readout(jnp.asarray(UNIT, dtype), 8, 8))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, codes, rtol=4 * np.finfo(dtype).eps)
    assert found[half] == 0.0


@given(q=st.floats(-10, 10), bits=st.floats(2, 12), has_zero=st.booleans())
def test_error_is_at_most_half_a_step_inside_and_output_within_half_a_step_of_the_range(q, bits, has_zero):
    with jax.enable_x64(True):
        y = float(_uniform(q, bits, has_zero))
    step = 10.0 / (2**bits - (2 if has_zero else 1))
    assert abs(y - np.clip(q, -5, 5)) <= step / 2 * (1 + 1e-9)


@jax.jit
def _codes(q, bits):
    return [convert(Uniform(bits=bits, range=Symmetric(limit=5.0), codes=CODES[z]), q) for z in (False, True)]


def _uniform(q, bits, has_zero):
    return _codes(q, bits)[has_zero]


def test_span_without_zero_uses_both_ends(x64):
    adc = Uniform(bits=2, range=Span(low=1.0, high=4.0), codes=BothEnds())
    np.testing.assert_allclose(convert(adc, [-9.0, 1.2, 2.4, 2.6, 3.9, 99.0]), [1, 1, 2, 3, 4, 4])


def test_full_range_follows_the_rows_in_use(x64):
    assert FullRange().bounds(Readout(UNIT, 512, 512), 254.0) == (-512.0, 512.0)
    adc = Uniform(bits=8)
    np.testing.assert_allclose(convert(adc, [300.0], rows=100), [100.0])
    np.testing.assert_allclose(convert(adc, [0.4], rows=100), [100 / 127])
    np.testing.assert_allclose(convert(adc, [0.38], rows=100), [0.0])


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [(Nearest(), [-2, -2, 0, 2, 2]), (Floor(), [-3, -2, 0, 1, 2]), (Truncate(), [-2, -1, 0, 1, 2])],
)
def test_rounding(x64, rounding, expected):
    adc = Uniform(bits=4, range=Symmetric(limit=7.0), rounding=rounding)
    np.testing.assert_allclose(convert(adc, [-2.4, -1.5, 0.0, 1.5, 2.4]), expected)


def test_real_valued_bits(x64):
    y = convert(Uniform(bits=jnp.asarray(4.5), range=ONE), np.linspace(-1, 1, 4001))
    steps = np.diff(np.unique(np.round(y, 12)))
    np.testing.assert_allclose(steps, 2 / (2**4.5 - 2), rtol=1e-9)


def test_gradient_is_straight_through_on_the_closed_range_and_zero_outside(x64):
    adc = Uniform(bits=3, range=Span(low=-1.0, high=2.0), codes=BothEnds())
    slope = jax.vmap(jax.grad(lambda q: convert(adc, q)))(jnp.array([-2.0, -1.0, 0.3, 1.9, 2.0, 2.1]))
    np.testing.assert_allclose(slope, [0, 1, 1, 1, 1, 0], atol=1e-12)


@pytest.mark.parametrize("has_zero", [False, True])
@pytest.mark.parametrize("q", [-3.0, -0.77, 0.0, 0.31, 0.62, 5.0])
def test_gradient_of_the_range_is_that_of_the_rule(x64, has_zero, q):
    """The rule: freeze the rounding error `e = round(z) - z` and differentiate the rest; checked by differences."""
    codes = 2**4 - (2 if has_zero else 1)

    def ruled(low, high, error, saturated):
        step = (high - low) / codes
        origin = (low + high) / 2 if has_zero else low
        value = {-1: low, 0: q, 1: high}[saturated]
        return origin + step * ((value - origin) / step + error)

    low, high = -1.0, 0.9
    step = (high - low) / codes
    origin = (low + high) / 2 if has_zero else low
    z = (np.clip(q, low, high) - origin) / step
    error, saturated = np.round(z) - z, int(q > high) - int(q < low)
    h = 1e-6
    expected = [
        (ruled(low + h, high, error, saturated) - ruled(low - h, high, error, saturated)) / (2 * h),
        (ruled(low, high + h, error, saturated) - ruled(low, high - h, error, saturated)) / (2 * h),
    ]
    found = jax.grad(lambda b: convert(Uniform(bits=4, range=Span(low=b[0], high=b[1]), codes=CODES[has_zero]), q))(
        jnp.array([low, high])
    )
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("bits", [3.0, 4.0, 4.6, 8.0])
def test_gradient_of_real_valued_bits(x64, bits):
    """`d step / d bits` times the rounding error: what is left with the rounding error frozen."""
    q = 0.347

    def ruled(b, error):
        step = 2 / (2**b - 2)
        return step * (q / step + error)

    z = q / (2 / (2**bits - 2))
    error, h = np.round(z) - z, 1e-6
    expected = (ruled(bits + h, error) - ruled(bits - h, error)) / (2 * h)
    found = jax.grad(lambda b: convert(Uniform(bits=b, range=ONE), q))(bits)
    assert found == pytest.approx(expected, rel=1e-7)


# CCO


def test_one_count_is_16_03_femtocoulomb():
    assert CCO().charge_per_count == pytest.approx(16.03e-15, rel=5e-4)
    assert CCO().charge_per_count == pytest.approx(100e-6 / 6.24e9, rel=1e-12)


def test_counts_truncate_toward_zero_for_both_signs(x64):
    per_count = 100e-6 / 6.24e9 / float(UNIT)
    q = np.array([0.99, -0.99, 1.01, -1.01, 7.999, -7.999, 0.0]) * per_count
    np.testing.assert_allclose(convert(CCO(), q) / per_count, [0, 0, 1, -1, 7, -7, 0], atol=1e-9)


def test_count_limit_saturates_both_signs(x64):
    per_count = 100e-6 / 6.24e9 / float(UNIT)
    adc = CCO(max_count=10)
    np.testing.assert_allclose(convert(adc, np.array([99.5, -99.5, 10.7]) * per_count) / per_count, [10, -10, 10])
    np.testing.assert_allclose(jax.grad(lambda q: convert(adc, q))(99.5 * per_count), 0.0)
    np.testing.assert_allclose(jax.grad(lambda q: convert(adc, q))(3.5 * per_count), 1.0)


def test_each_plane_counts_at_its_own_charge(x64):
    """The unit charge broadcasts over planes: the same normalised charge is fewer counts in a shorter plane."""
    units = jnp.array([[7.0], [15.0]]) * 0.2e-9 * 25e-6
    y = CCO().convert(jnp.full((3, 2, 4), 2.6), Readout(units, 8, 8))
    per_count = 100e-6 / 6.24e9 / np.asarray(units)
    np.testing.assert_allclose(y, np.broadcast_to(np.trunc(2.6 / per_count) * per_count, (3, 2, 4)))


def test_gradient_of_frequency_and_reference_current(x64):
    """Both act on the rounding error `e = q c - trunc(q c)` that is left, as `c = unit f / i`: `dy/dc = e / c^2`."""
    q = 3.3
    c = float(UNIT) * 6.24e9 / 100e-6
    slope_c = (q * c - np.trunc(q * c)) / c**2
    by_f = jax.grad(lambda f: convert(CCO(f_adc=f), q))(6.24e9)
    by_i = jax.grad(lambda i: convert(CCO(i_ref=i), q))(100e-6)
    assert by_f == pytest.approx(slope_c * c / 6.24e9, rel=1e-9)
    assert by_i == pytest.approx(-slope_c * c / 100e-6, rel=1e-9)


def test_ideal_returns_its_input():
    q = jnp.array([1.234567, -9e9])
    np.testing.assert_array_equal(IdealADC().convert(q, Readout(UNIT, 4, 4)), q)


@pytest.mark.parametrize(
    ("adc", "message"),
    [
        (Uniform(bits=1), r"`bits` of Uniform must be in \(1, 24\] bit, but is 1 bit"),
        (Uniform(bits=0.5, codes=BothEnds()), r"`bits` of Uniform must be in \[1, 24\] bit, but is 500 mbit"),
        (Uniform(bits=25), r"`bits` of Uniform must be in \[1, 24\] bit, but is 25 bit"),
        (Uniform(range=Symmetric(limit=0.0)), r"`limit` of Symmetric must be in \(0, inf\), but is 0\."),
        (Uniform(range=Symmetric(limit=np.inf)), r"`limit` of Symmetric must be in \(0, inf\), but is inf"),
        (Uniform(range=Span(low=1.0, high=1.0)), "`low` of Span must be less than `high`, but low is 1 and high is 1"),
        (Uniform(range=Span(low=-np.inf, high=1.0)), r"`low` of Span must be in \(-inf, inf\), but is -inf"),
        (CCO(f_adc=0.0), r"`f_adc` of CCO must be in \(0, inf\) Hz, but is 0 Hz"),
        (CCO(f_adc=np.inf), r"`f_adc` of CCO must be in \(0, inf\) Hz, but is inf Hz"),
        (CCO(i_ref=-1e-4), r"`i_ref` of CCO must be in \(0, inf\) A, but is -100 uA"),
        (CCO(max_count=0.0), r"`max_count` of CCO must be in \[1, inf\], but is 0"),
    ],
)
def test_bad_converters(adc, message):
    with pytest.raises(ValueError, match=message):
        adc.validate()
