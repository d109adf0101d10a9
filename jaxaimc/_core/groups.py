"""Mapping a function over many inputs in groups: several at once where that pays, one after another otherwise.

`jax.vmap` over hundreds of configs, chips or vectors computes every step of a function for all of them before the
next step, and on a CPU what is in between leaves the cache: 256 tiles of 256 x 256 take 1.3 times as long as a Python
loop. One after another, their intermediate results stay in the cache, but small ones take longer to start than to
compute. So they are mapped in groups that fill the cache; on an accelerator in groups that fill its memory.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxaimc._core.invariant import with_invariants_first
from jaxaimc._core.live import peak_bytes

R = TypeVar("R")

# What the intermediate results of a group may take on a CPU [byte]: half of a core's own cache as servers have it.
_CACHE = 2**20
# Most of a group: beyond it, on a CPU nothing is gained by starting operations less often, and on an accelerator groups
# that are not full cost more than they gain.
_MOST, _MOST_ON_ACCELERATOR = 16, 1024
# Share of an accelerator's memory, whose allocator and whose results need some as well.
_SHARE = 0.25
# Assumed memory of an accelerator that does not tell [byte].
_ASSUMED = 4 * 2**30


def map_in_groups(
    function: Callable[[Any], R], xs: Any, *, group: int | None = None, count: Int[Array, ""] | int | None = None
) -> R:
    """Map a function over the leading axis of arrays, a group at a time.

    For chips by their keys, configs or vectors that are more than stay in a CPU's cache or in an accelerator's memory,
    where `jax.vmap` computes all of them step by step. Call it under `jax.jit`. What does not depend on the entry is
    computed once, before (`with_invariants_first`).

    Args:
        function: Function of one entry of `xs`.
        xs: Pytree of arrays with one leading axis.
        group: Entries computed at once, by `jax.vmap`; chosen by `group_size` by default.
        count: How many entries, from the first, are computed; all by default. It may be traced, so that any number up
            to the size of `xs` shares one compilation.

    Returns:
        Results along a leading axis; those that are not computed are zero. Reverse-mode derivatives exist where
        `count` is not traced.

    Raises:
        ValueError: If `xs` has no arrays, they have leading axes of other sizes or none, or `group` is less than one.

    Example:
        >>> from jaxaimc import map_in_groups
        >>> map_in_groups(lambda x: x**2, jnp.arange(5.0), group=2).tolist()
        [0.0, 1.0, 4.0, 9.0, 16.0]
        >>> map_in_groups(lambda x: x + 1, jnp.arange(5.0), group=2, count=3).tolist()
        [1.0, 2.0, 3.0, 0.0, 0.0]
    """
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(xs)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise ValueError(
            "Argument `xs` must hold arrays with one leading axis that is not empty, but has leading axes "
            f"{sorted(sizes)}."
        )
    if group is not None and group < 1:
        raise ValueError(f"Argument `group` must be at least 1 or None, but is {group}.")
    ((size,),) = sizes
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    function = with_invariants_first(function, first)
    if group is None:
        group = group_size(function, first)
    group = max(1, min(group, size))
    count = size if count is None else count
    # The last group is filled up with the last entry.
    padded = jax.tree.map(lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], -size % group, axis=0)]), xs)
    results = jax.tree.map(
        lambda y: jnp.zeros((size + -size % group, *y.shape), y.dtype), jax.eval_shape(function, first)
    )

    def one(index: Array, results: R) -> R:
        start = index * group
        if group == 1:
            found = jax.tree.map(lambda y: y[None], function(jax.tree.map(lambda x: x[start], padded)))
        else:
            found = jax.vmap(function)(jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, group), padded))
        return jax.tree.map(lambda y, own: jax.lax.dynamic_update_slice_in_dim(y, own, start, 0), results, found)

    results = jax.lax.fori_loop(0, (count + group - 1) // group, one, results)
    wanted = jnp.arange(size) < count
    return jax.tree.map(
        lambda y: jnp.where(wanted.reshape(-1, *[1] * (y.ndim - 1)), y[:size], jnp.zeros_like(y[:size])), results
    )


def group_size(function: Callable[..., Any], *arguments: Any) -> int:
    """Return how many calls of a function are computed at once: on CPUs what stays in the cache.

    It follows from shapes and the kind of device alone, not from what memory is free, so that results are the same.

    Args:
        function: The function; it is traced.
        *arguments: Its arguments, or their shapes.
    """
    need = max(1, peak_bytes(jax.make_jaxpr(function)(*arguments)))
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return max(1, min(_MOST, _CACHE // need))
    limit = (device.memory_stats() or {}).get("bytes_limit", _ASSUMED)
    fitting = max(1, min(_MOST_ON_ACCELERATOR, int(_SHARE * limit) // need))
    return 2 ** (fitting.bit_length() - 1)
