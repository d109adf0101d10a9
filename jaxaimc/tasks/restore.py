"""A task's network with trained weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from jaxaimc import nn
from jaxaimc.config.names import public_name
from jaxaimc.tasks import checkpoints, hub
from jaxaimc.tasks.paths import Absent
from jaxaimc.tasks.task import Task


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


def save_model(path: str | Path, model: nnx.Module, metadata: Mapping[str, Any] | None = None) -> None:
    """Write everything that a model holds: also configs with their ranges, the programmed chip, and random keys.

    Args:
        path: File to write; its folder is made if needed.
        model: Any Flax model, converted or not.
        metadata: Anything JSON can hold.

    Raises:
        ValueError: If the model holds something that is neither an array, a number, a key nor a component.
        TypeError: If JSON cannot hold the metadata.
    """
    checkpoints.save(path, nnx.state(model), metadata)


def restore_model(path: str | Path, model: nnx.Module) -> nnx.Module:
    """Fill a model with everything that `save_model` wrote.

    Args:
        path: The file.
        model: Model of the same layers, analog where the saved one was and with the same hooks. Its tiles may have
            another config, and it need not be programmed nor calibrated: configs, chips and keys come from the file. It
            is not changed.

    Returns:
        The model as it was saved, in the mode (`nnx.view`) of `model`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file does not fit the model.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxaimc import AnalogConfig, nn
        >>> def analog():
        ...     return nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig())
        >>> chip = nn.with_read_key(nn.program(analog(), jax.random.key(1)), jax.random.key(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(f"{folder}/chip.safetensors", chip)
        ...     again = restore_model(f"{folder}/chip.safetensors", analog())
        >>> x = jnp.ones((5, 8))
        >>> bool((chip(x) == again(x)).all())
        True
    """
    filled = nnx.clone(model)
    modules = {".".join(map(str, place)): module for place, module in nnx.iter_modules(filled)}
    types = _variable_types()
    for name, variable in checkpoints.header(path).variables.items():
        owner, _, attribute = name.rpartition(".")
        # What the model has a place for but does not hold yet, such as a programmed chip.
        if variable in types and owner in modules and getattr(modules[owner], attribute, Absent) is None:
            setattr(modules[owner], attribute, types[variable](Absent()))
    nnx.update(filled, checkpoints.load(path, nnx.state(filled)))
    return filled


def _variable_types() -> dict[str, type[nnx.Variable]]:
    found, left = {}, [nnx.Variable]
    while left:
        cls = left.pop()
        found[public_name(cls)] = cls
        left.extend(cls.__subclasses__())
    return found


def load_model(task: Task, checkpoint: str | Path | None = None) -> nnx.Module:
    """Build a task's network and fill it from a checkpoint.

    Args:
        task: Task whose network is wanted.
        checkpoint: File written by `fit` or `checkpoints.save`, or one of those that the task's `read_weights` reads,
            or a model of the hub, `hf://owner/name`, that holds one; None for the one that comes with the task, or for
            the network as it is built where that is trained already.

    Returns:
        Network in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such file, or the task comes without one and none is named.
        ValueError: If what the task makes is no Flax model, or its `read_weights` refuses the file.
        CheckpointError: If the file does not fit the network or belongs to another version of the task's assets.
    """
    path = task.default_checkpoint if checkpoint is None else hub.file(checkpoint)
    if path is None and task.pretrained:
        return _evaluating(task, "build", task.build(jax.random.key(0)))
    if path is None:
        raise FileNotFoundError(
            f"Task {task.name!r} comes without trained weights: train it first and name its checkpoint."
        )
    if task.read_weights is not None and path.is_file() and not checkpoints.is_checkpoint(path):
        return _evaluating(task, "read_weights", task.read_weights(path))
    recorded = checkpoints.metadata(path).get("assets", {})
    for name, content in task.assets.items():
        if name in recorded and recorded[name] != content:
            raise checkpoints.CheckpointError(
                f"Checkpoint {str(path)!r} was trained with another {name} than the one task {task.name!r} has now."
            )
    model = _evaluating(task, "build", task.build(jax.random.key(0)))
    nnx.update(model, checkpoints.load(path, weights(model)))
    return model


def _evaluating(task: Task, field: str, model: Any) -> nnx.Module:
    if not isinstance(model, nnx.Module):
        raise ValueError(
            f"Field `{field}` of task {task.name!r} must return a flax.nnx.Module, but returns a "
            f"{type(model).__name__}."
        )
    model.eval()
    return model
