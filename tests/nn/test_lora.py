"""Low-rank adapters beside programmed chips: the base kernel on tiles, the branch digital and trainable."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, analog_paths
from flax import nnx

from jaxaimc import nn

X = jax.random.normal(jax.random.key(3), (32, 6))


class Adapted(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.LoRALinear(6, 8, lora_rank=2, rngs=rngs)
        self.head = nnx.LoRA(8, 2, 4, base_module=nnx.Linear(8, 4, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.head(jax.nn.relu(self.first(x)))


@pytest.fixture
def model():
    adapted = Adapted(nnx.Rngs(0))
    for lora in (adapted.first.lora, adapted.head):
        lora.lora_b[...] = 0.3 * jax.random.normal(READ, lora.lora_b.shape)
    return adapted


def test_base_kernels_are_on_tiles_and_branches_stay_digital(model):
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == {"first", "head/base_module"}
    np.testing.assert_allclose(analog(X), model(X), atol=5e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")(X), model(X))
    rest = [product for product in nn.products(analog) if not product.analog]
    assert [(product.path, product.layer, product.shape) for product in rest] == [
        ("first/lora/lora_a", "nnx.LoRA", (6, 2)),
        ("first/lora/lora_b", "nnx.LoRA", (2, 8)),
        ("head/lora_a", "nnx.LoRA", (8, 2)),
        ("head/lora_b", "nnx.LoRA", (2, 4)),
    ]
    assert all("low-rank branch, which stays digital" in product.reason for product in rest)
    assert nnx.graphdef(nn.to_digital(analog)) == nnx.graphdef(nn.to_digital(model))


def test_rules_about_branches(model):
    assert analog_paths(nn.convert(model, [nn.Rule(".*/lora.*", None), nn.Rule(".*", DEVICES)])) == {
        "first",
        "head/base_module",
    }
    with pytest.raises(
        ValueError, match=r"'first/lora/.*' puts nothing on a tile: 'first/lora/lora_a' .*add `lora_a @"
    ):
        nn.convert(model, [nn.Rule("first/lora/.*", DEVICES), nn.Rule(".*", DEVICES)])


def test_adapters_learn_through_a_programmed_chip(model):
    chip = nn.convert(model, DEVICES, CHIP)
    targets = jnp.sin(3 * X[:, :4])
    optimizer = optax.adam(0.03)
    graph, adapters, rest = nnx.split(chip, nnx.LoRAParam, ...)

    @jax.jit
    def step(adapters, state, key):
        def loss(adapters):
            read = nn.with_read_key(nnx.merge(graph, adapters, rest, copy=True), key)
            return jnp.mean(jnp.square(read(X) - targets))

        value, gradient = jax.value_and_grad(loss)(adapters)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(adapters, updates), state, value, gradient

    state, losses = optimizer.init(adapters), []
    for number in range(60):
        adapters, state, value, gradient = step(adapters, state, jax.random.fold_in(READ, number))
        losses.append(float(value))
    assert losses[-1] < 0.6 * losses[0]
    assert {path[-1] for path, _ in nnx.to_flat_state(gradient)} == {"lora_a", "lora_b"}
    trained = nnx.merge(graph, adapters, rest)
    for name in ("first", "head"):
        layer = getattr(trained, name)
        before = getattr(model, name)
        lora = layer.lora if name == "first" else layer
        assert not np.array_equal(lora.lora_a[...], (before.lora if name == "first" else before).lora_a[...])
    np.testing.assert_array_equal(trained.first.kernel[...], model.first.kernel[...])
    assert nn.effective(trained).keys() == {"first", "head/base_module"}


def test_the_base_kernel_has_no_gradient_on_a_programmed_chip_and_that_is_said(model):
    chip = nn.convert(model, DEVICES, CHIP)
    loss = lambda model: jnp.sum(nn.with_read_key(model, READ)(X))  # noqa: E731
    with pytest.raises(ValueError, match=r"'first' is on a programmed chip.*differentiated with respect to it"):
        nnx.grad(loss)(chip)
    gradient = nnx.grad(loss, argnums=nnx.DiffState(0, nnx.LoRAParam))(chip)
    expected = nnx.grad(lambda model: jnp.sum(model(X)), argnums=nnx.DiffState(0, nnx.LoRAParam))(model)
    flat = [[leaf[...].ravel() for _, leaf in nnx.to_flat_state(state)] for state in (gradient, expected)]
    found, wanted = (np.concatenate(leaves) for leaves in flat)
    assert np.corrcoef(found, wanted)[0, 1] > 0.95
