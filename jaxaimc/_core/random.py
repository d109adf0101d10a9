"""Random draws: normals in one pass over the array, with one key for all or a key for each leading entry.

On CPUs `jax.random.normal` makes its bits in rolled loops, which write the array several times, and inverts the
error function: 2 to 7 ns per normal on two cores. Here the twenty rounds of Threefry are written out, so that XLA
computes bits, normal and what is done with it together, and both words of a block make one normal by the transform of
Box and Muller (1958): about 1.6 ns. Like there, a draw depends on its key and its place in the array only.
Cheaper draws for training are in `hashed`.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

from jaxaimc._core.arguments import check_key

# Sizes are integers, or symbols where `jax.export` leaves a batch open.
Shape: TypeAlias = tuple[Any, ...]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
# Taylor series of cos(pi v / 2) in v^2; the first term left out is 6e-9 at v = 1.
_COSINE = [(-1) ** k * (math.pi / 2) ** (2 * k) / math.factorial(2 * k) for k in range(7)]


def standard_normal(
    key: Key[Array, ""], shape: Shape, dtype: jax.typing.DTypeLike = jnp.float32
) -> Float[Array, "..."]:
    """Draw standard normals.

    Args:
        key: One key of any kind; only Threefry's are drawn in one pass.
        shape: Shape of the result. Sizes may be symbols of `jax.export`; the draws of a place are then those that a
            known shape has, up to the 2**32 entries that a counter tells apart.
        dtype: Floating type of the result; double precision is left to `jax.random.normal`.

    Returns:
        Independent draws, at most 6.66 in size, the same on every platform to rounding.
    """
    size = math.prod(shape)
    if jnp.finfo(dtype).bits > jnp.finfo(jnp.float32).bits or (isinstance(size, int) and size >= 2**32):
        return jax.random.normal(key, shape, dtype)
    implementation = jax.random.key_impl(key)
    if implementation == "threefry2x32":
        words = block(jax.random.key_data(key), jax.lax.iota(jnp.uint32, size))
    elif isinstance(implementation, str):
        # JAX's other kinds from two keys: sliced out of one array, XLA makes all bits anew for each of the words.
        words = tuple(jax.random.bits(half, (size,), jnp.uint32) for half in jax.random.split(key))
    else:
        words = jax.random.bits(key, (2, size), jnp.uint32)
    # Fused with what uses them, the rounds of Threefry would be computed anew in every place that reads a draw: six
    # times per layer where layers follow each other, which XLA of jax 0.12 compiles five to eighteen times slower. The
    # versions before drop the barrier on CPUs before they fuse.
    return jax.lax.optimization_barrier(_box_muller(*words).reshape(shape).astype(dtype))


def block(key: UInt32[Array, "2"], counter: UInt32[Array, " size"]) -> tuple[UInt32[Array, " size"], ...]:
    """Return the two words of Threefry-2x32 with 20 rounds for the counters `(0, counter)`.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.2.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = jnp.zeros_like(counter) + keys[0], counter + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))
            y = y ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def _box_muller(first: UInt32[Array, " size"], second: UInt32[Array, " size"]) -> Float[Array, " size"]:
    """Make a normal of two words: sign and radius of the first, the angle within a quadrant of the second."""
    as_float = lambda word: word.astype(jnp.int32).astype(jnp.float32)  # noqa: E731
    uniform = (as_float(first >> 1) + 0.5) * 2.0**-31
    # Rounding may bring the uniform to one, whose logarithm is zero.
    radius = jnp.sqrt(-2 * jnp.log(uniform))
    squared = ((as_float(second >> 8) + 0.5) * 2.0**-24) ** 2
    cosine = jnp.full_like(squared, _COSINE[-1])
    for coefficient in reversed(_COSINE[:-1]):
        cosine = cosine * squared + coefficient
    return jnp.where(first & 1, -radius, radius) * cosine


def fold_in(key: Key[Array, "*keys"], data: Array | int) -> Key[Array, "*keys"]:
    """Fold a number into one key or into each key of an array.

    Args:
        key: Keys of any shape.
        data: Number to fold in.

    Returns:
        Keys of the same shape.
    """
    fold = jax.random.fold_in
    for _ in range(key.ndim):
        fold = jax.vmap(fold, in_axes=(0, None))
    return fold(key, data)


def normal(
    key: Key[Array, "*keys"] | None, shape: Shape, dtype: jax.typing.DTypeLike, *, axes: int, where: str
) -> Float[Array, "..."]:
    """Draw normals.

    Args:
        key: One key, or an array of keys whose shape leads `shape`.
        shape: Shape of the result.
        dtype: Type of the result.
        axes: Last axes of `shape` that are not batch axes.
        where: What needs the key, for the error.

    Raises:
        ValueError: If `key` is None, not a typed key, or has a shape that does not lead the batch axes.
    """
    return _draw(standard_normal, key, shape, dtype, axes, where)


def uniform(
    key: Key[Array, "*keys"] | None, shape: Shape, dtype: jax.typing.DTypeLike, *, axes: int, where: str
) -> Float[Array, "..."]:
    """Draw uniformly from `[0, 1)`. See `normal`."""
    return _draw(jax.random.uniform, key, shape, dtype, axes, where)


def _draw(
    function: Callable[..., Array],
    key: Key[Array, "*keys"] | None,
    shape: Shape,
    dtype: jax.typing.DTypeLike,
    axes: int,
    where: str,
) -> Float[Array, "..."]:
    if key is None:
        raise ValueError(f"Argument `key` must be a read key where {where}, but is None.")
    check_key("key", key, batched=True)
    batch = shape[: len(shape) - axes]
    if key.shape != batch[: key.ndim]:
        raise ValueError(f"Argument `key` must be one key or have a shape that leads {batch}, but has {key.shape}.")
    draw = lambda k: function(k, shape[key.ndim :], dtype)  # noqa: E731
    for _ in range(key.ndim):
        draw = jax.vmap(draw)
    return draw(key)
