"""Weights in safetensors files."""

from pathlib import Path

import ml_dtypes
import numpy as np
import safetensors

_TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,  # NumPy itself has none
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read(path: Path) -> dict[str, np.ndarray]:
    """Read all tensors.

    Args:
        path: The file.

    Returns:
        Arrays by name, in the order in which they lie in the file.

    Raises:
        ValueError: If the file is truncated or no safetensors file, or a tensor is of a type that NumPy lacks.
    """
    try:
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"Weights file {str(path)!r} is truncated or no safetensors file ({path.stat().st_size} bytes): {error}."
        ) from error
    return {name: _array(path, name, entry["dtype"], entry["shape"], entry["data"]) for name, entry in found}


def _array(path: Path, name: str, kind: str, shape: list[int], content: bytes) -> np.ndarray:
    if kind not in _TYPES:
        raise ValueError(
            f"Weights file {str(path)!r} must hold tensors of the types {', '.join(_TYPES)}, but {name!r} is of type "
            f"{kind}."
        )
    return np.frombuffer(content, _TYPES[kind]).reshape(shape)
