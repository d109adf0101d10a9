"""The score of a network on examples: as it is, on one chip, or on many chips at once.

Batches have one size, so that one compilation serves all: the last one is moved back to full size, and what it repeats
is left out. The read noise of an example depends on the read key and its place in the split only, never on the batch.

A score of each example is computed with the network's outputs, and its mean taken. For a score of the whole split
(`Corpus`) the outputs themselves are gathered, or what its `of_examples` makes of those of a batch.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, Num

from jaxaimc import nn
from jaxaimc._core.ahead import Call, directly
from jaxaimc.tasks.chips import Chips
from jaxaimc.tasks.corpus import Corpus
from jaxaimc.tasks.data import Split
from jaxaimc.tasks.task import Task


def mean_score(task: Task, model: nnx.Module, split: Split, *, batch: int = 500, call: Call = directly) -> float:
    """Return the score of a network as it is: digital, or a chip that has its read key.

    Args:
        task: Gives the score.
        model: Network; it is switched to evaluation mode for the computation and stays as it is.
        split: Examples.
        batch: Examples computed at once.
        call: How compiled functions are called, see `jaxaimc._core.ahead`.

    Returns:
        Mean of `task.score` over the examples, or, of a `Corpus`, its value for all of them.

    Raises:
        ValueError: If `batch` is not positive, or the score does not have one number for each example.
        FloatingPointError: If the network's outputs are not finite, or their score is not.
    """
    parts = list(_batches(task, nn.Blank(*nnx.split(model)), None, None, split, batch, call=call))
    return float(total(task, parts, split)[0])


def chip_score(
    task: Task, chip: nnx.Module, read_key: Key[Array, ""], split: Split, *, batch: int = 250, name: int = 0
) -> float:
    """Return the score of one programmed chip, read noise of every vector drawn anew.

    Args:
        task: Gives the score.
        chip: Result of `jaxaimc.nn.program`, with its ranges and corrections; it stays as it is.
        read_key: Read key.
        split: Examples.
        batch: Examples computed at once.
        name: Number of the chip, for messages.

    Returns:
        Mean of `task.score` over the examples, or, of a `Corpus`, its value for all of them.

    Raises:
        ValueError: If `batch` is not positive, or the score does not have one number for each example.
        FloatingPointError: If the network's outputs are not finite, or their score is not.
    """
    parts = list(_batches(task, nn.Blank.of(chip), None, read_key, split, batch, first_chip=name))
    return float(total(task, parts, split)[0])


def chip_scores(
    task: Task,
    blank: nn.Blank,
    chips: Chips,
    read_keys: Key[Array, " chip"],
    split: Split,
    *,
    batch: int = 250,
    first_chip: int = 0,
    call: Call = directly,
) -> Iterator[Num[np.ndarray, "chip batch ..."]]:
    """Yield what `total` makes the scores of many chips of, batch after batch.

    Args:
        task: Gives the score.
        blank: The converted network, see `jaxaimc.tasks.chips.as_read`.
        chips: Result of `jaxaimc.tasks.chips.program_chips`.
        read_keys: Read key of every chip.
        split: Examples.
        batch: Examples computed at once on each chip.
        first_chip: Number of the first chip, for messages.
        call: How compiled functions are called, see `jaxaimc._core.ahead`.

    Yields:
        Scores of the next examples on every chip, or, for a `Corpus`, what it gathers.

    Raises:
        ValueError: If `batch` is not positive, or the score does not have one number for each example.
        FloatingPointError: If the network's outputs are not finite, for example because a solve of wires that are not
            linear did not converge.
    """
    yield from _batches(task, blank, chips, read_keys, split, batch, first_chip, call)


def total(task: Task, parts: Sequence[Num[np.ndarray, "chip _ ..."]], split: Split) -> Float[np.ndarray, " chip"]:
    """Return the score of every chip on all examples.

    Args:
        task: Gives the score.
        parts: All that `chip_scores` yielded.
        split: Examples.

    Raises:
        ValueError: If a `Corpus` does not return one number.
        FloatingPointError: If that is not finite.
    """
    whole = np.concatenate(parts, axis=1)
    if isinstance(task.score, Corpus):
        return np.array([task.score(outputs, np.asarray(split.targets)) for outputs in whole], np.float64)
    return whole.mean(axis=1, dtype=np.float64)


def _batches(
    task: Task,
    blank: nn.Blank,
    chips: Chips | None,
    read_keys: Key[Array, "*chip"] | None,
    split: Split,
    batch: int,
    first_chip: int = 0,
    call: Call = directly,
) -> Iterator[Num[np.ndarray, "chip batch ..."]]:
    if batch < 1:
        raise ValueError(f"Argument `batch` must be at least 1, but is {batch}.")
    begun: tuple[int, int, Any] | None = None
    for start in range(0, len(split), min(batch, len(split))):
        first, *examples = examples_at(split, start, batch)
        # JAX returns before it has computed: while it does, the next batch is made ready, and has begun when this ends.
        following = start, first, call(scores_of_batch, task.score, blank, chips, read_keys, *examples)
        if begun is not None:
            yield _checked(*begun, None if read_keys is None else first_chip)
        begun = following
    if begun is not None:
        yield _checked(*begun, None if read_keys is None else first_chip)


def _checked(start: int, first: int, scores: Any, first_chip: int | None) -> Num[np.ndarray, "chip batch ..."]:
    """Return what of a batch's scores the one before did not have.

    Args:
        start: Number of the first example that is wanted.
        first: Number of the first example.
        scores: Scores of all.
        first_chip: Number of the first chip, None for no chip.
    """
    found = np.asarray(scores)[:, start - first :]
    if not np.isfinite(found).all():
        chip, example = np.argwhere(~np.isfinite(found))[0][:2]
        raise FloatingPointError(
            _not_finite(start + int(example), None if first_chip is None else first_chip + int(chip))
        )
    return found


def examples_at(split: Split, start: int, batch: int) -> tuple[int, Array, Array, Array]:
    """Return a batch of full size, if there are as many examples.

    Args:
        split: Examples.
        start: Number of the first that is wanted.
        batch: Size of a batch.

    Returns:
        Number of the first example, numbers of all, inputs, targets.
    """
    batch = min(batch, len(split))
    first = min(start, len(split) - batch)
    inputs, targets = (jnp.asarray(a[first : first + batch]) for a in (split.inputs, split.targets))
    return first, jnp.arange(first, first + batch), inputs, targets


@functools.partial(jax.jit, static_argnums=0)
def scores_of_batch(
    score: Any,
    blank: nn.Blank,
    chips: Chips | None,
    read_keys: Key[Array, "*chip"] | None,
    examples: Array,
    inputs: Array,
    targets: Array,
) -> Num[Array, "chip batch ..."]:
    """Return the scores of a batch, or, for a `Corpus`, what it gathers; see `chip_scores`."""

    def one(chip: Chips | None, read_key: Key[Array, ""] | None) -> Num[Array, "batch ..."]:
        model = blank.model() if chip is None else nn.with_effective(blank.model(), chip)
        if read_key is not None:
            model = nn.with_read_key(model, jax.vmap(jax.random.fold_in, (None, 0))(read_key, examples))
        model.eval()
        outputs = model(inputs)
        scores = score.reduced(outputs, targets) if isinstance(score, Corpus) else score(outputs, targets)
        if scores is outputs:
            return outputs
        # A score such as the accuracy would hide outputs that are not numbers.
        finite = jnp.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
        return jnp.where(finite.reshape(-1, *[1] * (scores.ndim - 1)), scores, jnp.nan)

    if chips is None:
        return one(None, read_keys)[None]
    return jax.vmap(one)(chips, read_keys)


def _not_finite(example: int, chip: int | None) -> str:
    where = f"example {example}" + ("" if chip is None else f" on chip {chip}")
    solve = "" if chip is None else ", or a solve of the wires did not converge"
    return (
        f"The network's outputs for {where} are not finite, or their score is not: a weight or an input is not{solve}."
    )
