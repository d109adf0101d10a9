"""The windows of a convolution as vectors: what each position of the kernel sees, with nothing left out or rounded.

A convolution is a product of a matrix with many vectors, one for each position of the kernel on the input: the values
under it, position by position of the kernel and channel by channel. With groups the values of a group stand together.
Neighbouring windows overlap, so that the vectors hold most inputs several times (nine times under a kernel of 3 x 3).
Where that would be too much for the memory they are made in parts: some examples at a time, or some lines of one.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxaimc.nn.hosts.base import Images, Parts, largest_divisor
from jaxaimc.tile import Window


@dataclass(frozen=True)
class Windows:
    """Where the kernel of a convolution stands on its input.

    Attributes:
        sizes: Size of the kernel along each spatial axis.
        strides: Steps between neighbouring windows.
        padding: Zeros before and after the input; less than none cuts inputs off.
        input_dilation: Distance of neighbouring inputs, with zeros between them.
        kernel_dilation: Distance of neighbouring positions of the kernel.
        groups: Number of groups that the channels are divided into.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    input_dilation: tuple[int, ...]
    kernel_dilation: tuple[int, ...]
    groups: int

    def filled(self, x: Float[Array, "example *spatial channel"]) -> Float[Array, "example *filled channel"]:
        """Return the input with all zeros that windows may see."""
        inner = ((*pads, dilation - 1) for pads, dilation in zip(self.padding, self.input_dilation, strict=True))
        return jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *inner, (0, 0, 0)))

    def outputs(self, filled: Float[Array, "example *filled channel"]) -> tuple[int, ...]:
        """Return the number of windows along each spatial axis."""
        lengths = zip(filled.shape[1:-1], self._reaches(), self.strides, strict=True)
        return tuple(max(0, (size - reach) // stride + 1) for size, reach, stride in lengths)

    def vectors(self, filled: Float[Array, "example *filled channel"]) -> Float[Array, "example *out n_in"]:
        """Return the values in every window.

        One axis after the other is cut into windows, which takes as many slices as the kernel's sizes add up to.

        Args:
            filled: What `filled` returned, or some examples and lines of it.
        """
        out = self.outputs(filled)
        examples, channels = filled.shape[0], filled.shape[-1]
        places = math.prod(self.sizes)
        if 0 in out:
            return jnp.zeros((examples, *out, places * channels), filled.dtype)
        x = filled
        for axis, count in enumerate(out, start=1):
            size, stride, dilation = (values[axis - 1] for values in (self.sizes, self.strides, self.kernel_dilation))
            last = (count - 1) * stride + 1
            starts = range(0, size * dilation, dilation)
            slices = [jax.lax.slice_in_dim(x, start, start + last, stride, axis) for start in starts]
            x = jnp.stack(slices, axis=-2)
        if self.groups > 1:
            x = x.reshape(examples, *out, places, self.groups, channels // self.groups)
            x = jnp.swapaxes(x, -3, -2)
        return x.reshape(examples, *out, places * channels)

    def parts(self, filled: Float[Array, "example *filled channel"], most: int) -> Parts | None:
        """Return how the vectors are made part by part, or None if all of them are few enough.

        Args:
            filled: What `filled` returned.
            most: Largest number of elements of a part; one line of windows is the least that a part has.
        """
        examples, channels = filled.shape[0], filled.shape[-1]
        # Without space a line is a vector.
        lines, *others = self.outputs(filled) or (1,)
        line = math.prod(others) * math.prod(self.sizes) * channels
        # The size of a symbolic batch is not known.
        if not self.sizes or not isinstance(examples, int) or examples * lines * line <= most:
            return None
        at_once = largest_divisor(examples, most // (lines * line))
        rows = lines if lines * line <= most else largest_divisor(lines, most // line)
        of_example = lines // rows
        height = (rows - 1) * self.strides[0] + self._reaches()[0]

        def vectors(index: Int[Array, ""]) -> Float[Array, "part *out n_in"]:
            part = jax.lax.dynamic_slice_in_dim(filled, index // of_example * at_once, at_once, 0)
            first = index % of_example * rows * self.strides[0]
            return self.vectors(jax.lax.dynamic_slice_in_dim(part, first, height, 1))

        def together(y: Float[Array, "part *part_out n"]) -> Float[Array, "example *out n"]:
            y = y.reshape(-1, of_example, at_once, *y.shape[2:])
            return jnp.swapaxes(y, 1, 2).reshape(examples, lines, *y.shape[4:])

        return Parts(examples // at_once * of_example, of_example, vectors, together)

    def images(self, x: Float[Array, "example *spatial channel"], positions: int, most: int) -> Images | None:
        """Return the inputs as images, or None if windows of one place, or of groups, gain nothing by that.

        Args:
            x: Inputs, without zeros around them.
            positions: Number of windows on an image.
            most: Largest number of charges that are held at once.
        """
        if math.prod(self.sizes) == 1 or self.groups > 1 or positions == 0 or 0 in x.shape:
            return None
        window = Window(self.sizes, self.strides, self.padding, self.input_dilation, self.kernel_dilation)
        return Images(x, window, lambda charges: most // (positions * charges))

    def _reaches(self) -> tuple[int, ...]:
        """Return how many inputs a window spans along each axis."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.sizes, self.kernel_dilation, strict=True))
