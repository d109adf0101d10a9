"""What is written for XLA's sake: products in full precision, short sums, several small products in one.

On CPUs `jnp.sum` over few terms and products with several batch axes are slow.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

Tree = TypeVar("Tree")

# Terms up to which a sum is written out.
_FEW = 16


def product(x: Float[Array, "*batch rows"], w: Float[Array, "rows cols"]) -> Float[Array, "*batch cols"]:
    """Return `x @ w` in full precision, whatever the platform.

    Args:
        x: Vectors.
        w: Matrix.

    Returns:
        Vectors.
    """
    # One batch axis: with several, the gradient of `w` would copy and transpose `x` first, four times slower on CPUs.
    y = jnp.matmul(x.reshape(-1, x.shape[-1]), w, precision=jax.lax.Precision.HIGHEST)
    return y.reshape(*x.shape[:-1], w.shape[-1])


def read_product(x: Float[Array, "*batch rows"], w: Float[Array, "rows cols"]) -> Float[Array, "*batch cols"]:
    """Return `product(x, w)`, fast for a single vector too; not for use in rules of derivatives.

    Args:
        x: Vectors.
        w: Matrix.
    """
    if not _is_single(x):
        return product(x, w)
    return _vector_product(x.reshape(-1), w).reshape(*x.shape[:-1], w.shape[-1])


def _is_single(x: Float[Array, "*batch rows"]) -> bool:
    # The size of a symbolic batch is not known.
    return all(isinstance(size, int) and size == 1 for size in x.shape[:-1])


@jax.custom_jvp
def _vector_product(x: Float[Array, " rows"], w: Float[Array, "rows cols"]) -> Float[Array, " cols"]:
    return _with_a_second(x, w)


@_vector_product.defjvp
def _vector_product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (x, w), (d_x, d_w) = primals, tangents
    times = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    return _vector_product(x, w), times(d_x, w) + times(x, d_w)


@jax.custom_batching.custom_vmap
def _with_a_second(x: Float[Array, " rows"], w: Float[Array, "rows cols"]) -> Float[Array, " cols"]:
    # XLA for CPUs fuses the product of a single vector with what it finds before it, and then walks down the matrix for
    # each column by itself: twenty times as slow as with a second one.
    both = jnp.stack([x, jnp.zeros_like(x)])
    return jnp.matmul(both, w, precision=jax.lax.Precision.HIGHEST)[0]


@_with_a_second.def_vmap
def _products_of_vectors(size: int, batched: Any, x: Array, w: Array) -> tuple[Array, bool]:
    if not batched[1]:
        return product(x, w), True
    axes = tuple(0 if one else None for one in batched)
    return jax.vmap(partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST), axes)(x, w), True


@jax.custom_jvp
def variance_product(x: Float[Array, "*batch rows"], w: Float[Array, "rows cols"]) -> Float[Array, "*batch cols"]:
    """Return `x @ w` for variances: sums of products that are not negative, right to less than a hundredth.

    Single precision is multiplied as bfloat16 and added up in single precision, which takes half the time on CPUs with
    AVX-512 and less on accelerators. No sum is off by more than 2**-6.99 of itself, and one of hundreds of different
    products by about a thousandth; a standard deviation is off by half of that. Other precisions, and derivatives, are
    those of `product`.

    Args:
        x: Vectors of numbers that are not negative.
        w: Matrix of such numbers.

    Returns:
        Vectors.
    """
    if x.dtype != jnp.float32 or w.dtype != jnp.float32 or _is_single(x):
        # To shorten a matrix for a single vector takes longer than its product.
        return read_product(x, w)
    short = (x.reshape(-1, x.shape[-1]).astype(jnp.bfloat16), w.astype(jnp.bfloat16))
    y = jnp.matmul(*short, preferred_element_type=jnp.float32)
    return y.reshape(*x.shape[:-1], w.shape[-1])


@variance_product.defjvp
def _variance_product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (x, w), (d_x, d_w) = primals, tangents
    return variance_product(x, w), product(d_x, w) + product(x, d_w)


@jax.custom_vjp
def short_product(x: Float[Array, "vector rows"], w: Float[Array, "rows cols"]) -> Float[Array, "vector cols"]:
    """Return `x @ w` where it is a small part of a result, and its derivatives, by reverse mode, likewise.

    In single precision the factors are rounded to bfloat16 and the products added up in single precision, which takes
    half the time on CPUs with AVX-512 and less on accelerators. Other precisions are those of `product`.

    Args:
        x: Vectors.
        w: Matrix.

    Returns:
        Vectors.
    """
    if x.dtype == jnp.float64 or w.dtype == jnp.float64:
        return product(x, w)
    return jnp.matmul(shortened(x), shortened(w), preferred_element_type=jnp.float32)


def shortened(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return numbers in single precision as bfloat16; others as they are.

    Args:
        x: Numbers.
    """
    return x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x


def later_zero(x: Num[Array, "..."]) -> Num[Array, ""]:
    """Return a zero that XLA does not know to be one, and cannot compute before `x`.

    What is made from it is made after `x`. On CPUs nothing is left of an optimisation barrier, and so `jax.checkpoint`
    saves no memory: what it makes anew is merged with what there was.

    Args:
        x: Numbers that are known late, such as a cotangent; whole ones of 16 or 32 bits.
    """
    if not x.size:
        return jnp.zeros((), x.dtype)
    first = x[(0,) * x.ndim]
    if jnp.issubdtype(x.dtype, jnp.integer):
        # No bits at all make a number beyond infinity, but of whole numbers XLA would know that.
        first = jax.lax.bitcast_convert_type(first, {2: jnp.float16, 4: jnp.float32}[x.dtype.itemsize])
    return jnp.asarray(first > jnp.inf, x.dtype)


@jax.custom_jvp
def stored(arrays: Tree) -> Tree:
    """Return arrays that are computed once and stored, before anything that reads them.

    XLA for CPUs fuses what makes an array with all that reads it, and computes it anew for each: programmed
    conductances, with their draws, for the load of the wires, for the matrix and for the noise, a four times larger
    part of program, prepare and multiply than all else. It has no barrier against that; results of a loop are stored.
    Outside of `jax.jit` every array is stored.

    Args:
        arrays: Pytree of arrays of real numbers. Derivatives pass through.
    """
    leaves = jax.tree.leaves(arrays)
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return arrays
    return _stored(arrays)


@stored.defjvp
def _stored_jvp(primals: tuple[Tree], tangents: tuple[Tree]) -> tuple[Tree, Tree]:
    return stored(*primals), tangents[0]


@jax.custom_batching.custom_vmap
def _stored(arrays: Tree) -> Tree:
    return jax.lax.platform_dependent(arrays, cpu=_stored_by_loop, default=jax.lax.optimization_barrier)


@_stored.def_vmap
def _stored_of_batch(size: int, batched: Any, arrays: Tree) -> tuple[Tree, Any]:
    # A loop for each entry of the batch would select, at its end, between what it had and what it made.
    return stored(arrays), batched[0]


def _stored_by_loop(arrays: Tree) -> Tree:
    # A loop of no round at all, which XLA cannot know.
    rounds = jnp.asarray(later_zero(jax.tree.leaves(arrays)[0]), jnp.int32)

    def never(state: tuple[Array, Tree]) -> tuple[Array, Tree]:
        return state[0] + 1, jax.tree.map(lambda x: -x, state[1])

    return jax.lax.while_loop(lambda state: state[0] < rounds, never, (jnp.zeros((), jnp.int32), arrays))[1]


def _short_forward(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return short_product(x, w), (x, w)


def _short_backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, w = saved
    # XLA for CPUs (jaxlib 0.10) has no product of a transposed bfloat16 matrix with what `jax.vmap` adds axes to, as it
    # does where several tiles share their inputs, and says so at run time only. Accelerators shorten by themselves.
    by_w = jnp.matmul(x.T, cotangent, precision=None if x.dtype == jnp.float32 else jax.lax.Precision.HIGHEST)
    return short_product(cotangent, w.T).astype(x.dtype), by_w.astype(w.dtype)


short_product.defvjp(_short_forward, _short_backward)


def grouped_product(
    x: Float[Array, "*batch n_in"], w: Float[Array, "*group rows cols"]
) -> Float[Array, "*batch n_out"]:
    """Return the product with a matrix, or with one matrix for each group of inputs.

    Args:
        x: Vectors; the inputs of all groups side by side.
        w: A matrix, or the matrices of all groups along a first axis: the blocks of a block-diagonal matrix.

    Returns:
        Vectors; the outputs of all groups side by side.
    """
    if w.ndim == 2:
        return product(x, w)
    groups, rows, cols = w.shape
    batch = x.shape[:-1]
    y = jnp.einsum("bgi,gio->bgo", x.reshape(-1, groups, rows), w, precision=jax.lax.Precision.HIGHEST)
    return y.reshape(*batch, groups * cols)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def add_up(terms: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum over an axis like `jnp.sum`.

    On CPUs a reduction computes its terms one by one, several times slower where they hold random draws; sums
    written out run through the vector unit.

    Args:
        terms: What to add.
        axis: Axis to sum over.

    Returns:
        The sum, without that axis.
    """
    count = terms.shape[axis]
    if not 0 < count <= _FEW:
        return jnp.sum(terms, axis=axis)
    first, *others = (jax.lax.index_in_dim(terms, i, axis, keepdims=False) for i in range(count))
    return sum(others, start=first)


def leading(values: Sequence[float], like: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return constants along a new first axis, to be combined with an array.

    On CPUs `jnp.stack` of what each of them makes of the array computes entry by entry.

    Args:
        values: Constants.
        like: The array.

    Returns:
        The constants in the array's type, with as many axes of one behind theirs as the array has.
    """
    return jnp.asarray(values, like.dtype).reshape(len(values), *[1] * like.ndim)


@add_up.defjvp
def _add_up_jvp(axis: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # Transposed, a reduction is a broadcast; slices would be padded and added.
    return add_up(*primals, axis), jnp.sum(*tangents, axis=axis)


# Digits of bit planes times bits of weights give whole numbers of a few bits, while a float32 product carries 24:
# planes `a` and `b` are driven as `a + base b`, and the two results are taken apart without error.


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
