"""Linear layers: `nnx.Linear`, `nnx.LinearGeneral` and their subclasses."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import Array, Float

from jaxaimc._core.sharding import reshaped
from jaxaimc.nn.hosts.base import Host


class LinearHost(Host):
    """`y = x W + b`: the last axis of the inputs with the kernel."""

    kind = nnx.Linear

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the kernel."""
        return layer.kernel[...]

    def bias(self, layer: Any) -> Float[Array, "*stack n_out"] | None:
        """Return the bias."""
        return None if layer.bias is None else layer.bias[...]

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return the shape of one vector."""
        return (1, layer.in_features)

    def problem(self, layer: Any) -> str | None:
        """Return why the layer's product cannot be exchanged: it has one of its own, or its call does not use it."""
        if layer.dot_general is not jax.lax.dot_general:
            return "has a `dot_general` of its own, which a tile would not compute"
        return call_problem(self, layer)


class LinearGeneralHost(Host):
    """Any axes of the inputs with as many of the kernel, both flattened in order."""

    kind = nnx.LinearGeneral

    def axes(self, layer: Any) -> int:
        """Return the axes that are summed over and those that are not."""
        return len(layer.in_features) + len(layer.out_features)

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the kernel with the axes that are summed over made one, and the others as well."""
        kernel = layer.kernel[...]
        lead = kernel.shape[: kernel.ndim - self.axes(layer)]
        return reshaped(kernel, (*lead, math.prod(layer.in_features), math.prod(layer.out_features)))

    def bias(self, layer: Any) -> Float[Array, "*stack n_out"] | None:
        """Return the bias with its axes made one."""
        if layer.bias is None:
            return None
        return layer.bias[...].reshape(*self.stack(layer), math.prod(layer.out_features))

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return a shape in which the axes that are summed over have their sizes, and all others one."""
        rank = max([len(layer.axis) + 1, *(axis + 1 if axis >= 0 else -axis for axis in layer.axis)])
        shape = [1] * rank
        for axis, size in zip(layer.axis, layer.in_features, strict=True):
            shape[axis] = size
        return tuple(shape)

    def problem(self, layer: Any) -> str | None:
        """Return why the layer's product cannot be exchanged: batch axes, or a product of its own."""
        if layer.batch_axis:
            return f"has batch axes {dict(layer.batch_axis)}, a matrix for each of their entries"
        if layer.dot_general_cls is not None:
            return "makes its own product by `dot_general_cls`, which a tile would not compute"
        if layer.dot_general not in (None, jax.lax.dot_general):
            return "has a `dot_general` of its own, which a tile would not compute"
        return call_problem(self, layer)


def call_problem(host: Host, layer: Any, method: str = "__call__") -> str | None:
    """Return why the call of a subclass does not pass on what its product returns, or None.

    A subclass may compute its product otherwise than by the host's slot, or change the kernel first. The layer is
    called once on zeros to see that.

    Args:
        host: Host of the kind.
        layer: Layer of the kind.
        method: The method that makes the product.
    """
    if getattr(type(layer), method) is getattr(host.kind, method):
        return None
    seen: list[Array] = []
    shape = host.example_shape(layer)
    graph, state = nnx.split(layer)
    stack = len(host.stack(layer))
    copy: Any = nnx.merge(graph, jax.tree.map(lambda leaf: leaf[(0,) * stack], state), copy=True)
    own = host.kernel(copy)
    replaced = host.product(copy)

    def record(*arguments: Any, **named: Any) -> Array:
        seen.append(host.layout("", *arguments, **named).matrix)
        return host.digital(replaced, *arguments, **named)

    host.attach(copy, record)
    try:
        getattr(copy, method)(jnp.zeros(shape, own.dtype))
    except Exception as error:  # whatever a stranger's layer raises
        return f"could not be called on inputs of shape {shape} to see how it makes its product ({error})"
    if not seen:
        return f"does not make its product by `self.{host.slot}`"
    if any(not _same(kernel, own) for kernel in seen):
        return "changes its kernel before the product, while a tile holds the kernel as it is"
    return None


def _same(kernel: Array, own: Array) -> bool:
    if isinstance(kernel, Tracer) or isinstance(own, Tracer):
        return True
    return kernel.shape == own.shape and np.array_equal(kernel, own.astype(kernel.dtype), equal_nan=True)
