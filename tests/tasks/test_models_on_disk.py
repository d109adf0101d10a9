"""Whole models on disk: everything that a converted model holds comes back as it was."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, component, leaf, nn, presets, static
from jaxaimc.adcs import ADC, Uniform
from jaxaimc.nn.columns import with_column_correction
from jaxaimc.tasks import checkpoints, restore_model, save_model


class Net(nnx.Module):
    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed, dropout=jax.random.key(seed, impl="rbg"))
        self.hidden = nnx.Linear(8, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, inputs):
        return self.head(self.dropout(jax.nn.relu(self.norm(self.hidden(inputs)))))


@component
class OwnADC(ADC):
    step: float = leaf(0.1)
    gain: object = leaf(1.0, array=True)
    codes: tuple[int, ...] = static(default=(1, 2))
    unipolar = False

    def convert(self, q, readout, key=None):
        return q


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(5), (32, 8))


@pytest.fixture(scope="module")
def chip(x):
    config = AnalogConfig(device=presets.tile_circuit().device, adc=Uniform(bits=8))
    model = nn.calibrate(nn.convert(Net(), [nn.Rule("head", config)]), x, jax.random.key(1))
    model = nn.drift(nn.program(model, jax.random.key(2)), 3600.0)
    model = with_column_correction(model)
    model.head.dot_general.hooks[0].gain.set_value(jnp.asarray([1.0, 0.5, 2.0]))
    return nn.with_read_key(model, jax.random.key(4))


def blank(config):
    """Another network on other tiles, without ranges, with the same hooks."""
    return with_column_correction(nn.convert(Net(7), [nn.Rule("head", config)], key=jax.random.key(0)))


def _plain(state):
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _is_key(leaf):
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def assert_same(found, wanted):
    found, wanted = nnx.state(found), nnx.state(wanted)
    chex.assert_trees_all_equal_structs(found, wanted)
    assert [type(leaf) for leaf in jax.tree.leaves(found)] == [type(leaf) for leaf in jax.tree.leaves(wanted)]
    chex.assert_trees_all_equal(_plain(found), _plain(wanted), strict=True)


def test_s1_a_converted_model_comes_back_with_all_it_holds(chip, x, tmp_path):
    path = tmp_path / "chip.safetensors"
    save_model(path, chip, {"note": "chip 2"})
    restored = restore_model(path, blank(AnalogConfig(rows=64)))
    assert_same(restored, chip)
    assert restored.head.dot_general.config.get_value() == chip.head.dot_general.config.get_value()
    assert checkpoints.metadata(path) == {"note": "chip 2", "format_version": 2}
    # The next reads and dropped units are the same as well.
    chex.assert_trees_all_equal(nnx.clone(chip)(x), restored(x))


def test_s1_a_chip_comes_back_on_a_model_that_was_never_programmed(x, tmp_path):
    config = AnalogConfig(adc=Uniform(bits=6))
    chip = nn.with_read_key(nn.convert(Net(), config, key=jax.random.key(1)), jax.random.key(2))
    save_model(tmp_path / "chip", chip)
    before = nn.convert(Net(3), config)
    restored = restore_model(tmp_path / "chip", before)
    assert_same(restored, chip)
    assert before.head.dot_general.programmed is None
    chex.assert_trees_all_equal(chip(x), restored(x))


def test_s1_the_state_of_a_converted_model_goes_through_save_and_load(chip, tmp_path):
    state = nnx.state(chip)
    checkpoints.save(tmp_path / "state", state)
    loaded = checkpoints.load(tmp_path / "state", nnx.state(nn.with_read_key(blank(AnalogConfig()), jax.random.key(9))))
    chex.assert_trees_all_equal(_plain(loaded), _plain(state))


def test_s1_parts_of_the_users_own_come_back(tmp_path):
    own = AnalogConfig(adc=OwnADC(step=0.3, gain=np.arange(3.0, dtype=np.float32), codes=(4, 5, 6)))
    checkpoints.save(tmp_path / "own", {"config": own})
    loaded = checkpoints.load(tmp_path / "own", {"config": AnalogConfig()})["config"]
    assert (loaded.adc.step, loaded.adc.codes) == (0.3, (4, 5, 6))
    np.testing.assert_array_equal(loaded.adc.gain, own.adc.gain)
    assert isinstance(loaded.cell.g_max, float)
    assert loaded.cell == own.cell


def test_s1_a_shape_of_the_model_is_enough(chip, tmp_path):
    save_model(tmp_path / "chip", chip)
    like = jax.eval_shape(lambda: nnx.state(chip))
    chex.assert_trees_all_equal(_plain(checkpoints.load(tmp_path / "chip", like)), _plain(nnx.state(chip)))


def test_s1_what_does_not_fit_is_named(chip, tmp_path):
    save_model(tmp_path / "chip", chip)
    with pytest.raises(
        checkpoints.CheckpointError, match=r"'head\.dot_general\.config', an AnalogConfig, is unexpected"
    ):
        restore_model(tmp_path / "chip", Net())
    save_model(tmp_path / "digital", Net())
    with pytest.raises(checkpoints.CheckpointError, match=r"'head\.dot_general\.programmed', a Programmed, is missing"):
        restore_model(tmp_path / "digital", chip)
    wide = Net()
    wide.head = nnx.Linear(16, 4, rngs=nnx.Rngs(0))
    with pytest.raises(checkpoints.CheckpointError, match=r"'head\.kernel' must have shape \(16, 4\)"):
        restore_model(tmp_path / "digital", wide)


def test_s1_random_keys_keep_their_kind(tmp_path):
    keys = {"one": jax.random.key(0), "many": jax.random.split(jax.random.key(1, impl="rbg"), 3)}
    checkpoints.save(tmp_path / "keys", keys)
    like = {"one": jax.random.key(5), "many": jax.random.split(jax.random.key(5, impl="rbg"), 3)}
    loaded = checkpoints.load(tmp_path / "keys", like)
    chex.assert_trees_all_equal(_plain(loaded), _plain(keys))
    assert jax.random.key_impl(loaded["many"]) == "rbg"
    for other, message in [
        (jnp.zeros((), jnp.uint32), "'one' must hold numbers, but holds random keys"),
        (jax.random.key(0, impl="rbg"), r"'one' must hold random keys of type key<rbg>, but holds key<fry>"),
        (jax.random.split(jax.random.key(0)), r"'one' must have shape \(2,\), but has shape \(\)"),
    ]:
        with pytest.raises(checkpoints.CheckpointError, match=message):
            checkpoints.load(tmp_path / "keys", {**like, "one": other})
    checkpoints.save(tmp_path / "number", {"one": jnp.zeros(2, jnp.uint32)})
    with pytest.raises(checkpoints.CheckpointError, match="'one' must hold random keys, but holds numbers"):
        checkpoints.load(tmp_path / "number", {"one": jax.random.key(0)})
