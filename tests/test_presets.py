"""Published systems: the values of their papers, and that they can be written, read and run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import analog_matmul, config_files, presets
from jaxaimc.units import GHz, V, ns, ohm, uA, uS

PRESETS = [make for name, make in vars(presets).items() if getattr(make, "__module__", "") == presets.__name__]


@pytest.mark.parametrize("make", PRESETS)
def test_preset_is_valid_and_survives_json(make):
    config = make()
    config.validate()
    read = config_files.loads(config_files.dumps(config))
    assert jax.tree.structure(read) == jax.tree.structure(config)
    jax.tree.map(np.testing.assert_array_equal, read, config)


def _correlation(config):
    """Return how well a full tile follows the exact product; inputs are not negative, which every system takes."""
    w = jax.random.normal(jax.random.key(0), (128, 24))
    x = jax.random.uniform(jax.random.key(1), (16, 128))
    y = analog_matmul(config, w, x, jax.random.key(2))
    assert y.shape == (16, 24)
    return np.corrcoef(np.ravel(y), np.ravel(x @ w))[0, 1]


@pytest.mark.parametrize("make", PRESETS)
def test_preset_multiplies(make):
    # A floor for the coarsest of them, with six output bits; random outputs would correlate by 0.05.
    assert _correlation(make()) > 0.5


def test_tile_circuit_multiplies_well():
    assert _correlation(presets.tile_circuit()) > 0.99


def test_tile_circuit_has_the_values_of_the_paper():
    config = presets.tile_circuit()
    assert (config.rows, config.cols) == (512, 512)
    assert (config.cell.g_min, config.cell.g_max) == (0.0, 25 * uS)
    assert (config.wires.r, config.wires.v_idle, config.wires.v_adc) == (0.15 * ohm, 0.4 * V, 0.4005 * V)
    assert (config.drive.bits, config.drive.t_lsb, config.drive.v_read) == (8, 1 * ns, 0.2 * V)
    # One count of the oscillator: 16.03 fC.
    assert config.adc.i_ref / config.adc.f_adc == pytest.approx(16.03e-15, rel=1e-3)
    assert (config.adc.f_adc, config.adc.i_ref) == (6.24 * GHz, 100 * uA)


def test_tile_circuit_reads_with_the_noise_of_the_paper():
    noise = presets.tile_circuit().device.read_noise
    g = jnp.asarray(25 * uS)
    sigma = [float(noise.sigma(g, duration * ns)) / uS for duration in (1, 10, 127)]
    np.testing.assert_allclose(sigma, [0.7625, 0.4747, 0.3213], rtol=2e-4)
