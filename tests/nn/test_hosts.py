"""Layers that can be analog: Flax's linear ones, subclasses, and kinds of a user's own."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, Pair, analog_paths
from flax import nnx

from jaxaimc import nn
from jaxaimc.training.noise.weights import AdditiveNoise, with_weight_noise

X = jax.random.normal(jax.random.key(3), (3, 6))


class Scaled(nnx.Linear):
    """A linear layer whose outputs are doubled."""

    def __call__(self, inputs, out_sharding=None):
        return 2 * super().__call__(inputs, out_sharding)


class Named(nnx.Linear):
    """A linear layer under another name."""


class ScaledGeneral(nnx.LinearGeneral):
    """A general one whose outputs are doubled."""

    def __call__(self, inputs, out_sharding=None):
        return 2 * super().__call__(inputs, out_sharding)


class Gate(nnx.Module):
    """Two products of a layer that holds its weights itself."""

    def __init__(self, rngs):
        self.w = nnx.Param(rngs.params.normal((6, 4)))
        self.v = nnx.Param(rngs.params.normal((6, 4)))
        self.by_w, self.by_v = jnp.matmul, jnp.matmul

    def __call__(self, x):
        return jax.nn.sigmoid(self.by_w(x, self.w[...])) * self.by_v(x, self.v[...])


class WHost(nn.Host):
    kind, parameter, slot = Gate, "w", "by_w"

    def kernel(self, layer):
        return layer.w[...]


class VHost(nn.Host):
    kind, parameter, slot = Gate, "v", "by_v"

    def kernel(self, layer):
        return layer.v[...]


def test_a1_subclasses_of_linear_layers_convert():
    rngs = nnx.Rngs(0)
    layers = [Scaled(6, 4, rngs=rngs), Named(6, 4, rngs=rngs), ScaledGeneral(6, (2, 2), rngs=rngs)]
    layers.append(ScaledGeneral((3, 6), 4, axis=(0, 2), rngs=rngs))
    inputs = [X, X, X, jax.random.normal(READ, (3, 5, 6))]
    analog = nn.convert(nnx.List(layers), NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == {"0", "1", "2", "3"}
    for digital, layer, x in zip(layers, analog, inputs, strict=True):
        assert type(layer) is type(digital)
        np.testing.assert_allclose(layer(x), digital(x), atol=2e-3)
        np.testing.assert_array_equal(nnx.view(layer, analog_mode="digital")(x), digital(x))


def test_a1_a_host_of_ones_own_puts_raw_parameters_on_tiles():
    model = nnx.Dict(gate=Gate(nnx.Rngs(0)), head=nnx.Linear(4, 2, rngs=nnx.Rngs(1)))
    with pytest.raises(ValueError, match=r"'gate/v' \(Gate, shape \(6, 4\)\).*'gate/w'.*Rule\(path, config, host="):
        nn.convert(model, NEARLY_DIGITAL)
    rules = [
        nn.Rule("gate", NEARLY_DIGITAL, host=WHost()),
        nn.Rule("gate/v", NEARLY_DIGITAL, host=VHost()),
        nn.Rule(".*", None),
    ]
    analog = nn.convert(model, rules, CHIP)
    assert analog_paths(analog) == {"gate/w", "gate/v"}
    np.testing.assert_allclose(analog.gate(X), model.gate(X), atol=2e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital").gate(X), model.gate(X))
    found = nn.products(analog)
    assert [(product.path, product.analog) for product in found] == [
        ("gate/v", True),
        ("gate/w", True),
        ("head", False),
    ]
    assert nn.to_digital(analog).gate.by_w is jnp.matmul
    # A rule with a host is about layers of its kind only, whatever its pattern.
    everywhere = [nn.Rule(".*", DEVICES, host=WHost()), nn.Rule("gate/v", None), nn.Rule(".*", DEVICES)]
    assert analog_paths(nn.convert(model, everywhere)) == {"gate/w", "head"}


def test_a_hosts_weights_are_noisy_and_trained_like_a_kernel():
    model = nnx.Dict(gate=Gate(nnx.Rngs(0)))
    analog = nn.convert(model, [nn.Rule("gate", NEARLY_DIGITAL, host=WHost()), nn.Rule("gate/v", None)])
    noisy = with_weight_noise(analog, [AdditiveNoise(scale=0.1)], CHIP)
    assert jnp.all(noisy.gate.w[...] != model.gate.w[...])
    np.testing.assert_array_equal(noisy.gate.v[...], model.gate.v[...])
    train = nnx.view(analog, analog_mode="train")
    loss = lambda model: jnp.sum(nn.with_read_key(model, READ).gate(X))  # noqa: E731
    found = nnx.grad(loss)(train)
    expected = nnx.grad(lambda model: jnp.sum(model.gate(X)))(model)
    np.testing.assert_allclose(found["gate"]["w"][...], expected["gate"]["w"][...], rtol=0.02, atol=0.02)


def test_a_host_for_a_layer_that_has_one_takes_its_place():
    class Halved(nn.Host):
        kind = nnx.Linear

        def kernel(self, layer):
            return layer.kernel[...] / 2

    layer = nnx.Linear(6, 4, use_bias=False, rngs=nnx.Rngs(0))
    analog = nn.convert(layer, [nn.Rule("", NEARLY_DIGITAL, host=Halved())], CHIP)
    np.testing.assert_allclose(analog(X), layer(X) / 2, atol=2e-3)


def test_products_known_through_a_host_are_listed_in_the_order_of_their_paths():
    class TableHost(nn.Host):
        kind, parameter = nnx.Embed, "embedding"

        def kernel(self, layer):
            return layer.embedding[...]

    model = nnx.Dict(head=nnx.Linear(4, 2, rngs=nnx.Rngs(0)), a=nnx.Embed(7, 4, rngs=nnx.Rngs(1)))
    analog = nn.convert(model, [nn.Rule("a", DEVICES, host=TableHost()), nn.Rule(".*", DEVICES)])
    assert [product.path for product in nn.products(analog)] == ["a/embedding", "head"]


def test_hosts_that_match_nothing_are_refused():
    with pytest.raises(ValueError, match=r"matches no layer of the kind Gate, which its host is for"):
        nn.convert(Pair(nnx.Rngs(0)), [nn.Rule(".*", DEVICES, host=WHost())])


def test_hosts_are_equal_by_value_so_that_copies_of_a_model_share_compilations():
    analog = nn.convert(Pair(nnx.Rngs(0)), NEARLY_DIGITAL, CHIP)
    for again in (copy.deepcopy(analog), pickle.loads(pickle.dumps(analog))):
        assert nnx.graphdef(again) == nnx.graphdef(analog)
        np.testing.assert_array_equal(again(X), analog(X))
    assert WHost() == WHost()
    assert WHost() != VHost()


def test_n2_empty_batches_pass_through_every_layer():
    model = nnx.List([nnx.Linear(6, 4, rngs=nnx.Rngs(0)), nnx.LinearGeneral((2, 3), 4, axis=(1, 2), rngs=nnx.Rngs(1))])
    for config in (NEARLY_DIGITAL, DEVICES):
        chip = nn.with_read_key(nn.convert(model, config, CHIP), READ)
        train = nnx.view(chip, analog_mode="train")
        for one in (chip, train):
            assert one[0](jnp.zeros((0, 6))).shape == (0, 4)
            assert one[0](jnp.zeros((2, 0, 6))).shape == (2, 0, 4)
            assert one[1](jnp.zeros((0, 2, 3))).shape == (0, 4)


def test_linear_general_contracts_several_axes_like_the_digital_layer():
    layer = nnx.LinearGeneral((2, 3), (4, 5), axis=(1, -1), rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(3), (7, 2, 6, 3))
    analog = nn.convert(nnx.List([layer]), NEARLY_DIGITAL, CHIP)[0]
    assert analog(x).shape == (7, 6, 4, 5)
    np.testing.assert_allclose(analog(x), layer(x), atol=2e-4)


def test_matrices_for_each_entry_of_a_batch_axis_are_refused():
    batched = nnx.LinearGeneral(3, 4, batch_axis={0: 2}, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="has batch axes"):
        nn.convert(nnx.List([batched]), DEVICES)
