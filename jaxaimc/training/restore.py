"""A task's network with trained weights."""

from pathlib import Path
from typing import Any

import jax
from flax import nnx

from jaxaimc import checkpoints, nn
from jaxaimc.task import Task


def weights(model: nnx.Module) -> Any:
    """Return what a checkpoint holds of a network: parameters and running statistics.

    Random-number streams and the variables of attached analog layers are not part of it, so that a checkpoint fits the
    digital network whichever way it was trained.

    Args:
        model: Network.

    Returns:
        Its state, restricted to `nnx.Param` and `nnx.BatchStat`.
    """
    return nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat))


def scales(model: nnx.Module) -> Any:
    """Return the trained numbers beside a network's analog layers: ranges, column gains and offsets.

    Args:
        model: Network.

    Returns:
        Its state, restricted to `jaxaimc.nn.DigitalParam`; empty for a digital network.
    """
    return nnx.state(model, nn.DigitalParam)


def with_scales(model: nnx.Module, path: str | Path) -> nnx.Module:
    """Fill the numbers beside a network's analog layers from the `scales.safetensors` that `fit` wrote.

    Args:
        model: Network with the hooks that it was trained with. It is not changed.
        path: The file.

    Returns:
        The network with these numbers.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file does not fit the network's hooks.
    """
    filled = nnx.clone(model)
    nnx.update(filled, checkpoints.load(path, scales(filled)))
    return filled


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
    nnx.update(model, checkpoints.load(path, weights(model)))
    model.eval()
    return model
