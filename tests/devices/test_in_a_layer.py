"""Devices inside a Flax layer: read noise in distribution against sampled matrices."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import ks_2samp

from jaxaimc import nn
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import PCM, PCMFlickerNoise, PCMPulseNoise
from jaxaimc.presets import tile_circuit
from jaxaimc.wires import NoWires

CHIP, READ = jax.random.split(jax.random.key(5))
DAY = 86400.0
N_IN, N_OUT, SAMPLES = 150, 3, 3000


def brute_force(config, dot, x):
    """Outputs of `x` with every device drawn anew for every read, tile row by tile row."""
    tiles = dot.programmed.get_value()
    pulses = config.drive.encode(x)
    # The tile rows share the inputs evenly, without filling.
    level, duration = (a[0].reshape(tiles.g.shape[0], tiles.g.shape[-2]) for a in (pulses.level, pulses.duration))
    # One tile column and one slice: axes (tile row, polarity, row, column).
    g, target = tiles.g[:, 0, 0], tiles.g_target[:, 0, 0]
    noise = config.device.read_noise
    weight = noise.weight(duration)
    variance = jnp.einsum("ktr,ktpri->tpri", weight, noise.variance(g, target, DAY))

    def one(key):
        drawn = g + jnp.sqrt(variance) * jax.random.normal(key, g.shape)
        net = (drawn[:, 0] - drawn[:, 1]) / config.cell.g_span
        return jnp.einsum("tr,trc,tc->c", level, net, tiles.w_scale[:, 0]) * pulses.x_scale

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(9), SAMPLES))


@pytest.mark.parametrize("noise", [PCMFlickerNoise(factor=3.0), PCMPulseNoise(factor=3.0)], ids=["flicker", "pulse"])
def test_read_noise_of_a_linear_layer_equals_sampled_matrices(noise):
    """A chip with programming noise, a day old, on three tile rows: 3000 reads of one input, every output column."""
    config = replace(tile_circuit(), device=PCM(read_noise=noise), wires=NoWires(), adc=IdealADC(), rows=64, cols=8)
    layer = nnx.Linear(N_IN, N_OUT, use_bias=False, rngs=nnx.Rngs(0))
    analog = nn.drift(nn.convert(layer, config, key=CHIP), DAY)
    x = jax.random.normal(jax.random.key(2), (N_IN,))
    reads = jax.jit(lambda x, key: nn.with_read_key(analog, key)(x))
    ours = np.asarray(reads(jnp.broadcast_to(x, (SAMPLES, N_IN)), READ))
    theirs = np.asarray(brute_force(config, analog.dot_general, x))
    # Noise is what is compared: outputs differ from each other by much less than from zero.
    assert np.all(theirs.std(0) < 0.5 * np.abs(theirs.mean(0)).max())
    for column in range(N_OUT):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.01
    # The test would see a spread that is 15 % off.
    wide = theirs.mean(0) + 1.15 * (theirs - theirs.mean(0))
    assert min(ks_2samp(ours[:, column], wide[:, column]).pvalue for column in range(N_OUT)) < 0.01
