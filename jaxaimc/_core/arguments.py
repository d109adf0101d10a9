"""Checks of arguments: arrays, sizes, times and keys that functions are called with.

As in `checks`, a traced value passes but for its shape and kind."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaimc._core.checks import concrete, is_real, is_traced, shown


def as_real(name: str, value: Any) -> jax.Array:
    """Return an argument as an array of real numbers in floating point.

    Args:
        name: Name of the argument.
        value: Numbers of any kind: an array, a number, or nested lists of equal lengths.

    Returns:
        The array; whole numbers become single precision at least.

    Raises:
        ValueError: If it holds complex numbers, whose imaginary part would be lost, or no numbers at all.
    """
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Argument `{name}` must hold real numbers, but is {shown(value)}.") from error
    if not (is_real(array) or jnp.issubdtype(array.dtype, jnp.bool_)):
        raise ValueError(f"Argument `{name}` must hold real numbers, but has dtype {array.dtype}.")
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def as_matrix(name: str, value: Any, axes: str, *, groups: bool = False) -> jax.Array:
    """Return an argument as a non-empty, finite matrix of real numbers; see `as_real`.

    Args:
        name: Name of the argument.
        value: What was passed.
        axes: Names of its two axes, for the message.
        groups: Whether a matrix for each of several groups may be given as well, along a first axis.

    Returns:
        The matrix, or the matrices of all groups.

    Raises:
        ValueError: If it has another rank, an axis of size zero, entries that are not real numbers, or one that is
            NaN or infinite.
    """
    matrix = as_real(name, value)
    check_matrix(name, matrix, axes, groups=groups)
    return matrix


def check_matrix(name: str, value: Any, axes: str = "rows, cols", *, groups: bool = False) -> None:
    """Check that an argument is a non-empty, finite matrix of real numbers, or one for each of several groups.

    Raises:
        ValueError: If it has another rank, an axis of size zero, entries that are not real numbers, or one that is
            NaN or infinite.
    """
    shape = jnp.shape(value)
    if len(shape) not in ((2, 3) if groups else (2,)) or 0 in shape:
        allowed = f"({axes}) or (groups, {axes})" if groups else f"({axes})"
        raise ValueError(f"Argument `{name}` must have shape {allowed} with no empty axis, but has shape {shape}.")
    array = concrete(value)
    if array is None:
        return
    if not is_real(array):
        raise ValueError(f"Argument `{name}` must hold real numbers, but has dtype {array.dtype}.")
    if not np.all(np.isfinite(array)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        count = int(np.sum(~np.isfinite(array)))
        raise ValueError(
            f"Argument `{name}` must be finite, but {count} of {array.size} entries are not, "
            f"the first {array[where]} at {where}."
        )


def check_trailing(name: str, value: Any, size: int, axis: str = "rows") -> None:
    """Check the size of an argument's last axis.

    Raises:
        ValueError: If the argument is a scalar or its last axis has another size.
    """
    shape = jnp.shape(value)
    if not shape or shape[-1] != size:
        raise ValueError(f"Argument `{name}` must have shape (..., {axis}={size}), but has shape {shape}.")


def check_time(name: str, value: Any) -> None:
    """Check that an argument is one time in seconds, zero or later.

    Raises:
        ValueError: If it is an array, which would broadcast against the devices, negative, NaN, infinite or no number.
    """
    if shape := getattr(value, "shape", ()):
        raise ValueError(f"Argument `{name}` must be one time, but has shape {shape}; map over times with `jax.vmap`.")
    if is_traced(value):
        return
    array = concrete(value)
    if array is None or not is_real(array) or not np.all((array >= 0) & np.isfinite(array)):
        raise ValueError(f"Argument `{name}` must be a time in [0, inf) s, but is {shown(value)}.")


def check_key(name: str, key: Any, *, batched: bool = False) -> None:
    """Check that an argument is a typed random key.

    Args:
        name: Name of the argument.
        key: What was passed.
        batched: Whether an array of keys is allowed.

    Raises:
        ValueError: If it is anything else, such as an integer or a raw `uint32` key, or an array where one key is due.
    """
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        given = f"dtype {key.dtype}" if hasattr(key, "dtype") else f"{key!r}"
        raise ValueError(f"Argument `{name}` must be a typed key such as `jax.random.key(0)`, but is {given}.")
    if not batched and key.shape:
        raise ValueError(f"Argument `{name}` must be a single key, shape (), but has shape {key.shape}.")
