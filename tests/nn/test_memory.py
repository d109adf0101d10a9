"""What a chip keeps: devices to drift, and much less to be read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import nn, presets, program

KEY, READ = jax.random.split(jax.random.key(4))


def numbers(tree):
    """Return how many numbers the arrays of a tree hold, an array that is there twice counted once."""
    return sum({id(leaf): leaf.size for leaf in jax.tree.leaves(tree)}.values())


def test_s10_a_chip_for_reading_holds_its_matrix_and_noise_factors():
    """A read needs a weight's effective value and its noise factor; devices would be four to six numbers more."""
    layer = nnx.Linear(64, 48, use_bias=False, rngs=nnx.Rngs(0))
    chip = nn.program(nn.convert(layer, presets.tile_circuit()), KEY)
    reading = nn.for_reading(chip)
    held = numbers(nnx.state(reading, nn.EffectiveMatrix)) / (64 * 48)
    assert 2 <= held < 2.2
    assert not jax.tree.leaves(nnx.state(reading, nn.Conductance))
    assert numbers(nnx.state(chip, nn.Conductance)) / (64 * 48) < 6.2
    x = jnp.ones((5, 64))
    np.testing.assert_array_equal(nn.with_read_key(reading, READ)(x), nn.with_read_key(chip, READ)(x))
    with pytest.raises(ValueError, match="has no devices any more"):
        nn.drift(reading, 1.0)


def test_s10_devices_right_after_programming_are_held_once():
    programmed = program(presets.tile_circuit(), jnp.ones((8, 4)), KEY)
    assert programmed.g is programmed.g_programmed


@pytest.mark.parametrize("view", ["analog", "probe"])
def test_a_chip_that_was_never_programmed_cannot_be_read(view):
    with pytest.raises(ValueError, match="has no programmed chip"):
        nn.for_reading(
            nnx.view(nn.convert(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), presets.tile_circuit()), analog_mode=view)
        )
