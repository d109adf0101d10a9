"""How a rescaled layer is laid out on a tile; the layer itself stays as it is."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jaxtyping import Array, Float

from jaxaimc.nn import Hook, Host
from jaxaimc.nn.hosts.base import Layout
from jaxaimc.nn.hosts.wrapped import WrappedHost, changed


class RescaledHost(WrappedHost):
    """A layer's host, with another matrix on the tile: rows multiplied by a scale, and inputs divided by it.

    The layer itself, its parameters and its digital product stay as they are.

    Args:
        inner: The layer's own host.
        scale: Scale of each input, greater than zero [1].
    """

    def __init__(self, inner: Host, scale: tuple[float, ...]):
        super().__init__(inner)
        self.scale = scale

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the weights that the tile holds."""
        return self._scaled(self.inner.kernel(layer))

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer the weights with which the tile holds these."""
        self.inner.with_kernel(layer, w / self._rows(w))

    def layout(self, path: str, *arguments: Any, **named: Any) -> Layout:
        """Return one call of the layer's product, scaled."""
        layout = self.inner.layout(path, *arguments, **named)
        return changed(layout, self._scaled(layout.matrix), lambda x: x / jnp.asarray(self.scale, x.dtype))

    def _scaled(self, kernel: Float[Array, "*group n_in n_out"]) -> Float[Array, "*group n_in n_out"]:
        return kernel * self._rows(kernel)

    def _rows(self, kernel: Float[Array, "*group n_in n_out"]) -> Float[Array, "*group n_in 1"]:
        return jnp.asarray(self.scale, kernel.dtype).reshape(*kernel.shape[:-1], 1)


class ScaleCheck(Hook):
    """Keeps a layer's scales where a stored model has them, so that a chip with others is not read with these.

    Args:
        path: Path of the layer.
        scale: Scale of each input [1].
    """

    needs_vectors = False
    by_vector = True

    def __init__(self, path: str, scale: tuple[float, ...]):
        self.path = path
        self.expected = scale
        self.scale = nnx.Variable(jnp.asarray(scale, jnp.float32))

    def check(self) -> None:
        """Compare the scales, where they are known.

        Raises:
            ValueError: If they differ.
        """
        stored = self.scale.get_value()
        if not isinstance(stored, Tracer) and not np.array_equal(stored, self.expected):
            raise ValueError(
                f"Layer {self.path!r} has the chip of a model that was rescaled otherwise; rescale with the same "
                "inputs and `strength` before `restore_model`, or program the model anew."
            )
