"""What a kind of layer has to say of its product to have it made on analog tiles."""

import abc
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float


class Host(abc.ABC):
    """A kind of layer that can be analog: where its weights are, and where its product.

    A layer is not exchanged for another one. Its product, an attribute that holds a function, is. A host of your own
    derives from this class and is given with a rule, `Rule(pattern, config, host=MyHost())`.

    Attributes:
        kind: Class of the layers, subclasses included.
        parameter: Name of the layer's attribute that holds the weights.
        rank: Number of axes that the weights of one layer have; those of a stack have more in front.
        slot: Name of the layer's attribute that holds its product, a function of inputs and weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, nn
        >>> class Gate(nnx.Module):
        ...     def __init__(self, rngs):
        ...         self.w = nnx.Param(rngs.params.normal((6, 4)))
        ...         self.product = jnp.matmul
        ...     def __call__(self, x):
        ...         return jax.nn.sigmoid(self.product(x, self.w[...]))
        >>> class GateHost(nn.Host):
        ...     kind, parameter, slot = Gate, "w", "product"
        ...     def kernel(self, layer):
        ...         return layer.w[...]
        >>> rules = [nn.Rule("w", AnalogConfig(), host=GateHost())]
        >>> analog = nn.convert(Gate(nnx.Rngs(0)), rules, jax.random.key(0))
        >>> nn.with_read_key(analog, jax.random.key(1))(jnp.ones((5, 6))).shape
        (5, 4)
    """

    kind: ClassVar[type[nnx.Module]]
    parameter: ClassVar[str] = "kernel"
    rank: ClassVar[int] = 2
    slot: ClassVar[str] = "dot_general"

    @abc.abstractmethod
    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the weights as the matrix that a tile is programmed from.

        Args:
            layer: A layer, or a stack of them.
        """

    def weights(self, layer: Any) -> Float[Array, "..."]:
        """Return the layer's parameter as it is.

        Args:
            layer: A layer, or a stack of them.
        """
        return getattr(layer, self.parameter)[...]

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer a weight variable of its own that holds other weights.

        Args:
            layer: A layer, which is changed; the variable that it has so far is not.
            w: What `kernel` returns from then on.
        """
        old = getattr(layer, self.parameter)
        setattr(layer, self.parameter, old.replace(w.reshape(old[...].shape).astype(old[...].dtype)))

    def stack(self, layer: Any) -> tuple[int, ...]:
        """Return the leading axes of a stack of layers, `()` for a layer of its own.

        Args:
            layer: A layer, or a stack of them.
        """
        shape = self.weights(layer).shape
        return tuple(shape[: len(shape) - self.axes(layer)])

    def axes(self, layer: Any) -> int:
        """Return the number of axes of one layer's weights; `rank` unless it differs between layers of the kind.

        Args:
            layer: A layer, or a stack of them.
        """
        return self.rank

    def problem(self, layer: Any) -> str | None:
        """Return why this layer cannot be analog, as a clause that follows its name, or None if it can.

        Args:
            layer: A layer of this kind.
        """
        return None

    def attach(self, layer: Any, op: Any) -> None:
        """Put an analog product in the place of the layer's own.

        Args:
            layer: A layer, which is changed.
            op: Product with the call of `jax.lax.dot_general`.
        """
        setattr(layer, self.slot, nnx.data(op))

    def detach(self, layer: Any, op: Any) -> None:
        """Put the layer's own product back.

        Args:
            layer: A layer, which is changed.
            op: What `attach` put there.
        """
        setattr(layer, self.slot, nnx.static(op.replaced))

    def product(self, layer: Any) -> Any:
        """Return what makes the layer's product now.

        Args:
            layer: A layer of this kind.
        """
        return getattr(layer, self.slot, None)

    # JAX compares the static parts of models: hosts of one class with equal fields are one.
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))
