"""Tied output layers: the `attend` of `nnx.Embed` and its subclasses.

An embedding looks vectors up, which is no product and stays digital, and its `attend` multiplies with the same table:
the output layer of language models with tied weights (Press and Wolf 2017, arXiv 1608.05859). Flax makes this product
in the method itself and not by an attribute that could be exchanged. So the layer's class is exchanged for a subclass
of it, in which `attend` makes its product by `self.attend_product`; the layer's parameters, their paths and what
`isinstance` says of it stay as they were.
"""

import functools
import types
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc.nn.hosts.base import Host
from jaxaimc.nn.hosts.linear import call_problem


class EmbedHost(Host):
    """`attend`: `y = x E^T` with the table `E`; its rows are the columns of the matrix.

    The table is one parameter. Noise that training puts on the weights of analog layers is seen by look-ups too.
    """

    kind = nnx.Embed
    parameter = "embedding"
    slot = "attend_product"

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the table, transposed."""
        return jnp.swapaxes(layer.embedding[...], -1, -2)

    def weights(self, layer: Any) -> Float[Array, "..."]:
        """Return the table in the order of the matrix."""
        return self.kernel(layer)

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer a table of its own, which look-ups read as well."""
        old = layer.embedding
        layer.embedding = old.replace(jnp.swapaxes(w, -1, -2).astype(old[...].dtype))

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return the shape of one vector."""
        return (1, layer.features)

    def problem(self, layer: Any) -> str | None:
        """Return why the `attend` of a subclass does not pass on what Flax's returns."""
        return call_problem(self, layer, "attend")

    def attach(self, layer: Any, op: Any) -> None:
        """Put an analog product in the place of the one in `attend`."""
        # Not by `setattr`: Flax would note the class as one of the layer's attributes.
        object.__setattr__(layer, "__class__", _with_slot(type(layer)))
        super().attach(layer, op)

    def detach(self, layer: Any, op: Any) -> None:
        """Give the layer its class back."""
        delattr(layer, self.slot)
        object.__setattr__(layer, "__class__", layer.digital_kind)

    def product(self, layer: Any) -> Any:
        """Return what makes the layer's product now."""
        return getattr(layer, self.slot, by_dot)


def by_dot(query: Array, table: Array, **named: Any) -> Array:
    """Return the product that Flax's `attend` makes; `jnp.dot` itself cannot be pickled."""
    return jnp.dot(query, table, **named)


class AttendByProduct(nnx.Embed):
    """An embedding whose `attend` makes its product by an attribute.

    Attributes:
        digital_kind: The class that the layer had before.
        attend_product: Product with the call of `jnp.dot`.
    """

    digital_kind: ClassVar[type[nnx.Embed]] = nnx.Embed
    attend_product: Any

    def attend(self, query: Float[Array, "*batch features"], out_sharding: Any = None) -> Float[Array, "*batch rows"]:
        """Return the product of vectors with every row of the table."""
        query, table = self.promote_dtype((query, self.embedding[...]), dtype=self.dtype)
        return self.attend_product(query, table.T, out_sharding=out_sharding)

    def __reduce__(self) -> tuple[Any, ...]:
        # The subclass of a user's class has no name under which `pickle` would find it.
        return _empty, (type(self).digital_kind,), self.__getstate__()


@functools.cache
def _with_slot(kind: type[nnx.Embed]) -> type[nnx.Embed]:
    """Return the subclass of a class of embeddings in which `attend` makes its product by an attribute."""
    if issubclass(kind, AttendByProduct):
        return kind
    if kind is nnx.Embed:
        return AttendByProduct
    # Behind the class in the order of resolution: an `attend` of its own that calls the one of its base is kept.
    names = {"digital_kind": kind, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return types.new_class(kind.__name__, (kind, AttendByProduct), exec_body=lambda body: body.update(names))


def _empty(kind: type[nnx.Embed]) -> Any:
    cls = _with_slot(kind)
    return object.__new__(cls)
