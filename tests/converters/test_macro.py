"""The charge-domain SRAM macro: values, identities and statistics of section 7 of the physics notes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import analog_matmul, matrix
from jaxaimc.adcs import Hybrid, MacroNoise
from jaxaimc.drives import TwosComplement
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
    prepared = matrix.prepare(config, matrix.program(config, jnp.asarray(w), KEY))
    y = matrix.mvm(config, prepared, jnp.asarray(x))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, x @ w, atol=1e-9 if dtype == np.float64 else 1e-2)


def test_all_diagonals_digital_is_exact(x64):
    config = asim(weight_bits=4, input_bits=4, adc_bits=2, rows=4, cols=2, noise=MacroNoise(fixed=0.1))
    exact = replace(config, adc=Hybrid(adc=config.adc, digital=7))
    np.testing.assert_allclose(multiply(exact, W, X), EXACT, atol=1e-9)
    part = replace(config, adc=Hybrid(adc=config.adc, digital=3))
    off = [np.abs(multiply(c, W, X, jax.random.key(i)) - EXACT).mean() for c in (config, part) for i in range(8)]
    assert np.mean(off[8:]) < np.mean(off[:8]) / 2


def test_collapsed_noise_has_the_variance_of_the_cycles(x64):
    """63 rows in the middle of the range, so that nothing clips; mean and variance over 4000 products."""
    rows, fixed = 63, 0.004
    x_key, w_key = jax.random.split(KEY)
    x = np.array(jax.random.randint(x_key, (1, rows), -7, 8)).astype(float)
    w = np.array(jax.random.randint(w_key, (1, rows), -7, 8)).astype(float)
    x[0, 0], w[0, 0] = 7, 7
    sizes = {"weight_bits": 4, "input_bits": 4, "adc_bits": 8, "rows": rows, "cols": 1}
    serial = asim(**sizes, signs=TwosComplement(), noise=MacroNoise(fixed=fixed))
    many = np.repeat(x, 4000, axis=0)
    cycles, collapsed = (multiply(c, w, many).ravel() - x @ w.T for c in (serial, collapsed_asim(**sizes, fixed=fixed)))
    error = np.sqrt(2 / 4000)
    assert collapsed.var() == pytest.approx(cycles.var(), rel=3 * np.sqrt(2) * error)
    planes = (4**4 - 1) / 3
    assert collapsed.std() == pytest.approx(rows * np.sqrt(fixed**2 + 1 / 255**2 / 12) * planes, rel=3 * error)
    assert collapsed.mean() == pytest.approx(0.0, abs=3 * collapsed.std() / np.sqrt(4000))


def test_gradients_reach_weights_and_inputs(x64):
    config = asim(weight_bits=4, input_bits=4, adc_bits=4, rows=4, cols=2)
    by_w = jax.grad(lambda w: jnp.sum(analog_matmul(config, w, jnp.asarray(X, float), KEY)))(jnp.asarray(W.T, float))
    assert np.all(np.isfinite(by_w))
    assert np.any(by_w != 0)
