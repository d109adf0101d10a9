"""CIFAR-10 with a residual network: 32 x 32 colour images of ten kinds of things, and published weights.

The weights are those of github.com/akamaster/pytorch_resnet_cifar10 (Idelbayev; BSD-2), for example
`resnet20-12fca82f.th`, error 8.27 % on the 10,000 test images. Neither they nor the data come with the library: the
user names folders in which they lie.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key, UInt8

from jaxaimc.tasks import Recipe, Split, Task, accuracy, cross_entropy, hub

from .cifar_files import CLASSES, FILES, SIDE, read_images
from .resnet import ResNet, cifar_resnet
from .resnet_weights import architecture, load
from .weights import read

_BORDER = 4  # pixels
_DEPTH = 20


@hub.takes_names
def cifar10(data: str | Path | None = None) -> Task:
    """Make the task.

    Args:
        data: Folder with the data in one of the forms of `models.cifar_files`, or with a folder `cifar10` that has
            them, or a name of the hub. None for the folder named by the environment variable JAXAIMC_DATA.

    Returns:
        Task of classifying the images. Its weights are those of the file that the environment variable JAXAIMC_RESNET
        names (a file, or a model of the hub), or else of the one `.th` file in `resnet20_cifar10` under JAXAIMC_DATA;
        its network is then the one that these belong to, of any depth. Without weights it is an untrained ResNet-20.
        Any other published file can be named as the checkpoint.

    Raises:
        FileNotFoundError: If no folder is named, or the weights that are named are absent.
        ValueError: If these are not those of a residual network.
    """
    weights = _weights()
    build: Callable[..., ResNet] = functools.partial(cifar_resnet, _DEPTH)
    if weights is not None:
        build = functools.partial(ResNet, **_architecture(weights))
    return Task(
        name="cifar10",
        build=functools.partial(_build, build),
        split=functools.partial(_split, _folder(data)),
        loss=cross_entropy,
        score=accuracy,
        metric="accuracy",
        chance=1 / CLASSES,
        recipe=Recipe(epochs=200, batch=128, learning_rate=2e-3, warmup=0.05, augment=flip_and_crop),
        default_checkpoint=weights,
        read_weights=load,
    )


def flip_and_crop(key: Key[Array, ""], images: UInt8[Array, "batch 32 32 3"]) -> UInt8[Array, "batch 32 32 3"]:
    """Mirror each image left to right with probability 1/2 and shift it by up to four pixels on either axis.

    The augmentation of He et al. 2016, section 4.2. What a shift uncovers is black.

    Args:
        key: Key of this batch.
        images: Pixels, 0 to 255.

    Returns:
        Changed images.
    """
    flip_key, shift_key = jax.random.split(key)
    mirrored = jax.random.bernoulli(flip_key, 0.5, (len(images), 1, 1, 1))
    images = jnp.where(mirrored, images[:, :, ::-1], images)
    start = jax.random.randint(shift_key, (len(images), 2), 0, 2 * _BORDER + 1)
    padded = jnp.pad(images, ((0, 0), (_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)))

    def crop(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (SIDE, SIDE, image.shape[-1]))

    return jax.vmap(crop)(padded, start)


def _build(build: Callable[..., ResNet], key: Key[Array, ""]) -> ResNet:
    return build(rngs=nnx.Rngs(key))


def _folder(data: str | Path | None) -> Path:
    folder = data or os.environ.get("JAXAIMC_DATA")
    if not folder:
        raise FileNotFoundError(
            "CIFAR-10 needs a folder with its images: name it as the data folder, or name a folder that holds it as "
            "`cifar10` in the environment variable JAXAIMC_DATA."
        )
    root = hub.folder(folder, [*FILES, *(f"cifar10/{pattern}" for pattern in FILES)])
    return root / "cifar10" if (root / "cifar10").is_dir() else root


def _weights() -> Path | None:
    named = os.environ.get("JAXAIMC_RESNET")
    if named:
        path = hub.file(named)
        if not path.is_file():
            raise FileNotFoundError(f"Environment variable JAXAIMC_RESNET must name a file, but there is no {named!r}.")
        return path
    folder = os.environ.get("JAXAIMC_DATA")
    if not folder:
        return None
    return min((hub.folder(folder, ["resnet20_cifar10/*.th"]) / "resnet20_cifar10").glob("*.th"), default=None)


def _architecture(weights: Path) -> dict[str, Any]:
    try:
        return architecture(read(weights))
    except ValueError as error:
        raise ValueError(f"Weights file {str(weights)!r} holds no residual network that is known. {error}") from error


def _split(folder: Path, part: str) -> Split:
    if part not in ("train", "test"):
        raise ValueError(f"Argument `name` must be one of 'train', 'test', but is {part!r}.")
    return Split(*read_images(folder, part))
