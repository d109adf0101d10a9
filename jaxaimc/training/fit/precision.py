"""Mixed precision of a network's digital part; everything on a tile stays in single precision."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxaimc.nn.walk import products_of


def with_digital_dtype(model: nnx.Module, dtype: Any) -> nnx.Module:
    """Let a network's digital part compute in a shorter type: normalisation, embeddings, attention, digital layers.

    Parameters stay as they are. So do analog layers, in whichever mode: their kernels are programmed in full, their
    inputs are widened before the drive and their outputs come in single precision, because a shorter type would move
    charges across the steps of an ADC. It acts on modules with Flax's attribute `dtype`.

    Args:
        model: Any network. It is not changed.
        dtype: Floating type, such as `jnp.bfloat16`.

    Returns:
        The network with the same variables.

    Raises:
        ValueError: If `dtype` is no floating type.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"Argument `dtype` must be a floating type, but is {jnp.dtype(dtype).name}.")

    def visit(path: tuple, node: Any) -> Any:
        if isinstance(node, nnx.Module) and hasattr(node, "dtype") and not products_of(node):
            setattr(node, "dtype", jnp.dtype(dtype))  # noqa: B010 -- not every module has one
        return node

    return nnx.recursive_map(visit, model)


def widened(outputs: jax.Array) -> jax.Array:
    """Return a network's outputs in single precision if they are shorter, for the loss.

    Args:
        outputs: Outputs of any type.
    """
    short = jnp.issubdtype(outputs.dtype, jnp.floating) and jnp.finfo(outputs.dtype).bits < 32
    return outputs.astype(jnp.float32) if short else outputs
