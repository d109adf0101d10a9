"""Published systems: the values of their papers, and that they can be written, read and run."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import analog_matmul, presets, tile
from jaxaimc.adcs import Readout
from jaxaimc.config import dumps, loads
from jaxaimc.drives import SignMagnitude
from jaxaimc.units import GHz, V, ns, ohm, uA, uS

PRESETS = [getattr(presets, name) for name in presets.__all__]


@pytest.mark.parametrize("make", PRESETS)
def test_preset_is_valid_and_survives_json(make):
    config = make()
    config.validate()
    read = loads(dumps(config))
    # Structures of different classes without leaves compare equal: the words say which classes they are.
    assert read.describe() == config.describe()
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


def test_standard_aimc_has_the_noise_of_the_paper(x64):
    """`0.0175 sqrt(sum |w| x^2) xi + 0.04 xi'` on a product of 400 reads, and rounding to 254 steps over 20."""
    config = presets.standard_aimc()
    w = jax.random.uniform(jax.random.key(0), (64, 1), minval=-0.2, maxval=0.2)
    x = jax.random.uniform(jax.random.key(1), (64,), minval=-1)
    w = w.at[0].set(1.0)
    reads = np.asarray(analog_matmul(config, w, jnp.tile(3.0 * x, (20_000, 1)), jax.random.key(2)))[:, 0] / 3.0
    variance = 0.0175**2 * float(jnp.sum(jnp.abs(w[:, 0]) * x**2)) + 0.04**2 + (20 / 254) ** 2 / 12
    assert reads.var() == pytest.approx(variance, rel=0.03)
    assert reads.mean() == pytest.approx(float(x @ w[:, 0]), abs=0.01)
    steps = reads / (20 / 254)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


def test_standard_aimc_saturates_at_ten(x64):
    """Noise is added before the bound of the converter, not to what is left behind it."""
    w = jnp.ones((20, 1))
    y = analog_matmul(presets.standard_aimc(), w, jnp.full((200, 20), 3.0), jax.random.key(2))
    np.testing.assert_allclose(y / 3.0, 10.0, rtol=1e-9)


def test_isaac_loses_nothing(x64):
    """Its converters have a code for every sum: 16-bit weights and inputs come out exactly, on two tile rows."""
    config = presets.isaac()
    w = np.array(jax.random.randint(jax.random.key(0), (200, 3), -32767, 32768)).astype(float)
    x = np.array(jax.random.randint(jax.random.key(1), (4, 200), -32767, 32768)).astype(float)
    w[0, 0], x[:, 0] = 32767, 32767
    prepared = tile.prepare(config, tile.program(config, jnp.asarray(w), jax.random.key(2)))
    np.testing.assert_allclose(tile.mvm(config, prepared, jnp.asarray(x)), x @ w, rtol=1e-9, atol=1e-3)


def test_isaac_has_the_values_of_the_paper():
    config = presets.isaac()
    assert (config.rows, config.cols, config.drive.bits, config.drive.t_pulse) == (128, 128, 16, 100 * ns)
    assert config.cell.cell.widths == (2,) * 8
    # Every sum of 128 cells of three steps has a code: 384 of 511.
    low, high = config.adc.range.bounds(Readout(jnp.ones(()), 128, 128), 511.0)
    assert (low, high) == (0.0, pytest.approx(511 / 3))


def test_prime_has_the_values_of_the_paper():
    config = presets.prime()
    assert (config.rows, config.cols, config.adc.bits, config.drive.widths) == (256, 256, 6, (3, 3))
    assert config.cell.widths == (4, 4)
    assert (1 / config.cell.g_min, 1 / config.cell.g_max) == (pytest.approx(20e3), pytest.approx(1e3))


def test_crosssim_sonos_has_the_values_of_the_paper():
    config = presets.crosssim_sonos()
    assert (config.rows, config.cols, config.adc.bits, config.cell.states) == (1152, 256, 8, 128)
    assert config.drive.accumulates
    assert not config.column_scales
    # A weight of zero has two devices at zero current.
    np.testing.assert_array_equal(config.cell.encode(jnp.zeros((2, 2))), 0.0)


@pytest.mark.parametrize("make", PRESETS)
def test_description_has_conductances_and_voltages_with_their_units(make):
    text = make().describe()
    assert "rows = " in text
    for name, number in ((" g_(?:min|max) = ", "[0-9.]+ [munp]?S "), (" v_read = ", "[0-9.]+ m?V ")):
        lines = [line for line in text.splitlines() if re.search(name, line)]
        assert lines
        for line in lines:
            assert re.search(name + number, line), line


@pytest.mark.parametrize("make", [presets.asim, presets.collapsed_asim])
def test_bad_signs_of_the_macro(make):
    with pytest.raises(ValueError, match=r"`signs` of .*asim must be Unsigned, TwosComplement or TwoPasses"):
        make(signs=SignMagnitude())
