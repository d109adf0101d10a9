"""Residual networks from the weights that others have published.

PyTorch's residual networks share their names: those of torchvision, and the CIFAR networks of
github.com/akamaster/pytorch_resnet_cifar10 (BSD-2), which differ in the name of the classifier only. Depth, width, kind
of block and shortcut are read off the names and shapes, so one function makes any of them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from .resnet import BasicBlock, Bottleneck, Projection, ResNet, Subsampling
from .weights import Name, fill, read

_STAGES = 4
_PREFIX = r"(?:module\.)?"  # of what was trained on several devices


def _channels_last(kernel: np.ndarray) -> np.ndarray:
    """Return `[out, in, height, width]` as `[height, width, in, out]`."""
    return kernel.transpose(2, 3, 1, 0)


def _conv(name: str, path: str) -> Name:
    return Name(rf"{_PREFIX}{name}\.weight", f"{path}/kernel", _channels_last)


def _norm(name: str, path: str) -> list[Name]:
    parts = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    return [Name(rf"{_PREFIX}{name}\.{part}", f"{path}/{own}") for part, own in parts.items()]


def _stage(stage: int) -> list[Name]:
    block, path = rf"layer{stage + 1}\.(\d+)", rf"stages/{stage}/\1"
    return [
        _conv(rf"{block}\.conv(\d)", rf"{path}/conv\2"),
        *_norm(rf"{block}\.bn(\d)", rf"{path}/norm\2"),
        _conv(rf"{block}\.downsample\.0", f"{path}/shortcut/conv"),
        *_norm(rf"{block}\.downsample\.1", f"{path}/shortcut/norm"),
    ]


NAMES: tuple[Name, ...] = (
    _conv("conv1", "conv"),
    *_norm("bn1", "norm"),
    *(name for stage in range(_STAGES) for name in _stage(stage)),
    Name(rf"{_PREFIX}(?:linear|fc)\.weight", "head/kernel", "transpose"),
    Name(rf"{_PREFIX}(?:linear|fc)\.bias", "head/bias"),
)
# How often PyTorch has updated the running statistics, which it needs for another average than the one used here.
IGNORED: tuple[str, ...] = (r".*\.num_batches_tracked",)


def load(path: str | Path) -> ResNet:
    """Make the network whose weights a file holds.

    Args:
        path: A file that `models.weights.read` reads, with the names of torchvision or of the CIFAR networks.

    Returns:
        The network with these weights, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no residual network of these families.
    """
    tensors = read(path)
    try:
        described = architecture(tensors)
        # All its numbers come from the file: none are drawn.
        blank = nnx.eval_shape(lambda: ResNet(**described, rngs=nnx.Rngs(0)))
        network = fill(blank, tensors, NAMES, ignore=IGNORED)
    except ValueError as error:
        raise ValueError(f"Weights file {str(path)!r} holds no residual network that is known. {error}") from error
    network.eval()
    return network


def architecture(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the arguments of `ResNet` for the network that tensors belong to.

    Args:
        tensors: Arrays by their names in the file.

    Returns:
        All arguments but `rngs`.

    Raises:
        ValueError: If they belong to no residual network of these families.
    """
    shapes = {re.sub(_PREFIX, "", name, count=1): array.shape for name, array in tensors.items()}
    stem, head = shapes.get("conv1.weight", ()), shapes.get("fc.weight", shapes.get("linear.weight", ()))
    places = {match.groups() for name in shapes if (match := re.match(r"layer(\d)\.(\d+)\.", name))}
    blocks = [sum(number == str(stage + 1) for number, _ in places) for stage in range(_STAGES)]
    blocks = blocks[: next((stage for stage, count in enumerate(blocks) if not count), _STAGES)]
    if len(stem) != 4 or len(head) != 2 or not blocks:
        raise ValueError(
            "It must have a convolution 'conv1.weight', blocks 'layer1.0...' and a classifier 'fc.weight' or "
            f"'linear.weight', but has {', '.join(map(repr, list(tensors)[:4])) or 'nothing'}."
        )
    return {
        "blocks": tuple(blocks),
        "width": stem[0],
        "classes": head[0],
        "block": Bottleneck if "layer1.0.conv3.weight" in shapes else BasicBlock,
        "shortcut": Projection if any(".downsample." in name for name in shapes) else Subsampling,
        "large": stem[-1] == 7,
    }
