"""Losses and scores of each example."""

import jax
import jax.numpy as jnp
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
