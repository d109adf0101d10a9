"""Reader of the idx format, in which the MNIST family of data sets is published.

Two zero bytes, a type code (8: unsigned byte), the number of axes, then one big-endian 32-bit length per axis and the
numbers in row-major order (LeCun, Cortes and Burges, *The MNIST Database of Handwritten Digits*).
"""

import dataclasses
import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

_UNSIGNED_BYTE = 8


@dataclasses.dataclass(frozen=True)
class IdxFile:
    """One gzipped idx file of unsigned bytes, as published.

    Args:
        name: File name.
        shape: Shape it must have.
        sha256: Checksum of the unpacked file, so that packing the same data anew does no harm.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    def read(self, folder: Path) -> UInt8[np.ndarray, "examples ..."]:
        """Read the file.

        Args:
            folder: Where it lies.

        Returns:
            The numbers, of shape `shape`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is truncated, of another type or shape, or its checksum differs.
        """
        path = folder / self.name
        if not path.is_file():
            raise FileNotFoundError(f"There is no data file {str(path)!r}.")
        try:
            content = gzip.decompress(path.read_bytes())
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"Data file {str(path)!r} is truncated or not gzipped: {error}.") from error
        values = _numbers(path, content, self.shape)
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ValueError(f"Data file {str(path)!r} must have the checksum {self.sha256} unpacked, but has {found}.")
        return values


def _numbers(path: Path, content: bytes, shape: tuple[int, ...]) -> UInt8[np.ndarray, "examples ..."]:
    start = 4 + 4 * len(shape)
    magic = bytes([0, 0, _UNSIGNED_BYTE, len(shape)])
    if content[:4] != magic:
        raise ValueError(
            f"Data file {str(path)!r} must start with the bytes {magic.hex()} "
            f"(idx, unsigned bytes, {len(shape)} axes), but starts with {content[:4].hex() or 'nothing'}."
        )
    found = tuple(np.frombuffer(content[4:start], ">u4").tolist()) if len(content) >= start else ()
    if found != shape:
        raise ValueError(f"Data file {str(path)!r} must have shape {shape}, but has shape {found}.")
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"Data file {str(path)!r} must hold {math.prod(shape)} numbers, but holds {len(content) - start}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
