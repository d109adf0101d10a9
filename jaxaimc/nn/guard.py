"""Kernels and the chips that were programmed from them: what must not drift apart in silence.

A programmed chip answers from its conductances, not from the layer's kernel. A kernel that is exchanged afterwards
changes nothing, and has no gradient. Both are noticed here: the first by a checksum wherever kernel and chip are
concrete arrays (under `jax.jit` nothing is compared), the second by a rule of differentiation, under `jit` as well.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, UInt32

from jaxaimc._core.sharding import divided_by_xla

_ODD = np.uint32(0x9E3779B1)


def checksum(kernel: Float[Array, "..."]) -> UInt32[Array, ""]:
    """Return a checksum of an array in single precision; equal on every platform, with and without `jit`.

    Args:
        kernel: Array of any shape and floating type.

    Example:
        >>> w = jnp.arange(6.0)
        >>> bool(checksum(w) == checksum(w.reshape(2, 3))), bool(checksum(w) == checksum(w[::-1]))
        (True, False)
    """
    bits = jax.lax.bitcast_convert_type(kernel.astype(jnp.float32), jnp.uint32).ravel()
    bits = (bits ^ (bits >> np.uint32(15))) * _ODD
    place = jax.lax.iota(jnp.uint32, bits.size) * np.uint32(2) + np.uint32(1)
    return jnp.sum(bits * place, dtype=jnp.uint32)


def check_weights(
    path: str, weights: Float[Array, "..."], expected: Any, stack: tuple[int, ...] = (), what: str = "kernel"
) -> None:
    """Check that a chip was programmed from these weights, if both are concrete.

    Args:
        path: Path of the layer, for the error.
        weights: The layer's parameter now, or its product's second operand.
        expected: Variable with its checksum when the chip was programmed, one for each layer of a stack; None if that
            is not known.
        stack: Axes of the stack.
        what: What of the layer is on the tile.

    Raises:
        ValueError: If the kernel is another.
    """
    sums = None if expected is None else expected.get_value()
    if sums is None or isinstance(weights, Tracer) or isinstance(sums, Tracer):
        return
    # Weights that a layer has rounded to a short type for its product cannot be compared, nor can many chips that
    # `vmap` has programmed from one kernel.
    if weights.dtype.itemsize < 4 or sums.shape != stack:
        return
    with jax.ensure_compile_time_eval():
        found = checksums(weights, stack)
    if not np.array_equal(found, sums):
        raise ValueError(
            f"Layer {path!r} has another {what} than the one its chip was programmed from; call "
            f"`jaxaimc.nn.program(model, key)` after `nnx.update` or any other change of the {what}."
        )


def checksums(weights: Float[Array, "..."], stack: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Return the checksum of every layer of a stack.

    Args:
        weights: Weights of all layers.
        stack: Axes of the stack, none for a layer of its own.
    """
    return divided_by_xla(functools.partial(_checksums, stack=stack), weights)(weights)


@functools.partial(jax.jit, static_argnames="stack")
def _checksums(weights: Float[Array, "..."], stack: tuple[int, ...]) -> UInt32[Array, "..."]:
    return jnp.vectorize(checksum, signature="(n)->()")(weights.reshape(*stack, -1))


def without_kernel_gradient(y: Array, kernel: Array, chip: Any, path: str, what: str = "kernel") -> Array:
    """Return `y`; refuse to differentiate with respect to a kernel that `y` does not depend on.

    Args:
        y: Output of a programmed chip.
        kernel: The layer's kernel.
        chip: Arrays of the chip. If they are differentiated as well, the chip was programmed from the kernel within
            the differentiated function and the gradient is right.
        path: Path of the layer, for the error.
        what: What of the layer is on the tile, in its kernel's place or beside it.

    Returns:
        `y`, the derivative of which raises a ValueError where it would leave the kernel out.
    """
    if not isinstance(kernel, Tracer):
        return y

    @jax.custom_jvp
    def same(y: Array, kernel: Array, chip: Any) -> Array:
        return y

    def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
        of_y, of_kernel, of_chip = tangents
        if not _is_zero(of_kernel) and all(_is_zero(leaf) for leaf in jax.tree.leaves(of_chip, is_leaf=_is_zero)):
            raise ValueError(
                f"Layer {path!r} is on a programmed chip, so that its output does not depend on its {what}, but it is "
                f"differentiated with respect to it: leave the {what} out (`nnx.DiffState` with a filter), or train in "
                '`nnx.view(model, analog_mode="train")`.'
            )
        return primals[0], jnp.zeros_like(primals[0]) if _is_zero(of_y) else of_y

    same.defjvp(rule, symbolic_zeros=True)
    return same(y, kernel, chip)


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)
