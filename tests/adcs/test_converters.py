"""Converters: codes of every convention, circuits with and without mismatch, tables, spread, votes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.adcs import (
    SAR,
    BothEnds,
    ChargeNoise,
    CodeTable,
    ColumnMux,
    Cyclic,
    FullScaleNoise,
    Hybrid,
    IdealADC,
    MacroNoise,
    Mean,
    MidRise,
    MidTread,
    Mismatch,
    Mode,
    Pipeline,
    PositiveRange,
    Ramp,
    Readout,
    StepNoise,
    StepRange,
    Stochastic,
    Symmetric,
    TileRange,
    Uniform,
    Voting,
    read_table,
)
from jaxaimc.adcs.base import draw_normals

ONE = Symmetric(limit=1.0)
KEY = jax.random.key(7)


def convert(adc, q, *, slices=1, cols=1, rows=8, tile_rows=16, weight=1.0, key=KEY, chip=KEY):
    """Digitise charges of shape (batch, plane, slice, cols)."""
    chips = adc.draw_mismatch(chip, slices, cols)
    readout = Readout(jnp.array(1e-15), rows, tile_rows, weight, chips, conversions=np.size(weight))
    return jax.jit(lambda q: adc.convert(q, readout, key))(jnp.asarray(q))


def codes_of(adc, points=8001):
    q = np.linspace(-1.3, 1.3, points).reshape(-1, 1, 1, 1)
    return q.ravel(), np.asarray(convert(adc, q)).ravel()


CIRCUITS = [
    Ramp(bits=4, range=ONE),
    SAR(bits=4, range=ONE),
    SAR(bits=4, split=True, range=ONE),
    Pipeline(bits=4, range=ONE),
    Cyclic(bits=4, range=ONE),
]
NAMES = ["ramp", "sar", "split", "pipeline", "cyclic"]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (MidTread(), np.arange(-7, 8) / 7),
        (BothEnds(), -1 + np.arange(16) * 2 / 15),
        (MidRise(), -0.9375 + np.arange(16) * 0.125),
    ],
)
def test_four_bit_codes_of_each_convention(x64, codes, expected):
    """Section 4 of the physics notes: step 1/7 with zero, 2/15, and -.9375 to .9375 in steps of .125."""
    _, y = codes_of(Uniform(bits=4, range=ONE, codes=codes))
    np.testing.assert_allclose(np.unique(np.round(y, 12)), expected, atol=1e-12)


@pytest.mark.parametrize("adc", CIRCUITS, ids=NAMES)
def test_ideal_circuits_are_mid_rise_quantisers(x64, adc):
    q, y = codes_of(adc)
    np.testing.assert_allclose(np.unique(np.round(y, 12)), -0.9375 + np.arange(16) * 0.125, atol=1e-12)
    inside = np.abs(q) < 0.999
    away = np.abs(q / 0.125 - np.round(q / 0.125)) > 1e-6
    expected = (np.floor(q / 0.125) + 0.5) * 0.125
    np.testing.assert_allclose(y[inside & away], expected[inside & away], atol=1e-9)
    np.testing.assert_allclose(y[q > 1], 0.9375)
    np.testing.assert_allclose(y[q < -1], -0.9375)


@pytest.mark.parametrize(
    "adc",
    [replace(a, capacitor=0.1, comparator=0.01) for a in CIRCUITS],
    ids=NAMES,
)
def test_mismatch_is_static_and_each_converters_own(x64, adc):
    q = np.broadcast_to(np.linspace(-1, 1, 401)[:, None, None, None], (401, 1, 2, 6))
    y = np.asarray(convert(adc, q, slices=2, cols=6))
    np.testing.assert_array_equal(y, convert(adc, q, slices=2, cols=6, key=jax.random.key(99)))
    curves = y.reshape(401, 12)
    assert len(np.unique(curves, axis=1).T) == 12
    other = np.asarray(convert(adc, q, slices=2, cols=6, chip=jax.random.key(8)))
    assert np.any(other != y)
    assert np.abs(y - q).max() < 0.5


def test_comparator_offset_shifts_the_ramp_by_its_spread(x64):
    """Thresholds move together by a normal of the given deviation: half a range is 0.5 of 2 units."""
    adc = Ramp(bits=8, range=ONE, comparator=0.02)
    thresholds = np.asarray(adc.draw_mismatch(KEY, 4, 500)["thresholds"])
    shift = thresholds - (np.arange(1, 256) / 256)[:, None, None]
    np.testing.assert_allclose(shift.std(axis=0).max(), 0.0, atol=1e-12)
    assert shift[0].std() == pytest.approx(0.02, rel=3 / np.sqrt(2 * 2000))


def test_spread_of_the_dividers_largest_weight(x64):
    """The top weight is C / (C + D) with 128 units on either side: its deviation is sigma / (2 sqrt(256))."""
    weights = np.asarray(SAR(bits=8, capacitor=0.05).draw_mismatch(KEY, 1, 4000)["weights"])
    np.testing.assert_allclose(weights.mean(axis=(1, 2)), 0.5 ** np.arange(1, 9), rtol=2e-2)
    assert weights[0].std() == pytest.approx(0.05 / (2 * np.sqrt(256)), rel=3 / np.sqrt(2 * 4000) + 0.01)


def test_a_split_divider_of_equal_units_is_worse(x64):
    plain, split = (
        np.asarray(SAR(bits=8, split=s, capacitor=0.05).draw_mismatch(KEY, 1, 2000)["weights"]) for s in (False, True)
    )
    np.testing.assert_allclose(split.mean(axis=(1, 2)), 0.5 ** np.arange(1, 9), rtol=2e-2)
    assert split[0].std() > 3 * plain[0].std()


def test_redundancy_of_the_pipeline_forgives_comparators_but_not_capacitors(x64):
    q = np.broadcast_to(np.linspace(-0.99, 0.99, 301)[:, None, None, None], (301, 1, 1, 40))
    exact = np.asarray(convert(Pipeline(bits=8, range=ONE), q, cols=40))
    forgiven = np.asarray(convert(Pipeline(bits=8, range=ONE, comparator=0.02), q, cols=40))
    # The last decision is a plain comparison, worth one code; all others are corrected.
    assert np.abs(forgiven - exact).max() <= 2 * 2 / 256 + 1e-12
    assert np.abs(np.asarray(convert(Pipeline(bits=8, range=ONE, capacitor=0.05), q, cols=40)) - exact).max() > 0.02


def test_finite_gain_makes_the_residue_smaller(x64):
    """With gain A and equal capacitors each residue is divided by 1 + 2 / A: the first stage is right for a = A / 2."""
    q = np.full((1, 1, 1, 1), 0.2)
    y = float(convert(Cyclic(bits=12, range=ONE, gain=100.0), q).ravel()[0])
    v, expected = 0.2, 0.0
    for index in range(11):
        d = (v > 0.25) - (v < -0.25)
        expected += d / 2 ** (index + 1)
        v = (2 * v - d) / (1 + 2 / 100)
    assert y == pytest.approx(expected + np.sign(v) / 2**12, abs=1e-12)
    assert y == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("adc", [*CIRCUITS, Uniform(bits=4, range=ONE), Mismatch(adc=Uniform(bits=4, range=ONE))])
def test_gradient_is_straight_through(x64, adc):
    readout = Readout(jnp.array(1.0), 8, 8, 1.0, adc.draw_mismatch(KEY, 1, 1))
    slope = jax.grad(lambda q: jnp.sum(adc.convert(q, readout, KEY)))(
        jnp.array([-1.5, -0.4, 0.3, 2.0])[:, None, None, None]
    )
    np.testing.assert_allclose(slope.ravel(), [0, 1, 1, 0], atol=1e-12)


def test_ranges(x64):
    readout = Readout(jnp.ones(()), rows=100, tile_rows=256)
    assert PositiveRange().bounds(readout, 255.0) == (0.0, 100.0)
    assert TileRange().bounds(readout, 255.0) == (0.0, 256.0)
    assert StepRange(step=0.5).bounds(readout, 254.0) == (-63.5, 63.5)
    assert StepRange(step=0.5, signed=False).bounds(readout, 255.0) == (0.0, 127.5)
    adc = Uniform(bits=8, range=StepRange(step=1 / 3))
    q = np.arange(-127, 128)[:, None, None, None] / 3
    np.testing.assert_allclose(convert(adc, q), q, atol=1e-12)


def test_a_range_for_each_slice(x64):
    adc = Uniform(bits=3, range=Symmetric(limit=jnp.array([[1.0], [4.0]])))
    y = convert(adc, np.full((1, 1, 2, 3), 9.0), slices=2, cols=3)
    np.testing.assert_allclose(y[0, 0], [[1, 1, 1], [4, 4, 4]])


def test_stochastic_rounding_is_right_on_average(x64):
    adc = Uniform(bits=4, range=Symmetric(limit=7.0), rounding=Stochastic())
    y = np.asarray(convert(adc, np.full((40000, 1, 1, 1), 2.3))).ravel()
    assert set(np.unique(y)) == {2.0, 3.0}
    assert y.mean() == pytest.approx(2.3, abs=3 * np.sqrt(0.21 / 40000))


@pytest.mark.parametrize(
    ("noise", "sigma"),
    [
        (ChargeNoise(rms=0.3), 0.3),
        (StepNoise(rms=2000.0), 2000.0 * 16 / (2**20 - 1)),
        (FullScaleNoise(rms=0.01), 0.16),
        (MacroNoise(fixed=0.01), 0.16),
        (MacroNoise(fixed=0.01, signal=0.03), 16 * np.sqrt(0.01**2 + 0.03**2 / (8 + 1))),
    ],
)
def test_noise_has_its_deviation(x64, noise, sigma):
    """20 bits over 0 to 16: the quantiser itself adds nothing to see."""
    adc = Uniform(bits=20, range=TileRange(), codes=BothEnds(), noise=noise)
    y = np.asarray(convert(adc, np.full((40000, 1, 1, 1), 8.0)))
    assert y.mean() == pytest.approx(8.0, abs=3 * sigma / 200)
    assert y.std() == pytest.approx(sigma, rel=3 / np.sqrt(80000))


def test_many_draws_are_independent_normals_for_any_number_of_chips():
    """No part repeats another, the moments are right, and vmap over keys draws each key's own."""
    shape = (7, 100, 1000)
    draws = np.asarray(draw_normals(KEY, shape, jnp.float32))
    assert draws.shape == shape
    assert draws.mean() == pytest.approx(0.0, abs=3 / np.sqrt(draws.size))
    assert draws.var() == pytest.approx(1.0, abs=3 * np.sqrt(2 / draws.size))
    assert np.mean(draws**4) == pytest.approx(3.0, abs=3 * np.sqrt(96 / draws.size))
    flat = draws.ravel()[: 5 * 2**17].reshape(5, -1)
    np.testing.assert_allclose(np.corrcoef(flat), np.eye(5), atol=4 / np.sqrt(2**17))
    keys = jax.random.split(KEY, 2)
    chips = jax.jit(jax.vmap(lambda key: draw_normals(key, shape, jnp.float32)))(keys)
    np.testing.assert_allclose(chips[1], draw_normals(keys[1], shape, jnp.float32), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="where the ADC is noisy"):
        draw_normals(None, shape, jnp.float32)


def test_gradients_pass_through_many_draws(x64):
    """Noise of every conversion is a constant of the derivative: straight-through where nothing saturates."""
    adc = Uniform(bits=12, range=Symmetric(limit=50.0), noise=FullScaleNoise(rms=0.001))
    q = jnp.linspace(-5, 5, 300_000).reshape(3, 1, 1, -1)
    slope = jax.jit(jax.grad(lambda q: jnp.sum(adc.convert(q, Readout(jnp.ones(()), 8, 8), KEY))))(q)
    np.testing.assert_allclose(slope, 1.0, atol=1e-9)


def test_noise_does_not_eat_into_saturation(x64):
    """A charge far beyond the range stays saturated; one at its end is half of the time below."""
    adc = Uniform(bits=20, range=Symmetric(limit=10.0), noise=ChargeNoise(rms=0.1))
    y = np.asarray(convert(adc, np.tile([[[[12.0, 10.0]]]], (4000, 1, 1, 1)), cols=2))[:, 0, 0]
    np.testing.assert_allclose(y[:, 0], 10.0)
    assert np.mean(y[:, 1] < 10 - 1e-4) == pytest.approx(0.5, abs=0.03)


def test_gain_and_offset_spread(x64):
    adc = Mismatch(adc=IdealADC(), gain=0.05, offset=0.4)
    y = np.asarray(convert(adc, np.array([0.0, 10.0])[:, None, None, None] * np.ones((1, 1, 1, 5000)), cols=5000))
    offset, slope = y[0].ravel(), (y[1] - y[0]).ravel() / 10
    assert offset.std() == pytest.approx(0.4, rel=0.03)
    assert slope.std() == pytest.approx(0.05, rel=0.03)
    assert slope.mean() == pytest.approx(1.0, abs=3 * 0.05 / np.sqrt(5000))


def test_a_shared_converter_is_the_same_for_its_columns(x64):
    adc = ColumnMux(adc=Mismatch(adc=IdealADC(), offset=1.0), columns=4)
    y = np.asarray(convert(adc, np.zeros((1, 1, 2, 10)), slices=2, cols=10))[0, 0]
    assert len(np.unique(y)) == 2 * 3
    assert all(len(np.unique(y[s, c : c + 4])) == 1 for s in range(2) for c in (0, 4, 8))


def test_table_has_its_moments(x64):
    mean, std = np.array([0.0, 3.5, 6.0, 8.0] + [9.0] * 12), np.array([0.0, 2.0, 0.0, 1.5] + [0.0] * 12)
    adc = CodeTable(mean=mean, std=std, range=PositiveRange())
    y = np.asarray(convert(adc, np.tile(np.arange(4.0), (20000, 1, 1, 1)), cols=4, rows=15))
    np.testing.assert_allclose(y, np.round(y), atol=1e-9)
    y = np.round(y)
    assert y[..., 0].max() == 0
    assert np.all(y[..., 2] == 6)
    # Rounding to codes adds the variance of a uniform code width.
    assert y[..., 3].mean() == pytest.approx(8.0, abs=0.04)
    assert y[..., 3].std() == pytest.approx(np.sqrt(1.5**2 + 1 / 12), rel=0.02)


def test_table_from_a_file(tmp_path):
    path = tmp_path / "adc.csv"
    path.write_text("code,mean,std\n0,0.1,0.2\n1,1.1,0.0\n")
    table = read_table(path, PositiveRange())
    np.testing.assert_allclose([table.mean, table.std], [[0.1, 1.1], [0.2, 0.0]], rtol=1e-6)
    path.write_text("code,mean\n0,0.1\n")
    with pytest.raises(ValueError, match="must have the columns code, mean, std, each once, but has code, mean"):
        read_table(path, PositiveRange())
    path.write_text("code,mean,std\n1,0.1,0.2\n")
    with pytest.raises(ValueError, match="must count 0, 1, 2"):
        read_table(path, PositiveRange())
    path.write_text("code,mean,std\n0,x,0.2\n")
    with pytest.raises(ValueError, match="line 2: column mean must be a finite number"):
        read_table(path, PositiveRange())
    with pytest.raises(FileNotFoundError, match="There is no converter table"):
        read_table(tmp_path / "none.csv", PositiveRange())


@pytest.mark.parametrize(
    ("samples", "mode"),
    [([3, 1, 3], 3), ([1, 1, 5], 1), ([4, 2, 9], 4), ([2, 2, 7, 7, 7], 7), ([0, 0, 5, 9, 9], 0)],
)
def test_mode(samples, mode):
    """Two modes equally far from the median leave the lower; all different leave the median."""
    assert float(Mode().reduce(jnp.array(samples, float)[:, None])[0]) == mode


def test_mean():
    np.testing.assert_allclose(Mean().reduce(jnp.array([[1.0], [2.0], [6.0]])), [3.0])


def test_only_the_top_diagonals_vote_or_are_exact(x64):
    """Three planes by three slices: weights 2^(i + j) / 16; the top two diagonals are 4 (once) and 3 (twice)."""
    weight = (2.0 ** np.add.outer(np.arange(3), np.arange(3)) / 16)[..., None]
    top = np.add.outer(np.arange(3), np.arange(3)) >= 3
    q = np.full((4000, 3, 3, 1), 3.3)
    coarse = Uniform(bits=4, range=TileRange(), codes=BothEnds(), noise=ChargeNoise(rms=0.5))
    y = np.asarray(convert(Hybrid(adc=coarse, digital=2), q, slices=3, weight=weight))[..., 0]
    np.testing.assert_array_equal((y == 3.3).all(axis=0), top)
    voted = np.asarray(convert(Voting(adc=coarse, samples=9, levels=2, vote=Mean()), q, slices=3, weight=weight))[
        ..., 0
    ]
    spread = voted.std(axis=0)
    np.testing.assert_allclose(spread[top], spread[~top].mean() / 3, rtol=0.1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SAR(bits=0), r"`bits` of SAR must be an integer in \[1, 16\], but is 0"),
        (lambda: Ramp(bits=15), r"`bits` of Ramp must be an integer in \[1, 14\], but is 15"),
        (lambda: Cyclic(gain=0.0).validate(), r"`gain` of Cyclic must be in \(0, inf\], but is 0"),
        (lambda: Pipeline(capacitor=-0.1).validate(), r"`capacitor` of Pipeline must be in \[0, inf\), but is -0.1"),
        (lambda: StepRange(step=0.0).validate(), r"`step` of StepRange must be in \(0, inf\), but is 0"),
        (lambda: ColumnMux(adc=Uniform()).validate(), "`adc` of ColumnMux must be one with mismatch"),
        (lambda: Voting(adc=Uniform()).validate(), "`adc` of Voting must be one with noise"),
        (lambda: Hybrid(digital=0), r"`digital` of Hybrid must be an integer in \[1, 64\], but is 0"),
        (lambda: Uniform(noise=ChargeNoise(rms=-1.0)).validate(), r"`rms` of ChargeNoise must be in \[0, inf\)"),
        (
            lambda: CodeTable(mean=np.zeros(3), std=np.zeros(2)).validate(),
            "`mean` and `std` of CodeTable must have the same",
        ),
        (
            lambda: convert(Uniform(noise=ChargeNoise(rms=1.0)), np.zeros((1, 1, 1, 1)), key=None),
            "where the ADC is noisy",
        ),
    ],
)
def test_bad_converters(build, message):
    with pytest.raises(ValueError, match=message):
        build()
