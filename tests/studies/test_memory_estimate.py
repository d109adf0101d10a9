"""The memory that a study is planned for, against what XLA reserves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import presets
from jaxaimc.studies import Settings, memory
from jaxaimc.tasks import Split
from jaxaimc.tasks.chips import as_read, chip_keys, program_chips, read_bytes


class Tokens(nnx.Module):
    """Vectors of 64 numbers for each token of four bytes."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.table = nnx.Embed(50, 64, rngs=rngs)
        self.layer, self.head = nnx.Linear(64, 128, rngs=rngs), nnx.Linear(128, 5, rngs=rngs)

    def __call__(self, tokens):
        return self.head(jax.nn.relu(self.layer(self.table(tokens))).mean(axis=1))


def reserved(model, config, tokens):
    """Return what the compiled read of a chip takes besides its arguments [byte]."""
    keys, reads = chip_keys(0, 1)
    chips = program_chips(model, config, keys, None, compensated=False)
    chip = jax.tree.map(lambda leaf: leaf[0], chips)

    def read(blank, chip, keys, tokens):
        return blank.on_chip(chip, keys)(tokens)

    arguments = as_read(model, config, chips), chip, jax.random.split(reads[0], len(tokens)), tokens
    found = jax.jit(read).lower(*arguments).compile().memory_analysis()
    return found.temp_size_in_bytes + found.output_size_in_bytes


@pytest.mark.parametrize("preset", [presets.tile_circuit, presets.isaac], ids=["one plane", "many planes and slices"])
def test_a_read_takes_what_was_estimated(preset):
    tokens = jnp.zeros((16, 32), jnp.int32)
    estimate = read_bytes(Tokens(), preset(), jax.ShapeDtypeStruct(tokens.shape, tokens.dtype))
    measured = reserved(Tokens(), preset(), tokens)
    assert measured > 64 * tokens.nbytes  # the size of the inputs says little
    assert 1 / 3 < estimate / measured < 3


def test_fewer_chips_are_read_at_once_where_activations_are_large(monkeypatch):
    split = Split(np.zeros((64, 32), np.int32), np.zeros(64, np.int32))
    settings = Settings(chips=1000, batch=64)
    read = read_bytes(Tokens(), presets.tile_circuit(), jax.ShapeDtypeStruct((64, 32), jnp.int32))
    monkeypatch.setattr(memory, "available", lambda: 20 * read)
    # Half of the memory, and a little of each chip's share for its programming.
    assert 7 <= memory.chips_at_once(Tokens(), presets.tile_circuit(), settings, split) <= 10
