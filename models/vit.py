"""The embedded task: a small vision transformer on Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017; MIT licence).

28 x 28 grey images of ten kinds of clothing. Patches of 7 pixels give 16 tokens of 64 features; three blocks hold
105,000 parameters and cost 3.6 MFLOP an image. The test images and trained weights lie beside this file.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Key, UInt8

from jaxaimc.tasks import Recipe, Split, Task, accuracy, cross_entropy, hub

from .idx import IdxFile
from .transformer import PatchEmbedding, Transformer

ASSETS = Path(__file__).parent / "assets" / "fashion_mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

_WIDTH = 64
_FILES = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte.gz",
            (60_000, 28, 28),
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        IdxFile(
            "train-labels-idx1-ubyte.gz",
            (60_000,),
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte.gz",
            (10_000, 28, 28),
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte.gz",
            (10_000,),
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
}


def build(key: Key[Array, ""]) -> Transformer:
    """Make the untrained network.

    Args:
        key: Key of the initial weights.

    Returns:
        Network from grey values `[batch, 28, 28]`, 0 to 255, to logits `[batch, 10]`.
    """
    rngs = nnx.Rngs(key)
    # Mean and deviation of the 60,000 training images.
    patches = PatchEmbedding(size=28, patch=7, width=_WIDTH, mean=0.2860, deviation=0.3530, rngs=rngs)
    return Transformer(
        patches, length=patches.length, width=_WIDTH, layers=3, heads=4, hidden=128, classes=10, rngs=rngs
    )


def flip_and_shift(key: Key[Array, ""], images: UInt8[Array, "batch 28 28"]) -> UInt8[Array, "batch 28 28"]:
    """Mirror each image left to right with probability 1/2 and shift it by up to one pixel on either axis.

    Args:
        key: Key of this batch.
        images: Grey values.

    Returns:
        Changed images; what a shift uncovers is black.
    """
    flip_key, shift_key = jax.random.split(key)
    mirrored = jax.random.bernoulli(flip_key, 0.5, (len(images), 1, 1))
    images = jnp.where(mirrored, images[:, :, ::-1], images)
    start = jax.random.randint(shift_key, (len(images), 2), 0, 3)
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1)))
    return jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, corner, (28, 28)))(padded, start)


@hub.takes_names
def fashion_mnist(data: str | Path | None = None) -> Task:
    """Make the task.

    Args:
        data: Folder with the four idx.gz files under their standard names, or a name of the hub. None: the test images
            come with the library, the training images from the folder of Debian's package `dataset-fashion-mnist`.

    Returns:
        Task of classifying the images, with trained weights.
    """
    return Task(
        name="fashion_mnist",
        build=build,
        split=functools.partial(_split, data),
        loss=functools.partial(cross_entropy, smoothing=0.1),
        score=accuracy,
        metric="accuracy",
        chance=0.1,
        recipe=Recipe(epochs=60, batch=256, learning_rate=2e-3, warmup=0.05, augment=flip_and_shift),
        default_checkpoint=ASSETS / "vit.safetensors",
    )


def _split(data: str | Path | None, name: str) -> Split:
    if name not in _FILES:
        raise ValueError(f"Argument `name` must be one of {', '.join(map(repr, _FILES))}, but is {name!r}.")
    images, labels = _FILES[name]
    folder = hub.folder(data or (ASSETS if name == "test" else DEBIAN), [images.name, labels.name])
    if not (folder / images.name).is_file() or not (folder / labels.name).is_file():
        raise FileNotFoundError(
            f"Fashion-MNIST needs {images.name} and {labels.name} in {str(folder)!r}. Install Debian's package "
            f"dataset-fashion-mnist, or fetch the files from https://github.com/zalandoresearch/fashion-mnist, "
            f"and name their folder as the data folder."
        )
    return Split(images.read(folder), labels.read(folder).astype(np.int32))
