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
            with gzip.open(path) as file:
                head = file.read(4 + 4 * len(self.shape))
                _check_head(path, head, self.shape)
                # One byte more than is wanted tells a longer file: what is packed small may unpack to any size.
                content = file.read(math.prod(self.shape) + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"Data file {str(path)!r} is truncated or not gzipped: {error}.") from error
        if len(content) != math.prod(self.shape):
            held = "more" if len(content) > math.prod(self.shape) else len(content)
            raise ValueError(f"Data file {str(path)!r} must hold {math.prod(self.shape)} numbers, but holds {held}.")
        found = hashlib.sha256(head + content).hexdigest()
        if found != self.sha256:
            raise ValueError(f"Data file {str(path)!r} must have the checksum {self.sha256} unpacked, but has {found}.")
        return np.frombuffer(content, np.uint8).reshape(self.shape)


def _check_head(path: Path, head: bytes, shape: tuple[int, ...]) -> None:
    magic = bytes([0, 0, _UNSIGNED_BYTE, len(shape)])
    if head[:4] != magic:
        raise ValueError(
            f"Data file {str(path)!r} must start with the bytes {magic.hex()} "
            f"(idx, unsigned bytes, {len(shape)} axes), but starts with {head[:4].hex() or 'nothing'}."
        )
    found = tuple(np.frombuffer(head[4:], ">u4").tolist()) if len(head) == 4 + 4 * len(shape) else ()
    if found != shape:
        raise ValueError(f"Data file {str(path)!r} must have shape {shape}, but has shape {found}.")
