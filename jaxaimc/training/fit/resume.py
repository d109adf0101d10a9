"""Saving a training run after every epoch, and finding it again.

Orbax writes each state into a temporary folder and renames it when complete, so a run killed while saving goes on from
the state before.
"""

import contextlib
import errno
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxaimc.training.fit.steps import TrainingState

# What the small files of a state take on a disk beside its numbers [byte].
_FILES = 2**17


class Saved(NamedTuple):
    """A state on disk and how it came about.

    Args:
        state: State after the epoch.
        losses: Mean loss of every epoch so far.
        seconds: Computing time so far [s].
    """

    state: TrainingState
    losses: list[float]
    seconds: float


class Saver:
    """The saved states of one run in one folder; use it in a `with` statement.

    Args:
        directory: Folder of the run; made if needed.
        identity: Facts that must be the same when the run is taken up again.

    Raises:
        ValueError: If the folder holds a run of another identity.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any]):
        import orbax.checkpoint as ocp  # .3 s: only runs that save pay for it

        self._ocp = ocp
        self._identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))
        self._directory = directory.absolute()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=ocp.checkpoint_managers.LatestN(2), enable_async_checkpointing=False
        )
        with _quiet_orbax():
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def __enter__(self) -> "Saver":
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the folder."""
        self._manager.close()

    def save(self, epoch: int, saved: Saved) -> None:
        """Write the state after `epoch` and drop all but the last two.

        Raises:
            OSError: If the disk refuses; the states saved before stay usable.
        """
        facts = {"identity": self._identity, "losses": saved.losses, "seconds": saved.seconds}
        args = self._ocp.args
        leaves = _without_keys(saved.state)
        items = args.Composite(state=args.StandardSave(leaves), facts=args.JsonSave(facts))
        try:
            # Threads of TensorStore may print tracebacks of their own where the disk is full while they write.
            if shutil.disk_usage(self._directory).free < _FILES + sum(jnp.asarray(leaf).nbytes for leaf in leaves):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with _quiet_orbax():
                self._manager.save(epoch, args=items)
        except Exception as error:  # Orbax and TensorStore raise many kinds for a disk that is full
            raise OSError(
                f"The state after epoch {epoch} could not be saved in {str(self._directory)!r}; those saved before "
                f"stay usable: {_first_line(error)}."
            ) from error

    def restore(self, like: TrainingState) -> Saved | None:
        """Read the last state that is intact, or return None if there is none at all.

        A damaged state after it is removed with a warning, and the run computes it anew.

        Args:
            like: State of the same structure.

        Raises:
            ValueError: If the folder holds a run of another identity, or no state in it can be read.
        """
        damaged: dict[int, Exception] = {}
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            try:
                with _quiet_orbax():
                    saved, identity = self._read(epoch, like)
            except Exception as error:  # whatever Orbax and TensorStore raise for files that are not as they wrote them
                damaged[epoch] = error
                continue
            self._check_identity(identity)
            for later, error in damaged.items():
                warnings.warn(
                    f"The training state after epoch {later} in {str(self._directory)!r} cannot be read "
                    f"({_first_line(error)}): it was removed, and training goes on from epoch {epoch}.",
                    stacklevel=2,
                )
                self._manager.delete(later)
            return saved
        if damaged:
            epoch, error = next(iter(damaged.items()))
            raise ValueError(
                f"No training state in {str(self._directory)!r} can be read with this network and optimiser; that "
                f"after epoch {epoch}: {_first_line(error)}. Name another folder, or delete that one to start anew."
            ) from error
        return None

    def _read(self, epoch: int, like: TrainingState) -> tuple[Saved, Mapping[str, Any]]:
        args = self._ocp.args
        facts = self._manager.restore(epoch, args=args.Composite(facts=args.JsonRestore()))["facts"]
        identity, losses, seconds = facts["identity"], [float(loss) for loss in facts["losses"]], facts["seconds"]
        if identity != self._identity:
            # Another run's state need not fit; it is refused by what it is.
            return Saved(like, losses, float(seconds)), dict(identity)
        if len(losses) != epoch:
            raise ValueError(f"{len(losses)} losses are recorded")
        target = [_placed(leaf) for leaf in _without_keys(like)]
        found = self._manager.restore(epoch, args=args.Composite(state=args.StandardRestore(target)))["state"]
        return Saved(_with_keys(found, like), losses, float(seconds)), identity

    def _check_identity(self, found: Mapping[str, Any]) -> None:
        for name in sorted({*found, *self._identity}):
            if found.get(name) != self._identity.get(name):
                raise ValueError(
                    f"Folder {str(self._directory)!r} holds a training run with {name} {found.get(name)!r}, "
                    f"but this run has {self._identity.get(name)!r}; "
                    f"name another folder, or delete that one to start anew."
                )


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """Keep Orbax from printing the tracebacks of its threads: what went wrong is raised as well."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _first_line(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return text if len(text) <= 160 else f"{text[:157]}..."


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _placed(leaf: Any) -> jax.ShapeDtypeStruct:
    # With the place where it shall lie: Orbax would look for the devices that the state was saved from.
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=jnp.asarray(leaf).sharding)


def _without_keys(tree: Any) -> list[Any]:
    # Leaves only: the structure is rebuilt from the network. Orbax stores numbers, so typed keys go as their bits.
    return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in jax.tree.leaves(tree)]


def _with_keys(leaves: list[Any], like: TrainingState) -> TrainingState:
    wanted, structure = jax.tree.flatten(like)
    found = [
        jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(old)) if _is_key(old) else leaf
        for leaf, old in zip(leaves, wanted, strict=True)
    ]
    return jax.tree.unflatten(structure, found)
