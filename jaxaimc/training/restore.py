"""A task's network with trained weights."""

from pathlib import Path

import jax
from flax import nnx

from jaxaimc import checkpoints
from jaxaimc.task import Task


def load_model(task: Task, checkpoint: str | Path | None = None) -> nnx.Module:
    """Build a task's network and fill it from a checkpoint.

    Args:
        task: Task whose network is wanted.
        checkpoint: File written by `fit` or `checkpoints.save`; None for the one that comes with the task.

    Returns:
        Network in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such file, or the task comes without one and none is named.
        CheckpointError: If the file does not fit the network or belongs to another version of the task's assets.
    """
    path = task.default_checkpoint if checkpoint is None else Path(checkpoint)
    if path is None:
        raise FileNotFoundError(
            f"Task {task.name!r} comes without trained weights: train it first and name its checkpoint."
        )
    recorded = checkpoints.metadata(path).get("assets", {})
    for name, content in task.assets.items():
        if name in recorded and recorded[name] != content:
            raise checkpoints.CheckpointError(
                f"Checkpoint {str(path)!r} was trained with another {name} than the one task {task.name!r} has now."
            )
    model = task.build(jax.random.key(0))
    nnx.update(model, checkpoints.load(path, nnx.state(model, nnx.Param)))
    model.eval()
    return model
