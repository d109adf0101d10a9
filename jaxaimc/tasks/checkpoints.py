"""Trees of arrays on disk: safetensors, one tensor per leaf, named by its path, with JSON in the header.

Everything that the state of a Flax model holds comes back as it was: parameters, running statistics, random keys,
configs of analog layers with their calibrated ranges, programmed chips, counters. A file holds numbers and text only,
so reading one from a stranger runs no code. It is written under a temporary name and renamed, so a reader sees the old
file or the new one, never half of one.

The header has up to three entries: `jaxaimc`, the format version and the caller's metadata; `jaxaimc.structure`, what
stands at each path that is not a plain array (`"float"`, `{"key": "threefry2x32"}`, a component with its class and
static fields); `jaxaimc.variables`, the Flax variable types beyond Flax's own. Files of format 1 have the first alone.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import safetensors
import safetensors.numpy

from jaxaimc._core.files import replacing
from jaxaimc.tasks import fitting, paths, structure
from jaxaimc.tasks.leaves import Tensor
from jaxaimc.tasks.paths import names

__all__ = [
    "FORMAT_VERSION",
    "CheckpointError",
    "Header",
    "header",
    "is_checkpoint",
    "load",
    "metadata",
    "names",
    "save",
]

FORMAT_VERSION = 2
_KEY = "jaxaimc"
Tree = TypeVar("Tree")


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one that does not fit the network."""


class Header(NamedTuple):
    """What a checkpoint says about itself.

    Args:
        metadata: Metadata given to `save`, and `format_version`.
        structure: What stands at each path that is not a plain array.
        variables: Classes of Flax variables beyond Flax's own, by path.
        shapes: Shapes of the tensors.
    """

    metadata: dict[str, Any]
    structure: dict[str, Any]
    variables: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def save(path: str | Path, parameters: Any, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a tree and metadata, replacing an existing file only once the new one is complete.

    Args:
        path: File to write; its folder is made if needed.
        parameters: Pytree of arrays, numbers, typed random keys and components, for example `flax.nnx.state(model)`.
        metadata: Anything JSON can hold.

    Raises:
        ValueError: If two leaves get the same name, a leaf or a static field is of a kind that cannot be stored, or the
            metadata have an entry `format_version`.
        TypeError: If JSON cannot hold the metadata.

    Example:
        >>> import tempfile, jax
        >>> from jaxaimc import AnalogConfig
        >>> saved, blank = [{"tile": AnalogConfig(), "key": jax.random.key(seed)} for seed in (3, 0)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/state.safetensors", saved, {"note": "chip 3"})
        ...     loaded = load(f"{folder}/state.safetensors", blank)
        ...     note = metadata(f"{folder}/state.safetensors")["note"]
        >>> loaded["tile"] == AnalogConfig(), bool(loaded["key"] == jax.random.key(3)), note
        (True, True, 'chip 3')
    """
    if "format_version" in (metadata or {}):
        raise ValueError("Argument `metadata` must not have the entry 'format_version', which the file format uses.")
    tensors: dict[str, Tensor] = {}
    kinds = {name: structure.encode(node, name, tensors) for name, node in paths.wholes(parameters)[0].items()}
    entries = {
        _KEY: {"format_version": FORMAT_VERSION, **(metadata or {})},
        f"{_KEY}.structure": {name: kind for name, kind in kinds.items() if kind != "array"},
        f"{_KEY}.variables": paths.variables(parameters),
    }
    texts = {key: json.dumps(entry, sort_keys=True) for key, entry in entries.items() if entry}
    content = safetensors.numpy.save(tensors, metadata=texts)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def is_checkpoint(path: str | Path) -> bool:
    """Return whether a file is one that `save` wrote, as far as its header tells.

    Args:
        path: Any file.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    try:
        with _open(Path(path)) as file:
            return _KEY in (file.metadata() or {})
    except CheckpointError:
        return False


def metadata(path: str | Path) -> dict[str, Any]:
    """Read what a checkpoint says about itself; its tensors stay unread.

    Args:
        path: File written by `save`.

    Returns:
        The metadata given to `save`, and `format_version`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated, foreign, or of a format that this version does not read.
    """
    return header(path).metadata


def header(path: str | Path) -> Header:
    """Read all that the header of a checkpoint holds; its tensors stay unread.

    Args:
        path: File written by `save`.

    Returns:
        The header.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated, foreign, or of a format that this version does not read.
    """
    with _open(Path(path)) as file:
        return _header(Path(path), file)


def load(path: str | Path, like: Tree) -> Tree:
    """Read a tree into the structure of `like`, which stays as it is.

    Arrays must fit those of `like`; they are cast to its types if nothing is lost but to rounding. Components (configs
    with their ranges, programmed chips) and the other compound values of Flax variables come from the file as they were
    saved, classes and static fields included.

    Args:
        path: File written by `save`.
        like: Pytree with the structure, shapes and dtypes that are wanted, for example the state of an untrained
            network; arrays or `jax.ShapeDtypeStruct`, numbers, typed keys, components.

    Returns:
        A new pytree with the structure of `like`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is truncated, foreign, or of a format that this version does not read, or if a
            tensor is missing, unexpected, of another shape, of another kind of number, not finite or too large for the
            wanted type, or a component is of another kind or refuses its fields. Tensors of other shapes are not read.
        ValueError: If a leaf of `like` is neither an array nor a number.
    """
    path = Path(path)
    wanted, rebuild = paths.wholes(like)
    with _open(path) as file:
        found = _header(path, file)
        try:
            nodes, problems = fitting.fill(wanted, found.structure, found.shapes, file.get_tensor)
        except (structure.StructureError, RecursionError) as error:
            raise CheckpointError(f"Checkpoint {str(path)!r} is damaged: {error}.") from error
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(f"Checkpoint {str(path)!r} does not fit: {shown}.")
    return rebuild(nodes)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {str(path)!r}.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"Checkpoint {str(path)!r} is truncated or no safetensors file ({path.stat().st_size} bytes): {error}."
        ) from error


def _header(path: Path, file: Any) -> Header:
    texts = file.metadata() or {}
    if _KEY not in texts:
        raise CheckpointError(f"Checkpoint {str(path)!r} was not written by jaxaimc: its header has no {_KEY!r} entry.")
    said, kinds, variables = (_entry(path, texts, _KEY + part) for part in ("", ".structure", ".variables"))
    version = said.get("format_version")
    if type(version) is not int:
        raise _unreadable(path, _KEY)
    if not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"Checkpoint {str(path)!r} has format version {version}; this version of jaxaimc reads 1 to "
            f"{FORMAT_VERSION}."
        )
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    return Header(said, kinds, variables, shapes)


def _entry(path: Path, texts: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        entry = json.loads(texts.get(name, "{}"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, name) from error
    if not isinstance(entry, dict):
        raise _unreadable(path, name)
    return entry


def _unreadable(path: Path, entry: str) -> CheckpointError:
    return CheckpointError(f"Checkpoint {str(path)!r} has an unreadable {entry!r} entry in its header.")
