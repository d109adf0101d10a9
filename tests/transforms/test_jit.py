"""Compiled, the verbs give what they give without; many values of a leaf share one program; a draw is computed once."""

import re
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from variants import VARIANTS

from jaxaimc import AnalogConfig, analog_matmul, charges, drift, mvm, prepare, program
from jaxaimc._core.random import standard_normal
from jaxaimc.adcs import CCO, IdealADC, Uniform
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import SplitPWM
from jaxaimc.wires import Ladder

KEY = jax.random.key(7)
RNG = np.random.default_rng(5)
W = jnp.asarray(RNG.normal(size=(6, 4)).astype(np.float32))
X = jnp.asarray(RNG.normal(size=(3, 6)).astype(np.float32))
FULL = AnalogConfig(rows=16, cols=4, adc=CCO(f_adc=100e9))
SPLIT = replace(FULL, drive=SplitPWM(), adc=Uniform(bits=12))
TILES = replace(FULL, rows=4, cols=3)
# On older versions XLA drops the barriers on CPUs before it fuses.
KEEPS_BARRIERS = tuple(int(n) for n in jax.__version__.split(".")[:2]) >= (0, 12)


def data_of(tree):
    """The tree with its keys as numbers, in double precision for relative comparison of conductances."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)


@pytest.mark.parametrize("config", [FULL, SPLIT])
def test_jit_changes_nothing_but_the_last_bits(config):
    """The quantiser may turn a last bit into a code where a value sits on the edge; none does here."""
    eager = analog_matmul(config, W, X, KEY, t=100.0)
    chex.assert_trees_all_close(jax.jit(analog_matmul)(config, W, X, KEY, t=100.0), eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [FULL, TILES], ids=["one tile", "many tiles"])
def test_every_verb_with_and_without_jit(config):
    results = []
    for variant in (VARIANTS[0].values[0], VARIANTS[1].values[0]):
        programmed = variant(program)(config, W, KEY)
        drifted = variant(drift)(config, programmed, 100.0)
        prepared = variant(prepare)(config, drifted)
        seen = variant(charges)(config, prepared, X, KEY)
        results.append((data_of(programmed), data_of(drifted), prepared, seen, variant(mvm)(config, prepared, X, KEY)))
    chex.assert_trees_all_close(*results, rtol=2e-5, atol=2e-5)
    chex.assert_tree_all_finite(results[1])


def test_a_sweep_of_64_wire_resistances_compiles_once():
    def accuracy(config):
        return analog_matmul(config, W, X, KEY)

    resistances = np.geomspace(0.01, 100.0, 64)
    one = jax.jit(chex.assert_max_traces(accuracy, n=1))
    one_by_one = [one(replace(FULL, wires=Ladder(r=float(r)))) for r in resistances]

    traced_once = chex.assert_max_traces(lambda r: jax.vmap(lambda r: accuracy(replace(FULL, wires=Ladder(r=r))))(r), 1)
    sweep = jax.jit(traced_once)
    together = sweep(jnp.asarray(resistances))
    sweep(jnp.asarray(2 * resistances))
    # A charge near a tie may be counted one higher or lower: 0.003.
    chex.assert_trees_all_close(together, np.stack(one_by_one), rtol=1e-4, atol=4e-3)
    assert np.std(together, axis=0).min() > 0


def test_a_sweep_of_wire_resistances_of_many_tiles_compiles_once():
    config = replace(TILES, device=IdealDevice())

    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(config):
        return mvm(config, prepare(config, program(config, W, KEY)), X)

    for r in np.geomspace(0.01, 100.0, 64):
        run(replace(config, wires=Ladder(r=float(r))))


@pytest.mark.parametrize("config", [FULL, TILES], ids=["one tile", "many tiles"])
def test_n6_second_calls_without_jit_compile_nothing(config):
    """Counted by JAX itself, with other values of inputs, keys and leaves than in the first calls."""

    def calls(r, seed):
        changed = replace(config, wires=Ladder(r=r))
        prepared = prepare(changed, drift(changed, program(changed, seed * W, jax.random.key(seed)), 10.0 * seed))
        y = mvm(changed, prepared, X / seed, jax.random.key(seed + 1))
        return y, charges(changed, prepared, X, KEY), analog_matmul(changed, seed * W, X, jax.random.key(seed))

    with compilations() as first:
        calls(1.5, 2)
    with compilations() as second:
        calls(2.5, 3)
    assert first
    assert not second


def layers(config, count):
    """Layers one behind the other, each drawing read noise that the next one's range and pulses depend on."""

    def forward(prepared, x, key):
        for index in range(count):
            x = mvm(config, prepared, x, jax.random.fold_in(key, index))
        return x

    return forward


def threefries(compiled):
    """How many computations of a compiled program hold all rounds of a Threefry block, twenty exclusive ors or more."""
    computations = re.split(r"\n(?=\S)", compiled.as_text())
    return sum(computation.count(" xor(") >= 20 for computation in computations)


@pytest.mark.parametrize("variant", ["forward", "vmap", "grad"])
def test_n7_chained_layers_compute_every_draw_once(variant):
    """Without a barrier behind them, XLA computes the draws anew in each of some six places that use them.

    On jax 0.12 that multiplies the time of compiling by five to eighteen.
    """
    config = AnalogConfig(rows=16, cols=16, adc=IdealADC())
    w = jnp.asarray(RNG.normal(size=(16, 16)).astype(np.float32))
    prepared, x = prepare(config, program(config, w, KEY)), jnp.asarray(RNG.normal(size=(4, 16)).astype(np.float32))
    run, keys = layers(config, 2), KEY
    if variant == "vmap":
        run, keys = jax.vmap(run, (None, 0, 0)), jax.random.split(KEY, 4)
    if variant == "grad":
        run = jax.grad(lambda p, x, k, run=run: jnp.sum(run(p, x, k) ** 2), argnums=1)
    lowered = jax.jit(run).lower(prepared, x, keys)
    assert "optimization_barrier" in lowered.as_text()
    if KEEPS_BARRIERS:
        assert threefries(lowered.compile()) == 2


def test_n7_a_barrier_stands_behind_every_draw():
    for dtype in (jnp.float32, jnp.bfloat16):
        lowered = jax.jit(lambda key, dtype=dtype: standard_normal(key, (8,), dtype)).lower(KEY)
        assert lowered.as_text().count("optimization_barrier") == 1
