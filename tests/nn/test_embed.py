"""The tied output layer, `attend` of `nnx.Embed`, on tiles."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, analog_paths
from flax import nnx

from jaxaimc import nn
from jaxaimc.nn.hosts import EmbedHost

TOKENS = jnp.array([[1, 2, 0], [5, 6, 3]])


class Tied(nnx.Module):
    def __init__(self, rngs, kind=nnx.Embed):
        self.table = kind(7, 4, rngs=rngs)
        self.position = nnx.Embed(3, 4, rngs=rngs)
        self.layer = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, tokens):
        return self.table.attend(self.layer(self.table(tokens) + self.position(jnp.arange(3))))


class Scaled(nnx.Embed):
    def attend(self, query, out_sharding=None):
        return super().attend(query, out_sharding) / 2


@pytest.fixture(scope="module")
def model():
    return Tied(nnx.Rngs(0))


@pytest.fixture(scope="module")
def chip(model):
    return nn.convert(model, DEVICES, CHIP)


@pytest.mark.parametrize("kind", [nnx.Embed, Scaled])
def test_a_bare_config_puts_the_tied_output_layer_on_tiles(kind):
    model = Tied(nnx.Rngs(0), kind)
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == {"layer", "table"}
    name = "nnx.Embed" if kind is nnx.Embed else "Scaled"
    assert nn.products(analog)[1] == nn.Product("table", name, (7, 4), True, "")
    np.testing.assert_allclose(analog(TOKENS), model(TOKENS), atol=2e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")(TOKENS), model(TOKENS))
    np.testing.assert_array_equal(analog.table(TOKENS), model.table(TOKENS))
    assert isinstance(analog.table, kind)
    assert (analog.table.attend_product.chip().n_in, analog.table.attend_product.chip().n_out) == (4, 7)


def test_parameters_and_the_way_back_are_untouched(model, chip):
    paths = lambda model: nnx.to_flat_state(nnx.state(model, nnx.Param)).paths  # noqa: E731
    assert paths(chip) == paths(model)
    assert type(model.table) is nnx.Embed
    back = nn.to_digital(chip)
    assert nnx.graphdef(back) == nnx.graphdef(nn.to_digital(model))
    np.testing.assert_array_equal(back(TOKENS), model(TOKENS))
    np.testing.assert_array_equal(
        nn.convert(chip, NEARLY_DIGITAL, CHIP).table.embedding[...], model.table.embedding[...]
    )


@pytest.mark.parametrize("kind", [nnx.Embed, Scaled])
def test_copies_and_transformations_of_the_converted_model(kind):
    chip = nn.convert(Tied(nnx.Rngs(0), kind), DEVICES, CHIP)
    expected = nn.with_read_key(chip, READ)(TOKENS)
    merged = nnx.merge(*nnx.split(chip))
    as_tree = jax.tree.unflatten(jax.tree.structure(chip), jax.tree.leaves(chip))
    for again in (copy.deepcopy(chip), pickle.loads(pickle.dumps(chip)), merged, as_tree, nnx.clone(chip)):
        assert type(again.table) is type(chip.table)
        np.testing.assert_array_equal(nn.with_read_key(again, READ)(TOKENS), expected)
    assert nnx.graphdef(pickle.loads(pickle.dumps(chip))) == nnx.graphdef(chip)
    for jit in (nnx.jit, jax.jit):
        found = jit(lambda model, key: nn.with_read_key(model, key)(TOKENS))(chip, READ)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_reads_of_the_output_layer_are_noisy_and_look_ups_are_not(model, chip):
    read = lambda key: nn.with_read_key(chip, key).table.attend(jnp.ones((2, 4)))  # noqa: E731
    np.testing.assert_array_equal(read(READ), read(READ))
    assert not np.array_equal(read(READ), read(CHIP))
    assert not np.array_equal(read(READ)[0], read(READ)[1])
    assert not np.array_equal(nn.with_read_key(nn.drift(chip, 1e6), READ).table.attend(jnp.ones((2, 4))), read(READ))
    np.testing.assert_array_equal(chip.table(TOKENS), model.table(TOKENS))


def test_gradients_reach_the_table_by_both_of_its_uses(model):
    train = nnx.view(nn.convert(model, NEARLY_DIGITAL), analog_mode="train")
    loss = lambda model: jnp.sum(jnp.sin(model(TOKENS)))  # noqa: E731
    found, expected = nnx.grad(lambda model: loss(nn.with_read_key(model, READ)))(train), nnx.grad(loss)(model)
    np.testing.assert_allclose(
        found["table"]["embedding"][...], expected["table"]["embedding"][...], rtol=0.02, atol=0.02
    )


def test_rules_say_what_becomes_of_a_tied_table(model):
    assert analog_paths(nn.convert(model, [nn.Rule("table", DEVICES)])) == {"table"}
    assert analog_paths(nn.convert(model, [nn.Rule("table", None), nn.Rule(".*", DEVICES)])) == {"layer"}
    assert nn.products(nn.convert(model, [nn.Rule("layer", DEVICES)]))[1].reason == "no rule puts it on a tile"


def test_an_embedding_that_is_only_looked_up_stays_digital(model):
    assert [product.path for product in nn.products(model)] == ["layer", "table"]
    with pytest.raises(ValueError, match=r"Rule 'position' matches no layer"):
        nn.convert(model, [nn.Rule("position", DEVICES)])
    alone = nnx.Embed(7, 4, rngs=nnx.Rngs(0))
    assert nn.products(alone) == []
    analog = nn.convert(alone, [nn.Rule("embedding", NEARLY_DIGITAL, host=EmbedHost())], CHIP)
    np.testing.assert_allclose(analog.attend(jnp.ones(4)), alone.attend(jnp.ones(4)), atol=2e-3)


def test_every_table_counts_where_the_code_does_not_say_which_is_attended():
    class Chosen(Tied):
        def __call__(self, tokens):
            tables = [self.table, self.position]
            return tables[0].attend(self.layer(self.table(tokens)))

    class Decoder(nnx.Module):
        def __init__(self, rngs):
            self.inner = Tied(rngs)

        def __call__(self, x):
            return self.inner.table.attend(x)

    assert [product.path for product in nn.products(Chosen(nnx.Rngs(0)))] == ["layer", "position", "table"]
    assert [product.path for product in nn.products(Decoder(nnx.Rngs(0)))] == ["inner/layer", "inner/table"]


def test_an_attend_that_a_tile_would_not_compute_is_refused():
    class ByHand(nnx.Embed):
        def attend(self, query, out_sharding=None):
            return query @ self.embedding[...].T

    with pytest.raises(ValueError, match=r"'table' \(ByHand, .*does not make its product by `self.attend_product`"):
        nn.convert(Tied(nnx.Rngs(0), ByHand), DEVICES)
