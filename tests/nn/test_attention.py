"""Attention on tiles: its projections are, its products of activations are not."""

import jax
import jax.numpy as jnp
import numpy as np
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ
from flax import nnx

from jaxaimc import nn


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
