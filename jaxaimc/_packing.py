"""Several products of small whole numbers in one floating-point product.

Digits of bit planes times bits of weights give whole numbers of a few bits, while a float32 product carries 24: planes
`a` and `b` are driven as `a + base b`, and the two results are taken apart without error.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._products import product


def planes_per_product(largest: int, dtype: jnp.dtype) -> int:
    """Return how many planes fit into one product.

    Args:
        largest: Largest magnitude of a plane's result.
        dtype: Floating type of the product.

    Returns:
        Number of planes, at least one.
    """
    mantissa = jnp.finfo(dtype).nmant + 1
    count = 1
    while largest * sum(_base(largest) ** k for k in range(count + 1)) < 2**mantissa:
        count += 1
    return count


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def packed_product(
    levels: tuple[Float[Array, "*batch plane rows"], ...], matrix: Float[Array, "rows out"], largest: int
) -> tuple[Float[Array, "*batch plane out"], ...]:
    """Multiply several arrays of planes of whole numbers with a matrix of whole numbers in one product.

    Args:
        levels: Planes of whole numbers, at most as many arrays as `planes_per_product` allows.
        matrix: Zeros and ones.
        largest: Largest magnitude of a plane's result.

    Returns:
        The product of each array, without rounding error. Derivatives are those of plain products.
    """
    base = _base(largest)
    packed = sum(level * float(base**k) for k, level in enumerate(levels))
    rest = product(jnp.asarray(packed), matrix)
    products = []
    for _ in levels[1:]:
        high = jnp.round(rest * (1 / base))
        products.append(rest - base * high)
        rest = high
    return (*products, rest)


@packed_product.defjvp
def _packed_product_jvp(largest: int, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    (levels, matrix), (d_levels, d_matrix) = primals, tangents
    changes = tuple(
        product(d_level, matrix) + product(level, d_matrix) for level, d_level in zip(levels, d_levels, strict=True)
    )
    return packed_product(levels, matrix, largest), changes


def _base(largest: int) -> int:
    """Return the power of two that keeps results of either sign apart; dividing by it is exact."""
    return 2 ** math.ceil(math.log2(2 * largest + 1))
