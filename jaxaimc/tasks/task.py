"""What a task is: a network, the data it is trained and tested on, and what counts as right."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Array, Float, Key

from jaxaimc.tasks.data import Split


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
