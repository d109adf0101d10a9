"""Random numbers for training, where speed counts more than the last digit of a distribution.

The rounds of Threefry are what makes noisy training slow on a CPU. The bits here come from an integer hash of
(key, counter) instead: multiply and xor-shift rounds with the constants of Wellons 2018 (hash prospector). Like
Threefry, and unlike `rbg`, a draw depends on its key and its place in the array only, not on how keys are batched. Keys
are derived from each other by Threefry, so that only the bulk is hashed. Not for cryptography, and evaluation keeps to
Threefry.
"""

import math
from typing import Any

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

from jaxaimc._core.random import Shape

_GOLDEN = np.uint32(0x9E3779B9)
_FIRST, _SECOND = np.uint32(0x21F0AAAD), np.uint32(0xD35A2D97)
# Standard deviation of the sum of four uniform bytes.
_FOUR_BYTES = math.sqrt(4 * (256**2 - 1) / 12)


def fast_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """Return a key whose draws are hashed instead of made by Threefry; works with all of `jax.random`.

    Args:
        key: Key of any kind.

    Returns:
        A key that depends on `key` alone. A normal of it costs about half.

    Example:
        >>> import jax
        >>> jax.random.normal(fast_key(jax.random.key(0)), (2,)).shape
        (2,)
    """
    bits = jax.random.bits(key, (2,), jnp.uint32)
    return jax.random.wrap_key_data(bits, impl=_HASHED)


def rough_normal(key: Key[Array, ""], shape: Shape, dtype: Any = jnp.float32) -> Float[Array, "..."]:
    """Draw numbers of mean zero and variance one that are nearly normal: the sum of four uniform bytes of a hash.

    They end at 3.46 standard deviations, and their excess kurtosis is -0.30. That is enough for noise that a network is
    trained with, at a fraction of the cost of a normal.

    Args:
        key: Key of any kind.
        shape: Shape of the result.
        dtype: Floating type of the result.

    Returns:
        Independent draws.
    """
    word = _hash(jax.random.bits(key, (2,), jnp.uint32), math.prod(shape)).reshape(shape)
    total = (word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24)
    return (total.astype(dtype) - 510) * jnp.asarray(1 / _FOUR_BYTES, dtype)


def _hash(key: UInt32[Array, "2"], size: Any) -> UInt32[Array, " size"]:
    x = jax.lax.iota(jnp.uint32, size) * _GOLDEN + key[0]
    x = (x ^ (x >> 16)) * _FIRST
    x = ((x ^ (x >> 15)) + key[1]) * _SECOND
    return x ^ (x >> 15)


def _random_bits(key: UInt32[Array, "2"], bit_width: int, shape: Shape) -> Array:
    size = math.prod(shape)
    if bit_width == 64:
        words = _hash(key, 2 * size).astype(jnp.uint64).reshape(2, size)
        return ((words[0] << 32) | words[1]).reshape(shape)
    word = _hash(key, size).reshape(shape)
    return (word >> (32 - bit_width)).astype({8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[bit_width])


def _threefry(data: UInt32[Array, "2"]) -> Key[Array, ""]:
    return jax.random.wrap_key_data(data, impl="threefry2x32")


_HASHED = jax.extend.random.define_prng_impl(
    key_shape=(2,),
    seed=lambda seed: jax.random.key_data(jax.random.key(seed, impl="threefry2x32")),
    split=lambda data, shape: jax.random.key_data(jax.random.split(_threefry(data), shape)),
    random_bits=_random_bits,
    fold_in=lambda data, number: jax.random.key_data(jax.random.fold_in(_threefry(data), number)),
    name="jaxaimc_hashed",
    tag="jaxaimc",
)
