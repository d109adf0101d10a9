"""The charge-domain SRAM macro: values, identities and statistics of section 7 of the physics notes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaimc import analog_matmul, tile
from jaxaimc.adcs import FullScaleNoise, Hybrid, MacroNoise, Mean, Mismatch, Mode, StepNoise, Voting
from jaxaimc.devices import Device, NormalProgramming, proportional
from jaxaimc.drives import TwosComplement, Unsigned
from jaxaimc.presets import asim, collapsed_asim

X = np.array([[3, 0, 15, 7], [1, 2, 4, 8]])
W = np.array([[7, -7, 3, -1], [-2, 5, -6, 4]])
EXACT = np.array([[59, -68], [-3, 16]])
KEY = jax.random.key(0)


def multiply(config, w, x, key=KEY):
    """Integer product of codes `w` (cols, rows) and inputs `x`; the largest of each is in the tensor."""
    return np.asarray(analog_matmul(config, jnp.asarray(w.T, float), jnp.asarray(x, float), key))


@pytest.mark.parametrize(
    ("group", "bits", "expected"),
    [
        (1, 2, [[66.666667, -90.666667], [-4, 21.333333]]),
        (1, 4, [[60.533333, -72.533333], [-3.2, 17.066667]]),
        (1, 8, [[59.090196, -68.266667], [-3.011765, 16.062745]]),
        (2, 6, [[59.619048, -70.095238], [-0.380952, 16]]),
    ],
)
def test_reference_values(x64, group, bits, expected):
    config = asim(weight_bits=4, input_bits=4, adc_bits=bits, rows=4, cols=2, group=group)
    np.testing.assert_allclose(multiply(config, W, X), expected, atol=1e-6)


def test_as_many_levels_as_rows_are_exact(x64):
    """rows = 2^b - 1, bit-serial: every count has its code."""
    x_key, w_key = jax.random.split(KEY)
    x = np.array(jax.random.randint(x_key, (5, 63), 0, 16)).astype(float)
    w = np.array(jax.random.randint(w_key, (3, 63), -7, 8)).astype(float)
    x[0, 0], w[0, 0] = 15, 7
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=63, cols=3)
    np.testing.assert_allclose(multiply(config, w, x), x @ w.T, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_bits_and_row_tiles_are_exact(x64, dtype):
    """300 rows on tiles of 63, signed inputs, any split: no input is lost."""
    x_key, w_key = jax.random.split(KEY)
    x = np.array(jax.random.randint(x_key, (4, 300), -7, 8)).astype(dtype)
    w = np.array(jax.random.randint(w_key, (300, 5), -7, 8)).astype(dtype)
    x[0, 0], w[0, 0] = 7, 7
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=63, cols=2, signs=TwosComplement())
    prepared = tile.prepare(config, tile.program(config, jnp.asarray(w), KEY))
    y = tile.mvm(config, prepared, jnp.asarray(x))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, x @ w, atol=1e-9 if dtype == np.float64 else 1e-2)


def test_all_diagonals_digital_is_exact(x64):
    config = asim(weight_bits=4, input_bits=4, adc_bits=2, rows=4, cols=2, noise=MacroNoise(fixed=0.1))
    exact = replace(config, adc=Hybrid(adc=config.adc, digital=7))
    np.testing.assert_allclose(multiply(exact, W, X), EXACT, atol=1e-9)
    part = replace(config, adc=Hybrid(adc=config.adc, digital=3))
    off = [np.abs(multiply(c, W, X, jax.random.key(i)) - EXACT).mean() for c in (config, part) for i in range(8)]
    assert np.mean(off[8:]) < np.mean(off[:8]) / 2


@pytest.mark.parametrize(
    ("signs", "group", "largest"),
    [(TwosComplement(), 1, 7), (Unsigned(), 1, 15), (Unsigned(), 2, 15), (TwosComplement(), 2, 7)],
    ids=["serial", "unsigned", "unsigned, 2 bits", "2 bits"],
)
def test_collapsed_noise_has_the_variance_of_the_cycles(x64, signs, group, largest):
    """63 rows in the middle of the range, so that nothing clips; mean and variance over 4000 products."""
    rows, fixed = 63, 0.004
    x_key, w_key = jax.random.split(KEY)
    low = 0 if signs == Unsigned() else -largest
    x = np.array(jax.random.randint(x_key, (1, rows), low, largest + 1)).astype(float)
    w = np.array(jax.random.randint(w_key, (1, rows), -7, 8)).astype(float)
    x[0, 0], w[0, 0] = largest, 7
    sizes = {"weight_bits": 4, "input_bits": 4, "adc_bits": 8, "rows": rows, "cols": 1, "signs": signs, "group": group}
    serial = asim(**sizes, noise=MacroNoise(fixed=fixed))
    many = np.repeat(x, 4000, axis=0)
    cycles, collapsed = (multiply(c, w, many).ravel() - x @ w.T for c in (serial, collapsed_asim(**sizes, fixed=fixed)))
    error = np.sqrt(2 / 4000)
    assert collapsed.var() == pytest.approx(cycles.var(), rel=3 * np.sqrt(2) * error)
    if group == 1:
        planes = (4**4 - 1) / 3
        assert collapsed.std() == pytest.approx(rows * np.sqrt(fixed**2 + 1 / 255**2 / 12) * planes, rel=3 * error)
    assert collapsed.mean() == pytest.approx(0.0, abs=3 * collapsed.std() / np.sqrt(4000))


def test_noise_in_percent_and_in_steps_are_the_same(x64):
    """`LSB_rms = % / 100 (2^b - 1)`: the same numbers from the same key."""
    sizes = {"weight_bits": 4, "input_bits": 4, "adc_bits": 5, "rows": 4, "cols": 2}
    share, steps, macro = (
        asim(**sizes, noise=n) for n in (FullScaleNoise(rms=0.02), StepNoise(rms=0.02 * 31), MacroNoise(fixed=0.02))
    )
    np.testing.assert_allclose(multiply(share, W, X), multiply(steps, W, X), atol=1e-9)
    np.testing.assert_allclose(multiply(share, W, X), multiply(macro, W, X), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("vote", [Mode(), Mean()], ids=["mode", "mean"])
def test_votes_on_the_top_diagonals_lower_the_error(x64, vote):
    """One conversion in error is worth most on the top diagonals, where nine now decide."""
    rows = 63
    x = np.array(jax.random.randint(KEY, (300, rows), 0, 16)).astype(float)
    w = np.array(jax.random.randint(jax.random.key(1), (3, rows), -7, 8)).astype(float)
    x[0, 0], w[0, 0] = 15, 7
    config = asim(weight_bits=4, input_bits=4, adc_bits=6, rows=rows, cols=3, noise=StepNoise(rms=0.4))
    voted = replace(config, adc=Voting(adc=config.adc, samples=9, levels=4, vote=vote))
    alone, together = (np.std(multiply(c, w, x) - x @ w.T) for c in (config, voted))
    assert together < 0.6 * alone


def test_mismatch_of_cells_and_of_converters_is_static(x64):
    """Capacitors are a device's spread, converters an offset: errors repeat in every read and differ between chips."""
    config = asim(weight_bits=4, input_bits=4, adc_bits=8, rows=63, cols=3, signs=TwosComplement())
    cells = replace(config, device=Device(programming=NormalProgramming(std=proportional(0.05), g_max=1e-6)))
    offsets = replace(config, adc=Mismatch(adc=config.adc, offset=0.5))
    x = np.array(jax.random.randint(KEY, (5, 63), -7, 8)).astype(float)
    w = np.array(jax.random.randint(jax.random.key(1), (3, 63), -7, 8)).astype(float)
    for mismatched in (cells, offsets):
        one, other = (
            tile.prepare(mismatched, tile.program(mismatched, jnp.asarray(w.T), k)) for k in jax.random.split(KEY)
        )
        first = np.asarray(tile.mvm(mismatched, one, jnp.asarray(x)))
        np.testing.assert_array_equal(first, tile.mvm(mismatched, one, jnp.asarray(x)))
        assert np.std(first - np.asarray(tile.mvm(mismatched, other, jnp.asarray(x)))) > 1.0
        assert np.std(first - x @ w.T) > 1.0
    # A bit that is not stored adds nothing: 5 % of a capacitor that is not charged is nothing too.
    programmed = tile.program(cells, jnp.asarray(w.T), KEY)
    np.testing.assert_array_equal(programmed.g[programmed.g_target == 0], 0.0)


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 3),
    channels=st.integers(1, 4),
    rows=st.sampled_from([3, 7, 15, 31]),
    stride=st.integers(1, 2),
)
@settings(max_examples=4)
def test_convolutions_lose_no_input_however_rows_split_the_window(kernel, groups, channels, rows, stride):
    """Windows of any kernel, channel count and groups, cut wherever a tile ends, against the plain convolution."""
    with jax.enable_x64(True):
        image_key, kernel_key = jax.random.split(jax.random.key(rows))
        size = (2, groups * channels, 5, 5)
        image = jax.random.randint(image_key, size, -7, 8).astype(float).at[0, :, 0, 0].set(7.0)
        shape = (groups * 2, channels, *kernel)
        weights = jax.random.randint(kernel_key, shape, -7, 8).astype(float).at[:, 0, 0, 0].set(7.0)
        expected = jax.lax.conv_general_dilated(image, weights, (stride, stride), "SAME", feature_group_count=groups)
        config = asim(weight_bits=4, input_bits=4, adc_bits=5, rows=rows, cols=2, signs=TwosComplement())
        # As many steps as rows of the tile: exact as long as nothing is lost.
        config = replace(config, adc=replace(config.adc, bits=float(np.log2(rows + 1))))
        parts = []
        for group in range(groups):
            here = slice(group * channels, (group + 1) * channels)
            windows = jax.lax.conv_general_dilated_patches(image[:, here], kernel, (stride, stride), "SAME")
            w = weights[2 * group : 2 * group + 2].reshape(2, -1).T
            prepared = tile.prepare(config, tile.program(config, w, KEY))
            parts.append(tile.mvm(config, prepared, jnp.moveaxis(windows, 1, -1)))
        found = jnp.moveaxis(jnp.concatenate(parts, axis=-1), -1, 1)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_gradients_reach_weights_and_inputs(x64):
    config = asim(weight_bits=4, input_bits=4, adc_bits=4, rows=4, cols=2)
    by_w = jax.grad(lambda w: jnp.sum(analog_matmul(config, w, jnp.asarray(X, float), KEY)))(jnp.asarray(W.T, float))
    assert np.all(np.isfinite(by_w))
    assert np.any(by_w != 0)
