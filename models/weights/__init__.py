"""Trained weights that others have published, read from files of the common kinds.

Reading a file runs no code of it: safetensors and npz files hold numbers and text only, of an ONNX model the weights
alone are looked at, and of PyTorch's pickles only what a list of known names may mean.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxaimc.tasks import hub

from .names import Name, fill

__all__ = ["Name", "fill", "read"]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a file, in the file's order and under its own names.

    Args:
        path: A file that ends with `.safetensors`, `.npz`, `.onnx`, `.th`, `.pt` or `.bin`, or a
            model of the hub, `hf://owner/name`, that holds one, see `jaxaimc.tasks.hub`.

    Returns:
        Arrays by name, in the file's number types; weights of an ONNX model that are stored as whole numbers with
        scales come back as floating-point numbers, see `models.weights.onnx`.

    Raises:
        FileNotFoundError: If there is no such file, or it cannot be fetched from the hub.
        ValueError: If its name ends otherwise, or it is truncated or of another kind than its name says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/weights.npz", kernel=np.ones((3, 2), np.float16))
        ...     read(f"{folder}/weights.npz")["kernel"].shape
        (3, 2)
    """
    path = hub.file(path)
    name = _READERS.get(path.suffix.lower())
    if name is None:
        raise ValueError(
            f"Argument `path` must name a file that ends with one of {', '.join(_READERS)}, but is {str(path)!r}."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {str(path)!r}.")
    # Readers are imported when they are needed: most programs read one kind of file.
    reader: Callable[[Path], dict[str, np.ndarray]] = importlib.import_module(f".{name}", __name__).read
    return reader(path)


_READERS = {
    ".safetensors": "tensors",
    ".npz": "archive",
    ".onnx": "onnx",
    ".th": "pickled",
    ".pt": "pickled",
    ".bin": "pickled",
}
