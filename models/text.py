"""Intent classification: a text encoder on Banking77 (Casanueva et al. 2020; CC BY 4.0), from a folder the user names.

77 intents of customers of a bank, 10,003 training and 3,080 test sentences. Sentences are cut into word pieces by
byte-pair merges (Sennrich, Haddow and Birch 2016) learned from the training sentences. The tokenizer's text is stored
in every checkpoint, because the weights mean nothing without it.
"""

import functools
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int32, Key
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from jaxaimc._core.csv_files import read_rows
from jaxaimc.tasks import Recipe, Split, Task, accuracy, cross_entropy, hub

from .transformer import TokenEmbedding, Transformer

_PAD, _UNKNOWN = "[PAD]", "[UNK]"
_FILES = ("train.csv", "test.csv", "categories.json")
_VOCABULARY = 2000
_LENGTH = 48
_WIDTH = 64
_CLASSES = 77


def build(key: Key[Array, ""], *, vocabulary: int = _VOCABULARY) -> Transformer:
    """Make the untrained network.

    Args:
        key: Key of the initial weights.
        vocabulary: Entries of the tokenizer.

    Returns:
        Network from token numbers `[batch, 48]`, 0 for padding, to logits `[batch, 77]`.
    """
    rngs = nnx.Rngs(key)
    tokens = TokenEmbedding(vocabulary=vocabulary, length=_LENGTH, width=_WIDTH, rngs=rngs)
    return Transformer(tokens, length=_LENGTH, width=_WIDTH, layers=2, heads=4, hidden=128, classes=_CLASSES, rngs=rngs)


def drop_tokens(key: Key[Array, ""], tokens: Int32[Array, "batch length"]) -> Int32[Array, "batch length"]:
    """Replace each token by the unknown token with probability 0.2; padding stays padding.

    Args:
        key: Key of this batch.
        tokens: Token numbers, 0 for padding.

    Returns:
        Changed token numbers.
    """
    dropped = jax.random.bernoulli(key, 0.2, tokens.shape) & (tokens != 0)
    return jnp.where(dropped, 1, tokens)


@hub.takes_names
def banking77(data: str | Path | None = None) -> Task:
    """Make the task.

    Args:
        data: Folder with `train.csv`, `test.csv` (columns text, category) and `categories.json`, or a name of the
            hub; None for what the environment variable JAXAIMC_BANKING77 names.

    Returns:
        Task of classifying the sentences, without trained weights.

    Raises:
        FileNotFoundError: If no folder is named or a file is missing.
        ValueError: If a file is not as published.
    """
    folder = hub.folder(data or _named_by_environment(), _FILES)
    categories = read_categories(folder)
    tokenizer = _train_tokenizer([text for text, _ in read_labelled(folder / "train.csv", categories)])
    return Task(
        name="banking77",
        build=functools.partial(build, vocabulary=tokenizer.get_vocab_size()),
        split=functools.partial(_split, folder, categories, tokenizer),
        loss=functools.partial(cross_entropy, smoothing=0.1),
        score=accuracy,
        metric="accuracy",
        chance=1 / _CLASSES,
        recipe=Recipe(epochs=40, batch=128, learning_rate=4e-3, warmup=0.1, weight_decay=0.05, augment=drop_tokens),
        assets={"tokenizer": tokenizer.to_str()},
    )


def _named_by_environment() -> str:
    named = os.environ.get("JAXAIMC_BANKING77")
    if not named:
        raise FileNotFoundError(
            "Banking77 needs a folder with train.csv, test.csv and categories.json "
            "(https://github.com/PolyAI-LDN/task-specific-datasets): name it as the data folder or in the environment "
            "variable JAXAIMC_BANKING77."
        )
    return named


def read_categories(folder: Path) -> dict[str, int]:
    """Read the names of the intents.

    Args:
        folder: Folder with `categories.json`.

    Returns:
        Labels by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no list of 77 distinct names.
    """
    path = folder / "categories.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no data file {str(path)!r}.")
    try:
        categories = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Data file {str(path)!r} is no JSON: {error}.") from error
    if (
        not isinstance(categories, list)
        or not all(isinstance(name, str) for name in categories)
        or not len(categories) == len(set(categories)) == _CLASSES
    ):
        raise ValueError(f"Data file {str(path)!r} must be a list of {_CLASSES} distinct names{_repeated(categories)}.")
    return {name: number for number, name in enumerate(categories)}


def _repeated(categories: Any) -> str:
    if not isinstance(categories, list):
        return f", but is a {type(categories).__name__}"
    texts = [name for name in categories if isinstance(name, str)]
    twice = next((name for name in texts if texts.count(name) > 1), None)
    return f", but has {len(categories)} entries" + ("" if twice is None else f", {twice!r} more than once")


def read_labelled(path: Path, categories: dict[str, int]) -> list[tuple[str, int]]:
    """Read sentences with their labels.

    Args:
        path: CSV file with the columns text and category.
        categories: Labels by category.

    Returns:
        Sentences and labels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not as published, or holds no sentence.
    """
    found = []
    for line, row in read_rows(path, "Data file", ("text", "category"), others=True):
        if row["category"] not in categories or not row["text"].strip():
            raise ValueError(
                f"Data file {str(path)!r}, line {line}, must have a sentence and a known category, but has "
                f"{row['text']!r} and {row['category']!r}."
            )
        found.append((row["text"], categories[row["category"]]))
    if not found:
        raise ValueError(f"Data file {str(path)!r} must hold at least one sentence, but holds none.")
    return found


def _train_tokenizer(sentences: list[str]) -> Tokenizer:
    # Byte-pair merges of single characters come out the same in every process. The library's WordPiece trainer numbers
    # its "##" pieces in another order each time, and a training run could not be resumed.
    tokenizer = Tokenizer(BPE(unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = BpeTrainer(vocab_size=_VOCABULARY, special_tokens=[_PAD, _UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.enable_truncation(_LENGTH)
    tokenizer.enable_padding(length=_LENGTH, pad_id=0, pad_token=_PAD)
    return tokenizer


def _split(folder: Path, categories: dict[str, int], tokenizer: Tokenizer, name: str) -> Split:
    if name not in ("train", "test"):
        raise ValueError(f"Argument `name` must be one of 'train', 'test', but is {name!r}.")
    rows = read_labelled(folder / f"{name}.csv", categories)
    encoded = tokenizer.encode_batch([text for text, _ in rows])
    return Split(
        np.array([sentence.ids for sentence in encoded], np.int32), np.array([label for _, label in rows], np.int32)
    )
