"""Saving a training run after every epoch, and finding it again.

Orbax writes each state into a temporary folder and renames it when complete, so a run killed while saving goes on from
the state before.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxaimc.training.steps import TrainingState


class Saved(NamedTuple):
    """A state on disk and how it came about.

    Args:
        state: State after the epoch.
        losses: Mean loss of every epoch so far.
        seconds: Computing time so far.
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
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def __enter__(self) -> "Saver":
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the folder."""
        self._manager.close()

    def save(self, epoch: int, saved: Saved) -> None:
        """Write the state after `epoch` and drop all but the last two."""
        facts = {"identity": self._identity, "losses": saved.losses, "seconds": saved.seconds}
        args = self._ocp.args
        items = args.Composite(state=args.StandardSave(_without_keys(saved.state)), facts=args.JsonSave(facts))
        self._manager.save(epoch, args=items)

    def restore(self, like: TrainingState) -> Saved | None:
        """Read the last complete state, or return None if there is none.

        Args:
            like: State of the same structure.

        Raises:
            ValueError: If the folder holds a run of another identity.
        """
        epoch = self._manager.latest_step()
        if epoch is None:
            return None
        args = self._ocp.args
        facts = self._manager.restore(epoch, args=args.Composite(facts=args.JsonRestore()))["facts"]
        self._check_identity(facts["identity"])
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), _without_keys(like))
        found = self._manager.restore(epoch, args=args.Composite(state=args.StandardRestore(target)))["state"]
        return Saved(_with_keys(found, like), facts["losses"], facts["seconds"])

    def _check_identity(self, found: Mapping[str, Any]) -> None:
        for name in sorted({*found, *self._identity}):
            if found.get(name) != self._identity.get(name):
                raise ValueError(
                    f"Folder {str(self._directory)!r} holds a training run with {name} {found.get(name)!r}, "
                    f"but this run has {self._identity.get(name)!r}; "
                    f"name another folder, or delete that one to start anew."
                )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


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
