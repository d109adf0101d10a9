"""Measures of a whole split, which are no mean over its examples."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num


@dataclass(frozen=True)
class Corpus:
    """A score of all outputs and targets together, such as a rank correlation or an F1 score.

    Given as the `score` of a task in the place of a function of each example. What it needs of all examples is gathered
    in the memory of the host: the network's outputs, which may be large, or what `of_examples` has made of those of
    every batch, such as the number of hits in a sequence of logits.

    Args:
        function: `(outputs, targets) -> number`; NumPy arrays with all examples on the first axis.
        of_examples: `(outputs, targets) -> reduced` for the examples of a batch, computed with the network; `function`
            then gets `reduced` in the place of the outputs. An array of real numbers with the examples on the first
            axis, such as sums and counts. None for the outputs as they are.

    Raises:
        ValueError: If one is no function.

    Example:
        >>> error = Corpus(lambda outputs, targets: float(np.abs(outputs - targets).max()))
        >>> error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
        2.0
    """

    function: Callable[[Any, Any], Any]
    of_examples: Callable[[Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"Field `function` of Corpus must be a function, but is {self.function!r}.")
        if self.of_examples is not None and not callable(self.of_examples):
            raise ValueError(f"Field `of_examples` of Corpus must be a function or None, but is {self.of_examples!r}.")

    def __call__(self, outputs: Num[np.ndarray, "examples ..."], targets: Num[np.ndarray, "examples ..."]) -> float:
        """Return what the function returns.

        Args:
            outputs: Outputs of the network for all examples, or what `of_examples` returned for them.
            targets: Their targets.

        Raises:
            ValueError: If that is not one real number.
            FloatingPointError: If it is not finite.
        """
        found = np.asarray(self.function(outputs, targets))
        if found.shape != () or found.dtype.kind not in "biuf":
            raise ValueError(
                f"Field `function` of Corpus must return one real number, but returns shape {found.shape} and dtype "
                f"{found.dtype} for outputs of shape {outputs.shape}."
            )
        if not math.isfinite(found):
            raise FloatingPointError(f"The score of all {len(outputs)} outputs together is {found}, not a number.")
        return float(found)

    def reduced(self, outputs: Num[Array, "batch ..."], targets: Num[Array, "batch ..."]) -> Num[Array, "batch ..."]:
        """Return what is gathered of the examples of a batch.

        Args:
            outputs: Outputs of the network.
            targets: Their targets.

        Raises:
            ValueError: If that is not an array of real numbers with the examples on the first axis.
        """
        if self.of_examples is None:
            return outputs
        found = jnp.asarray(self.of_examples(outputs, targets))
        if found.shape[:1] != outputs.shape[:1] or jnp.issubdtype(found.dtype, jnp.complexfloating):
            raise ValueError(
                f"Field `of_examples` of Corpus must return real numbers with the {len(outputs)} examples on the first "
                f"axis, but returns shape {found.shape} and dtype {found.dtype}."
            )
        # Of a floating type, which can say that an example has no number.
        return found.astype(jnp.promote_types(found.dtype, jnp.float32))


def spearman(outputs: Float[np.ndarray, " examples"], targets: Num[np.ndarray, " examples"]) -> float:
    """Return Spearman's rank correlation, equal values sharing their mean rank (Spearman 1904).

    Args:
        outputs: A number for each example, such as a similarity.
        targets: What it is compared with.

    Returns:
        Correlation of the ranks, -1 to 1; 0 for outputs that are all equal and so rank nothing.

    Raises:
        ValueError: If outputs or targets are not one number for each example, or the targets are all equal.

    Example:
        >>> spearman(np.array([0.1, 0.2, 0.9]), np.array([1, 2, 3]))
        1.0
    """
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.ndim != 1 or outputs.shape != targets.shape:
        raise ValueError(
            "Arguments `outputs` and `targets` must be one number for each example, but have shapes "
            f"{outputs.shape} and {targets.shape}."
        )
    ranks, wanted = _ranks(outputs), _ranks(targets)
    if not wanted.any():
        raise ValueError(f"Argument `targets` must hold different numbers, but all {len(targets)} are equal.")
    if not ranks.any():
        return 0.0
    return float(ranks @ wanted / math.sqrt((ranks @ ranks) * (wanted @ wanted)))


def _ranks(values: np.ndarray) -> Float[np.ndarray, " examples"]:
    """Return the ranks with their mean taken off."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[group] - (len(values) + 1) / 2
