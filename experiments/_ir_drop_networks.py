"""Networks and tiles of the experiment on training through the circuit."""

import dataclasses
from pathlib import Path

import jax
from flax import nnx

from jaxaimc import AnalogConfig, presets
from jaxaimc.tasks import Split, Task, load_model, load_task
from jaxaimc.training import fit
from jaxaimc.wires import IdleMethod, Ladder, OpenIdle
from models.transformer import PatchEmbedding, Transformer

NETWORKS = ("embedded", "wide", "text", "minilm")


def tiles(r: float, idle: IdleMethod | None = None) -> AnalogConfig:
    """Return the tile circuit with another wire resistance.

    Args:
        r: Resistance of a wire segment [ohm].
        idle: How columns with open idle cells are solved; None for idle cells that are held at the read voltage.
    """
    config = presets.tile_circuit()
    held = config.wires
    assert isinstance(held, Ladder)
    wires = held.with_(r=r) if idle is None else OpenIdle(r=r, method=idle)
    return dataclasses.replace(config, wires=wires)


def network(
    name: str, output: Path, *, wide_epochs: int, text_epochs: int, data: Path | None = None
) -> tuple[Task, nnx.Module]:
    """Return the task of a network and its digitally trained weights.

    Args:
        name: One of `NETWORKS`; `"wide"` and `"text"` are trained here.
        output: Folder of the experiment.
        wide_epochs: Epochs of the wide network's digital training.
        text_epochs: Epochs of the text encoder's digital training.
        data: Folder with Banking77, for the text encoder and MiniLM.
    """
    if name == "minilm":
        task = load_task("models.minilm:banking77", data)
        return task, load_model(task)
    if name == "text":
        task = load_task("models.text:banking77", data)
        recipe = dataclasses.replace(task.recipe, epochs=text_epochs)
        return task, fit(task, recipe, directory=output / "text" / "digital").model
    task = load_task("models.vit:fashion_mnist")
    if name == "embedded":
        return task, load_model(task)
    task = dataclasses.replace(task, name="fashion_mnist_wide", build=_wide_network, default_checkpoint=None)
    recipe = dataclasses.replace(task.recipe, epochs=wide_epochs, learning_rate=1e-3)
    return task, fit(task, recipe, directory=output / "wide" / "digital").model


def shortened(task: Task, steps: int) -> tuple[Task, int]:
    """Return a task and the epochs that make about `steps` steps; fewer than an epoch take the first examples."""
    per_epoch = len(task.split("train")) // task.recipe.batch
    if steps >= per_epoch:
        return task, round(steps / per_epoch)

    def split(name: str) -> Split:
        whole = task.split(name)
        return whole.first(steps * task.recipe.batch) if name == "train" else whole

    return dataclasses.replace(task, split=split), 1


def _wide_network(key: jax.Array) -> Transformer:
    """Make an untrained vision transformer with long columns: four tokens of 256 features, perceptrons of 512."""
    rngs = nnx.Rngs(key)
    patches = PatchEmbedding(size=28, patch=14, width=256, mean=0.2860, deviation=0.3530, rngs=rngs)
    return Transformer(patches, length=4, width=256, layers=2, heads=4, hidden=512, classes=10, rngs=rngs)
