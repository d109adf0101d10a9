"""Decoders against equations written anew in NumPy, the cache against the whole text, analog views against digital."""

import dataclasses
import doctest
import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, component, nn, presets
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import PCM, IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.wires import NoWires
from models.decoder import generate
from models.gpt import GPT2
from models.llama import Llama, rotate

ONLY_READ_NOISE = AnalogConfig(device=PCM().only("read_noise"), wires=NoWires(), adc=IdealADC())
TEXT = np.array([[1, 9, 4, 4, 12, 0, 7], [3, 3, 8, 1, 2, 11, 5]])


@functools.cache
def llama(tied=False, kv_heads=2, layers=2):
    model = Llama(
        vocabulary=13,
        length=16,
        width=16,
        layers=layers,
        heads=4,
        kv_heads=kv_heads,
        hidden=20,
        tied=tied,
        rngs=nnx.Rngs(3),
    )
    return scattered(model)


@functools.cache
def gpt(tied=True, layers=2):
    model = GPT2(vocabulary=13, length=16, width=16, layers=layers, heads=4, hidden=24, tied=tied, rngs=nnx.Rngs(4))
    return scattered(model)


def scattered(model):
    """Give scales and biases values that an error in their use would show in."""
    random = np.random.default_rng(0)
    for path, value in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        if path[-1] in ("scale", "bias"):
            value.set_value(value[...] + 0.3 * random.normal(size=value.shape).astype(np.float32))
    return model


@nnx.jit
def logits_of(model, tokens):
    return model(tokens)


@nnx.jit
def extended(model, tokens, cache):
    return model.extend(tokens, cache)


def weights_of(model):
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {"/".join(map(str, path)): np.asarray(value[...], np.float64) for path, value in flat}


def attention(w, name, x, turn=lambda h, position: h):
    """One text, one query and one head at a time."""
    bias = {part: w.get(f"{name}/{part}/bias", 0.0) for part in ("query", "key", "value", "out")}
    q, k, v = (
        np.einsum("lw,whf->lhf", x, w[f"{name}/{part}/kernel"]) + bias[part] for part in ("query", "key", "value")
    )
    mixed = np.zeros_like(q)
    for head in range(q.shape[1]):
        shared = head * k.shape[1] // q.shape[1]
        for place in range(len(x)):
            query = turn(q[place, head], place)
            keys = np.array([turn(k[earlier, shared], earlier) for earlier in range(place + 1)])
            weight = np.exp(keys @ query / np.sqrt(q.shape[-1]))
            mixed[place, head] = weight @ v[: place + 1, shared] / weight.sum()
    return np.einsum("lhf,hfw->lw", mixed, w[f"{name}/out/kernel"]) + bias["out"]


def turned(h, position, base=10_000.0):
    """Rotary positions as complex numbers, as in the paper's equation 33."""
    pairs = h[0::2] + 1j * h[1::2]
    pairs = pairs * np.exp(1j * position * base ** (-np.arange(len(pairs)) / len(pairs)))
    return np.stack([pairs.real, pairs.imag], -1).ravel()


def llama_logits(model, text):
    w = weights_of(model)

    def norm(x, name):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[name + "/scale"]

    x = w["embedding/embedding"][text]
    for block in ("blocks/0", "blocks/1"):
        x = x + attention(w, f"{block}/attention", norm(x, f"{block}/attention_norm"), turned)
        y = norm(x, f"{block}/mlp_norm")
        gate, up = y @ w[f"{block}/mlp/gate/kernel"], y @ w[f"{block}/mlp/up/kernel"]
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{block}/mlp/down/kernel"]
    head = w["head/kernel"] if "head/kernel" in w else w["embedding/embedding"].T
    return norm(x, "norm") @ head


def gpt_logits(model, text):
    w = weights_of(model)

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[name + "/scale"] + w[name + "/bias"]

    x = w["embedding/embedding"][text] + w["position"][: len(text)]
    for block in ("blocks/0", "blocks/1"):
        x = x + attention(w, f"{block}/attention", norm(x, f"{block}/attention_norm"))
        y = norm(x, f"{block}/mlp_norm") @ w[f"{block}/mlp/up/kernel"] + w[f"{block}/mlp/up/bias"]
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + y @ w[f"{block}/mlp/down/kernel"] + w[f"{block}/mlp/down/bias"]
    head = w["head/kernel"] if "head/kernel" in w else w["embedding/embedding"].T
    return norm(x, "norm") @ head


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("make", "reference"), [(llama, llama_logits), (gpt, gpt_logits)])
def test_logits_equal_the_equations(make, reference, tied):
    model = make(tied)
    found = logits_of(model, jnp.array(TEXT))
    for text, logits in zip(TEXT, found, strict=True):
        np.testing.assert_allclose(logits, reference(model, text), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [llama, gpt])
def test_later_tokens_do_not_matter(make):
    changed = TEXT.copy()
    changed[:, 4:] = 6
    before, after = (logits_of(make(), jnp.array(text)) for text in (TEXT, changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert not np.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("make", [llama, gpt])
def test_the_cache_gives_the_logits_of_the_whole_text(make):
    model = make()
    whole, cache, found = logits_of(model, jnp.array(TEXT)), model.empty_cache(2, 9), []
    for start, end in ((0, 3), (3, 4), (4, 7)):
        logits, cache = extended(model, jnp.array(TEXT[:, start:end]), cache)
        found.append(logits)
    assert int(cache.filled) == 7
    np.testing.assert_allclose(jnp.concatenate(found, axis=1), whole, rtol=1e-5, atol=1e-5)


def test_shared_heads_equal_repeated_ones():
    """Query heads 0, 1 read head 0 of keys and values, 2 and 3 read head 1 (Ainslie et al. 2023)."""
    grouped, full = llama(kv_heads=2), nnx.clone(llama(kv_heads=4))
    flat = dict(nnx.to_flat_state(nnx.state(grouped, nnx.Param)))
    for path, value in nnx.to_flat_state(nnx.state(full, nnx.Param)):
        shared = flat[path][...]
        value.set_value(jnp.repeat(shared, 2, axis=1) if path[-2] in ("key", "value") else shared)
    found, expected = (logits_of(model, jnp.array(TEXT)) for model in (full, grouped))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rotation_sees_distances_only():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    product = [float((rotate(q, jnp.array([i])) * rotate(k, jnp.array([i + 5]))).sum()) for i in (0, 3, 40)]
    np.testing.assert_allclose(product, product[0], rtol=1e-4)
    assert abs(float((q * k).sum()) - product[0]) > 1e-2


PRODUCTS = {
    "llama": ({f"blocks/{i}/{name}" for i in (0, 1) for name in (
        "attention/query", "attention/key", "attention/value", "attention/out", "mlp/gate", "mlp/up", "mlp/down"
    )}, llama),
    "gpt": ({f"blocks/{i}/{name}" for i in (0, 1) for name in (
        "attention/query", "attention/key", "attention/value", "attention/out", "mlp/up", "mlp/down"
    )}, gpt),
}  # fmt: skip


@pytest.mark.parametrize(("blocks", "make"), PRODUCTS.values(), ids=PRODUCTS)
def test_products_are_the_projections_and_the_head(blocks, make):
    """Scales, biases, positions and the look-up of tokens are no products; the tied head's table is one."""
    assert {product.path for product in nn.products(make(tied=False))} == blocks | {"head"}
    assert {product.path for product in nn.products(make(tied=True))} == blocks | {"embedding"}
    for tied in (False, True):
        assert all(product.analog for product in nn.products(nn.convert(make(tied), AnalogConfig())))


@pytest.mark.parametrize("make", [llama, gpt])
@pytest.mark.parametrize("tied", [False, True])
def test_the_digital_view_equals_the_model(make, tied):
    model = make(tied)
    analog = nn.convert(model, presets.tile_circuit())
    found = logits_of(nnx.view(analog, analog_mode="digital"), jnp.array(TEXT))
    np.testing.assert_array_equal(found, logits_of(model, jnp.array(TEXT)))


@component
class Unrounded(PWM):
    """Inputs as they are, which no converter can give."""

    def encode(self, x):
        normalised, bound = self.range.normalise(x)
        pulses = super().encode(x)
        return dataclasses.replace(pulses, level=normalised[..., None, :], x_scale=bound, steps=(0,))


@pytest.mark.parametrize(("make", "tied"), [(llama, False), (gpt, True)])
def test_ideal_tiles_equal_the_model_to_rounding(make, tied):
    model = make(tied, layers=1)
    ideal = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=Unrounded())
    found = logits_of(nn.convert(model, ideal, jax.random.key(0)), jnp.array(TEXT))
    np.testing.assert_allclose(found, logits_of(model, jnp.array(TEXT)), rtol=1e-5, atol=1e-5)


def test_drawn_text_follows_the_logits():
    """Without randomness each token is the likeliest one after the whole text before it."""
    model, prompt = llama(), jnp.array(TEXT[:, :3])
    drawn = generate(model, prompt, 6, jax.random.key(0), temperature=0)
    whole = logits_of(model, jnp.concatenate([prompt, drawn], axis=1))
    np.testing.assert_array_equal(drawn, whole[:, 2:-1].argmax(-1))


def test_drawn_tokens_have_the_networks_distribution():
    model = llama()
    prompt = jnp.tile(jnp.array(TEXT[:1, :3]), (4000, 1))
    drawn = generate(model, prompt, 1, jax.random.key(0), temperature=2.0)[:, 0]
    expected = 4000 * np.asarray(jax.nn.softmax(logits_of(model, prompt[:1])[0, -1] / 2))
    counts = np.bincount(np.asarray(drawn), minlength=13)
    # chi-squared of 12 degrees of freedom: mean 12, 4 sigma = 4 sqrt(24)
    assert ((counts - expected) ** 2 / expected).sum() < 12 + 4 * np.sqrt(24)


def read_noise_in_the_head(model):
    """A chip on which the head alone is analog, so that little is compiled."""
    return nn.convert(model, [nn.Rule("head", ONLY_READ_NOISE), nn.Rule(".*", None)], jax.random.key(5))


def test_text_from_a_chip_follows_from_the_key():
    chip, prompt = read_noise_in_the_head(llama(layers=1)), jnp.array([[1]])
    first, again, other = (generate(chip, prompt, 15, jax.random.key(key), temperature=1.0) for key in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_token_draws_its_own_read_noise():
    """A network for which all tokens are alike has the same logits at every step, but for the noise of the head."""
    model = nnx.clone(llama(layers=1))
    model.embedding.embedding[...] = jnp.ones_like(model.embedding.embedding[...])
    # All tokens are equally likely, so that the smallest noise decides.
    model.head.kernel[...] = jnp.tile(model.head.kernel[:, :1], (1, 13))
    for block in model.blocks:
        block.attention.out.kernel[...] = jnp.zeros_like(block.attention.out.kernel[...])
        block.mlp.down.kernel[...] = jnp.zeros_like(block.mlp.down.kernel[...])
    prompt = jnp.array([[1]])
    whole = logits_of(model, jnp.array(TEXT))
    np.testing.assert_array_equal(whole, jnp.broadcast_to(whole[0, 0, 0], whole.shape))
    found = generate(read_noise_in_the_head(model), prompt, 15, jax.random.key(0), temperature=0)
    assert len(set(found[0].tolist())) > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, "`heads` must divide the width 16, but is 3"),
        ({"heads": 16}, "`heads` must leave each head an even number of features .* but 16 heads .* have 1"),
        ({"layers": 0}, "`layers` must be at least 1, but is 0"),
        ({"kv_heads": 3}, "`kv_heads` must divide the 4 query heads, but is 3"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    sizes = {"vocabulary": 13, "length": 16, "width": 16, "layers": 1, "heads": 4, "hidden": 20}
    with pytest.raises(ValueError, match=message):
        Llama(**{**sizes, **arguments}, rngs=nnx.Rngs(0))


def test_bad_texts_are_refused():
    model = llama()
    for text, message in [
        ([[1, 13]], "must hold tokens 0 to 12, but holds 1 to 13"),
        ([[1, -1]], "must hold tokens 0 to 12, but holds -1 to 1"),
        ([1, 2], r"must have shape \(batch, 1 to 16 tokens\), but have shape \(2,\)"),
        (7, r"but have shape \(\)"),
        ([[1.0, 2.0]], "must be whole numbers, but have dtype float32"),
        ([[0] * 17], r"but have shape \(1, 17\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            model(jnp.array(text))
    with pytest.raises(ValueError, match="`capacity` must be 1 to 16 tokens, but is 17"):
        model.empty_cache(1, 17)
    cache = extended(model, jnp.array([[1, 2]]), model.empty_cache(1, 3))[1]
    with pytest.raises(ValueError, match="room for 2 further tokens, but holds 2 of 3"):
        model.extend(jnp.array([[1, 2]]), cache)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.1}, "`temperature` must be at least 0 and finite, but is -0.1"),
        ({"temperature": float("nan")}, "`temperature` must be at least 0 and finite, but is nan"),
        ({"length": 0}, "`length` must be at least 1 token, but is 0"),
        ({"length": 15}, "longest text of 16 tokens, but is 15 after a prompt of 2"),
        ({"prompt": [[1, 13]]}, "must hold tokens 0 to 12"),
    ],
)
def test_bad_requests_for_text_are_refused(arguments, message):
    given = {"prompt": [[1, 2]], "length": 3, "temperature": 1.0, **arguments}
    with pytest.raises(ValueError, match=message):
        generate(
            llama(), jnp.array(given["prompt"]), given["length"], jax.random.key(0), temperature=given["temperature"]
        )


@pytest.mark.parametrize("name", ["decoder", "llama", "gpt", "stories"])
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(f"models.{name}"))
    assert results.attempted
    assert not results.failed
