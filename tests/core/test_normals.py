import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxaimc._core.hashed import fast_key
from jaxaimc._core.random import block, standard_normal
from jaxaimc._core.xla import add_up

SIZE = 4_000_000
IMPLEMENTATIONS = ["threefry2x32", "rbg", "hashed", "philox4x32"]


def make_key(implementation, seed):
    if implementation == "hashed":
        return fast_key(jax.random.key(seed))
    try:
        return jax.random.key(seed, impl=implementation)
    except ValueError:
        pytest.skip("this version of JAX has no such keys")


@pytest.mark.parametrize("seed", [0, 123])
def test_blocks_are_those_of_jax(seed):
    data = jax.random.key_data(jax.random.key(seed))
    counter = jnp.array([0, 1, 2, 77, 2**31, 2**32 - 1], jnp.uint32)
    expected = jax.extend.random.threefry_2x32(data, jnp.concatenate([jnp.zeros_like(counter), counter]))
    np.testing.assert_array_equal(jnp.concatenate(block(data, counter)), expected)


def test_known_answer():
    """Of the reference implementation, Random123, for a key and a counter of zeros."""
    words = block(jnp.zeros(2, jnp.uint32), jnp.zeros(1, jnp.uint32))
    assert [int(word[0]) for word in words] == [0x6B200159, 0x99BA4EFE]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_distribution(implementation):
    """Moments to the sixth within four standard errors, no distance to the normal's distribution, tails as it has."""
    z = np.asarray(standard_normal(make_key(implementation, 3), (SIZE,)), np.float64)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert np.mean(z**power) == pytest.approx(mean, abs=4 * np.sqrt(variance / SIZE)), power
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for bound in (3.0, 4.0):
        expected = SIZE * 2 * stats.norm.sf(bound)
        assert np.sum(np.abs(z) > bound) == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_neighbours_and_keys_are_independent():
    z = np.stack([np.asarray(standard_normal(jax.random.key(seed), (1 << 18,))) for seed in range(6)])
    for values in (z, z**2):
        assert np.abs(np.corrcoef(values)[np.triu_indices(6, 1)]).max() < 4.5 / np.sqrt(z.shape[1])
        for lag in (1, 2, 64, 512):
            correlation = np.corrcoef(values[0, lag:], values[0, :-lag])[0, 1]
            assert abs(correlation) < 4.5 / np.sqrt(z.shape[1])


@pytest.mark.parametrize("implementation", ["threefry2x32", "hashed"])
def test_draws_depend_on_key_and_place_only(implementation):
    keys = jax.random.split(make_key(implementation, 5), 3)
    together = jax.jit(jax.vmap(lambda key: standard_normal(key, (5, 7))))(keys)
    np.testing.assert_allclose(
        together, jnp.stack([standard_normal(key, (5, 7)) for key in keys]), rtol=1e-5, atol=1e-6
    )
    if implementation == "threefry2x32":
        np.testing.assert_array_equal(standard_normal(keys[0], (9,)), standard_normal(keys[0], (35,))[:9])
    assert standard_normal(keys[0], ()).shape == ()
    assert standard_normal(keys[0], (0, 3)).shape == (0, 3)
    assert standard_normal(keys[0], (3,), jnp.bfloat16).dtype == jnp.bfloat16


def test_double_precision_is_that_of_jax(x64):
    key = jax.random.key(1)
    np.testing.assert_array_equal(standard_normal(key, (8,), jnp.float64), jax.random.normal(key, (8,), jnp.float64))


@pytest.mark.parametrize("count", [0, 1, 3, 16, 17])
@pytest.mark.parametrize("axis", [0, -2])
def test_add_up_is_a_sum_with_the_derivatives_of_one(count, axis):
    shape = (count, 4, 5) if axis == 0 else (4, count, 5)
    terms = jax.random.normal(jax.random.key(0), shape)
    np.testing.assert_allclose(add_up(terms, axis), jnp.sum(terms, axis), rtol=1e-5, atol=1e-6)
    weighted = lambda f: jax.grad(lambda a: jnp.sum(jnp.sin(f(a, axis))))(terms)  # noqa: E731
    np.testing.assert_allclose(weighted(add_up), weighted(jnp.sum), rtol=1e-5, atol=1e-6)
    _, tangent = jax.jvp(lambda a: add_up(a, axis), (terms,), (terms,))
    np.testing.assert_allclose(tangent, jnp.sum(terms, axis), rtol=1e-5, atol=1e-6)
