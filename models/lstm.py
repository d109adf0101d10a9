"""Language modelling: an LSTM that predicts the next character of Shakespeare's plays, from a folder the user names.

The text is "Tiny Shakespeare" (Karpathy 2015, https://github.com/karpathy/char-rnn; in the public domain): 1,115,394
characters, 65 of them different. The first 90 % train, the rest test, cut into windows of 64 characters without
overlap; the network starts every window with an empty memory. Long short-term memory: Hochreiter and Schmidhuber 1997,
with the forget gate of Gers et al. 2000.
"""

import functools
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer, Key

from jaxaimc.tasks import Recipe, Split, Task, accuracy, cross_entropy, hub

from .folders import data_folder

ASSETS = Path(__file__).parent / "assets" / "tinyshakespeare"

_SOURCE = "input.txt of Tiny Shakespeare (https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare)"
_LENGTH = 64
_CHARACTERS = 65


class CharacterLSTM(nnx.Module):
    """Embedding, LSTM layers, and a linear head that gives logits of the next character at every place.

    Every gate is in an `nnx.Linear`, two for each layer: one for its inputs and one for its state.

    Args:
        vocabulary: Number of different characters.
        width: Features of an embedded character.
        hidden: Features of the memory of a layer.
        layers: Number of LSTM layers.
        rngs: Source of the initial weights.

    Example:
        >>> model = CharacterLSTM(vocabulary=5, width=4, hidden=8, layers=2, rngs=nnx.Rngs(0))
        >>> model(jnp.zeros((3, 7), int)).shape
        (3, 7, 5)
    """

    def __init__(self, *, vocabulary: int, width: int, hidden: int, layers: int, rngs: nnx.Rngs):
        self.hidden = hidden
        self.table = nnx.Embed(vocabulary, width, rngs=rngs)
        sizes = [width, *[hidden] * (layers - 1)]
        # No random numbers are kept: the memory is empty at the start of every window.
        self.layers = nnx.List([nnx.RNN(nnx.OptimizedLSTMCell(size, hidden, rngs=rngs), rngs=False) for size in sizes])
        self.head = nnx.Linear(hidden, vocabulary, rngs=rngs)

    def __call__(self, characters: Integer[Array, "batch length"]) -> Float[Array, "batch length vocabulary"]:
        """Return the logits of the character that follows each one.

        Args:
            characters: Numbers of characters, 0 to vocabulary - 1.
        """
        x: Any = self.table(characters)
        for layer in self.layers:
            empty = jnp.zeros((len(characters), self.hidden), x.dtype)
            x = layer(x, initial_carry=(empty, empty))
        return self.head(x)


def build(key: Key[Array, ""], *, vocabulary: int = _CHARACTERS) -> CharacterLSTM:
    """Make the untrained network.

    Args:
        key: Key of the initial weights.
        vocabulary: Number of different characters.

    Returns:
        Network from characters `[batch, length]` to logits of the next ones `[batch, length, vocabulary]`.
    """
    return CharacterLSTM(vocabulary=vocabulary, width=32, hidden=192, layers=1, rngs=nnx.Rngs(key))


def next_character_loss(
    outputs: Float[Array, "batch length vocabulary"], targets: Integer[Array, "batch length"]
) -> Float[Array, " batch"]:
    """Return the mean cross-entropy over the characters of each window [nat].

    Args:
        outputs: Logits.
        targets: The characters that follow.
    """
    return _over_characters(cross_entropy, outputs, targets)


def bits_per_character(
    outputs: Float[Array, "batch length vocabulary"], targets: Integer[Array, "batch length"]
) -> Float[Array, " batch"]:
    """Return the mean cross-entropy over the characters of each window [bit].

    Args:
        outputs: Logits.
        targets: The characters that follow.

    Example:
        >>> print(bits_per_character(jnp.zeros((1, 3, 8)), jnp.array([[1, 2, 3]])))
        [3.]
    """
    return next_character_loss(outputs, targets) / math.log(2)


def next_character_accuracy(
    outputs: Float[Array, "batch length vocabulary"], targets: Integer[Array, "batch length"]
) -> Float[Array, " batch"]:
    """Return the share of the characters of each window that the largest logit predicts.

    Args:
        outputs: Logits.
        targets: The characters that follow.
    """
    return _over_characters(accuracy, outputs, targets)


@hub.takes_names
def tinyshakespeare(data: str | Path | None = None) -> Task:
    """Make the task.

    Args:
        data: Folder with `input.txt`, or a name of the hub; None for the folder `tinyshakespeare` in the one named by
            the environment variable JAXAIMC_DATA.

    Returns:
        Task of predicting the next character, with trained weights.

    Raises:
        FileNotFoundError: If no folder is named or the file is missing.
        ValueError: If the file is no text in UTF-8, or too short for one window of either part.
    """
    text = _read(data_folder(data, "tinyshakespeare", _SOURCE, ["input.txt"]))
    characters = "".join(sorted(set(text)))
    numbers = np.searchsorted(np.array(list(characters)), np.array(list(text))).astype(np.int32)
    end = len(text) * 9 // 10
    parts = {"train": numbers[:end], "test": numbers[end:]}
    return Task(
        name="tinyshakespeare",
        build=functools.partial(build, vocabulary=len(characters)),
        split=functools.partial(_split, parts),
        loss=next_character_loss,
        score=next_character_accuracy,
        metric="next-character accuracy",
        # Always guessing the most frequent character of the training part.
        chance=float(np.bincount(parts["train"]).max() / end),
        recipe=Recipe(epochs=8, batch=32, learning_rate=6e-3, warmup=0.05, weight_decay=0.01),
        default_checkpoint=ASSETS / "lstm.safetensors",
        assets={"characters": characters},
    )


def _over_characters(measure, outputs: Array, targets: Array) -> Array:
    found = measure(outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1))
    return found.reshape(targets.shape).mean(axis=1)


def _read(folder: Path) -> str:
    path = folder / "input.txt"
    if not path.is_file():
        raise FileNotFoundError(f"There is no data file {str(path)!r}.")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Data file {str(path)!r} must be text in UTF-8, but is not from byte {error.start} on."
        ) from error
    if len(text) < 10 * (_LENGTH + 1):
        raise ValueError(
            f"Data file {str(path)!r} must hold at least {10 * (_LENGTH + 1)} characters, a window for testing in its "
            f"last tenth, but holds {len(text)}."
        )
    return text


def _split(parts: dict[str, np.ndarray], name: str) -> Split:
    if name not in parts:
        raise ValueError(f"Argument `name` must be one of 'train', 'test', but is {name!r}.")
    numbers = parts[name]
    windows = (len(numbers) - 1) // _LENGTH
    cut = lambda start: numbers[start : start + windows * _LENGTH].reshape(windows, _LENGTH)  # noqa: E731
    return Split(cut(0), cut(1))
