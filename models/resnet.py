"""Residual networks (He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition*, 2016).

Two families: that for 32 x 32 images of the paper's section 4.2 (depths 20, 32, 44, 56, 110), whose shortcuts across
sizes have no weights (its option A), and that for ImageNet (depths 18, 34, 50, 101, 152), whose shortcuts there are
projections (option B). The bottleneck block has its stride in the 3 x 3 convolution, as torchvision's weights need.

```
images --stem--> [ conv norm relu conv norm  +  shortcut ] relu --> ... --> mean over the image --> head --> logits
```

Layers are called `conv...` and `norm...`, those that follow each other by the same number: `norm1` can be folded into
`conv1` before it. Images are `[batch, height, width, channel]`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Num

# Of the channels red, green, blue of ImageNet's training images, 0 to 1; the published CIFAR weights use them as well.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

CIFAR_DEPTHS = (20, 32, 44, 56, 110)


def conv(n_in: int, n_out: int, size: int, stride: int = 1, *, rngs: nnx.Rngs) -> nnx.Conv:
    """Make a convolution without bias that pads `size // 2` zeros on each side, as the published weights expect.

    Args:
        n_in: Channels of the input.
        n_out: Channels of the output.
        size: Height and width of the window.
        stride: Distance between windows.
        rngs: Source of the initial weights (He et al. 2015, arXiv 1502.01852).
    """
    edge = size // 2
    return nnx.Conv(
        n_in,
        n_out,
        (size, size),
        strides=stride,
        padding=((edge, edge), (edge, edge)),
        use_bias=False,
        kernel_init=nnx.initializers.kaiming_normal(),
        rngs=rngs,
    )


def norm(channels: int, *, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Make a batch normalisation with running statistics, of PyTorch's constants.

    Args:
        channels: Channels of the image.
        rngs: Source of random numbers, of which there are none.
    """
    return nnx.BatchNorm(channels, momentum=0.9, epsilon=1e-5, rngs=rngs)


class Subsampling(nnx.Module):
    """Shortcut without weights: every second pixel on both axes, the added channels zero, half of them on each side.

    Args:
        n_in: Channels of the input.
        n_out: Channels of the output.
        stride: Distance between pixels.
        rngs: Not used.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, *, rngs: nnx.Rngs):
        self.stride = stride
        self.before = (n_out - n_in) // 2
        self.behind = n_out - n_in - self.before

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch h w n_out"]:
        """Return the smaller image with more channels."""
        small = x[:, :: self.stride, :: self.stride]
        return jnp.pad(small, ((0, 0), (0, 0), (0, 0), (self.before, self.behind)))


class Projection(nnx.Module):
    """Shortcut with weights: a 1 x 1 convolution and its normalisation.

    Args:
        n_in: Channels of the input.
        n_out: Channels of the output.
        stride: Distance between pixels.
        rngs: Source of the initial weights.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, *, rngs: nnx.Rngs):
        self.conv = conv(n_in, n_out, 1, stride, rngs=rngs)
        self.norm = norm(n_out, rngs=rngs)

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch h w n_out"]:
        """Return the smaller image with more channels."""
        return self.norm(self.conv(x))


Shortcut = Callable[..., nnx.Module]


class BasicBlock(nnx.Module):
    """Two 3 x 3 convolutions beside a shortcut.

    Args:
        n_in: Channels of the input.
        width: Channels of the convolutions.
        stride: Stride of the first one.
        shortcut: Makes the shortcut where the size or the channels change.
        rngs: Source of the initial weights.
    """

    expansion = 1

    def __init__(self, n_in: int, width: int, stride: int, *, shortcut: Shortcut, rngs: nnx.Rngs):
        self.conv1 = conv(n_in, width, 3, stride, rngs=rngs)
        self.norm1 = norm(width, rngs=rngs)
        self.conv2 = conv(width, width, 3, rngs=rngs)
        self.norm2 = norm(width, rngs=rngs)
        changes = stride != 1 or n_in != width
        self.shortcut: Any = nnx.data(shortcut(n_in, width, stride, rngs=rngs) if changes else None)

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch h w n_out"]:
        """Transform an image."""
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Bottleneck(nnx.Module):
    """A 3 x 3 convolution between two of 1 x 1, of which the last has four times the channels, beside a shortcut.

    Args:
        n_in: Channels of the input.
        width: Channels of the first two convolutions.
        stride: Stride of the second one.
        shortcut: Makes the shortcut where the size or the channels change.
        rngs: Source of the initial weights.
    """

    expansion = 4

    def __init__(self, n_in: int, width: int, stride: int, *, shortcut: Shortcut, rngs: nnx.Rngs):
        n_out = self.expansion * width
        self.conv1 = conv(n_in, width, 1, rngs=rngs)
        self.norm1 = norm(width, rngs=rngs)
        self.conv2 = conv(width, width, 3, stride, rngs=rngs)
        self.norm2 = norm(width, rngs=rngs)
        self.conv3 = conv(width, n_out, 1, rngs=rngs)
        self.norm3 = norm(n_out, rngs=rngs)
        changes = stride != 1 or n_in != n_out
        self.shortcut: Any = nnx.data(shortcut(n_in, n_out, stride, rngs=rngs) if changes else None)

    def __call__(self, x: Float[Array, "batch height width n_in"]) -> Float[Array, "batch h w n_out"]:
        """Transform an image."""
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        y = jax.nn.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nnx.Module):
    """Stem, stages of residual blocks, mean over the image, linear classifier.

    Args:
        blocks: Blocks of each stage. All stages but the first halve the image and double the width.
        width: Channels of the stem and of the first stage.
        classes: Number of classes.
        block: `BasicBlock` or `Bottleneck`.
        shortcut: `Subsampling` or `Projection`.
        large: Whether images are large: the stem then has a 7 x 7 window and leaves a quarter of each side.
        mean: Mean of the training images' channels, 0 to 1.
        deviation: Standard deviation of the training images' channels.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If a number of blocks, the width or the number of classes is not positive, or `mean` and
            `deviation` are not as many.

    Example:
        >>> import jax.numpy as jnp
        >>> network = ResNet(blocks=(1, 1), width=4, classes=10, rngs=nnx.Rngs(0))
        >>> network(jnp.zeros((2, 8, 8, 3), jnp.uint8)).shape
        (2, 10)
    """

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        width: int,
        classes: int,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        shortcut: Shortcut = Subsampling,
        large: bool = False,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
        rngs: nnx.Rngs,
    ):
        sizes = {"blocks": min(blocks, default=0), "width": width, "classes": classes}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"Argument `{name}` of ResNet must be at least 1, but is {size}.")
        if len(mean) != len(deviation):
            raise ValueError(
                f"Argument `deviation` of ResNet must have one number for each of the {len(mean)} channels, but has "
                f"{len(deviation)}."
            )
        self.mean, self.deviation, self.large = tuple(mean), tuple(deviation), large
        self.conv = conv(len(mean), width, 7 if large else 3, 2 if large else 1, rngs=rngs)
        self.norm = norm(width, rngs=rngs)
        channels, stages = width, []
        for stage, count in enumerate(blocks):
            made = []
            for index in range(count):
                stride = 2 if stage and not index else 1
                made.append(block(channels, width * 2**stage, stride, shortcut=shortcut, rngs=rngs))
                channels = width * 2**stage * block.expansion
            stages.append(nnx.List(made))
        self.stages = nnx.List(stages)
        self.head = nnx.Linear(channels, classes, rngs=rngs)

    def __call__(self, inputs: Num[Array, "batch height width channel"]) -> Float[Array, "batch classes"]:
        """Classify a batch.

        Args:
            inputs: Pixels, 0 to 255.

        Returns:
            Logits.

        Raises:
            ValueError: If the shape is another.
        """
        if inputs.ndim != 4 or inputs.shape[-1] != len(self.mean):
            raise ValueError(
                f"Argument `inputs` must have shape (batch, height, width, {len(self.mean)}), but has shape "
                f"{inputs.shape}."
            )
        x = (inputs / 255 - jnp.array(self.mean)) / jnp.array(self.deviation)
        x = jax.nn.relu(self.norm(self.conv(x)))
        if self.large:
            # Flax takes pairs of numbers as well as a name here, but does not say so.
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        for stage in self.stages:
            for block in stage:
                x = block(x)
        return self.head(x.mean(axis=(1, 2)))


def normalised(network: ResNet) -> list[tuple[str, str]]:
    """List the paths of all convolutions with those of the normalisations behind them.

    Args:
        network: Any residual network.

    Returns:
        What `jaxaimc.nn.fold_batch_norm` takes as `pairs`.

    Example:
        >>> normalised(ResNet(blocks=(1,), width=4, classes=3, rngs=nnx.Rngs(0)))
        [('conv', 'norm'), ('stages/0/0/conv1', 'stages/0/0/norm1'), ('stages/0/0/conv2', 'stages/0/0/norm2')]
    """
    paths = ["/".join(map(str, path)) for path, module in nnx.iter_modules(network) if isinstance(module, nnx.Conv)]
    return [(path, re.sub(r"conv(\d*)$", r"norm\1", path)) for path in sorted(paths)]


def cifar_resnet(depth: int, *, width: int = 16, classes: int = 10, rngs: nnx.Rngs) -> ResNet:
    """Make the network for images of 32 x 32 pixels: three stages of `(depth - 2) / 6` basic blocks.

    Args:
        depth: Layers with weights: 20, 32, 44, 56 or 110 in the paper; any 6 n + 2.
        width: Channels of the first stage, 16 in the paper.
        classes: Number of classes.
        rngs: Source of the initial weights.

    Returns:
        The network; 0.27 million parameters and 41 million products an image at depth 20.

    Raises:
        ValueError: If there is no network of this depth.
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"Argument `depth` must be 6 n + 2, such as {_listed(CIFAR_DEPTHS)}, but is {depth}.")
    return ResNet(blocks=(depth // 6,) * 3, width=width, classes=classes, rngs=rngs)


_IMAGENET: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def imagenet_resnet(depth: int, *, width: int = 64, classes: int = 1000, rngs: nnx.Rngs) -> ResNet:
    """Make the network for images of about 224 x 224 pixels.

    Args:
        depth: Layers with weights: 18, 34, 50, 101 or 152.
        width: Channels of the first stage, 64 in the paper.
        classes: Number of classes.
        rngs: Source of the initial weights.

    Returns:
        The network.

    Raises:
        ValueError: If there is no network of this depth.
    """
    if depth not in _IMAGENET:
        raise ValueError(f"Argument `depth` must be one of {_listed(tuple(_IMAGENET))}, but is {depth}.")
    block, blocks = _IMAGENET[depth]
    return ResNet(blocks=blocks, width=width, classes=classes, block=block, shortcut=Projection, large=True, rngs=rngs)


def _listed(depths: Sequence[int]) -> str:
    return ", ".join(map(str, depths))
