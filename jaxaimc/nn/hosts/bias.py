"""The bias of a layer as one more row of its tile.

    y_j = sum_i x_i W_ij + b_j  =  sum_i x_i W_ij + c (b_j / c)

A row that is driven with a constant input `c` and holds `b / c` adds the bias to the charge of every column, so that no
digital adder is needed. Like all rows it is programmed with errors, drifts, is read with noise and feels the wires. It
shares the conductances of its columns: where `|b_j| / c` is larger than all weights of column `j`, it stretches the
column's range, and less is left for the weights.

A layer adds its bias itself, after its product, where nothing can be exchanged. So its class is exchanged for a
subclass of it, which calls the layer without its bias and passes that on to the product. The layer's parameters, their
paths and what `isinstance` says of it stay as they were.
"""

import functools
import types
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc.nn.hosts.base import Host, Layout, Parts
from jaxaimc.nn.hosts.linear import call_problem
from jaxaimc.nn.hosts.wrapped import WrappedHost, changed, groups_of


class BiasHost(WrappedHost):
    """A layer's host, with the bias in a last row of the tile (with groups, in the last row of each).

    Args:
        inner: The layer's own host.
        bias_input: Constant input of the row, in the unit of the layer's inputs, greater than zero.
    """

    def __init__(self, inner: Host, bias_input: float):
        super().__init__(inner)
        self.bias_input = bias_input

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the layer's attributes whose values are on the tile."""
        return (*self.inner.parameters, "bias")

    @property
    def on_tile(self) -> str:
        """What of a layer is on the tile."""
        return f"{self.inner.on_tile} or bias"

    @property
    def constant(self) -> float | None:
        """Input of the row."""
        return self.bias_input

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the weights that the tile holds, the bias among them."""
        return self._with_row(self.inner.kernel(layer), self._own(layer))

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer the kernel and the bias with which the tile holds these."""
        self.inner.with_kernel(layer, w[..., :-1, :])
        self.inner.with_bias(layer, (w[..., -1, :] * self.bias_input).reshape(self._own(layer).shape))

    def problem(self, layer: Any) -> str | None:
        """Return why the layer's bias cannot be in a row."""
        problem = self.inner.problem(layer)
        if problem is not None:
            return problem
        if self.inner.bias(layer) is None:
            return "adds no bias to its product"
        return call_problem(self, layer)

    def layout(self, path: str, *arguments: Any, bias: Array | None = None, **named: Any) -> Layout:
        """Return one call of the layer's product, the bias included.

        Args:
            path: Path of the layer, for errors.
            *arguments: Those of the layer's own product.
            bias: The bias, one number for each column.
            **named: Those of the layer's own product.

        Raises:
            ValueError: If the bias is missing: the layer will add it, so that it would be added twice.
        """
        if bias is None:
            raise ValueError(
                f"Layer {path!r} makes its product past the `__call__` of {self.kind.__name__} and adds its bias in "
                "code of its own, while a row of its tile adds it as well; use `bias='digital'` in its rule."
            )
        layout = self.inner.layout(path, *arguments, **named)
        groups = groups_of(layout.matrix)

        def vectors(x: Float[Array, "*batch inner_in"]) -> Float[Array, "*batch n_in"]:
            batch, n_in = x.shape[:-1], x.shape[-1] // groups
            constants = jnp.full((*batch, groups, 1), self.bias_input, x.dtype)
            rows = jnp.concatenate([x.reshape(*batch, groups, n_in), constants], axis=-1)
            return rows.reshape(*batch, groups * (n_in + 1))

        return changed(layout, self._with_row(layout.matrix, bias), vectors)

    def digital(
        self, replaced: Callable[..., Array] | None, *arguments: Any, bias: Array | None = None, **named: Any
    ) -> Array:
        """Make a call of the layer's own product, and add the bias if the layer does not.

        Args:
            replaced: The layer's own product.
            *arguments: Those of the layer's own product.
            bias: The bias, one number for each column; None where the layer adds it.
            **named: Those of the layer's own product.
        """
        y = self.inner.digital(replaced, *arguments, **named)
        if bias is None:
            return y
        layout = self.inner.layout("", *arguments, **named)
        repeated = lambda x: jnp.broadcast_to(bias.astype(y.dtype), (*x.shape[:-1], bias.size))  # noqa: E731
        parts = layout.vectors
        if isinstance(parts, Parts):
            return y + layout.outputs(parts.together(parts.each(lambda index: repeated(parts.vectors(index)))))
        return y + layout.outputs(repeated(parts))

    def attach(self, layer: Any, op: Any) -> None:
        """Put an analog product in the place of the layer's own, and keep the bias from the layer's own code."""
        self.inner.attach(layer, op)
        # Not by `setattr`: Flax would note the class as one of the layer's attributes.
        object.__setattr__(layer, "__class__", _without_bias(type(layer), self.inner))

    def detach(self, layer: Any, op: Any) -> None:
        """Give the layer its class and its product back."""
        object.__setattr__(layer, "__class__", type(layer).with_bias)
        self.inner.detach(layer, op)

    def _own(self, layer: Any) -> Float[Array, "*stack n_out"]:
        bias = self.inner.bias(layer)
        if bias is None:
            raise ValueError(
                f"A {self.kind.__name__} has lost the bias that a row of its tile holds; convert the model anew, with "
                "`bias='digital'` in the rule of this layer."
            )
        return bias

    def _with_row(self, matrix: Array, bias: Array) -> Array:
        row = (bias / self.bias_input).astype(matrix.dtype)
        return jnp.concatenate([matrix, row.reshape(*matrix.shape[:-2], 1, matrix.shape[-1])], axis=-2)


class BiasInRow(nnx.Module):
    """What the subclasses of layers have whose bias is in a row: a call in which the product adds the bias.

    Attributes:
        digital_kind: The class of the digital layer.
        with_bias: The class that the layer had before.
        own_host: The layer's own host.
    """

    digital_kind: ClassVar[type[nnx.Module]]
    with_bias: ClassVar[type[nnx.Module]]
    own_host: ClassVar[Host]

    def __call__(self, *arguments: Any, **named: Any) -> Array:
        """Call the layer; its product adds the bias, unless it is digital."""
        host = self.own_host
        kind: Any = host.calling()
        product = getattr(self, host.slot)
        if getattr(product, "analog_mode", None) == "digital":
            return kind.__call__(self, *arguments, **named)
        # A stand-in with the same variables: what the layer's own code sets in its call, it sets on those.
        layer = object.__new__(kind)
        passed = functools.partial(product, bias=host.bias(self))
        vars(layer).update({**vars(self), "bias": None, "use_bias": False, host.slot: passed})
        return kind.__call__(layer, *arguments, **named)

    def __reduce__(self) -> tuple[Any, ...]:
        # The subclass has no name under which `pickle` would find it.
        return _empty, (type(self).with_bias, self.own_host), self.__getstate__()


@functools.cache
def _without_bias(kind: type[nnx.Module], host: Host) -> type[nnx.Module]:
    """Return the subclass of a class of layers in which the product adds the bias."""
    if issubclass(kind, BiasInRow):
        return kind
    known = {"own_host": host, "with_bias": kind, "digital_kind": getattr(kind, "digital_kind", kind)}
    base = host.calling()
    own = _class(base, (BiasInRow, base), known)
    # Behind the class in the order of resolution: a `__call__` of its own that calls the one of its base is kept.
    return own if kind is base else _class(kind, (kind, own), known)


def _class(kind: type, bases: tuple[type, ...], known: dict[str, Any]) -> type:
    names = {**known, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return types.new_class(kind.__name__, bases, exec_body=lambda body: body.update(names))


def _empty(kind: type[nnx.Module], host: Host) -> Any:
    return object.__new__(_without_bias(kind, host))
