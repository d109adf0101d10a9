"""Mapped over inputs, chips and configs, the verbs give what a loop gives."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variants import VARIANTS

from jaxaimc import AnalogConfig, analog_matmul, mvm, prepare, program
from jaxaimc._core.random import standard_normal
from jaxaimc.adcs import CCO, IdealADC, Symmetric, Uniform
from jaxaimc.cells import Differential
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.training import fast_key
from jaxaimc.wires import Ladder

KEY = jax.random.key(7)
RNG = np.random.default_rng(5)
W = jnp.asarray(RNG.normal(size=(6, 4)).astype(np.float32))
X = jnp.asarray(RNG.normal(size=(3, 6)).astype(np.float32))
FULL = AnalogConfig(rows=16, cols=4, adc=CCO(f_adc=100e9))


@pytest.mark.parametrize("variant", VARIANTS)
def test_over_inputs_with_a_key_each(variant):
    prepared = prepare(FULL, program(FULL, W, KEY))
    keys = jax.random.split(KEY, 3)
    mapped = variant(jax.vmap(lambda x, k: mvm(FULL, prepared, x, k)))(X, keys)
    chex.assert_trees_all_close(mapped, mvm(FULL, prepared, X, keys), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_over_chip_keys_is_one_chip_after_the_other(variant):
    keys = jax.random.split(KEY, 3)
    chips = variant(jax.vmap(lambda k: program(FULL, W, k)))(keys)
    for i in range(3):
        chex.assert_trees_all_close(chips.g[i], program(FULL, W, keys[i]).g, rtol=1e-6)
    assert np.mean(np.std(chips.g, axis=0) > 0) > 0.9  # the others are cut at zero conductance in every chip


def test_over_chip_keys_of_many_tiles():
    config = AnalogConfig(rows=8, cols=6, adc=IdealADC())
    w, x = (jnp.asarray(RNG.normal(size=shape).astype(np.float32)) for shape in ((10, 7), (10,)))
    keys = jax.random.split(KEY, 3)

    def run(key):
        return mvm(config, prepare(config, program(config, w, key)), x, KEY)

    chex.assert_trees_all_close(jax.vmap(run)(keys), jnp.stack([run(k) for k in keys]), rtol=1e-5, atol=1e-5)


def test_over_config_leaves():
    """Every continuous leaf at once, stacked: the same as one config after the other."""
    configs = [
        AnalogConfig(
            rows=16,
            cols=4,
            cell=Differential(g_min=0.1e-6 * i, g_max=(20 + i) * 1e-6),
            wires=Ladder(r=float(i)),
            drive=PWM(v_read=0.1 * i, range=FixedRange(limit=float(i))),
            adc=Uniform(bits=11.0 + i, range=Symmetric(limit=2.0 * i)),
        )
        for i in (1, 2, 3)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *configs)
    mapped = jax.vmap(analog_matmul, in_axes=(0, None, None, None))(stacked, W, X, KEY)
    for y, config in zip(mapped, configs, strict=True):
        chex.assert_trees_all_close(y, analog_matmul(config, W, X, KEY), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("make", [lambda key: key, fast_key], ids=["threefry", "hashed"])
def test_n7_draws_pass_maps_and_derivatives(make):
    """What keeps XLA from computing a draw again wherever it is used is transparent to every transform."""
    keys = jax.random.split(KEY, 3)
    scales = jnp.array([0.5, 1.0, 2.0])
    draw = lambda scale, key: jnp.sin(scale * standard_normal(make(key), (4,)))  # noqa: E731
    z = jnp.stack([standard_normal(make(key), (4,)) for key in keys])
    reverse = jax.jit(jax.vmap(jax.grad(lambda s, k: jnp.sum(draw(s, k)))))(scales, keys)
    chex.assert_trees_all_close(reverse, jnp.sum(z * jnp.cos(scales[:, None] * z), -1), rtol=1e-5, atol=1e-5)
    forward = jax.jit(jax.vmap(jax.jacfwd(draw)))(scales, keys)
    chex.assert_trees_all_close(forward, z * jnp.cos(scales[:, None] * z), rtol=1e-5, atol=1e-5)
    second = jax.jit(jax.vmap(jax.hessian(lambda s, k: jnp.sum(draw(s, k)))))(scales, keys)
    chex.assert_trees_all_close(second, -jnp.sum(z**2 * jnp.sin(scales[:, None] * z), -1), rtol=1e-5, atol=1e-5)


def test_over_configs_in_a_grid_of_two_leaves():
    """Nested maps: the outer product of two sweeps is each pair by itself."""
    at = lambda r, f: analog_matmul(replace(FULL, wires=Ladder(r=r), adc=CCO(f_adc=f)), W, X, KEY)  # noqa: E731
    r, f = jnp.array([0.1, 3.0]), jnp.array([20e9, 100e9])
    found = jax.vmap(jax.vmap(at, (None, 0)), (0, None))(r, f)
    for i in range(2):
        for j in range(2):
            # A charge near a tie may be counted one higher or lower.
            chex.assert_trees_all_close(found[i, j], at(r[i], f[j]), rtol=1e-4, atol=2e-2)
