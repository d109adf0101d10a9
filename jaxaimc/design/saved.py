"""The state of a design run on disk: one file, complete at any moment, with what identifies the run."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaimc._core.files import replacing
from jaxaimc.design.step import State

History = dict[str, list[float]]


def save(path: Path, state: State, history: History, facts: Mapping[str, Any]) -> None:
    """Write a state; the file is replaced as a whole.

    Args:
        path: The file.
        state: The state.
        history: Columns so far.
        facts: JSON values that must be the same when the run is taken up again.

    Raises:
        OSError: If the disk refuses; the file then stays as it was.
    """
    leaves = [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in jax.tree.leaves(state)]
    arrays = {f"state/{number}": leaf for number, leaf in enumerate(leaves)}
    columns = {f"history/{name}": np.asarray(column) for name, column in history.items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        content: Any = {"facts": np.asarray(json.dumps(dict(facts))), **arrays, **columns}
        np.savez(file, **content)


def restore(path: Path, like: State, facts: Mapping[str, Any]) -> tuple[State, History]:
    """Read a state.

    Args:
        path: The file.
        like: State of the same structure.
        facts: What identifies the run.

    Raises:
        ValueError: If the file is none of this run, or cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = dict(file)
        found = json.loads(str(content.pop("facts")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"File {str(path)!r} holds no state of a design, or is damaged; move it away to start anew."
        ) from error
    for name, wanted in json.loads(json.dumps(dict(facts))).items():
        if found.get(name) != wanted:
            raise ValueError(
                f"File {str(path)!r} holds the state of another design run, with other {name}; name another file, or "
                "delete that one to start anew."
            )
    leaves, structure = jax.tree.flatten(like)
    loaded = []
    for number, leaf in enumerate(leaves):
        stored = content.get(f"state/{number}")
        wanted = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        if stored is None or stored.shape != jnp.shape(wanted) or stored.dtype != jnp.asarray(wanted).dtype:
            raise ValueError(
                f"File {str(path)!r} holds the state of a design run with another optimiser or precision; name another "
                "file, or delete that one to start anew."
            )
        array = jnp.asarray(stored)
        loaded.append(jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array)
    history = {
        name.removeprefix("history/"): column.tolist()
        for name, column in content.items()
        if name.startswith("history/")
    }
    return jax.tree.unflatten(structure, loaded), history


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
