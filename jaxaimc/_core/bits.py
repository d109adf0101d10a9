"""Products of whole numbers with zeros and ones, counted bit by bit.

Where every entry of a matrix is zero or one, the bits of whole numbers are multiplied with it by AND, and the products
of 32 rows are added by counting the bits of one word. That is exact, as a product in floating point is only as far as
its mantissa reaches, and on CPUs a sixth of its work for numbers of one bit.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, UInt32

from jaxaimc._core.xla import packed_product, product, stored

_WORD = 32


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def counted_product(
    levels: tuple[Float[Array, "*batch plane rows"], ...],
    matrix: Float[Array, "rows out"],
    largest: int,
    signed: bool,
) -> tuple[Float[Array, "*batch plane out"], ...]:
    """Multiply several arrays of planes of whole numbers with a matrix of zeros and ones, without rounding error.

    On CPUs bits are counted; elsewhere, where products of whole numbers are slow, all arrays share a product.

    Args:
        levels: Planes of whole numbers, at most as many arrays as `planes_per_product` allows.
        matrix: Zeros and ones.
        largest: Largest magnitude of these numbers.
        signed: Whether there may be negative ones.

    Returns:
        The product of each array. Derivatives are those of plain products.

    Example:
        >>> counted_product((jnp.array([[3.0, 0.0, 2.0]]),), jnp.array([[1.0], [1.0], [1.0]]), 3, False)[0].tolist()
        [[5.0]]
    """
    in_floats = functools.partial(packed_product, largest=matrix.shape[0] * largest)
    counted = functools.partial(_counted, largest=largest, signed=signed)
    return jax.lax.platform_dependent(levels, matrix, cpu=counted, default=in_floats)


@counted_product.defjvp
def _counted_product_jvp(largest: int, signed: bool, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    (levels, matrix), (d_levels, d_matrix) = primals, tangents
    changes = tuple(
        product(d_level, matrix) + product(level, d_matrix) for level, d_level in zip(levels, d_levels, strict=True)
    )
    return counted_product(levels, matrix, largest, signed), changes


def _counted(
    levels: tuple[Float[Array, "*batch plane rows"], ...], matrix: Float[Array, "rows out"], largest: int, signed: bool
) -> tuple[Float[Array, "*batch plane out"], ...]:
    bits = largest.bit_length()
    # In two's complement; the sign's bit stands for minus twice the highest one.
    weights = [2**bit for bit in range(bits)] + [-(2**bits)] * signed
    # What makes the numbers, such as one digit after the other, would be computed anew for each bit.
    numbers: Any = stored(tuple(level.astype(jnp.int32) for level in levels))
    # Stored, as XLA would pack them anew for each output; so are the results, so that what becomes of them is computed
    # as if they were those of a product.
    words: Any = stored(
        (packed(matrix, 0), *(packed((k >> bit) & 1, -1) for k in numbers for bit in range(len(weights))))
    )
    matrix_words, of_levels = words[0], words[1:]
    planes = [of_levels[first : first + len(weights)] for first in range(0, len(of_levels), len(weights))]
    short = jnp.int16 if matrix.shape[0] * largest < 2**15 else jnp.int32

    def total(plane: Sequence[Array]) -> Array:
        counts = [weight * _counts(own, matrix_words) for weight, own in zip(weights, plane, strict=True)]
        return jnp.asarray(sum(counts), short)

    totals: Any = stored(tuple(map(total, planes)))
    return tuple(found.astype(matrix.dtype) for found in totals)


def _counts(
    words: UInt32[Array, "*batch plane word"], matrix: UInt32[Array, "word out"]
) -> Int[Array, "*batch plane out"]:
    """Return how many bits a plane and a column of the matrix share."""
    # Written out, with the outputs in the lanes of the vector unit: three times as fast as a sum over the last axis.
    terms = (jax.lax.population_count(words[..., place, None] & matrix[place]) for place in range(len(matrix)))
    return jnp.asarray(sum(terms), jnp.int32)


def packed(x: Num[Array, "..."], axis: int) -> UInt32[Array, "..."]:
    """Return bits along an axis in words of 32, the last one filled up with zeros.

    Args:
        x: Zeros and ones.
        axis: The axis.
    """
    axis %= x.ndim
    filling = [(0, 0)] * axis + [(0, -x.shape[axis] % _WORD)] + [(0, 0)] * (x.ndim - axis - 1)
    padded = jnp.pad(x, filling).astype(jnp.uint32)
    apart = padded.reshape(*x.shape[:axis], -1, _WORD, *x.shape[axis + 1 :])
    places = np.arange(_WORD, dtype=np.uint32).reshape(_WORD, *[1] * (x.ndim - axis - 1))
    bits = apart << places
    if axis == x.ndim - 1:
        return jnp.sum(bits, axis=axis + 1, dtype=jnp.uint32)
    # By halves: a sum over an axis that is not the last computes entry by entry.
    half = _WORD // 2
    while half:
        low, high = (jax.lax.slice_in_dim(bits, start, start + half, axis=axis + 1) for start in (0, half))
        bits, half = low | high, half // 2
    return jnp.squeeze(bits, axis + 1)
