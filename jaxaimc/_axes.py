"""Short axes, summed and made in ways that XLA computes together with what is around them."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Terms up to which a sum is written out.
_FEW = 16


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def add_up(terms: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum over an axis like `jnp.sum`.

    On processors a reduction computes its terms one by one, several times slower where they hold random draws; sums
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

    On processors `jnp.stack` of what each of them makes of the array computes entry by entry.

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
