"""What a kind of layer has to say of its product to have it made on analog tiles."""

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jaxaimc._core.random import fold_in
from jaxaimc._core.sharding import reshaped
from jaxaimc.tile import Window


class Parts(NamedTuple):
    """The vectors of a call that are too many to be held at once: they are made and read one part after the other.

    Attributes:
        count: Number of parts, of equally many vectors.
        of_example: Number of parts that an example is divided into, one where a part holds whole examples; the parts
            of an example follow each other.
        vectors: Makes the vectors of a part from its number.
        together: Puts what was made of the vectors of all parts, along a first axis, in the order of the whole.
    """

    count: int
    of_example: int
    vectors: Callable[[Int[Array, ""]], Float[Array, "*part n_in"]]
    together: Callable[[Float[Array, "part *part n"]], Float[Array, "*batch n"]]

    def each(self, function: Callable[[Int[Array, ""]], Array]) -> Array:
        """Return what a function makes of the number of every part, along a first axis.

        Its intermediate results are not kept for a gradient, but computed anew.

        Args:
            function: What is called for one part at a time.
        """
        return jax.lax.map(jax.checkpoint(function), jnp.arange(self.count))

    def whole(self) -> Float[Array, "*batch n_in"]:
        """Return all vectors."""
        return self.together(self.each(self.vectors))

    def key(self, key: Key[Array, "*keys"] | None, index: Int[Array, ""]) -> Key[Array, "..."] | None:
        """Return the read key of a part, so that each draws noise of its own.

        Args:
            key: One key for all, or one for each example, on which alone its noise then depends unless it is divided.
            index: Number of the part.
        """
        if key is None or key.ndim == 0:
            return key if key is None else fold_in(key, index)
        own = key.reshape(self.count // self.of_example, -1, *key.shape[1:])[index // self.of_example]
        return own if self.of_example == 1 else fold_in(own, index % self.of_example)


class Images(NamedTuple):
    """The inputs of a call whose vectors are what is under a window that slides over images.

    Attributes:
        x: The images.
        window: The window.
        at_once: Returns how many images may be read at once, from the number of charges that a window has.
    """

    x: Float[Array, "example *spatial channel"]
    window: Window
    at_once: Callable[[int], int]

    def parts(self, charges: int) -> Parts | None:
        """Return some of the images at a time, or None if all may be read at once.

        Args:
            charges: Number of charges that a window has.
        """
        # The size of a symbolic batch is not known.
        count, most = self.x.shape[0], self.at_once(charges)
        if not isinstance(count, int) or count <= most:
            return None
        size = largest_divisor(count, most)
        x = self.x.reshape(count // size, size, *self.x.shape[1:])
        return Parts(count // size, 1, lambda index: x[index], lambda y: y.reshape(count, *y.shape[2:]))


class Layout(NamedTuple):
    """One call of a layer's product, as a matrix product.

    Attributes:
        vectors: Inputs of the matrix product, or a way to make them in parts.
        matrix: Its weights, which are those of `Host.kernel`.
        outputs: Gives the outputs of the matrix product the shape that the layer expects.
        images: The same inputs as images, where the vectors are windows of them.
    """

    vectors: Float[Array, "*batch n_in"] | Parts
    matrix: Float[Array, "*group n_in n_out"]
    outputs: Callable[[Array], Array]
    images: Images | None = None

    @property
    def every_vector(self) -> Float[Array, "*batch n_in"]:
        """All inputs of the matrix product, at once."""
        return self.vectors.whole() if isinstance(self.vectors, Parts) else self.vectors

    @property
    def dtype(self) -> jnp.dtype:
        """Precision of the inputs; layers give their kernel the same before they multiply."""
        return self.matrix.dtype if isinstance(self.vectors, Parts) else self.vectors.dtype


def largest_divisor(count: int, most: int) -> int:
    """Return the largest divisor of a number up to a bound, one at least.

    Args:
        count: The number.
        most: The bound.
    """
    return next((size for size in range(min(count, most), 1, -1) if count % size == 0), 1)


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

        Weights that multiply a group of the inputs each have one axis more, (groups, n_in, n_out).

        Args:
            layer: A layer, or a stack of them.
        """

    def bound(self, layer: Any) -> "Host":
        """Return the host of one layer: this one, unless layers of the kind differ in more than their weights.

        Args:
            layer: A layer, or a stack of them.
        """
        return self

    def weights(self, layer: Any) -> Float[Array, "..."]:
        """Return the layer's parameter, its entries in the order of the matrix that `layout` makes of it.

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

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the layer's attributes whose values are on the tile."""
        return (self.parameter,)

    @property
    def on_tile(self) -> str:
        """What of a layer is on the tile, for messages."""
        return "kernel"

    @property
    def constant(self) -> float | None:
        """Input of the row that holds the bias, in the unit of the layer's inputs; None where no row does."""
        return None

    def bias(self, layer: Any) -> Float[Array, "*stack n_out"] | None:
        """Return the bias that the layer adds to its product, a number for each column of the matrix.

        A host that returns one says that the layer's `__call__`, that of `calling`, adds `self.bias` to what its
        product returns, to all vectors alike, and adds nothing where that is None. A row of the tile can hold such a
        bias.

        Args:
            layer: A layer, or a stack of them.

        Returns:
            The bias; None, as here, where there is none or where the layer adds it in another way.
        """
        return None

    def with_bias(self, layer: Any, b: Float[Array, "*stack n_out"]) -> None:
        """Give a layer a bias variable of its own that holds another bias.

        Args:
            layer: A layer, which is changed; the variable that it has so far is not.
            b: What `bias` returns from then on.
        """
        old = layer.bias
        layer.bias = old.replace(b.reshape(old[...].shape).astype(old[...].dtype))

    def calling(self) -> type[nnx.Module]:
        """Return the class whose `__call__` makes the product of a layer with an analog one, and adds the bias."""
        return self.kind

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return a shape of inputs that the layer takes.

        Args:
            layer: A layer, or a stack of them.
        """
        return (1, self.kernel(layer).shape[-2])

    def stack(self, layer: Any) -> tuple[int, ...]:
        """Return the leading axes of a stack of layers, `()` for a layer of its own.

        Args:
            layer: A layer, or a stack of them.
        """
        shape = getattr(layer, self.parameter).shape
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

    def layout(self, path: str, x: Array, kernel: Array, *arguments: Any, **named: Any) -> Layout:
        """Return one call of the layer's product as vectors that are multiplied with the matrix on the chip.

        This one has the call of `jax.lax.dot_general`; hosts of layers with another product override it.

        Args:
            path: Path of the layer, for errors.
            x: Inputs, as the layer passes them to its product.
            kernel: Weights, as the layer passes them.
            *arguments: What the layer passes besides. Without `dimension_numbers` the last axis of `x` is contracted
                with the first of the kernel, as `jnp.matmul` does.
            **named: What the layer passes by name.

        Raises:
            ValueError: If a tile cannot make the product.
        """
        x_axes, contracted = _contraction(path, x, *arguments, **named)
        free = [axis for axis in range(x.ndim) if axis not in x_axes]
        # Sizes are not left open by -1, which an empty batch would not tell.
        n_in = math.prod(x.shape[axis] for axis in x_axes)
        batch = tuple(x.shape[axis] for axis in free)
        return Layout(
            vectors=x.transpose(*free, *x_axes).reshape(*batch, n_in),
            matrix=reshaped(kernel, (math.prod(kernel.shape[:contracted]), math.prod(kernel.shape[contracted:]))),
            outputs=lambda y: y.reshape(*batch, *kernel.shape[contracted:]),
        )

    def digital(self, replaced: Callable[..., Array] | None, *arguments: Any, **named: Any) -> Array:
        """Make a call of the layer's product as the layer made it before it was converted.

        Args:
            replaced: The layer's own product, `jax.lax.dot_general` if None.
            *arguments: Those of the layer's own product.
            **named: Those of the layer's own product.
        """
        return (replaced or jax.lax.dot_general)(*arguments, **named)

    def attach(self, layer: Any, op: Any) -> None:
        """Put an analog product in the place of the layer's own.

        Args:
            layer: A layer, which is changed.
            op: Product with the call of the layer's own.
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


def _contraction(
    path: str, x: Array, dimension_numbers: Any = None, *arguments: Any, **named: Any
) -> tuple[tuple[int, ...], int]:
    """Return the axes of the inputs that are summed over, and the number of leading axes of the kernel."""
    if dimension_numbers is None:
        return (x.ndim - 1,), 1
    (x_axes, kernel_axes), batch_axes = dimension_numbers
    if any(batch_axes) or tuple(kernel_axes) != tuple(range(len(kernel_axes))):
        raise ValueError(
            f"Layer {path!r} contracts kernel axes {tuple(kernel_axes)} with batch axes {batch_axes}; an analog layer "
            "contracts the first kernel axes and has no batch axes."
        )
    return tuple(x_axes), len(kernel_axes)
