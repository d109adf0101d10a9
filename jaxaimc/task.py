"""A task: a network, the data it is trained and tested on, and what counts as right.

The command line finds a task by import path (`models.vit:fashion_mnist`, `my_package.my_net:task`), so the library
never imports a particular network. A task factory is a function that takes the data folder or None and returns a
`Task`.
"""

import dataclasses
import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key, Num


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    Args:
        inputs: Whatever the network takes, examples on the first axis.
        targets: Whatever `Task.loss` and `Task.score` compare the outputs with, examples on the first axis.

    Raises:
        ValueError: If the two differ in their number of examples, or there is none.
    """

    inputs: Num[np.ndarray, "examples ..."]
    targets: Num[np.ndarray, "examples ..."]

    def __post_init__(self):
        if len(self.inputs) == 0:
            raise ValueError("Argument `inputs` must hold at least one example, but holds none.")
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"Argument `targets` must have one entry for each of the {len(self.inputs)} inputs, "
                f"but has {len(self.targets)}."
            )

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.inputs)

    def first(self, examples: int | None) -> "Split":
        """Return the first `examples` examples, or all of them if that is None or more than there are.

        Raises:
            ValueError: If `examples` is not positive.
        """
        if examples is not None and examples < 1:
            raise ValueError(f"Argument `examples` must be at least 1, but is {examples}.")
        return Split(self.inputs[:examples], self.targets[:examples])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained: AdamW (Loshchilov and Hutter 2019) with linear warm-up and cosine decay to zero.

    Args:
        epochs: Passes over the training examples.
        batch: Examples per step.
        learning_rate: Peak of the schedule.
        warmup: Fraction of all steps over which the learning rate rises from zero.
        weight_decay: Decoupled decay, applied to arrays of two or more dimensions only.
        clip_norm: Largest global norm of a gradient; larger ones are scaled down to it.
        augment: Random change of a batch of training inputs, `(key, inputs) -> inputs`, or None.
        seed: Seed of the initial weights, the order of the examples and the augmentation.

    Raises:
        ValueError: If a field is out of its range.
    """

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    augment: Callable[[Key[Array, ""], Array], Array] | None = None
    seed: int = 0

    def __post_init__(self):
        bounds: dict[str, tuple[bool, str]] = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch": (self.batch >= 1, "at least 1"),
            "learning_rate": (0 < self.learning_rate < float("inf"), "positive and finite"),
            "warmup": (0 <= self.warmup < 1, "at least 0 and below 1"),
            "weight_decay": (0 <= self.weight_decay < float("inf"), "at least 0 and finite"),
            "clip_norm": (self.clip_norm > 0, "positive"),
            "seed": (0 <= self.seed < 2**32, "at least 0 and below 2**32"),
        }
        for name, (allowed, text) in bounds.items():
            if not allowed:
                raise ValueError(f"Field `{name}` of the recipe must be {text}, but is {getattr(self, name)}.")

    def describe(self) -> dict[str, str | int | float | None]:
        """Return the fields as plain values, the augmentation by its name; recorded in every checkpoint."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        augment = self.augment
        values["augment"] = None if augment is None else getattr(augment, "__qualname__", repr(augment))
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A network, its data and its measure.

    Args:
        name: Short name for tables and files.
        build: Makes the untrained network from a key; the network is called as `network(inputs) -> outputs`, examples
            on the first axis of both.
        split: Returns the part of the data named "train" or "test".
        loss: Training loss of each example, `(outputs, targets) -> [batch]`.
        score: Score of each example, `(outputs, targets) -> [batch]`; its mean is the metric.
        metric: Name of the metric, for example "accuracy".
        chance: Metric of guessing.
        recipe: Default training recipe.
        default_checkpoint: Trained weights that come with the task, or None.
        assets: Further texts without which the weights mean nothing, by name, for example a tokenizer. Stored in every
            checkpoint and compared when one is loaded.
    """

    name: str
    build: Callable[[Key[Array, ""]], Any]
    split: Callable[[str], Split]
    loss: Callable[[Array, Array], Float[Array, " batch"]]
    score: Callable[[Array, Array], Float[Array, " batch"]]
    metric: str
    chance: float
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    default_checkpoint: Path | None = None
    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)


def cross_entropy(
    outputs: Float[Array, "batch classes"], targets: Integer[Array, " batch"], *, smoothing: float = 0.0
) -> Float[Array, " batch"]:
    """Cross-entropy in nats between logits and labels.

    Args:
        outputs: Logits.
        targets: Labels, 0 to classes - 1.
        smoothing: Share of the target spread evenly over all classes (Szegedy et al. 2016, section 7).

    Returns:
        Loss of each example.

    Example:
        >>> import jax.numpy as jnp
        >>> print(cross_entropy(jnp.zeros((1, 4)), jnp.array([2])).round(3))
        [1.386]
    """
    log_probability = jax.nn.log_softmax(outputs)
    true = jnp.take_along_axis(log_probability, targets[:, None], axis=-1)[:, 0]
    return -(1 - smoothing) * true - smoothing * log_probability.mean(axis=-1)


def accuracy(outputs: Float[Array, "batch classes"], targets: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """Score 1 where the largest logit is the label's, else 0.

    Args:
        outputs: Logits.
        targets: Labels, 0 to classes - 1.

    Returns:
        Score of each example.

    Example:
        >>> import jax.numpy as jnp
        >>> print(accuracy(jnp.eye(3), jnp.array([0, 1, 1])))
        [1. 1. 0.]
    """
    return (outputs.argmax(axis=-1) == targets).astype(outputs.dtype)


def load_task(path: str, data: str | Path | None = None) -> Task:
    """Import a task factory and call it.

    The current directory is importable while the module is loaded, and stays so.

    Args:
        path: `package.module:factory`.
        data: Folder with the data, passed on to the factory; None for the task's own default.

    Returns:
        The task.

    Raises:
        ValueError: If `path` is not of that form, or the module has no such attribute.
        ModuleNotFoundError: If the module, or a module it needs, is not installed.
        TypeError: If the attribute is not a function from a folder or None to a `Task`.
        FileNotFoundError: If `data` is given and is not a folder.
    """
    module_name, separator, attribute = path.partition(":")
    if not separator or not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise ValueError(f"Argument `path` must have the form 'package.module:factory', but is {path!r}.")
    folder = None if data is None else Path(data)
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"Argument `data` must be an existing folder, but is {str(data)!r}.")
    factory = _attribute(_import(module_name, path), attribute, path)
    if not callable(factory):
        raise TypeError(
            f"Task path {path!r} must name a function (folder or None) -> Task, but names a {type(factory).__name__}."
        )
    task = factory(folder)
    if not isinstance(task, Task):
        raise TypeError(f"Task path {path!r} must return a Task, but returned a {type(task).__name__}.")
    return task


def _import(module_name: str, path: str) -> Any:
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ModuleNotFoundError(
                f"Task path {path!r}: module {module_name!r} needs {error.name!r}, which is not installed.",
                name=error.name,
            ) from error
        raise ModuleNotFoundError(
            f"Task path {path!r}: there is no module {error.name!r} on the import path or in the current directory.",
            name=error.name,
        ) from error


def _attribute(module: Any, attribute: str, path: str) -> Any:
    if not hasattr(module, attribute):
        public = ", ".join(sorted(name for name in vars(module) if not name.startswith("_")))
        raise ValueError(
            f"Task path {path!r}: module {module.__name__!r} has no attribute {attribute!r}; it has: {public}."
        )
    return getattr(module, attribute)
