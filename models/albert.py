"""ALBERT (Lan et al. 2020) with published weights: sizes from `config.json`, names of Hugging Face's files.

One block is used many times, so a chip holds one set of tiles for all layers.
"""

from pathlib import Path

from . import weights
from .bert import embedding_names, heads_in, heads_out, linear, load_encoder, load_with_head, norm
from .encoder import Classifier, Encoder, EncoderConfig, config_of, read_config
from .weights import Name

_PREFIX = r"(?:albert\.)?"
_IGNORED = (rf"{_PREFIX}embeddings\.position_ids", r"predictions\..*", r"sop_classifier\..*")
_HEADS = (rf"{_PREFIX}pooler\..*", r"classifier\..*")


def config(path: str | Path) -> EncoderConfig:
    """Read the sizes of an ALBERT.

    Args:
        path: Its `config.json`.

    Returns:
        Sizes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it describes another network, or an ALBERT with a part that is not built here.
    """
    entries = read_config(path, "albert")
    if entries.get("inner_group_num", 1) != 1:
        raise ValueError(
            f"Entry 'inner_group_num' of the configuration must be 1, but is {entries['inner_group_num']!r}."
        )
    return config_of(entries, "ALBERT", embedding="embedding_size", blocks="num_hidden_groups")


def names(config: EncoderConfig, encoder: str = "") -> tuple[Name, ...]:
    """Return what the tensors of a Hugging Face ALBERT are called in `Encoder`, and in `Classifier`.

    Args:
        config: Sizes.
        encoder: Path of the encoder in the network, `"encoder/"` in a `Classifier`.

    Returns:
        Rules for `models.weights.fill`.
    """
    layer = rf"{_PREFIX}encoder\.albert_layer_groups\.(\d+)\.albert_layers\.0\."
    block = rf"{encoder}blocks/\1/"
    rules = embedding_names(rf"{_PREFIX}embeddings\.", f"{encoder}embeddings/")
    rules += linear(rf"{_PREFIX}encoder\.embedding_hidden_mapping_in", f"{encoder}projection")
    for part in ("query", "key", "value"):
        rules += heads_in(rf"{layer}attention\.{part}", f"{block}attention/{part}", config)
    rules += heads_out(rf"{layer}attention\.dense", f"{block}attention/out", config)
    rules += norm(rf"{layer}attention\.LayerNorm", f"{block}attention_norm")
    rules += linear(rf"{layer}ffn", f"{block}mlp_in")
    rules += linear(rf"{layer}ffn_output", f"{block}mlp_out")
    rules += norm(rf"{layer}full_layer_layer_norm", f"{block}mlp_norm")
    rules += linear(rf"{_PREFIX}pooler", "pooler")
    return tuple(rules + linear("classifier", "head"))


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
