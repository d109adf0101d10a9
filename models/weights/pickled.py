"""Reader of PyTorch's checkpoints (`.th`, `.pt`, `.bin`) that needs no PyTorch and executes nothing.

Both formats of `torch.save` are read. Since version 1.6 a file is a ZIP archive of uncompressed records: `data.pkl`, a
pickle in which tensors refer to storages by name, and `data/<name>`, the numbers of each. Before, it was five pickles
one after another (a magic number, the version 1001, the sizes of the writer's types, the object, the names of the
storages), then the storages, each a 64-bit count and its numbers. The pickles are read as `pickle_values` describes.
"""

import io
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

from .pickle_values import PickleError, Storage, Tensor, read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
# Under which names training programs keep the weights beside epochs, optimisers and the like.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")

Bytes = Callable[[Storage, int], bytes]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of a PyTorch checkpoint.

    A dictionary of weights that lies in another one, under `state_dict`, `model_state_dict`, `model` or `net`, is
    opened. Entries that are no tensors, such as an epoch, are left out.

    Args:
        path: The file, in either format.

    Returns:
        Arrays by the names in the file, of the types in the file (float32, float16, bfloat16, int64 and others).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, no checkpoint, holds anything but weights and plain values, or no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {str(path)!r}.")
    try:
        with path.open("rb") as file:
            is_archive = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            return _read_archive(file) if is_archive else _read_sequence(file)
    except PickleError as error:
        raise ValueError(f"Weights file {str(path)!r} {error}.") from error


def _read_archive(file: IO[bytes]) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            records = {info.filename: info for info in archive.infolist()}
            folder = _folder(records)
            order = records.get(folder + "byteorder")
            if order is not None and _record(archive, order, 16) != b"little":
                raise PickleError("holds numbers in big-endian order, which this reader does not take")
            pickle = records[folder + "data.pkl"]
            root = read_pickle(io.BytesIO(_record(archive, pickle, file.seek(0, os.SEEK_END))))

            def numbers(storage: Storage, size: int) -> bytes:
                info = records.get(f"{folder}data/{storage.key}")
                if info is None:
                    raise PickleError(f"lacks its record 'data/{storage.key}'")
                return _record(archive, info, size, exact=True)

            return _arrays(root, numbers)
    except PickleError:
        raise
    except (
        zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError, IndexError, struct.error,
    ) as error:  # whatever zipfile makes of a damaged archive  # fmt: skip
        raise PickleError(f"is truncated or a damaged archive ({error})") from error


def _folder(records: Mapping[str, Any]) -> str:
    found = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl")]
    if len(found) != 1:
        raise PickleError(f"is an archive with {len(found)} records 'data.pkl', not with one, as PyTorch writes it")
    return found[0]


def _record(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int, *, exact: bool = False) -> bytes:
    # PyTorch does not compress: what is small in the file and large in memory was made otherwise.
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size or (exact and info.file_size != size):
        raise PickleError(
            f"has a record {info.filename!r} of {info.file_size} bytes that is compressed or not of the size that is "
            f"due ({size} bytes)"
        )
    return archive.read(info)


def _read_sequence(file: IO[bytes]) -> dict[str, np.ndarray]:
    _check_beginning(file)
    if read_pickle(file) != _VERSION:
        raise PickleError(f"is of a format that is not read: of those before ZIP archives, {_VERSION} is")
    writer = read_pickle(file)
    if not isinstance(writer, dict) or writer.get("little_endian") is not True:
        raise PickleError("holds numbers in big-endian order, which this reader does not take")
    root = read_pickle(file)
    places = _places(file, read_pickle(file), _storages(root))

    def numbers(storage: Storage, size: int) -> bytes:
        if storage.key not in places:
            raise PickleError(f"lacks the numbers of storage {storage.key!r}")
        file.seek(places[storage.key])
        return file.read(size)

    return _arrays(root, numbers)


def _check_beginning(file: IO[bytes]) -> None:
    try:
        reason = "" if read_pickle(file) == _MAGIC else " (it begins with another pickle than PyTorch's number)"
    except PickleError as error:
        reason = f" (read as a pickle, it {error})"
    if reason:
        raise PickleError(f"is no PyTorch checkpoint{reason}")


def _places(file: IO[bytes], keys: Any, storages: Mapping[str, Storage]) -> dict[str, int]:
    """Return where the numbers of every storage begin."""
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise PickleError("has no list of the storages that its weights are in")
    start = file.tell()
    end = file.seek(0, os.SEEK_END)
    places = {}
    for key in keys:
        file.seek(start)
        count = int.from_bytes(file.read(8), "little")
        size = storages[key].numel * _itemsize(storages[key])
        if start + 8 + size > end:
            raise PickleError(f"is truncated: storage {key!r} ends at byte {start + 8 + size} of {end}")
        if count != storages[key].numel:
            raise PickleError(f"is damaged: storage {key!r} must hold {storages[key].numel} numbers, but holds {count}")
        places[key] = start + 8
        start += 8 + size
    return places


def _storages(value: Any) -> dict[str, Storage]:
    """Return all storages that a value refers to. Values are walked without recursion: they may be nested deeply."""
    found: dict[str, Storage] = {}
    left, seen = [value], set()
    while left:
        value = left.pop()
        if isinstance(value, Tensor):
            found[value.storage.key] = value.storage
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            left.extend(value.values() if isinstance(value, dict) else value)
    return found


def _arrays(root: Any, numbers: Bytes) -> dict[str, np.ndarray]:
    """Return the tensors of the dictionary of weights as arrays of their own."""
    cache: dict[Storage, np.ndarray] = {}

    def array(name: str, tensor: Tensor) -> np.ndarray:
        storage = tensor.storage
        if storage not in cache:
            size = storage.numel * _itemsize(storage)
            content = numbers(storage, size)
            if len(content) != size:
                raise PickleError(f"is truncated: storage {storage.key!r} has {len(content)} bytes of {size}")
            cache[storage] = np.frombuffer(content, _dtype(storage))
        return _strided(name, tensor, cache[storage])

    return {name: array(name, tensor) for name, tensor in _state(root).items()}


def _state(root: Any) -> dict[str, Tensor]:
    for value in (root, *(root[name] for name in _WRAPPERS if isinstance(root, dict) and name in root)):
        tensors = value.items() if isinstance(value, dict) else ()
        found = {name: tensor for name, tensor in tensors if isinstance(name, str) and isinstance(tensor, Tensor)}
        if found:
            return found
    raise PickleError(f"holds no weights by name, neither on its own nor under {', '.join(map(repr, _WRAPPERS))}")


def _strided(name: str, tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    size = math.prod(tensor.shape)
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)) if size else -1
    # A tensor that repeats its numbers may be small in the file and of any size in memory.
    if tensor.offset + last >= len(numbers) or size > len(numbers):
        raise PickleError(
            f"has a tensor {name!r} of shape {tensor.shape}, strides {tensor.strides} and offset {tensor.offset} in a "
            f"storage of {len(numbers)} numbers"
        )
    steps = tuple(step * numbers.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps).copy()


def _dtype(storage: Storage) -> np.dtype:
    return np.dtype(jnp.bfloat16) if storage.dtype == "bfloat16" else np.dtype(storage.dtype)


def _itemsize(storage: Storage) -> int:
    return _dtype(storage).itemsize
