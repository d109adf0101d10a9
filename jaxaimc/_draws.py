"""Random draws with one key for a whole array or a key for each of its leading entries."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float, Key

from jaxaimc import _normals
from jaxaimc._checks import check_key


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
    key: Key[Array, "*keys"] | None, shape: tuple[int, ...], dtype: jax.typing.DTypeLike, *, axes: int, where: str
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
    return _draw(_normals.normal, key, shape, dtype, axes, where)


def uniform(
    key: Key[Array, "*keys"] | None, shape: tuple[int, ...], dtype: jax.typing.DTypeLike, *, axes: int, where: str
) -> Float[Array, "..."]:
    """Draw uniformly from `[0, 1)`. See `normal`."""
    return _draw(jax.random.uniform, key, shape, dtype, axes, where)


def _draw(
    function: Callable[..., Array],
    key: Key[Array, "*keys"] | None,
    shape: tuple[int, ...],
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
