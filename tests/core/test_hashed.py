import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc._core.hashed import fast_key, rough_normal

SIZE = 200_000


def hashed(seed):
    return fast_key(jax.random.key(seed))


@pytest.mark.parametrize(
    ("draws", "kurtosis"),
    [
        (lambda: jax.random.normal(hashed(1), (SIZE,)), 3.0),
        (lambda: rough_normal(jax.random.key(1), (SIZE,)), 2.7),
        (lambda: rough_normal(hashed(1), (SIZE,)), 2.7),
    ],
)
def test_moments(draws, kurtosis):
    x = np.asarray(draws(), np.float64)
    assert abs(x.mean()) < 3 / np.sqrt(SIZE)
    assert abs(x.var() - 1) < 3 * np.sqrt((kurtosis - 1) / SIZE)
    assert abs((x**3).mean()) < 3 * np.sqrt(15 / SIZE)
    assert abs((x**4).mean() - kurtosis) < 3 * np.sqrt(96 / SIZE)


def test_neighbours_and_keys_are_uncorrelated():
    for draw in (jax.random.normal, rough_normal):
        x = np.stack([np.asarray(draw(hashed(seed), (SIZE,))) for seed in range(6)])
        between = np.corrcoef(x)[np.triu_indices(6, 1)]
        assert np.abs(between).max() < 4 / np.sqrt(SIZE)
        for lag in (1, 2, 64, 512):
            assert abs(np.mean(x[0, lag:] * x[0, :-lag])) < 4 / np.sqrt(SIZE)


def test_every_bit_of_a_word_is_fair():
    words = np.asarray(jax.random.bits(hashed(2), (SIZE,), jnp.uint32))
    ones = ((words[:, None] >> np.arange(32, dtype=np.uint32)) & 1).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 4 * 0.5 / np.sqrt(SIZE)


def test_draws_do_not_depend_on_how_keys_are_batched():
    keys = jax.random.split(hashed(3), 5)
    together = jax.vmap(lambda key: jax.random.normal(key, (7, 3)))(keys)
    np.testing.assert_array_equal(together, jnp.stack([jax.random.normal(key, (7, 3)) for key in keys]))
    together = jax.vmap(lambda key: rough_normal(key, (7, 3)))(keys)
    np.testing.assert_array_equal(together, jnp.stack([rough_normal(key, (7, 3)) for key in keys]))


def test_same_key_same_draws_other_key_other_draws():
    np.testing.assert_array_equal(rough_normal(hashed(4), (9,)), jax.jit(lambda: rough_normal(hashed(4), (9,)))())
    assert not np.array_equal(rough_normal(hashed(4), (9,)), rough_normal(hashed(5), (9,)))
    folded = [jax.random.key_data(jax.random.fold_in(hashed(4), i)) for i in range(3)]
    assert len({tuple(np.asarray(data)) for data in folded}) == 3


def test_double_precision_and_small_integers(x64):
    x = jax.random.normal(hashed(6), (50_000,), jnp.float64)
    assert x.dtype == jnp.float64
    assert abs(float(x.std()) - 1) < 3 / np.sqrt(2 * 50_000)
    assert jax.random.bits(hashed(6), (3,), jnp.uint8).dtype == jnp.uint8
    assert rough_normal(hashed(6), (3,), jnp.float64).dtype == jnp.float64


def test_known_answers():
    """The draws of a key stay what they are: results of trained networks depend on them."""
    key = jax.random.key(3)
    np.testing.assert_array_equal(jax.random.key_data(fast_key(key)), [318053758, 4029299397])
    np.testing.assert_array_equal(
        jax.random.bits(fast_key(key), (3,), jnp.uint32), np.array([0xF8CB9BEB, 0xE09A25AC, 0xA2F90DBE], np.uint32)
    )
    np.testing.assert_array_equal(
        rough_normal(key, (3,)), np.array([2.23950457572937, 0.5209723711013794, 0.7036510109901428], np.float32)
    )
