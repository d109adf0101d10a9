"""Weights in NumPy's `.npz` archives."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

# What NumPy and zipfile make of foreign files.
_FOREIGN = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    AttributeError,
    TypeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def read(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays.

    Args:
        path: The file.

    Returns:
        Arrays by name, in the file's order.

    Raises:
        ValueError: If the file is truncated or no such archive, or holds Python objects, which are not read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except _FOREIGN as error:
        raise ValueError(
            f"Weights file {str(path)!r} is truncated, no npz archive, or holds Python objects "
            f"({path.stat().st_size} bytes): {error}."
        ) from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiubV":
            raise ValueError(
                f"Weights file {str(path)!r} must hold arrays of numbers, but {name!r} is "
                f"{getattr(array, 'dtype', 'none')}."
            )
    return found
