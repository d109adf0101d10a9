"""A host around another: what it does not change is that of the inner one."""

import math
from collections.abc import Callable
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jaxaimc.nn.hosts.base import Host, Layout, Parts


class WrappedHost(Host):
    """A layer's host, with another matrix on the tile and other inputs. Derived classes say which.

    The layer, its parameters and its digital product stay as they are.

    Args:
        inner: The layer's own host.
    """

    def __init__(self, inner: Host):
        self.inner = inner
        # What a class of hosts says of itself, this one says of its instances.
        vars(self).update({name: getattr(inner, name) for name in ("kind", "parameter", "rank", "slot")})

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the layer's attributes whose values are on the tile."""
        return self.inner.parameters

    @property
    def on_tile(self) -> str:
        """What of a layer is on the tile."""
        return self.inner.on_tile

    @property
    def constant(self) -> float | None:
        """Input of the row that holds the bias."""
        return self.inner.constant

    def weights(self, layer: Any) -> Float[Array, "..."]:
        """Return what the tile holds, in the order of its matrix."""
        return self.kernel(layer)

    def bias(self, layer: Any) -> Float[Array, "*stack n_out"] | None:
        """Return the bias that the layer adds."""
        return self.inner.bias(layer)

    def with_bias(self, layer: Any, b: Float[Array, "*stack n_out"]) -> None:
        """Give a layer a bias of its own."""
        self.inner.with_bias(layer, b)

    def calling(self) -> type[nnx.Module]:
        """Return the class whose `__call__` makes the product."""
        return self.inner.calling()

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return a shape of inputs that the layer takes."""
        return self.inner.example_shape(layer)

    def stack(self, layer: Any) -> tuple[int, ...]:
        """Return the axes of a stack."""
        return self.inner.stack(layer)

    def axes(self, layer: Any) -> int:
        """Return the number of axes of the layer's parameter."""
        return self.inner.axes(layer)

    def problem(self, layer: Any) -> str | None:
        """Return why the layer cannot be analog."""
        return self.inner.problem(layer)

    def digital(self, replaced: Callable[..., Array] | None, *arguments: Any, **named: Any) -> Array:
        """Make a call of the layer's own product."""
        return self.inner.digital(replaced, *arguments, **named)

    def attach(self, layer: Any, op: Any) -> None:
        """Put an analog product in the place of the layer's own."""
        self.inner.attach(layer, op)

    def detach(self, layer: Any, op: Any) -> None:
        """Put the layer's own product back."""
        self.inner.detach(layer, op)

    def product(self, layer: Any) -> Any:
        """Return what makes the layer's product now."""
        return self.inner.product(layer)


def changed(layout: Layout, matrix: Array, vectors: Callable[[Array], Array]) -> Layout:
    """Return a call of a product with another matrix and other inputs.

    Args:
        layout: The call.
        matrix: The matrix on the tile.
        vectors: Makes the inputs of the tile from those of the call, some vectors at a time.
    """
    present = layout.vectors
    if isinstance(present, Parts):
        make = present.vectors
        inputs = present._replace(vectors=lambda index: vectors(make(index)))
        return layout._replace(matrix=matrix, images=None, vectors=inputs)
    return layout._replace(matrix=matrix, images=None, vectors=vectors(present))


def groups_of(matrix: Float[Array, "*group n_in n_out"]) -> int:
    """Return the number of matrices that have inputs of their own.

    Args:
        matrix: One matrix, or those of all groups.
    """
    return math.prod(matrix.shape[:-2])
