"""Losses and scores of each example."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer


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

    Raises:
        ValueError: If `smoothing` is not in [0, 1], or a label that is known (not traced) is out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> print(cross_entropy(jnp.zeros((1, 4)), jnp.array([2])).round(3))
        [1.386]
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"Argument `smoothing` must be in [0, 1], but is {smoothing}.")
    check_labels("Argument `targets`", targets, outputs.shape[-1])
    log_probability = jax.nn.log_softmax(outputs)
    true = jnp.take_along_axis(log_probability, targets[:, None], axis=-1)[:, 0]
    return -(1 - smoothing) * true - smoothing * log_probability.mean(axis=-1)


def accuracy(outputs: Float[Array, "batch classes"], targets: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """Score 1 where the largest logit is the label's, else 0; NaN where a logit is NaN.

    Args:
        outputs: Logits.
        targets: Labels, 0 to classes - 1.

    Returns:
        Score of each example.

    Raises:
        ValueError: If a label that is known (not traced) is out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> print(accuracy(jnp.eye(3), jnp.array([0, 1, 1])))
        [1. 1. 0.]
    """
    check_labels("Argument `targets`", targets, outputs.shape[-1])
    hit = (outputs.argmax(axis=-1) == targets).astype(outputs.dtype)
    return jnp.where(jnp.isnan(outputs).any(axis=-1), jnp.nan, hit)


def takes_labels(measure: Callable[..., Any]) -> bool:
    """Return whether a loss or score is one of this module's, which take labels, with or without fixed arguments."""
    while isinstance(measure, functools.partial):
        measure = measure.func
    return measure in (cross_entropy, accuracy)


def check_labels(what: str, targets: Any, classes: int) -> None:
    """Check that targets are labels.

    Args:
        what: What to call them in the message.
        targets: Targets; traced values pass.
        classes: Number of classes.

    Raises:
        ValueError: If they are not whole numbers 0 to classes - 1, one for each example.
    """
    if isinstance(targets, jax.core.Tracer):
        return
    targets = np.asarray(targets)
    if targets.ndim != 1 or targets.dtype.kind not in "iu":
        raise ValueError(
            f"{what} must be labels 0 to {classes - 1}, one whole number for each example, but have shape "
            f"{targets.shape} and dtype {targets.dtype}."
        )
    bad = np.flatnonzero((targets < 0) | (targets >= classes))
    if bad.size:
        raise ValueError(
            f"{what} must be labels 0 to {classes - 1}, but {bad.size} of {targets.size} are not, the first "
            f"{targets[bad[0]]} of example {bad[0]}."
        )
