"""Attention on tiles: its projections, and on request its products of activations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, Net
from flax import nnx

import jaxaimc.nn.attention
from jaxaimc import AnalogConfig, drives, nn
from jaxaimc._core.checks import ClippedInputWarning
from jaxaimc.tile import footprint
from jaxaimc.training.adaptation import rescale


def test_grouped_heads_and_the_cache_of_decoding():
    model = nnx.List([nnx.MultiHeadAttention(4, 8, num_kv_heads=2, decode=False, rngs=nnx.Rngs(0))])
    x = jax.random.normal(READ, (2, 3, 8))
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    shapes = {product.path: product.shape for product in nn.products(analog) if product.analog}
    assert shapes == {"0/query": (8, 4, 2), "0/key": (8, 2, 2), "0/value": (8, 2, 2), "0/out": (4, 2, 8)}
    mask = nnx.make_causal_mask(x[..., 0])
    expected = model[0](x, mask=mask)
    np.testing.assert_allclose(analog[0](x, mask=mask), expected, atol=5e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")[0](x, mask=mask), expected)
    decoder = nnx.view(nn.with_read_key(nn.convert(model, DEVICES, CHIP), READ), decode=True)[0]
    decoder.init_cache((2, 3, 8))
    step = nnx.jit(lambda layer, x: layer(x))
    y = [step(decoder, x[:, place : place + 1]) for place in range(3)]
    assert int(decoder.cache_index[...]) == 3
    error = jnp.concatenate(y, axis=1) - expected
    assert 1e-4 < float(jnp.std(error)) < 0.3 * float(jnp.std(expected))


X = jax.random.normal(jax.random.key(3), (2, 5, 8))
GROUPED = nnx.MultiHeadAttention(4, 8, num_kv_heads=2, decode=False, rngs=nnx.Rngs(0))


def on_tiles(model, config=DEVICES, key=READ, **parts):
    return nn.with_read_key(nn.with_analog_attention(model, **({"scores": config, "values": config} | parts)), key)


@pytest.mark.parametrize("parts", [{}, {"scores": None}, {"values": None}])
def test_products_of_activations_on_ideal_tiles_are_those_of_flax(parts):
    analog = on_tiles(GROUPED, NEARLY_DIGITAL, **parts)
    # The tokens before each one, but no padding: the last two of the first example.
    mask = jnp.ones((2, 1, 1, 5), bool).at[0, ..., 3:].set(False)
    other = jax.random.normal(CHIP, (2, 7, 8))
    for arguments, named in (((X,), {"mask": mask, "is_causal": True}), ((X, other), {})):
        expected = GROUPED(*arguments, **named)
        found = analog(*arguments, **named)
        # Sixteen bits of input are the only error.
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert float(jnp.abs(found - expected).max()) > 1e-7
        np.testing.assert_array_equal(nn.as_digital(analog)(*arguments, **named), expected)
    probe = nnx.view(analog, analog_mode="probe")
    np.testing.assert_array_equal(probe(X), GROUPED(X))
    assert 0 < nn.layer_errors(probe)[""] < 1e-4
    restored = nn.to_digital(analog)
    assert nnx.graphdef(restored) == nnx.graphdef(GROUPED)


def test_each_call_writes_anew_and_a_key_gives_one_result():
    analog = on_tiles(GROUPED)
    first, second = analog(X), analog(X)
    assert 1e-3 < float(jnp.abs(first - second).max()) < 1.0
    np.testing.assert_array_equal(on_tiles(GROUPED)(X), first)
    np.testing.assert_allclose(nnx.jit(lambda model, x: model(x))(on_tiles(GROUPED), X), first, atol=1e-5)
    # Examples and heads have tiles of their own.
    alike = on_tiles(GROUPED)(jnp.broadcast_to(X[:1], X.shape))
    assert float(jnp.abs(alike[0] - alike[1]).max()) > 1e-3
    mapped = jax.vmap(lambda x: on_tiles(GROUPED)(x))(jnp.broadcast_to(X[:1], X.shape))
    assert float(jnp.abs(mapped[0] - mapped[1]).max()) > 1e-3


def test_noise_does_not_depend_on_the_batch_with_keys_for_its_examples():
    keys = jax.random.split(READ, 2)
    whole, part = on_tiles(GROUPED, key=keys)(X), on_tiles(GROUPED, key=keys[1:])(X[1:])
    np.testing.assert_allclose(whole[1:], part, atol=1e-6)


def test_many_matrices_are_written_in_parts(monkeypatch):
    at_once = on_tiles(GROUPED)(X)
    monkeypatch.setattr(jaxaimc.nn.attention, "_MOST_WEIGHTS", 3 * 10)
    np.testing.assert_allclose(on_tiles(GROUPED)(X), at_once, atol=1e-6)


def test_gradients_pass_through_what_is_written_and_what_is_driven():
    gradient = nnx.grad(lambda model: jnp.sum(jnp.sin(model(X))))
    expected = gradient(GROUPED)
    found = gradient(nnx.view(on_tiles(GROUPED, NEARLY_DIGITAL), analog_mode="train"))
    for layer in ("query", "key", "value", "out"):
        wanted = expected[layer]["kernel"][...]
        np.testing.assert_allclose(found[layer]["kernel"][...], wanted, atol=2e-3)
        assert float(jnp.abs(wanted).max()) > 0.02


@pytest.mark.slow
def test_what_is_done_with_layers_keeps_attention_as_it_is():
    net, x = Net(nnx.Rngs(0)), jax.random.normal(READ, (2, 5, 6))
    analog = nn.with_analog_attention(nn.convert(net, [nn.Rule("again", DEVICES)]), DEVICES, DEVICES)
    chip = nn.drift(nn.calibrate(nn.program(rescale(analog, x), CHIP), x, READ), 100.0)
    assert isinstance(chip.attention.attention_fn, nn.AnalogAttention)
    probe = nnx.view(nn.with_read_key(chip, READ), analog_mode="probe")
    np.testing.assert_allclose(probe(x), net(x), rtol=1e-5, atol=1e-6)
    errors = nn.layer_errors(probe)
    assert set(errors) == {"again", "attention"}
    assert all(0 < error < 0.5 for error in errors.values())
    assert nnx.graphdef(nn.to_digital(chip)) == nnx.graphdef(net)


def test_the_summary_lists_products_of_activations_and_what_they_write():
    model = nn.with_analog_attention(GROUPED, AnalogConfig(rows=4, cols=4), None)
    scores, values = nn.summary(model, X).activations
    # A matrix of 2 features by 5 keys for each of 2 examples and 2 heads, a vector for each of 4 heads and 5 queries.
    assert (scores.rows, scores.cols, scores.matrices, scores.vectors) == (2, 5, 4, 40)
    assert scores.written == 4 * 2 * 5 * 2
    assert scores.conversions_per_call == 40 * footprint(AnalogConfig(rows=4, cols=4), 2, 5).conversions == 40 * 5
    assert (values.rows, values.cols, values.matrices, values.vectors) == (5, 2, 4, 40)
    assert (scores.analog, values.analog, values.written) == (True, False, None)
    assert "both factors are activations" in values.reason
    assert "weighted values of 1 layer of attention are digital: both factors" in str(nn.summary(model))
    digital = nn.summary(GROUPED)
    assert "attention scores and weighted values of 1 layer of attention are digital" in str(digital)
    assert [one.analog for one in digital.activations] == [False, False]


def test_the_networks_of_this_repository_attend_on_tiles():
    from models.attention import Attention
    from models.transformer import Block

    block = Block(width=8, heads=2, hidden=8, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(on_tiles(block, NEARLY_DIGITAL)(X, None), block(X, None), atol=1e-3)
    decoder = nnx.List([Attention(width=8, heads=4, kv_heads=2, bias=True, rotation=None, rngs=nnx.Rngs(0))])
    attended = lambda model: model[0](X, jnp.arange(5), None)[0]  # noqa: E731
    np.testing.assert_allclose(attended(on_tiles(decoder, NEARLY_DIGITAL)), attended(decoder), atol=1e-3)


@pytest.mark.slow
def test_every_token_that_is_drawn_has_noise_of_its_own():
    from models.decoder import generate
    from models.llama import Llama

    sizes = {"vocabulary": 64, "length": 12, "width": 8, "layers": 1, "heads": 4, "kv_heads": 2, "hidden": 8}
    llama, prompt = Llama(**sizes, rngs=nnx.Rngs(0)), jnp.array([[1, 2]])
    text = lambda model, key: generate(model, prompt, 8, key, temperature=0.0)  # noqa: E731
    ideal, real = (nn.with_analog_attention(llama, config, config) for config in (NEARLY_DIGITAL, DEVICES))
    np.testing.assert_array_equal(text(ideal, READ), text(llama, READ))
    # Without temperature the key decides on the noise alone.
    assert len({tuple(text(real, key)[0].tolist()) for key in jax.random.split(READ, 8)}) > 1


def twice(query, key, value, **named):
    return 2 * nnx.dot_product_attention(query, key, value, **named)


def test_bad_arguments_are_refused_by_name():
    for arguments, said in (
        ((None, None), "`scores` and `values` must not both be None"),
        (("sram", None), "`scores` must be an AnalogConfig or None, but is 'sram'"),
        ((DEVICES, {}), "`values` must be an AnalogConfig or None, but is"),
    ):
        with pytest.raises(ValueError, match=said):
            nn.with_analog_attention(GROUPED, *arguments)
    with pytest.raises(ValueError, match="`pattern` must match a layer of attention, but 'heads' matches none of: ''"):
        nn.with_analog_attention(GROUPED, DEVICES, DEVICES, pattern="heads")
    own = nnx.MultiHeadAttention(2, 8, attention_fn=twice, decode=False, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"attends as `nnx.dot_product_attention` does.*but its own returns something"):
        nn.with_analog_attention(own, DEVICES, DEVICES)
    stack = nnx.vmap(lambda rngs: nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs), axis_size=2)
    with pytest.raises(ValueError, match="is a stack of layers and cannot have attention on tiles"):
        nn.with_analog_attention(stack(nnx.Rngs(0).split(2)), DEVICES, DEVICES)


def test_calls_that_tiles_cannot_make_are_refused():
    with pytest.raises(ValueError, match="needs a read key"):
        nn.with_analog_attention(GROUPED, DEVICES, DEVICES)(X)
    with pytest.raises(ValueError, match=r"one for each entry of the leading axes of its batch \(2,\)"):
        on_tiles(GROUPED, key=jax.random.split(READ, 3))(X)
    dropping = nnx.MultiHeadAttention(2, 8, dropout_rate=0.1, decode=False, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="must not drop attention weights on tiles"):
        on_tiles(dropping)(X, deterministic=False)
    np.testing.assert_allclose(
        on_tiles(dropping, NEARLY_DIGITAL)(X, deterministic=True), dropping(X, deterministic=True), atol=1e-4
    )
    with pytest.warns(ClippedInputWarning):
        on_tiles(GROUPED, DEVICES.with_(drive=drives.BitSerial(signs=drives.Unsigned())))(X)
