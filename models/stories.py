"""Stories: a LLaMA-type decoder of 260,000 parameters on text like that which it was trained on.

The network is stories260K of llama2.c (Karpathy 2023; MIT licence): five blocks of width 64, eight query heads, four
heads of keys and values, 512 tokens, trained on TinyStories (Eldan and Li, *TinyStories: How Small Can Language Models
Be and Still Speak Coherent English?*, 2023). Weights, tokenizer and text are read from a folder that the user names.

An example is one story, after the mark of a text's beginning; a story longer than the network's longest text is cut
there, and goes on without what came before. The network predicts each token of a story from those before it.
"""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer, Key

from jaxaimc.tasks import Corpus, Recipe, Split, Task, hub

from . import folders
from .llama import Llama
from .weights import llama2c, llama2c_tokens

WEIGHTS, TOKENIZER = "stories260K.bin", "tok512.bin"
_TEXTS = {"train": "tinystories_train.txt", "test": "tinystories_sample.txt"}
_BETWEEN = "<|endoftext|>"
_TYPEWRITER = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})
_NONE = -1  # target of a place that is not counted


class Scores(NamedTuple):
    """How well a network predicts the tokens of a split.

    Attributes:
        loss: Mean cross-entropy [nats per token].
        accuracy: Share of tokens that are the likeliest by the network.
        tokens: Number of tokens predicted.
    """

    loss: float
    accuracy: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """Exponential of the loss: among how many equally likely tokens the network hesitates."""
        return math.exp(self.loss)


def token_losses(
    outputs: Float[np.ndarray, "examples length vocabulary"], targets: Integer[np.ndarray, "examples length"]
) -> Float[np.ndarray, " tokens"]:
    """Return the cross-entropy of every token that is counted [nats].

    Args:
        outputs: Logits.
        targets: Tokens, negative where nothing is counted.

    Returns:
        Losses, one story after the other.
    """
    known = targets >= 0
    logits, chosen = np.asarray(outputs[known], np.float64), targets[known]
    logits = logits - logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=-1)) - logits[np.arange(len(chosen)), chosen]


def mean_loss(
    outputs: Float[np.ndarray, "examples length vocabulary"], targets: Integer[np.ndarray, "examples length"]
) -> float:
    """Return the mean cross-entropy over all tokens [nats per token].

    Args:
        outputs: Logits.
        targets: Tokens, negative where nothing is counted.

    Returns:
        The mean; every token counts the same, whichever story it is of.

    Example:
        >>> print(round(mean_loss(np.zeros((1, 2, 512)), np.array([[7, -1]])), 3))
        6.238
    """
    return float(token_losses(outputs, targets).mean())


def next_token_accuracy(
    outputs: Float[np.ndarray, "examples length vocabulary"], targets: Integer[np.ndarray, "examples length"]
) -> float:
    """Return the share of tokens whose logit is the largest.

    Args:
        outputs: Logits.
        targets: Tokens, negative where nothing is counted.

    Returns:
        The share; every token counts the same, whichever story it is of.

    Example:
        >>> next_token_accuracy(np.eye(3)[None], np.array([[0, 2, -1]]))
        0.5
    """
    known = targets >= 0
    return float((outputs[known].argmax(axis=-1) == targets[known]).mean())


def token_hits(
    outputs: Float[Array, "batch length vocabulary"], targets: Integer[Array, "batch length"]
) -> Float[Array, " batch"]:
    """Return how many tokens of each story have the largest logit, what is gathered for their share.

    Args:
        outputs: Logits.
        targets: Tokens, negative where nothing is counted.
    """
    return ((outputs.argmax(axis=-1) == targets) & (targets >= 0)).sum(axis=-1).astype(jnp.float32)


def loss_sums(
    outputs: Float[Array, "batch length vocabulary"], targets: Integer[Array, "batch length"]
) -> Float[Array, " batch"]:
    """Return the cross-entropy of each story's tokens together, what is gathered for their mean [nats].

    Args:
        outputs: Logits.
        targets: Tokens, negative where nothing is counted.
    """
    known = targets >= 0
    chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), jnp.where(known, targets, 0)[..., None], axis=-1)[..., 0]
    return -jnp.where(known, chosen, 0).sum(axis=-1)


def per_token(sums: Float[np.ndarray, " examples"], targets: Integer[np.ndarray, "examples length"]) -> float:
    """Return the mean over all tokens of what was summed over those of each story.

    Args:
        sums: One sum for each story.
        targets: Tokens, negative where nothing is counted.

    Example:
        >>> per_token(np.array([2.0, 1.0]), np.array([[4, 5, 6], [7, -1, -1]]))
        0.75
    """
    return float(np.sum(sums, dtype=np.float64) / (targets >= 0).sum())


def story_loss(
    outputs: Float[Array, "batch length vocabulary"], targets: Integer[Array, "batch length"]
) -> Float[Array, " batch"]:
    """Return the mean cross-entropy of each story's tokens, the loss to train on [nats per token].

    Args:
        outputs: Logits.
        targets: Tokens, negative where nothing is counted.

    Returns:
        Mean losses.
    """
    return loss_sums(outputs, targets) / jnp.maximum((targets >= 0).sum(axis=-1), 1)


def measure(model: nnx.Module, split: Split) -> Scores:
    """Measure a network as it is: digital, or a chip that has its read key.

    Args:
        model: Network.
        split: Stories, from the task.

    Returns:
        Loss and accuracy over all tokens.
    """
    outputs = np.asarray(_call(model, jnp.asarray(split.inputs)))
    return Scores(
        mean_loss(outputs, split.targets), next_token_accuracy(outputs, split.targets), int((split.targets >= 0).sum())
    )


@nnx.jit
def _call(model: Any, inputs: Array) -> Array:
    return model(inputs)


def read_stories(path: Path) -> list[str]:
    """Read stories from a text file.

    Args:
        path: Text in UTF-8, a line `<|endoftext|>` between stories.

    Returns:
        Stories without space around them, with the quotation marks and apostrophes of a typewriter: the network has
        hardly seen others.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text in UTF-8 or holds no story.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no text file {str(path)!r}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Text file {str(path)!r} must be text in UTF-8, but is not from byte {error.start} on."
        ) from error
    stories = [story.strip() for story in text.translate(_TYPEWRITER).split(_BETWEEN)]
    stories = [story for story in stories if story]
    if not stories:
        raise ValueError(f"Text file {str(path)!r} must hold at least one story, but holds none.")
    return stories


def windows(texts: list[list[int]], length: int) -> Split:
    """Lay texts out as inputs and the tokens that follow.

    Args:
        texts: Tokens of each text, at least two each.
        length: Longest window. A longer text is cut; the rest is a window of its own, without what came before.

    Returns:
        Inputs `[windows, longest]`, filled up with token 0, which no token before it sees, and targets of the same
        shape, -1 where the inputs are filled up. Every token but the first of a text is a target once.
    """
    cut = [
        (text[i : i + length], text[i + 1 : i + length + 1]) for text in texts for i in range(0, len(text) - 1, length)
    ]
    longest = max(len(following) for _, following in cut)
    inputs, targets = np.zeros((len(cut), longest), np.int32), np.full((len(cut), longest), _NONE, np.int32)
    for row, (tokens, following) in enumerate(cut):
        inputs[row, : len(following)], targets[row, : len(following)] = tokens[: len(following)], following
    return Split(inputs, targets)


@hub.takes_names
def stories260k(data: str | Path | None = None) -> Task:
    """Make the task, scored by the share of tokens that are predicted.

    Args:
        data: Folder with `stories260K.bin`, `tok512.bin` and, as test data, `tinystories_sample.txt`; to train,
            `tinystories_train.txt` as well; or a name of the hub. None for the folder `stories260k` in the one that the
            environment variable JAXAIMC_DATA names.

    Returns:
        Task of predicting the next token, with trained weights.

    Raises:
        FileNotFoundError: If no folder is named or a file is missing.
        ValueError: If a file is truncated or of another format.
    """
    folder = data_folder(data)
    sizes, _ = llama2c.read(folder / WEIGHTS)
    tokenizer = llama2c_tokens.read(folder / TOKENIZER, sizes.vocabulary)
    return Task(
        name="stories260k",
        build=functools.partial(build, folder / WEIGHTS),
        split=functools.partial(_split, folder, tokenizer, sizes.length),
        loss=story_loss,
        score=Corpus(per_token, token_hits),
        metric="next-token accuracy",
        chance=1 / sizes.vocabulary,
        recipe=Recipe(epochs=1, batch=32, learning_rate=1e-4, warmup=0.1, weight_decay=0.0),
        pretrained=True,
        assets={"tokenizer": tokenizer.describe()},
    )


@hub.takes_names
def stories260k_loss(data: str | Path | None = None) -> Task:
    """Make the same task, scored by the mean loss per token, which small errors change as well.

    Args:
        data: See `stories260k`.

    Returns:
        The task; its metric is the cross-entropy [nats per token], so that less is better.

    Raises:
        FileNotFoundError: If no folder is named or a file is missing.
        ValueError: If a file is truncated or of another format.
    """
    task = stories260k(data)
    return dataclasses.replace(
        task,
        name="stories260k_loss",
        score=Corpus(per_token, loss_sums),
        metric="loss [nats per token]",
        chance=-math.log(task.chance),
    )


def build(weights: Path, key: Key[Array, ""]) -> Llama:
    """Make the trained network.

    Args:
        weights: File of the weights.
        key: Not used.

    Returns:
        Network from tokens `[batch, length]` to the logits of those that follow.
    """
    del key
    return llama2c.load(weights)


def data_folder(data: str | Path | None) -> Path:
    """Return the folder that is named, or the one that the environment names.

    Args:
        data: The folder, a name of the hub, or None.

    Raises:
        FileNotFoundError: If no folder is named or there is none.
    """
    weights = f"{WEIGHTS}, {TOKENIZER} (https://huggingface.co/karpathy/tinyllamas, stories260K)"
    files = (WEIGHTS, TOKENIZER, *_TEXTS.values())
    return folders.data_folder(data, "stories260k", f"{weights} and {_TEXTS['test']}", files)


def _split(folder: Path, tokenizer: llama2c_tokens.Tokenizer, length: int, name: str) -> Split:
    if name not in _TEXTS:
        raise ValueError(f"Argument `name` must be one of {', '.join(map(repr, _TEXTS))}, but is {name!r}.")
    return windows([tokenizer.encode(story) for story in read_stories(folder / _TEXTS[name])], length)
