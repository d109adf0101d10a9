"""Chips and the kernels that they were programmed from, and configs changed under them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, Pair
from flax import nnx

from jaxaimc import nn
from jaxaimc.adcs import Uniform
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.nn.guard import checksum
from jaxaimc.nn.walk import weights
from jaxaimc.training.chips import digital_parts
from jaxaimc.wires import Ladder

X = jax.random.normal(jax.random.key(3), (3, 6))
STALE = r"another kernel than the one its chip was programmed from; call `jaxaimc.nn.program\(model, key\)`"


@pytest.fixture
def chip():
    return nn.convert(Pair(nnx.Rngs(0)), DEVICES, CHIP)


def test_a5_a_checkpoint_loaded_under_a_chip_is_noticed_at_every_door(chip):
    other = nnx.state(Pair(nnx.Rngs(9)), nnx.Param)
    loaded = nn.with_read_key(nnx.clone(chip), READ)
    nnx.update(loaded, other)
    doors = {
        "call": lambda: loaded(X),
        "read": lambda: nn.with_read_key(loaded, READ),
        "drift": lambda: nn.drift(loaded, 1.0),
        "effective": lambda: nn.effective(loaded),
    }
    for door in doors.values():
        with pytest.raises(ValueError, match=f"Layer '(first|head)' has {STALE}"):
            door()
    again = nn.program(loaded, CHIP)
    expected = nn.convert(Pair(nnx.Rngs(9)), DEVICES, CHIP)
    np.testing.assert_array_equal(nn.with_read_key(again, READ)(X), nn.with_read_key(expected, READ)(X))


def test_a5_the_same_checkpoint_and_other_variables_pass(chip):
    before = nn.with_read_key(chip, READ)(X)
    nnx.update(chip, nnx.state(Pair(nnx.Rngs(0)), nnx.Param))
    np.testing.assert_array_equal(nn.with_read_key(chip, READ)(X), before)
    chip.head.bias[...] = chip.head.bias[...] + 1
    np.testing.assert_allclose(nn.with_read_key(chip, READ)(X), before + 1, rtol=1e-6)


def test_a5_layers_that_compute_in_a_short_type_are_not_blamed():
    short = nn.convert(nnx.Linear(6, 4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)), DEVICES, CHIP)
    assert nn.with_read_key(short, READ)(X).shape == (3, 4)
    half = nn.convert(nnx.Linear(6, 4, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0)), DEVICES, CHIP)
    assert nn.with_read_key(half, READ)(X).shape == (3, 4)


def test_a5_checksums_differ_for_small_changes_and_are_the_same_under_jit():
    w = jax.random.normal(CHIP, (17, 5))
    nudged = w.at[3, 2].set(np.nextafter(np.float32(w[3, 2]), np.float32(9)))
    sums = [int(checksum(a)) for a in (w, nudged, w.at[0].set(w[1]), w[::-1], -w)]
    assert len(set(sums)) == 5
    assert int(jax.jit(checksum)(w)) == sums[0]


def test_a5_an_optimiser_of_a_programmed_chip_is_refused(chip):
    def loss(model):
        return jnp.mean(jnp.square(nn.with_read_key(model, READ)(X)))

    for gradient in (nnx.grad(loss), nnx.jit(nnx.grad(loss)), nnx.value_and_grad(loss)):
        with pytest.raises(ValueError, match=r"Layer 'first' is on a programmed chip.*nnx.DiffState.*\"train\""):
            gradient(chip)


def test_a5_what_a_programmed_chip_leaves_trainable_trains(chip):
    trained = nnx.All(nnx.Param, digital_parts(chip))
    optimizer = nnx.Optimizer(chip, optax.sgd(0.1), wrt=trained)

    def loss(model):
        return jnp.mean(jnp.square(nn.with_read_key(model, READ)(X)))

    gradient = nnx.jit(nnx.grad(loss, argnums=nnx.DiffState(0, trained)))(chip)
    assert {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(gradient)} == {"first/bias", "head/bias"}
    before = chip.head.bias[...]
    optimizer.update(chip, gradient)
    assert jnp.any(chip.head.bias[...] != before)
    assert jax.grad(lambda x: jnp.sum(nn.with_read_key(chip, READ).first(x)))(X).shape == X.shape


def test_a5_a_chip_that_is_programmed_inside_of_the_gradient_passes_it_on(chip):
    def loss(model):
        return jnp.mean(jnp.square(nn.program(model, CHIP)(X)))

    for gradient in (nnx.grad(loss), nnx.jit(nnx.grad(loss))):
        found = gradient(nn.convert(Pair(nnx.Rngs(0)), NEARLY_DIGITAL))
        assert jnp.any(found["first"]["kernel"][...] != 0)


def test_a5_filters_of_what_is_on_tiles_know_a_layer_that_is_the_whole_model():
    layer = nn.convert(nnx.Linear(6, 4, rngs=nnx.Rngs(0)), DEVICES)
    assert weights(layer) == {"kernel"}
    left = nnx.state(layer, nnx.All(nnx.Param, digital_parts(layer)))
    assert [path for path, _ in nnx.to_flat_state(left)] == [("bias",)]


def test_a_chip_known_by_its_effective_matrices_alone_does_not_drift(chip):
    other = nn.program(chip, READ)
    moved = nn.with_effective(chip, nn.effective(other))
    np.testing.assert_array_equal(nn.with_read_key(moved, READ)(X), nn.with_read_key(other, READ)(X))
    with pytest.raises(ValueError, match="has no devices any more"):
        nn.drift(moved, 1e3)


def test_a3_converting_again_starts_from_the_digital_model(chip):
    assert nn.products(nn.convert(chip, [nn.Rule("head", DEVICES)]))[0].analog is False
    kept = nn.convert(chip, [nn.Rule("first", None), nn.Rule(".*", DEVICES)])
    assert kept.first.dot_general is jax.lax.dot_general
    assert kept.head.dot_general.programmed is None
    assert isinstance(chip.first.dot_general, nn.AnalogDot)
    digital = nn.to_digital(chip)
    np.testing.assert_array_equal(digital(X), Pair(nnx.Rngs(0))(X))
    assert nnx.graphdef(digital) == nnx.graphdef(Pair(nnx.Rngs(0)))
    general = nnx.LinearGeneral(6, 4, rngs=nnx.Rngs(0))
    assert nn.to_digital(nn.convert(general, DEVICES)).dot_general is None


def test_bad_configs_and_good_ones_change_in_one_place(chip):
    def finer(path, config):
        return config.with_(adc=Uniform(bits=4)) if path == "head" else config

    changed = nn.map_configs(chip, finer)
    assert changed.head.dot_general.config.get_value().adc == Uniform(bits=4)
    assert changed.first.dot_general.config.get_value() == DEVICES
    assert chip.head.dot_general.config.get_value() == DEVICES
    with pytest.raises(ValueError, match="must get an AnalogConfig, but `function` returned None"):
        nn.map_configs(chip, lambda path, config: None)
    with pytest.raises(ValueError, match="`v_read` of PWM"):
        nn.map_configs(chip, lambda path, config: config.with_(drive=PWM(v_read=-1.0)))
    with pytest.raises(ValueError, match="no analog layer"):
        nn.map_configs(Pair(nnx.Rngs(0)), finer)


def test_a5_parts_that_a_chip_was_made_with_cannot_change_under_it(chip):
    wired = lambda path, config: config.with_(wires=Ladder(r=3.0))  # noqa: E731
    with pytest.raises(ValueError, match=r"programmed with another `wires`; take the chip off"):
        nn.map_configs(chip, wired)
    changed = nn.map_configs(nn.without_chip(chip), wired)
    assert changed.head.dot_general.config.get_value().wires == Ladder(r=3.0)
    for known in (nn.for_reading(chip), nn.with_effective(nn.without_chip(chip), nn.effective(chip))):
        with pytest.raises(ValueError, match=r"programmed with another `wires`; take the chip off"):
            nn.map_configs(known, wired)
    ranged = nn.map_configs(chip, lambda path, config: config.with_(drive=PWM(range=FixedRange(limit=3.0))))
    assert nn.with_read_key(ranged, READ)(X).shape == (3, 4)
