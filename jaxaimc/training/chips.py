"""Scores of an analog model on chips it has never seen, and the parts of it that a programmed chip leaves trainable."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import nn
from jaxaimc.nn.walk import joined, weights
from jaxaimc.tasks import Split, Task
from jaxaimc.tasks.score import chip_score
from jaxaimc.wires import check_residual

Finish = Callable[[nnx.Module, Key[Array, ""]], nnx.Module]


def fresh_chips(
    task: Task,
    model: nnx.Module,
    split: Split,
    *,
    chips: int = 4,
    seed: int = 0,
    batch: int = 250,
    finish: Finish | None = None,
) -> Float[np.ndarray, " chip"]:
    """Score an analog model on freshly programmed chips, read noise of every vector drawn anew.

    The read noise of an example depends on the seed, the chip and the example's place in the split, not on the batch.

    Args:
        task: Gives the score of an example.
        model: Result of `jaxaimc.nn.convert`, with its ranges and corrections; it stays as it is.
        split: Examples.
        chips: Number of chips.
        seed: Seed of chips and reads; training draws from other families of keys, so these chips are new to it.
        batch: Examples computed at once.
        finish: What is done with each chip after programming, `(chip, key) -> chip`, such as `calibrate_columns`.

    Returns:
        Mean score of every chip.

    Raises:
        ValueError: If `chips` or `batch` is not positive, or the model has no analog layer.
        ConvergenceError: If the wires of a layer miss their own check.
        FloatingPointError: If the network's outputs are not finite.
    """
    if chips < 1 or batch < 1:
        raise ValueError(f"Arguments `chips` and `batch` must be at least 1, but are {chips} and {batch}.")
    chip_family, read_family, finish_family = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0x63686970), 3)
    graph, state = nnx.split(model)
    program = _programmer(graph)
    scores = []
    for chip in range(chips):
        programmed = nnx.merge(*program(state, jax.random.fold_in(chip_family, chip)))
        for path, prepared in nn.effective(programmed).items():
            check_residual(f"layer {path!r} on chip {chip}", prepared.residual)
        if finish is not None:
            programmed.eval()
            programmed = finish(programmed, jax.random.fold_in(finish_family, chip))
        read_key = jax.random.fold_in(read_family, chip)
        scores.append(chip_score(task, programmed, read_key, split, batch=batch, name=chip))
    return np.array(scores)


def on_fresh_chips(*, chips: int = 4, seed: int = 0, batch: int = 250) -> Callable[[Task, Any, Split], float]:
    """Make what `fit` scores a trained network with: the mean over fresh chips.

    Args:
        chips: Number of chips.
        seed: Seed of chips and reads.
        batch: Examples computed at once.

    Returns:
        Function `(task, model, split) -> score`.
    """

    def score(task: Task, model: nnx.Module, split: Split) -> float:
        return float(fresh_chips(task, model, split, chips=chips, seed=seed, batch=batch).mean())

    return score


def digital_parts(model: nnx.Module) -> Callable[[tuple, Any], bool]:
    """Return a filter of what can still be trained once chips are programmed: all but the analog layers' kernels.

    Args:
        model: Result of `jaxaimc.nn.convert`.

    Returns:
        What `fit` takes as `trainable`.
    """
    on_tiles = weights(model)
    kind = nnx.filterlib.to_predicate(nnx.Any(nnx.Param, nn.DigitalParam))

    def trainable(path: tuple, value: Any) -> bool:
        return kind(path, value) and joined(path) not in on_tiles

    return trainable


@functools.lru_cache(maxsize=8)
def _programmer(graph: Any) -> Callable[[Any, Key[Array, ""]], Any]:
    return jax.jit(lambda state, key: nnx.split(nn.program(nnx.merge(graph, state, copy=True), key)))
