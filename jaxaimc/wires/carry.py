"""First values of loops, and arguments of functions with derivatives of their own, with the type that is expected."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Shaped


def carried(value: Shaped[Array, "..."], *data: Any) -> Shaped[Array, "..."]:
    """Return a loop's first value, varying over the same devices as the data that its body adds.

    `jax.shard_map` checks over which mesh axes a value varies, and refuses a loop whose carry starts as a constant and
    comes back as a shard's own. Likewise it refuses derivatives written by hand that are a shard's own where their
    argument is the same for all. Elsewhere this returns the value itself.

    Args:
        value: What the loop starts from.
        *data: Arrays, or pytrees of them, that the body combines it with.
    """
    for leaf in jax.tree.leaves(data):
        if isinstance(leaf, jax.core.Tracer) and leaf.size:
            nothing = jnp.zeros_like(leaf[(0,) * leaf.ndim], dtype=value.dtype)
            if jax.typeof(nothing) != jax.typeof(jnp.zeros((), value.dtype)):
                value = value | nothing if value.dtype == bool else value + nothing
    return value
