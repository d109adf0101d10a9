"""Convolutions: `nnx.Conv` of any rank, grouped and depthwise ones included, and `nnx.ConvTranspose`.

The rows of the matrix are the positions of the kernel, in their order, with the input channels of each side by side;
its columns are the output channels. A convolution of groups has a matrix for each, on tiles of its own.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.linear import canonicalize_padding
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer
from jaxaimc._core.sharding import reshaped
from jaxaimc.nn.hosts.base import Host, Layout
from jaxaimc.nn.hosts.linear import call_problem
from jaxaimc.nn.hosts.windows import Windows

_MASKED = "has a `mask`, which changes its kernel in every call; set its kernel to the masked one and `mask` to None"


class ConvHost(Host):
    """Each output is the sum over a window of the inputs, weighted with the kernel.

    Args:
        most_elements: Number of elements of windows, or of charges, that are held at once. The windows of larger calls
            are made and read in parts, as long as no hook and no input range of the layer needs all of them at once.
    """

    kind = nnx.Conv
    slot = "conv_general_dilated"

    def __init__(self, most_elements: int = 2**20):
        check_integer("ConvHost", "most_elements", most_elements, low=1)
        self.most_elements = most_elements

    def axes(self, layer: Any) -> int:
        """Return the spatial axes and those of the input and output channels."""
        return len(layer.kernel_size) + 2

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the kernel as a matrix, or one for each group."""
        return _matrix(layer.kernel[...], self.axes(layer), layer.feature_group_count)

    def weights(self, layer: Any) -> Float[Array, "..."]:
        """Return the kernel in the order of the matrix."""
        return self.kernel(layer)

    def bias(self, layer: Any) -> Float[Array, "*stack n_out"] | None:
        """Return the bias, which is one number for each output channel."""
        return None if layer.bias is None else layer.bias[...]

    def example_shape(self, layer: Any) -> tuple[int, ...]:
        """Return the shape of an input of one window."""
        steps = _each(layer.kernel_dilation, len(layer.kernel_size))
        window = [(size - 1) * step + 1 for size, step in zip(layer.kernel_size, steps, strict=True)]
        return (1, *window, layer.in_features)

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer a kernel of its own."""
        super().with_kernel(layer, w if layer.feature_group_count == 1 else jnp.swapaxes(w, -3, -2))

    def problem(self, layer: Any) -> str | None:
        """Return why the layer's product cannot be exchanged: a mask, a product of its own, or a call without it."""
        if layer.mask is not None:
            return _MASKED
        if layer.conv_general_dilated is not jax.lax.conv_general_dilated:
            return "has a `conv_general_dilated` of its own, which a tile would not compute"
        return call_problem(self, layer)

    def layout(self, path: str, x: Array, kernel: Array, *arguments: Any, **named: Any) -> Layout:
        """Return a call of `jax.lax.conv_general_dilated` as windows that are multiplied with the matrix."""
        return self._layout(path, x, kernel, *arguments, **named)

    def _layout(
        self,
        path: str,
        x: Array,
        kernel: Array,
        window_strides: Sequence[int],
        padding: str | Sequence[tuple[int, int]],
        lhs_dilation: Sequence[int] | None = None,
        rhs_dilation: Sequence[int] | None = None,
        dimension_numbers: Any = None,
        feature_group_count: int = 1,
        batch_group_count: int = 1,
        **_: Any,
    ) -> Layout:
        axes = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, dimension_numbers)
        rank = x.ndim - 2
        _check_supported(path, axes.rhs_spec, batch_group_count)
        x = x.transpose(axes.lhs_spec[0], *axes.lhs_spec[2:], axes.lhs_spec[1])
        sizes = kernel.shape[:rank]
        kernel_dilation = tuple(rhs_dilation or (1,) * rank)
        input_dilation = tuple(lhs_dilation or (1,) * rank)
        if isinstance(padding, str):
            if any(step != 1 for step in input_dilation):
                raise ValueError(
                    f"Layer {path!r} dilates its inputs by {input_dilation}, for which the zeros around them must be "
                    f"given as pairs of numbers, but `padding` is {padding!r}."
                )
            reach = [(size - 1) * step + 1 for size, step in zip(sizes, kernel_dilation, strict=True)]
            padding = jax.lax.padtype_to_pads(x.shape[1:-1], reach, window_strides, padding)
        pads = tuple((int(low), int(high)) for low, high in padding)
        windows = Windows(sizes, tuple(window_strides), pads, input_dilation, kernel_dilation, feature_group_count)
        filled = windows.filled(x)
        place = [0] * x.ndim
        for own, axis in enumerate((axes.out_spec[0], *axes.out_spec[2:], axes.out_spec[1])):
            place[axis] = own
        parts = windows.parts(filled, self.most_elements)
        return Layout(
            vectors=windows.vectors(filled) if parts is None else parts,
            matrix=_matrix(kernel, kernel.ndim, feature_group_count),
            outputs=lambda y: y.transpose(place),
            images=windows.images(x, math.prod(windows.outputs(filled)), self.most_elements),
        )


class ConvTransposeHost(ConvHost):
    """A convolution of inputs with zeros between them.

    Flax calls `jax.lax.conv_transpose` itself, where nothing can be exchanged. While it is on tiles, a layer is of a
    subclass of `nnx.ConvTranspose` whose product is an attribute.
    """

    kind = nnx.ConvTranspose
    slot = "conv_transpose"

    def kernel(self, layer: Any) -> Float[Array, "*stack n_in n_out"]:
        """Return the kernel as a matrix."""
        kernel = _turned(layer.kernel[...], layer.transpose_kernel, self.axes(layer))
        return _matrix(kernel, self.axes(layer), 1)

    def with_kernel(self, layer: Any, w: Float[Array, "*stack n_in n_out"]) -> None:
        """Give a layer a kernel of its own."""
        if layer.transpose_kernel:
            *sizes, n_out, n_in = layer.kernel[...].shape
            w = _turned(w.reshape(*sizes, n_in, n_out), turn=True, axes=self.axes(layer))
        Host.with_kernel(self, layer, w)

    def problem(self, layer: Any) -> str | None:
        """Return why the layer's product cannot be exchanged: a mask, a call of its own, or outputs that wrap."""
        if type(layer) is not nnx.ConvTranspose:
            return (
                "is of a subclass of `nnx.ConvTranspose`, which has no attribute with its product; derive it from "
                "`nnx.Conv` with the strides as `input_dilation`"
            )
        if layer.mask is not None:
            return _MASKED
        if layer.padding == "CIRCULAR":
            return (
                "wraps its outputs around by `padding='CIRCULAR'`; wrap its inputs by `jnp.pad(..., mode='wrap')` and "
                "use an `nnx.Conv` with the strides as `input_dilation` and `padding='VALID'` as pairs of zeros"
            )
        return None

    def layout(self, path: str, x: Array, kernel: Array, *arguments: Any, **named: Any) -> Layout:
        """Return a call of `jax.lax.conv_transpose` as windows that are multiplied with the matrix."""
        strides, padding = arguments
        rank = x.ndim - 2
        kernel = _turned(kernel, named.get("transpose_kernel", False), kernel.ndim)
        dilation = tuple(named.get("rhs_dilation") or (1,) * rank)
        if isinstance(padding, str):
            reach = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:rank], dilation, strict=True)]
            padding = [_pads(path, padding, size, step) for size, step in zip(reach, strides, strict=True)]
        last = (0, x.ndim - 1, *range(1, x.ndim - 1))
        numbers = jax.lax.ConvDimensionNumbers(last, (x.ndim - 1, x.ndim - 2, *range(rank)), last)
        return self._layout(path, x, kernel, (1,) * rank, padding, strides, dilation, numbers)

    def calling(self) -> type[nnx.Module]:
        """Return the class of layers on tiles."""
        return _ConvTranspose

    def attach(self, layer: Any, op: Any) -> None:
        """Make the product an attribute and put an analog one there."""
        # Past Flax, which would take it for an attribute of the layer.
        object.__setattr__(layer, "__class__", _ConvTranspose)
        super().attach(layer, op)

    def detach(self, layer: Any, op: Any) -> None:
        """Make the layer what it was."""
        delattr(layer, self.slot)
        object.__setattr__(layer, "__class__", nnx.ConvTranspose)

    def product(self, layer: Any) -> Any:
        """Return what makes the layer's product now."""
        return getattr(layer, self.slot, jax.lax.conv_transpose)


class _ConvTranspose(nnx.ConvTranspose):
    """Flax's layer, with its product in an attribute."""

    digital_kind: ClassVar[type[nnx.ConvTranspose]] = nnx.ConvTranspose
    conv_transpose: Any

    def __call__(self, inputs: Array) -> Array:
        rank = len(self.kernel_size)
        batch = inputs.shape[: inputs.ndim - rank - 1]
        x, kernel, bias = self.promote_dtype(
            (
                inputs.reshape(math.prod(batch), *inputs.shape[len(batch) :]),
                self.kernel[...],
                None if self.bias is None else self.bias[...],
            ),
            dtype=self.dtype,
        )
        y = self.conv_transpose(
            x,
            kernel,
            _each(self.strides, rank),
            canonicalize_padding(self.padding, rank),
            rhs_dilation=_each(self.kernel_dilation, rank),
            transpose_kernel=self.transpose_kernel,
            precision=self.precision,
            preferred_element_type=self.preferred_element_type,
        )
        if bias is not None:
            y = y + bias
        return y.reshape(*batch, *y.shape[1:])


def _matrix(kernel: Float[Array, "..."], axes: int, groups: int) -> Float[Array, "..."]:
    """Return kernels of shape (*stack, *sizes, channels of a group, outputs) as matrices."""
    stack, n_in, n_out = kernel.shape[: kernel.ndim - axes], math.prod(kernel.shape[-axes:-1]), kernel.shape[-1]
    if groups == 1:
        return reshaped(kernel, (*stack, n_in, n_out))
    return jnp.swapaxes(reshaped(kernel, (*stack, n_in, groups, n_out // groups)), -3, -2)


def _turned(kernel: Array, turn: bool, axes: int) -> Array:
    """Return the kernel with its spatial axes reversed and its channels exchanged, if it is that of a transpose."""
    if not turn:
        return kernel
    return jnp.swapaxes(jnp.flip(kernel, tuple(range(kernel.ndim - axes, kernel.ndim - 2))), -1, -2)


def _pads(path: str, padding: str, size: int, stride: int) -> tuple[int, int]:
    """Return the zeros around dilated inputs, as `jax.lax.conv_transpose` defines them.

    `"SAME"` gives `stride` outputs for each input, `"VALID"` one for each that a window of `size` reaches.
    """
    if padding == "SAME":
        low = size - 1 if stride > size - 1 else -(-(size + stride - 2) // 2)
        return low, size + stride - 2 - low
    if padding == "VALID":
        return size - 1, stride - 1 + max(size - stride, 0)
    raise ValueError(f"Layer {path!r} must have 'SAME', 'VALID' or pairs of numbers as `padding`, but has {padding!r}.")


def _check_supported(path: str, kernel_axes: Sequence[int], batch_groups: int) -> None:
    rank = len(kernel_axes) - 2
    if batch_groups != 1:
        raise ValueError(f"Layer {path!r} has `batch_group_count` {batch_groups}; an analog layer has 1.")
    if tuple(kernel_axes) != (rank + 1, rank, *range(rank)):
        raise ValueError(
            f"Layer {path!r} has output channels, input channels and space in its kernel's axes {tuple(kernel_axes)}; "
            f"an analog layer has space first, then input and output channels, {(rank + 1, rank, *range(rank))}."
        )


def _each(value: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Return a number for each spatial axis."""
    value = 1 if value is None else value
    return (value,) * rank if isinstance(value, int) else tuple(value)
