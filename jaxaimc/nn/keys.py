"""Keys under `jax.vmap`: what is mapped over draws its own noise although it was given one key for all."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Key

from jaxaimc._core.random import fold_in


def key_of_each(key: Key[Array, "*keys"], mapped: Any, shared: Any) -> Key[Array, "*keys"]:
    """Return the key, made different along every axis of `jax.vmap` that maps over one argument only.

    Under `vmap`, examples that are mapped over with one read key would all see the same noise, and layers that are
    mapped over with one chip key the same devices. Axes that the key or what is shared is mapped over as well, such
    as one of many chips, are left alone: there a common key means common random numbers.

    Args:
        key: One key or an array of them.
        mapped: Arrays along whose mapped axes keys must differ, such as the inputs.
        shared: Arrays that do not vary along such an axis, such as the chip.

    Returns:
        The key itself where nothing is mapped; its `fold_in` with the index along the mapped axis elsewhere.

    Example:
        >>> x, key = jnp.ones((3, 8)), jax.random.key(0)
        >>> draws = jax.vmap(lambda x: jax.random.normal(key_of_each(key, x, ())))(x)
        >>> len(set(draws.tolist()))
        3
    """
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(mapped)):
        return key
    return _key(key, *jax.lax.stop_gradient((mapped, shared)))


@jax.custom_batching.custom_vmap
def _key(key: Array, mapped: Any, shared: Any) -> Array:
    return key


@_key.def_vmap
def _key_under_vmap(size: int, axes: list[Any], key: Array, mapped: Any, shared: Any) -> tuple[Array, bool]:
    key_is_mapped, alone = axes[0], any(jax.tree.leaves(axes[1])) and not any(jax.tree.leaves(axes[2]))
    # What is left for the axes outside this one: any example stands for all.
    mapped, shared = jax.tree.map(lambda leaf, axis: leaf[0] if axis else leaf, (mapped, shared), tuple(axes[1:]))
    key = _key(key, mapped, shared)
    if key_is_mapped or not alone:
        return key, key_is_mapped
    return jax.vmap(fold_in, (None, 0))(key, jnp.arange(size)), True
