"""Leaves of a tree as tensors and back: arrays, Python's numbers, typed random keys."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

Tensor = Shaped[np.ndarray, "..."]

# What safetensors writes and reads back alike through NumPy.
_STORABLE = {
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64"),
}
NUMBERS: dict[str, type] = {"bool": bool, "int": int, "float": float}
_KINDS = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
_REAL, _COMPLEX = 2, 3


class LeafError(ValueError):
    """A leaf that cannot be stored, or a stored one that is not what is wanted."""


def is_key(leaf: Any) -> bool:
    """Return whether a leaf is an array of typed random keys, or the shape of one."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def encode(leaf: Any, name: str) -> tuple[Any, Tensor]:
    """Turn a leaf into a tensor.

    Args:
        leaf: Array, number, or array of typed keys.
        name: Its path.

    Returns:
        What it was, as a JSON value: `"array"`, `"float"`, `{"key": "threefry2x32"}`; and the tensor.

    Raises:
        LeafError: If it is of a kind or type that cannot be stored.
    """
    if is_key(leaf):
        return {"key": str(jax.random.key_impl(leaf))}, np.asarray(jax.random.key_data(leaf), order="C")
    if not isinstance(leaf, (bool, int, float, np.ndarray, np.generic, jax.Array)):
        raise LeafError(f"Leaf {name!r} must be an array, a number or a random key, but is a {type(leaf).__name__}.")
    tensor = np.asarray(leaf, order="C")
    if tensor.dtype.name not in _STORABLE:
        raise LeafError(
            f"Leaf {name!r} must be of a type that safetensors holds, such as float32 or complex64, but is "
            f"{tensor.dtype.name}."
        )
    return next((kind for kind, cls in NUMBERS.items() if isinstance(leaf, cls)), "array"), tensor


def decode(kind: Any, name: str, tensor: Tensor) -> Any:
    """Turn a tensor into the leaf that it was.

    Args:
        kind: First result of `encode`.
        name: Its path.
        tensor: Second result of `encode`.

    Returns:
        A JAX array, a number, or typed keys.

    Raises:
        LeafError: If the tensor is none of that kind, or holds NaN.
    """
    if isinstance(kind, dict):
        try:
            return jax.random.wrap_key_data(jnp.asarray(tensor), impl=kind["key"])
        except (TypeError, ValueError) as error:
            raise LeafError(f"tensor {name!r} must hold random keys of kind {kind['key']!r}: {error}") from error
    if _number(tensor.dtype) >= _REAL and np.isnan(tensor).any():
        raise LeafError(f"tensor {name!r} must not hold NaN")
    if kind in NUMBERS:
        return number(name, tensor, NUMBERS[kind])
    return jnp.asarray(cast(name, tensor, tensor.dtype))


def number(name: str, tensor: Tensor, cls: type) -> Any:
    """Turn a tensor of one entry into a number.

    Raises:
        LeafError: If it has another shape or holds another kind of number.
    """
    if tensor.shape:
        raise LeafError(f"tensor {name!r} must have shape (), but has shape {tensor.shape}")
    if _number(tensor.dtype) != _number(np.dtype(cls)):
        raise LeafError(f"tensor {name!r} must hold {cls.__name__}, but holds {tensor.dtype}")
    return cls(tensor.item())


def cast(name: str, tensor: Tensor, dtype: Any) -> Tensor:
    """Return a tensor in another type of the same kind of number, if nothing is lost but to rounding.

    Raises:
        LeafError: If the kinds differ, or a value does not fit, such as 1e300 in float32.
    """
    wanted = np.dtype(jax.dtypes.canonicalize_dtype(dtype))
    kinds = _number(tensor.dtype), _number(wanted)
    if kinds[0] != kinds[1] and kinds != (_REAL, _COMPLEX):
        raise LeafError(f"tensor {name!r} must hold {wanted}, but holds {tensor.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        found = tensor.astype(wanted)
    lost = np.isfinite(tensor) & ~np.isfinite(found) if kinds[0] >= _REAL else found != tensor
    if lost.any():
        raise LeafError(f"tensor {name!r} must fit into {wanted}, but holds {tensor[lost].ravel()[0]}")
    return found


def is_finite(tensor: Tensor) -> bool:
    """Return whether no entry is NaN or infinite."""
    return _number(tensor.dtype) < _REAL or bool(np.isfinite(tensor).all())


def _number(dtype: Any) -> int:
    """Return which kind of number a type holds: 0 for flags, then whole, real and complex numbers."""
    return next(i for i, kind in enumerate(_KINDS) if jnp.issubdtype(dtype, kind))
