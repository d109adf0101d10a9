"""The product of a single vector, alone, mapped and differentiated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import map_in_groups
from jaxaimc._core.xla import read_product as product
from jaxaimc._core.xla import variance_product

RNG = np.random.default_rng(0)
X, W = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((4, 33), (33, 7)))


def test_alone_mapped_and_differentiated():
    np.testing.assert_allclose(product(jnp.asarray(X[0]), jnp.asarray(W)), X[0] @ W, rtol=1e-4, atol=1e-5)
    mapped = jax.jit(jax.vmap(product, (0, None)))(X, W)
    np.testing.assert_allclose(mapped, X @ W, rtol=1e-4, atol=1e-5)
    both = jax.vmap(product)(X, jnp.stack([W, 2 * W, 3 * W, 4 * W]))
    np.testing.assert_allclose(both, X @ W * np.arange(1, 5)[:, None], rtol=1e-4, atol=1e-4)
    d_x, d_w = jax.grad(lambda x, w: jnp.sum(product(x, w) ** 2), (0, 1))(X[0], W)
    y = X[0] @ W
    np.testing.assert_allclose(d_x, 2 * W @ y, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(d_w, 2 * np.outer(X[0], y), rtol=1e-4, atol=1e-4)


def test_the_variance_of_a_single_vector_is_in_full_precision():
    found = variance_product(jnp.asarray(X[0] ** 2), jnp.asarray(W**2))
    np.testing.assert_allclose(found, (X[0] ** 2) @ (W**2), rtol=1e-5)


@pytest.mark.parametrize("xs", [(), jnp.zeros(()), jnp.zeros((0, 2)), (jnp.zeros(2), jnp.zeros(3))])
def test_a_map_refuses_what_has_no_common_axis(xs):
    with pytest.raises(ValueError, match="one leading axis that is not empty"):
        map_in_groups(lambda x: x, xs)


def test_a_map_is_differentiated_and_refuses_empty_groups():
    gradient = jax.grad(lambda xs: jnp.sum(map_in_groups(jnp.sin, xs, group=2)))(jnp.arange(5.0))
    np.testing.assert_allclose(gradient, np.cos(np.arange(5.0)), rtol=1e-6)
    with pytest.raises(ValueError, match="at least 1 or None, but is 0"):
        map_in_groups(jnp.sin, jnp.arange(5.0), group=0)
