"""Measures of a whole split, which are no mean over its examples."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Num


@dataclass(frozen=True)
class Corpus:
    """A score of all outputs and targets together, such as a rank correlation or an F1 score.

    Given as the `score` of a task in the place of a function of each example. The outputs of all examples are gathered
    for it in the memory of the host, so the network's output should be small: a similarity, not a sequence of logits.

    Args:
        function: `(outputs, targets) -> number`; NumPy arrays with all examples on the first axis.

    Raises:
        ValueError: If it is no function.

    Example:
        >>> error = Corpus(lambda outputs, targets: float(np.abs(outputs - targets).max()))
        >>> error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
        2.0
    """

    function: Callable[[Any, Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"Field `function` of Corpus must be a function, but is {self.function!r}.")

    def __call__(self, outputs: Num[np.ndarray, "examples ..."], targets: Num[np.ndarray, "examples ..."]) -> float:
        """Return what the function returns.

        Args:
            outputs: Outputs of the network for all examples.
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
