import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.transformer import PatchEmbedding, TokenEmbedding, Transformer


def text_network(length=7):
    rngs = nnx.Rngs(0)
    tokens = TokenEmbedding(vocabulary=11, length=length, width=16, rngs=rngs)
    return Transformer(tokens, length=length, width=16, layers=2, heads=2, hidden=24, classes=5, rngs=rngs)


def image_network():
    rngs = nnx.Rngs(0)
    patches = PatchEmbedding(size=8, patch=4, width=16, mean=0.3, deviation=0.4, rngs=rngs)
    return Transformer(patches, length=4, width=16, layers=2, heads=2, hidden=24, classes=5, rngs=rngs)


def test_patches_are_cut_row_by_row():
    patches = PatchEmbedding(size=4, patch=2, width=4, mean=0.0, deviation=1.0, rngs=nnx.Rngs(0))
    patches.projection.kernel[...] = 255 * jnp.eye(4)
    tokens, present = patches(jnp.arange(16, dtype=jnp.uint8).reshape(1, 4, 4))
    assert present is None
    np.testing.assert_allclose(tokens[0], [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]], rtol=1e-6)


def test_the_network_equals_its_equations():
    """Numpy in float64, written from the papers' equations, one example at a time."""
    model = text_network()
    sentence = np.array([3, 1, 4, 1, 5, 0, 0])
    weights = {path: np.asarray(x[...], np.float64) for path, x in nnx.to_flat_state(nnx.state(model, nnx.Param))}

    def w(*path):
        return weights[path]

    def norm(x, *path):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * w(*path, "scale") + w(*path, "bias")

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    words = sentence[:5]  # the padding must not matter at all
    x = w("embedding", "table", "embedding")[words] + w("position")[:5]
    for i in range(2):
        y = norm(x, "blocks", i, "attention_norm")
        heads = {
            name: np.einsum("lw,whd->hld", y, w("blocks", i, "attention", name, "kernel"))
            + w("blocks", i, "attention", name, "bias")[:, None]
            for name in ("query", "key", "value")
        }
        attention = np.exp(heads["query"] @ heads["key"].swapaxes(1, 2) / np.sqrt(8))
        attention /= attention.sum(-1, keepdims=True)
        x = x + np.einsum("hld,hdw->lw", attention @ heads["value"], w("blocks", i, "attention", "out", "kernel"))
        x = x + w("blocks", i, "attention", "out", "bias")
        y = norm(x, "blocks", i, "mlp_norm")
        y = gelu(y @ w("blocks", i, "mlp_in", "kernel") + w("blocks", i, "mlp_in", "bias"))
        x = x + y @ w("blocks", i, "mlp_out", "kernel") + w("blocks", i, "mlp_out", "bias")
    logits = norm(x, "norm").mean(0) @ w("head", "kernel") + w("head", "bias")
    np.testing.assert_allclose(model(jnp.array(sentence)[None])[0], logits, rtol=1e-4, atol=1e-5)


def test_an_empty_sentence_has_a_finite_answer():
    model = text_network()
    np.testing.assert_allclose(model(jnp.zeros((1, 7), jnp.int32))[0], model.head.bias[...])


@pytest.mark.slow
def test_one_call_serves_batches_jit_and_vmap():
    model = image_network()
    images = jax.random.randint(jax.random.key(1), (6, 8, 8), 0, 256).astype(jnp.uint8)
    whole = model(images)
    graph, state = nnx.split(model)
    call = jax.jit(lambda state, images: nnx.merge(graph, state)(images))
    np.testing.assert_allclose(call(state, images), whole, rtol=1e-4, atol=1e-5)
    one_by_one = jnp.concatenate([model(image[None]) for image in images])
    np.testing.assert_allclose(one_by_one, whole, rtol=1e-4, atol=1e-5)
    networks = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), state)
    both = jax.vmap(call, in_axes=(0, None))(networks, images)
    np.testing.assert_allclose(both[0], whole, rtol=1e-4, atol=1e-5)
    assert not np.allclose(both[1], whole)


def test_every_projection_can_be_replaced():
    model = image_network()
    images = jnp.full((2, 8, 8), 100, jnp.uint8)
    before, replaced = model(images), []

    def counting(lhs, rhs, dimension_numbers, **options):
        replaced.append(rhs.shape)
        return jax.lax.dot_general(lhs, rhs, dimension_numbers, **options)

    for _, module in nnx.iter_modules(model):
        if isinstance(module, (nnx.Linear, nnx.LinearGeneral)):
            module.dot_general = counting
    np.testing.assert_array_equal(model(images), before)
    assert len(replaced) == 1 + 2 * 6 + 1  # patches; query, key, value, out, two of the perceptron; head


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"Argument `patch` must divide the image size 28 \[pixels\], but is 5"):
        PatchEmbedding(size=28, patch=5, width=4, mean=0.0, deviation=1.0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"must have shape \(batch, 8, 8\), but has shape \(3, 8, 9\)"):
        image_network()(jnp.zeros((3, 8, 9), jnp.uint8))
    with pytest.raises(ValueError, match=r"must have shape \(batch, 7\), but has shape \(3, 8\)"):
        text_network()(jnp.zeros((3, 8), jnp.int32))


@pytest.mark.parametrize("token", [-1, 11])
def test_s8_tokens_outside_the_vocabulary_are_refused(token):
    sentences = np.array([[3, 1, token, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"must hold tokens 0 to 10, but holds (-1 to 3|0 to 11)"):
        text_network()(jnp.array(sentences))


def test_tokens_that_are_known_are_checked_in_a_compiled_function_too():
    tokens = TokenEmbedding(vocabulary=11, length=3, width=4, rngs=nnx.Rngs(0))
    good, bad = np.array([[1, 2, 0]]), np.array([[1, 11, 0]])
    assert jax.jit(lambda: tokens(good)[0])().shape == (1, 3, 4)
    with pytest.raises(ValueError, match="must hold tokens 0 to 10, but holds 0 to 11"):
        jax.jit(lambda: tokens(bad))()
