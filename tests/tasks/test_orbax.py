"""A network on a chip in Orbax's checkpoints, which users have already."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from jaxaimc import nn, presets

CHIP, READ = jax.random.split(jax.random.key(2))
X = jax.random.normal(jax.random.key(0), (3, 6))


class Net(nnx.Module):
    def __init__(self, seed):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        return self.head(self.norm(jax.nn.relu(self.first(x))))


def on_chip(seed, key, t):
    chip = nn.convert(Net(seed), presets.tile_circuit(), key)
    chip = nn.calibrate(chip, X * (1 + seed), READ)
    return nn.with_read_key(nn.drift(chip, t), key)


def saved(folder, chip):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, nnx.state(chip))
    return folder


def restored(folder, like):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder, nnx.state(like))


def check_equal(one, other):
    for here, there in zip(jax.tree.leaves(nnx.state(one)), jax.tree.leaves(nnx.state(other)), strict=True):
        assert jnp.all(here == there)
    # Its own read key first, then the same chip at a later time under another one.
    np.testing.assert_array_equal(other(X), one(X))
    np.testing.assert_array_equal(*(nn.with_read_key(nn.drift(chip, 1e6), READ)(X) for chip in (one, other)))


def test_a_chip_comes_back_with_its_ranges_its_time_and_its_keys(tmp_path):
    chip, other = on_chip(0, CHIP, 1e4), on_chip(1, READ, 1.0)
    assert float(jnp.abs(nn.with_read_key(chip, READ)(X) - nn.with_read_key(other, READ)(X)).max()) > 1e-3
    nnx.update(other, restored(saved(tmp_path / "chip", chip), other))
    check_equal(chip, other)


def test_a_chip_comes_back_into_a_network_that_has_never_been_programmed(tmp_path):
    def blank():
        return nn.with_read_key(nn.convert(Net(1), presets.tile_circuit(), READ), READ)

    chip = nn.with_read_key(nn.drift(nn.convert(Net(0), presets.tile_circuit(), CHIP), 1e4), CHIP)
    abstract = nnx.eval_shape(blank)
    check_equal(chip, nnx.merge(nnx.graphdef(abstract), restored(saved(tmp_path / "chip", chip), abstract)))
