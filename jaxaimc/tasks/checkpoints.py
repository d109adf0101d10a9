"""Parameters on disk: safetensors, one tensor per parameter, named by its path, with metadata in the header.

The file holds numbers and text only, so reading one from a stranger runs no code. A file is written under a temporary
name and renamed, so a reader sees the old file or the new one, never half of one.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

FORMAT_VERSION = 1
_KEY = "jaxaimc"
Tree = TypeVar("Tree")


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one that does not fit the network."""


def names(parameters: Any) -> dict[str, Any]:
    """Name every leaf of a pytree by its path.

    Args:
        parameters: Any pytree, for example `flax.nnx.state(model, nnx.Param)`.

    Returns:
        Leaves by name, in the order of the pytree: keys, indices and attributes joined by dots, without the `value`
        that a Flax variable adds at the end.

    Raises:
        ValueError: If two leaves get the same name.

    Example:
        >>> list(names({"blocks": [{"kernel": 1.0}, {"kernel": 2.0}]}))
        ['blocks.0.kernel', 'blocks.1.kernel']
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(parameters)[0]:
        parts = [_part(entry) for entry in path]
        if len(parts) > 1 and isinstance(path[-1], jax.tree_util.GetAttrKey) and parts[-1] == "value":
            parts.pop()
        name = ".".join(parts)
        if name in named:
            raise ValueError(f"Argument `parameters` must have distinct paths, but has {name!r} twice.")
        named[name] = leaf
    return named


def _part(entry: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def save(path: str | Path, parameters: Any, metadata: Mapping[str, Any] | None = None) -> None:
    """Write parameters and metadata, replacing an existing file only once the new one is complete.

    Args:
        path: File to write; its folder is made if needed.
        parameters: Pytree of arrays.
        metadata: Anything JSON can hold.

    Raises:
        ValueError: If two parameters get the same name.
        TypeError: If JSON cannot hold the metadata.
    """
    path = Path(path)
    header = {_KEY: json.dumps({"format_version": FORMAT_VERSION, **(metadata or {})}, sort_keys=True)}
    tensors = {name: np.asarray(leaf, order="C") for name, leaf in names(parameters).items()}
    content = safetensors.numpy.save(tensors, metadata=header)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def metadata(path: str | Path) -> dict[str, Any]:
    """Read what a checkpoint says about itself, without its tensors.

    Args:
        path: File written by `save`.

    Returns:
        The metadata given to `save`, and `format_version`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated, foreign, or of a newer format.
    """
    return _read(Path(path))[1]


def load(path: str | Path, like: Tree) -> Tree:
    """Read parameters into the structure of `like`, which stays as it is.

    Args:
        path: File written by `save`.
        like: Pytree with the structure, shapes and dtypes that are wanted, for example the state of an untrained
            network; arrays or `jax.ShapeDtypeStruct`.

    Returns:
        A new pytree with the structure of `like`; numbers are cast to its dtypes.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated, foreign, or of a newer format, or if a tensor is missing, unexpected,
            of another shape, of another kind of number, or not finite.
    """
    tensors, _ = _read(Path(path))
    wanted = names(like)
    _check_fit(Path(path), tensors, wanted)
    leaves = [jnp.asarray(tensors[name], dtype=leaf.dtype) for name, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {str(path)!r}.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (safetensors.SafetensorError, OSError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"Checkpoint {str(path)!r} is truncated or no safetensors file ({path.stat().st_size} bytes): {error}."
        ) from error
    return tensors, _parse(path, header)


def _parse(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    if _KEY not in header:
        raise CheckpointError(f"Checkpoint {str(path)!r} was not written by jaxaimc: its header has no {_KEY!r} entry.")
    try:
        values = json.loads(header[_KEY])
        version = int(values["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"Checkpoint {str(path)!r} has an unreadable {_KEY!r} entry in its header.") from error
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"Checkpoint {str(path)!r} has format version {version}; this version of jaxaimc reads up to "
            f"{FORMAT_VERSION}."
        )
    return values


def _check_fit(path: Path, tensors: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> None:
    problems = [
        f"tensor {name!r} of shape {leaf.shape} is missing" for name, leaf in wanted.items() if name not in tensors
    ]
    problems += [
        f"tensor {name!r} of shape {tensors[name].shape} is unexpected" for name in tensors if name not in wanted
    ]
    for name in [name for name in wanted if name in tensors]:
        tensor, leaf = tensors[name], wanted[name]
        if tensor.shape != leaf.shape:
            problems.append(f"tensor {name!r} must have shape {leaf.shape}, but has shape {tensor.shape}")
        elif jnp.issubdtype(tensor.dtype, jnp.inexact) != jnp.issubdtype(leaf.dtype, jnp.inexact):
            problems.append(f"tensor {name!r} must hold {leaf.dtype}, but holds {tensor.dtype}")
        elif jnp.issubdtype(tensor.dtype, jnp.inexact) and not np.isfinite(tensor.astype(np.float64)).all():
            problems.append(f"tensor {name!r} must be finite, but holds NaN or infinity")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(f"Checkpoint {str(path)!r} does not fit: {shown}.")
