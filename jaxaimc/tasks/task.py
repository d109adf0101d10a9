"""What a task is: a network, the data it is trained and tested on, and what counts as right."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc.tasks.corpus import Corpus
from jaxaimc.tasks.data import Split

_MANY = 2**31 - 1  # steps are counted in 32 bits


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
        ValueError: If a field is out of its range or no number.
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
        owner = "the recipe"
        check_integer(owner, "epochs", self.epochs, low=1, high=_MANY)
        check_integer(owner, "batch", self.batch, low=1, high=_MANY)
        check_integer(owner, "seed", self.seed, low=0, high=2**32 - 1)
        check_number(owner, "learning_rate", self.learning_rate, low=0.0, open_low=True)
        check_number(owner, "warmup", self.warmup, low=0.0, high=1.0, open_high=True)
        check_number(owner, "weight_decay", self.weight_decay, low=0.0)
        check_number(owner, "clip_norm", self.clip_norm, low=0.0, open_low=True, finite=False)
        if self.augment is not None and not callable(self.augment):
            raise ValueError(f"Field `augment` of the recipe must be a function or None, but is {self.augment!r}.")

    def describe(self) -> dict[str, str | int | float | None]:
        """Return the fields as plain values, the augmentation by its name; recorded in every checkpoint."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        augment = self.augment
        values["augment"] = None if augment is None else getattr(augment, "__qualname__", repr(augment))
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A network, its data and its measure.

    What the functions of a task return is checked where they are called, from types and shapes alone.

    Args:
        name: Short name for tables and files.
        build: Makes the untrained network from a key; the network is called as `network(inputs) -> outputs`, examples
            on the first axis of both.
        split: Returns the part of the data named "train" or "test".
        loss: Training loss of each example, `(outputs, targets) -> [batch]`.
        score: Score of each example, `(outputs, targets) -> [batch]`, whose mean is the metric; or a `Corpus`, the
            metric of all examples together.
        metric: Name of the metric, for example "accuracy".
        chance: Metric of guessing.
        recipe: Default training recipe.
        default_checkpoint: Trained weights that come with the task, or None.
        read_weights: Makes the network, trained, from a file that others have published; called with the path of a
            checkpoint that this library has not written. None where no such files are read.
        pretrained: Whether `build` returns a network that is trained already, so that no checkpoint is needed.
        assets: Further texts without which the weights mean nothing, by name, for example a tokenizer. Stored in every
            checkpoint and compared when one is loaded.

    Raises:
        ValueError: If a field is not what it must be.
    """

    name: str
    build: Callable[[Key[Array, ""]], Any]
    split: Callable[[str], Split]
    loss: Callable[[Array, Array], Float[Array, " batch"]]
    score: Callable[[Array, Array], Float[Array, " batch"]] | Corpus
    metric: str
    chance: float
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    default_checkpoint: Path | None = None
    read_weights: Callable[[Path], Any] | None = None
    pretrained: bool = False
    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for field in ("name", "metric"):
            value = getattr(self, field)
            _check(self, field, isinstance(value, str) and bool(value.strip()), "a text that is not empty")
        for field in ("build", "split", "loss", "score"):
            _check(self, field, callable(getattr(self, field)), "a function")
        _check(self, "loss", not isinstance(self.loss, Corpus), "a function of each example")
        check_number("Task", "chance", self.chance)
        _check(self, "recipe", isinstance(self.recipe, Recipe), "a Recipe")
        _check(self, "pretrained", isinstance(self.pretrained, bool), "True or False")
        checkpoint, assets = self.default_checkpoint, self.assets
        _check(self, "default_checkpoint", checkpoint is None or isinstance(checkpoint, (str, os.PathLike)), "a path")
        _check(self, "read_weights", self.read_weights is None or callable(self.read_weights), "a function or None")
        texts = isinstance(assets, Mapping) and all(isinstance(x, str) for pair in assets.items() for x in pair)
        _check(self, "assets", texts, "texts by name")
        object.__setattr__(self, "default_checkpoint", None if checkpoint is None else Path(checkpoint))
        object.__setattr__(self, "split", _Parts.of(self.split))
        for field in ("loss", "score"):
            if not isinstance(getattr(self, field), Corpus):
                object.__setattr__(self, field, Measure.of(getattr(self, field), field))


def _check(task: Task, field: str, allowed: bool, text: str) -> None:
    if not allowed:
        raise ValueError(f"Field `{field}` of Task must be {text}, but is {getattr(task, field)!r}.")


@dataclasses.dataclass(frozen=True)
class _Parts:
    """A task's data, with a check of what comes back."""

    function: Callable[[str], Any]

    @classmethod
    def of(cls, function: Callable[[str], Any]) -> "_Parts":
        return function if isinstance(function, cls) else cls(function)

    def __call__(self, name: str) -> Split:
        part = self.function(name)
        if not isinstance(part, Split):
            raise ValueError(
                f"Field `split` of Task must return a Split, but returns a {type(part).__name__} for {name!r}."
            )
        return part


@dataclasses.dataclass(frozen=True)
class Measure:
    """A loss or a score, with a check of its result's shape, which is known even where JAX traces.

    Equal functions make equal measures, so that tasks of one kind share compilations.

    Args:
        function: `(outputs, targets) -> [batch]`.
        field: Which field of the task it is.
    """

    function: Callable[[Any, Any], Any]
    field: str

    @classmethod
    def of(cls, function: Callable[[Any, Any], Any], field: str) -> "Measure":
        """Return a measure of a function or of another measure's function."""
        return cls(function.function if isinstance(function, cls) else function, field)

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Return what the function returns.

        Raises:
            ValueError: If that is not one real number for each example.
        """
        found = self.function(outputs, targets)
        wanted, shape = jnp.shape(targets)[:1], jnp.shape(found)
        if shape != wanted:
            raise ValueError(
                f"Field `{self.field}` of the task must return one number for each of the {wanted[0]} examples, but "
                f"returns shape {shape} for outputs of shape {jnp.shape(outputs)}."
            )
        if jnp.issubdtype(jnp.result_type(found), jnp.complexfloating):
            raise ValueError(f"Field `{self.field}` of the task must return real numbers, but returns complex ones.")
        return found
