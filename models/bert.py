"""BERT (Devlin et al. 2019) with published weights: sizes from `config.json`, names of Hugging Face's files.

The same names serve ONNX models that were exported from it, whose linear layers `models.weights.onnx` calls `kernel`
and gives in the order `[in, out]`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from . import weights
from .encoder import Classifier, Encoder, EncoderConfig, config_of, read_config
from .weights import Name

# In front of all names, as the file's author wrapped the encoder: heads of Hugging Face, an ONNX exporter.
_PREFIX = r"(?:bert\.|inner\.|model\.)?"
# Of no use to an encoder: numbers of places, what only its pre-training needed, and constants of an ONNX graph, whose
# names have no parts.
_IGNORED = (rf"{_PREFIX}embeddings\.position_ids", r"cls\..*", r"[^.]+")
_HEADS = (rf"{_PREFIX}pooler\..*", r"classifier\..*")


def config(path: str | Path) -> EncoderConfig:
    """Read the sizes of a BERT.

    Args:
        path: Its `config.json`.

    Returns:
        Sizes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it describes another network, or a BERT with a part that is not built here.
    """
    return config_of(read_config(path, "bert"), "BERT", embedding="hidden_size", blocks="num_hidden_layers")


def names(config: EncoderConfig, encoder: str = "") -> tuple[Name, ...]:
    r"""Return what the tensors of a Hugging Face BERT are called in `Encoder`, and in `Classifier`.

    Args:
        config: Sizes.
        encoder: Path of the encoder in the network, `"encoder/"` in a `Classifier`.

    Returns:
        Rules for `models.weights.fill`.

    Example:
        >>> sizes = EncoderConfig(
        ...     vocabulary=9, width=4, embedding=4, blocks=2, layers=2, heads=2, hidden=8, positions=5
        ... )
        >>> found = [rule.of("bert.encoder.layer.1.attention.self.key.weight") for rule in names(sizes)]
        >>> [name for name in found if name]
        ['blocks/1/attention/key/kernel']
    """
    layer = rf"{_PREFIX}encoder\.layer\.(\d+)\."
    block = rf"{encoder}blocks/\1/"
    rules = embedding_names(rf"{_PREFIX}embeddings\.", f"{encoder}embeddings/")
    for theirs, ours in (("query", "query"), ("key", "key"), ("value", "value")):
        rules += heads_in(rf"{layer}attention\.self\.{theirs}", f"{block}attention/{ours}", config)
    rules += heads_out(rf"{layer}attention\.output\.dense", f"{block}attention/out", config)
    rules += linear(rf"{layer}intermediate\.dense", f"{block}mlp_in")
    rules += linear(rf"{layer}output\.dense", f"{block}mlp_out")
    rules += norm(rf"{layer}attention\.output\.LayerNorm", f"{block}attention_norm")
    rules += norm(rf"{layer}output\.LayerNorm", f"{block}mlp_norm")
    rules += linear(rf"{_PREFIX}pooler\.dense", "pooler")
    return tuple(rules + linear("classifier", "head"))


def embedding_names(theirs: str, ours: str) -> list[Name]:
    """Return the rules of embeddings, which BERT and ALBERT share.

    Args:
        theirs: Pattern of what stands before their names in the file.
        ours: Path of the embeddings in the network.
    """
    tables = [
        Name(rf"{theirs}{name}_embeddings\.weight", f"{ours}{table}/embedding")
        for name, table in (("word", "words"), ("position", "positions"), ("token_type", "types"))
    ]
    return tables + norm(rf"{theirs}LayerNorm", f"{ours}norm")


def linear(theirs: str, ours: str) -> list[Name]:
    """Return the rules of a linear layer: `weight` is `[out, in]`, `kernel` already `[in, out]`.

    Args:
        theirs: Pattern of its name in the file.
        ours: Its path in the network.
    """
    return [
        Name(rf"{theirs}\.weight", f"{ours}/kernel", "transpose"),
        Name(rf"{theirs}\.kernel", f"{ours}/kernel"),
        Name(rf"{theirs}\.bias", f"{ours}/bias"),
    ]


def heads_in(theirs: str, ours: str, config: EncoderConfig) -> list[Name]:
    """Return the rules of a layer whose outputs are split into heads; arguments as of `linear`."""
    heads = (config.heads, config.width // config.heads)
    return _changed(theirs, ours, lambda kernel: kernel.reshape(-1, *heads), lambda bias: bias.reshape(heads))


def heads_out(theirs: str, ours: str, config: EncoderConfig) -> list[Name]:
    """Return the rules of a layer whose inputs come from heads; arguments as of `linear`."""
    heads = (config.heads, config.width // config.heads)
    return _changed(theirs, ours, lambda kernel: kernel.reshape(*heads, -1), None)


def _changed(
    theirs: str, ours: str, kernel: Callable[[np.ndarray], Any], bias: Callable[[np.ndarray], Any] | None
) -> list[Name]:
    return [
        Name(rf"{theirs}\.weight", f"{ours}/kernel", lambda weight: kernel(weight.T)),
        Name(rf"{theirs}\.kernel", f"{ours}/kernel", kernel),
        Name(rf"{theirs}\.bias", f"{ours}/bias", bias),
    ]


def norm(theirs: str, ours: str) -> list[Name]:
    """Return the rules of a layer normalisation, whose names in the oldest files are TensorFlow's.

    Args:
        theirs: Pattern of its name in the file.
        ours: Its path in the network.
    """
    return [Name(rf"{theirs}\.(?:weight|gamma)", f"{ours}/scale"), Name(rf"{theirs}\.(?:bias|beta)", f"{ours}/bias")]


def load(path: str | Path, config: EncoderConfig) -> Encoder:
    """Load an encoder; a pooler or a classifier of the file is left out.

    Args:
        path: Weights, see `models.weights.read`.
        config: Sizes.

    Returns:
        The encoder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or is of another network.
    """
    return load_encoder(weights.read(path), config, names(config), (*_IGNORED, *_HEADS))


def load_classifier(path: str | Path, config: EncoderConfig) -> Classifier:
    """Load an encoder with its classifier, which knows the number of classes.

    Args:
        path: Weights, see `models.weights.read`.
        config: Sizes.

    Returns:
        The classifier.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, is of another network, or has no classifier.
    """
    return load_with_head(path, config, names(config, "encoder/"), _IGNORED)


def load_encoder(
    tensors: Mapping[str, np.ndarray], config: EncoderConfig, rules: tuple[Name, ...], ignore: tuple[str, ...]
) -> Encoder:
    """Make an encoder of tensors.

    Args:
        tensors: Result of `models.weights.read`.
        config: Sizes.
        rules: What they are called in the encoder.
        ignore: Patterns of names that it has no use for, though a rule may match them.

    Raises:
        ValueError: If they are of another network.
    """
    kept = {name: array for name, array in tensors.items() if not any(re.fullmatch(one, name) for one in ignore)}
    return weights.fill(nnx.eval_shape(lambda: Encoder(config, rngs=nnx.Rngs(0))), kept, rules)


def load_with_head(
    path: str | Path, config: EncoderConfig, rules: tuple[Name, ...], ignore: tuple[str, ...]
) -> Classifier:
    """Make a classifier of a file.

    Args:
        path: Weights.
        config: Sizes.
        rules: What its tensors are called in the network.
        ignore: Patterns of names that it has no use for.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another network or has no classifier.
    """
    tensors = weights.read(path)
    head = tensors.get("classifier.weight")
    if head is None or head.ndim != 2:
        raise ValueError(
            f"Weights file {str(path)!r} must have a matrix 'classifier.weight' to be a classifier, but has none."
        )
    pooled = any("pooler" in name for name in tensors)

    def untrained() -> Classifier:
        rngs = nnx.Rngs(0)
        return Classifier(Encoder(config, rngs=rngs), width=config.width, classes=len(head), pooled=pooled, rngs=rngs)

    return weights.fill(nnx.eval_shape(untrained), tensors, rules, ignore=ignore)
