"""Layers that `nnx.vmap` has stacked: one chip each, in every verb (fault A6)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ
from flax import nnx

from jaxaimc import nn
from jaxaimc.drives import PWM
from jaxaimc.training.noise.outputs import with_output_noise
from jaxaimc.training.noise.programming import training_chip

X = jax.random.normal(READ, (5, 4))


class Block(nnx.Module):
    def __init__(self, rngs):
        self.inner = nnx.Linear(4, 6, rngs=rngs)
        self.outer = nnx.LinearGeneral(6, (2, 2), rngs=rngs)

    def __call__(self, x):
        return x + self.outer(jax.nn.relu(self.inner(x))).reshape(x.shape)


class Stack(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.vmap(Block, axis_size=3)(rngs.split(3))
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        scanned = nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        return self.head(scanned(x, self.blocks))


@pytest.fixture(scope="module")
def stack():
    return Stack(nnx.Rngs(0))


@pytest.fixture(scope="module")
def chip(stack):
    return nn.convert(stack, DEVICES, CHIP)


def layer(model, index):
    """Return one layer of the stack of inner layers, taken out."""
    graph, state = nnx.split(model.blocks)
    return nnx.merge(graph, jax.tree.map(lambda leaf: leaf[index], state), copy=True).inner


def test_a6_a_stack_converts_and_its_digital_view_is_the_model(stack):
    analog = nn.convert(stack, NEARLY_DIGITAL, CHIP)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")(X), stack(X))
    np.testing.assert_allclose(analog(X), stack(X), atol=2e-3)
    shapes = {product.path: product.shape for product in nn.products(analog) if product.analog}
    assert shapes == {"blocks/inner": (3, 4, 6), "blocks/outer": (3, 6, 2, 2), "head": (4, 2)}


def test_a6_layers_of_a_stack_have_chips_of_their_own_that_drift(chip):
    programmed = chip.blocks.inner.dot_general.programmed.get_value()
    assert programmed.g.shape[0] == 3
    assert not np.array_equal(programmed.g_programmed[0], programmed.g_programmed[1])
    late = nn.drift(chip, 1e6)
    drifted = late.blocks.inner.dot_general.programmed.get_value()
    share = jnp.sum(drifted.g, axis=(1, 2, 3, 4, 5, 6)) / jnp.sum(programmed.g, axis=(1, 2, 3, 4, 5, 6))
    assert np.all((share > 0.3) & (share < 0.8))
    assert len(np.unique(share)) == 3
    assert nn.with_read_key(late, READ)(X).shape == (5, 2)


def test_a6_a_layer_of_a_stack_answers_as_it_does_alone(chip):
    read = nn.with_read_key(chip, READ)
    whole = nnx.vmap(lambda block, x: block.inner(x), in_axes=(0, None))(read.blocks, X)
    for index in range(3):
        np.testing.assert_allclose(layer(nn.with_read_key(chip, READ), index)(X), whole[index], atol=1e-5)


def test_a6_effective_matrices_and_errors_of_a_stack(stack, chip):
    again = nn.with_effective(nn.convert(stack, DEVICES), nn.effective(chip))
    np.testing.assert_array_equal(nn.with_read_key(again, READ)(X), nn.with_read_key(chip, READ)(X))
    probe = nnx.view(nn.with_read_key(chip, READ), analog_mode="probe")
    np.testing.assert_array_equal(probe(X), stack(X))
    errors = nn.layer_errors(probe)
    assert set(errors) == {"head", *(f"blocks/{name}[{i}]" for name in ("inner", "outer") for i in range(3))}
    assert all(1e-3 < float(error) < 0.5 for error in errors.values())


def test_a6_an_example_has_its_own_noise_in_a_stack(chip):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(READ, jnp.arange(5))
    whole = nn.with_read_key(chip, keys)(X)
    np.testing.assert_allclose(nn.with_read_key(chip, keys[3:])(X[3:]), whole[3:], atol=1e-4)


def test_a6_configs_of_a_stack_change_layer_by_layer(stack):
    analog = nn.convert(stack, DEVICES)
    seen = []

    def slower(path, config):
        seen.append(path)
        return config.with_(drive=PWM(v_read=0.1 if path.endswith("[1]") else 0.2))

    changed = nn.map_configs(analog, slower)
    assert seen == [*(f"blocks/inner[{i}]" for i in range(3)), *(f"blocks/outer[{i}]" for i in range(3)), "head"]
    volts = changed.blocks.inner.dot_general.config.get_value().drive.v_read
    np.testing.assert_allclose(volts, [0.2, 0.1, 0.2])


def test_a6_what_a_stack_cannot_do_is_refused_with_what_works(stack, chip):
    for refused in (
        lambda: nn.calibrate(chip, X, READ),
        lambda: with_output_noise(chip, 0.1),
        lambda: training_chip(chip, READ),
    ):
        with pytest.raises(ValueError, match=r"Layer 'blocks/inner' is a stack of 3 layers and cannot .*`nnx.List`"):
            refused()


def test_a6_gradients_of_a_stack_run_through_the_circuit(stack):
    train = nnx.view(nn.convert(stack, NEARLY_DIGITAL), analog_mode="train")
    loss = lambda model: jnp.sum(jnp.square(nn.with_read_key(model, READ)(X)))  # noqa: E731
    found = nnx.jit(nnx.grad(loss))(train)
    expected = nnx.grad(lambda model: jnp.sum(jnp.square(model(X))))(stack)
    for (path, one), (_, other) in zip(nnx.to_flat_state(found), nnx.to_flat_state(expected), strict=True):
        np.testing.assert_allclose(one[...], other[...], rtol=0.02, atol=0.02, err_msg=str(path))


def test_a6_a_bad_weight_in_a_stack_is_refused(stack):
    broken = nnx.clone(stack)
    broken.blocks.inner.kernel[...] = broken.blocks.inner.kernel[...].at[1, 2, 3].set(jnp.nan)
    with pytest.raises(ValueError, match="`w` must be finite"):
        nn.convert(broken, DEVICES, CHIP)
