"""Einstein sums of inputs with a kernel: `nnx.Einsum` and its subclasses."""

import math
import re
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc._core.sharding import reshaped
from jaxaimc.nn.hosts.base import Host, Layout
from jaxaimc.nn.hosts.linear import call_problem

_ELLIPSIS = "..."


class EinsumHost(Host):
    """`y = einsum(equation, x, W) + b`, where the equation is a product with one matrix.

    Every label of the kernel is either summed over together with the inputs or belongs to the output alone. The rows
    of the matrix are the labels of the first kind, its columns those of the second, both in the kernel's order.
    In `"nta,hab->nthb"`, `a` counts the rows, and `h` and `b` together count the columns.

    Args:
        order: Axes of the kernel that are rows and that are columns, of the layer that a chip is programmed from; None
            for a host of any layer.
    """

    kind = nnx.Einsum
    slot = "einsum_op"

    def __init__(self, order: tuple[tuple[int, ...], tuple[int, ...]] | None = None):
        self.order = order

    def bound(self, layer: Any) -> "EinsumHost":
        """Return the host of layers with the equation of this one."""
        return type(self)(_parsed(layer.einsum_str).order)

    def axes(self, layer: Any) -> int:
        """Return the number of the kernel's labels."""
        return len(_parsed(layer.einsum_str).kernel)

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the kernel with the labels that are summed over made one axis, and the others as well."""
        return _matrix(layer.kernel[...], _parsed(layer.einsum_str).order)

    def weights(self, layer: Any) -> Float[Array, "..."]:
        """Return the kernel in the order of the matrix."""
        return self.kernel(layer)

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer a kernel variable of its own that holds other weights, from their matrix."""
        old = layer.kernel
        stack = self.stack(layer)
        lead = len(stack)
        rows, cols = _parsed(layer.einsum_str).order
        axes = [lead + axis for axis in (*rows, *cols)]
        sizes = [old.shape[axis] for axis in axes]
        back = [*range(lead), *(lead + place for place in _inverse((*rows, *cols)))]
        layer.kernel = old.replace(w.reshape(*stack, *sizes).transpose(back).astype(old[...].dtype))

    def bias(self, layer: Any) -> Float[Array, "*stack n_out"] | None:
        """Return the bias, which has the labels of the columns in the order of the output, in that of the kernel."""
        return None if layer.bias is None else self._columns(layer, layer.bias[...], from_outputs=True)

    def with_bias(self, layer: Any, b: Float[Array, "*stack n_out"]) -> None:
        """Give a layer a bias variable of its own."""
        super().with_bias(layer, self._columns(layer, b, from_outputs=False))

    def _columns(self, layer: Any, b: Array, *, from_outputs: bool) -> Array:
        """Return numbers of the columns, flat, from the order of the output in that of the kernel, or the reverse."""
        labels = _parsed(layer.einsum_str)
        cols = labels.order[1]
        of_outputs = [labels.kernel.index(label) for label in labels.outputs if label in labels.kernel]
        given, wanted = (of_outputs, cols) if from_outputs else (cols, of_outputs)
        stack = self.stack(layer)
        b = b.reshape(*stack, *(layer.kernel_shape[axis] for axis in given))
        b = b.transpose(*range(len(stack)), *(len(stack) + given.index(axis) for axis in wanted))
        return b.reshape(*stack, math.prod(layer.kernel_shape[axis] for axis in cols))

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return a shape in which the labels of the kernel have their sizes, and all others one."""
        labels = _parsed(layer.einsum_str)
        sizes = dict(zip(labels.kernel, layer.kernel_shape, strict=True))
        return tuple(sizes.get(label, 1) for label in labels.inputs if label != _ELLIPSIS)

    def problem(self, layer: Any) -> str | None:
        """Return why the layer's product is not one with a matrix, or cannot be exchanged."""
        problem = _equation_problem(layer.einsum_str)
        if problem is not None:
            return problem
        if layer.einsum_op is not jnp.einsum:
            return "has an `einsum_op` of its own, which a tile would not compute"
        return call_problem(self, layer)

    def layout(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str, equation: str, x: Array, kernel: Array, **named: Any
    ) -> Layout:
        """Return one call of `jnp.einsum` as vectors that are multiplied with the matrix on the chip.

        Args:
            path: Path of the layer, for errors.
            equation: The equation, of the layer or of this call.
            x: Inputs.
            kernel: Weights.
            **named: What the layer passes by name; it changes nothing here.

        Raises:
            ValueError: If the equation is no product with one matrix, or with another than the chip's.
        """
        problem = _equation_problem(equation)
        if problem is not None:
            raise ValueError(f"Layer {path!r} {problem}.")
        labels = _parsed(equation)
        if self.order not in (None, labels.order):
            raise ValueError(
                f"Layer {path!r} was called with the equation {equation!r}, which makes another matrix of the kernel "
                "than the layer's own equation, from which its chip is programmed; put a layer with this equation in "
                "its place."
            )
        inputs, outputs = _expanded(labels.inputs, x.ndim), labels.outputs
        ellipsis = [label for label in inputs if isinstance(label, int)]
        outputs = [other for label in outputs for other in (ellipsis if label == _ELLIPSIS else [label])]
        rows, cols = ([labels.kernel[axis] for axis in axes] for axes in labels.order)
        batch = [label for label in inputs if label not in rows]
        sizes = {**dict(zip(labels.kernel, kernel.shape, strict=True)), **dict(zip(inputs, x.shape, strict=True))}
        shape = [sizes[label] for label in batch]
        return Layout(
            vectors=x.transpose([inputs.index(label) for label in (*batch, *rows)]).reshape(
                *shape, math.prod(sizes[label] for label in rows)
            ),
            matrix=_matrix(kernel, labels.order),
            outputs=lambda y: y.reshape(*shape, *(sizes[label] for label in cols)).transpose(
                [(*batch, *cols).index(label) for label in outputs]
            ),
        )


class _Labels(NamedTuple):
    """Labels of an equation, an ellipsis as one of them."""

    inputs: list[str]
    kernel: list[str]
    outputs: list[str]

    @property
    def order(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Axes of the kernel that are rows of the matrix, and that are columns."""
        rows = tuple(axis for axis, label in enumerate(self.kernel) if label in self.inputs)
        return rows, tuple(axis for axis in range(len(self.kernel)) if axis not in rows)


def _parsed(equation: str) -> _Labels:
    operands, _, outputs = equation.replace(" ", "").partition("->")
    inputs, _, kernel = operands.partition(",")
    return _Labels(*(re.findall(r"\.\.\.|.", part) for part in (inputs, kernel, outputs)))


def _equation_problem(equation: str) -> str | None:
    labels = _parsed(equation)
    inputs, kernel, outputs = map(set, labels)
    what = f"computes {equation!r}, which "
    if _ELLIPSIS in kernel:
        return what + "has an ellipsis in the kernel; write its labels out"
    if any(len(part) != len(set(part)) for part in labels):
        return what + "has a label twice in one operand; take the diagonal before the layer and write the label once"
    if both := sorted(inputs & kernel & outputs):
        return what + (
            f"has a matrix for each entry of {_quoted(both)}, labels of inputs, kernel and output at once; put an "
            "nnx.List with an nnx.Linear for each entry in its place"
        )
    if alone := sorted(kernel - inputs - outputs):
        return what + f"sums the kernel over {_quoted(alone)}; sum it once and leave the label out"
    if (inputs - kernel) != (outputs - kernel):
        lost = sorted(inputs - kernel - outputs)
        return what + f"sums the inputs over {_quoted(lost)}; sum them before the layer and leave the label out"
    return None


def _quoted(labels: list[str]) -> str:
    return ", ".join(map(repr, labels))


def _matrix(kernel: Array, order: tuple[tuple[int, ...], tuple[int, ...]]) -> Array:
    rows, cols = order
    lead = kernel.ndim - len(rows) - len(cols)
    axes = [lead + axis for axis in (*rows, *cols)]
    n_in = math.prod(kernel.shape[lead + axis] for axis in rows)
    n_out = math.prod(kernel.shape[lead + axis] for axis in cols)
    return reshaped(kernel.transpose(*range(lead), *axes), (*kernel.shape[:lead], n_in, n_out))


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return [axes.index(axis) for axis in range(len(axes))]


def _expanded(labels: list[str], ndim: int) -> list[Any]:
    """Return a label for each axis; those of an ellipsis are numbers."""
    free = range(ndim - len(labels) + 1)
    return [other for label in labels for other in (free if label == _ELLIPSIS else [label])]
