"""Sums over a short axis that XLA computes together with what they add."""

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


@add_up.defjvp
def _add_up_jvp(axis: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # Transposed, a reduction is a broadcast; slices would be padded and added.
    return add_up(*primals, axis), jnp.sum(*tangents, axis=axis)
