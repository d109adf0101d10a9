"""The chip of a training step: programmed anew, its noise a constant of the step.

XLA fuses whatever is elementwise, and on processors it then computes the hash and the inverse error function of every
draw again in every loop that needs a conductance, in whatever memory order that loop has. That cost several times the
draws themselves; so conductances are put into memory once, on the way forward and on the way back.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import matrix, nn
from jaxaimc.nn import AnalogDot, EffectiveMatrix
from jaxaimc.nn.variables import Conductance
from jaxaimc.training.random import fast_key


def with_constant_noise(chip: nnx.Module) -> nnx.Module:
    """Let gradients of a programmed model see its programming noise as a constant.

    A conductance is its target plus noise, and the noise does not move with the target; that the spread depends on
    the target, and that a device cannot go below zero, is left out of the gradient, not of the value.

    Args:
        chip: Result of `jaxaimc.nn.program`. It is not changed.

    Returns:
        The chip with the same conductances.
    """

    def visit(path: tuple, node: Any) -> Any:
        if isinstance(node, AnalogDot) and node.programmed is not None:
            programmed: matrix.Programmed = node.programmed.get_value()
            tiles = programmed.tiles
            noise = in_memory(jax.lax.stop_gradient(tiles.g - tiles.g_target))
            changed = replace(programmed, tiles=replace(tiles, g=in_memory(tiles.g_target + noise)))
            node.programmed = Conductance(changed)
            node.prepared = EffectiveMatrix(matrix.prepare(node.config.get_value(), changed))
        return node

    return nnx.recursive_map(visit, chip)


def training_chip(model: nnx.Module, key: Key[Array, ""]) -> nnx.Module:
    """Program every analog layer for one training step, with hashed draws and constant noise.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        key: Chip key.

    Returns:
        The model on that chip.
    """
    return with_constant_noise(nn.program(model, fast_key(key)))


@jax.custom_vjp
def in_memory(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return `x`; neither `x` nor its cotangent is fused with what comes after it.

    Args:
        x: Array of one axis or more.
    """
    return _copied(x)


def _copied(x: Float[Array, "..."]) -> Float[Array, "..."]:
    rows = x.size // x.shape[-1] if x.size else 0
    if rows < 2:
        return x
    parts = next(number for number in range(2, rows + 1) if rows % number == 0)

    # A loop is what XLA does not fuse across; of an optimisation barrier nothing is left on processors. The test is
    # always true, but neither JAX nor XLA knows that.
    def copy(count: Array, part: Array) -> tuple[Array, Array]:
        return count + 1, jnp.where(count < parts, part, 0)

    _, copied = jax.lax.scan(copy, jnp.zeros((), jnp.int32), x.reshape(parts, rows // parts, x.shape[-1]))
    return copied.reshape(x.shape)


in_memory.defvjp(lambda x: (_copied(x), None), lambda _, g: (_copied(g),))
