"""The metric of a network on a part of its data."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxaimc.tasks import Split, Task


def evaluate(task: Task, model: nnx.Module, split: Split, *, batch: int = 500) -> float:
    """Mean score of a network, computed in batches of one size.

    Args:
        task: Gives the score of an example.
        model: Network to evaluate; it is switched to evaluation mode for the computation and stays as it is.
        split: Examples.
        batch: Examples computed at once.

    Returns:
        Mean of `task.score` over the examples.

    Raises:
        ValueError: If `batch` is not positive.
    """
    if batch < 1:
        raise ValueError(f"Argument `batch` must be at least 1, but is {batch}.")
    batch = min(batch, len(split))
    graph, state = nnx.split(model)
    total = 0.0
    for start in range(0, len(split), batch):
        # The last batch is moved back to full size, so that one compilation serves all; what it repeats is left out.
        first = min(start, len(split) - batch)
        chosen = slice(first, first + batch)
        scores = _scores(
            task.score, graph, state, jnp.asarray(split.inputs[chosen]), jnp.asarray(split.targets[chosen])
        )
        total += float(np.asarray(scores, np.float64)[start - first :].sum())
    return total / len(split)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _scores(score: Any, graph: Any, state: Any, inputs: jax.Array, targets: jax.Array) -> jax.Array:
    model = nnx.merge(graph, state)
    model.eval()
    return score(model(inputs), targets)
