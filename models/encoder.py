"""The encoder that BERT and ALBERT share: embeddings, post-norm blocks, and a classifier on the first token.

Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, 2019; Lan et al.,
*ALBERT: A Lite BERT for Self-supervised Learning of Language Representations*, 2020. ALBERT differs in two points only:
its embeddings are narrower than its tokens and mapped to them by a matrix, and one block is used many times. On a chip
that block is programmed once: all uses read the same devices, each with read noise of its own.

There is no dropout: these networks are used as they were trained. Every projection is an `nnx.Linear` or
`nnx.LinearGeneral`, so that it can be put on tiles.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Integer

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc.tasks import hub

from .transformer import Block, exact_gelu
from .vocabulary import check_tokens

# By the names that configurations of Hugging Face use: "gelu" is the exact one there, "gelu_new" the tanh form.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": exact_gelu,
    "gelu_new": jax.nn.gelu,
    "gelu_pytorch_tanh": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of an encoder.

    Args:
        vocabulary: Number of tokens; token 0 is the padding.
        width: Features of a token in the blocks.
        embedding: Features of a token in the embeddings; equal to `width` where nothing maps one to the other.
        blocks: Different blocks, which are used one after the other in equal runs; must divide `layers`.
        layers: Uses of blocks.
        heads: Attention heads; must divide `width`.
        hidden: Features between the two perceptron layers of a block.
        positions: Longest sentence in tokens.
        types: Token types, such as first and second sentence.
        activation: Function between the two perceptron layers.
        epsilon: What the layer normalisations add to the variance.

    Raises:
        ValueError: If a size is out of its range or does not divide another as it must.
    """

    vocabulary: int
    width: int
    embedding: int
    blocks: int
    layers: int
    heads: int
    hidden: int
    positions: int
    types: int = 2
    activation: Callable[[Array], Array] = exact_gelu
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        for field in ("vocabulary", "width", "embedding", "blocks", "layers", "heads", "hidden", "positions", "types"):
            check_integer("EncoderConfig", field, getattr(self, field), low=1)
        check_number("EncoderConfig", "epsilon", self.epsilon, low=0.0)
        for part, whole in (("heads", "width"), ("blocks", "layers")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(
                    f"Field `{part}` of EncoderConfig must divide `{whole}` = {getattr(self, whole)}, but is "
                    f"{getattr(self, part)}."
                )


def read_config(path: str | Path, kind: str) -> dict[str, Any]:
    """Read a `config.json` in Hugging Face's form.

    Args:
        path: The file, or a model of the hub that holds it.
        kind: What its entry `model_type` must say, such as `"bert"`.

    Returns:
        Its entries.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON object or describes a network of another kind.
    """
    path = hub.file(path, ["config.json"])
    if not path.is_file():
        raise FileNotFoundError(f"There is no configuration {str(path)!r}.")
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Configuration {str(path)!r} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"Configuration {str(path)!r} must be a JSON object, but is a {type(found).__name__}.")
    if found.get("model_type", kind) != kind:
        raise ValueError(
            f"Configuration {str(path)!r} must have the model_type {kind!r}, but has {found['model_type']!r}."
        )
    return found


def config_of(entries: Mapping[str, Any], kind: str, **sizes: str) -> EncoderConfig:
    """Return the sizes that a configuration in Hugging Face's form names.

    Args:
        entries: Result of `read_config`.
        kind: What the network is called in messages.
        **sizes: Names of the entries in which this kind has the sizes that kinds do not share.

    Raises:
        ValueError: If an entry is missing or out of range, or the network has a part that is not built here: positions
            that are not simply added, or an activation of another name.
    """
    common = {
        "vocabulary": "vocab_size",
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "hidden": "intermediate_size",
        "positions": "max_position_embeddings",
        "types": "type_vocab_size",
    }
    names = {**common, **sizes}
    missing = [name for name in names.values() if name not in entries]
    if missing:
        raise ValueError(f"The configuration of a {kind} must have the entries {', '.join(missing)}, but has not.")
    for entry, only in (("position_embedding_type", "absolute"), ("pad_token_id", 0), ("is_decoder", False)):
        if entries.get(entry, only) not in (only, None):
            raise ValueError(f"Entry {entry!r} of the configuration must be {only!r}, but is {entries[entry]!r}.")
    activation = entries.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"Entry 'hidden_act' of the configuration must be one of {', '.join(map(repr, ACTIVATIONS))}, but is "
            f"{activation!r}."
        )
    found = {field: entries[name] for field, name in names.items()}
    return EncoderConfig(
        **found, activation=ACTIVATIONS[activation], epsilon=entries.get("layer_norm_eps", EncoderConfig.epsilon)
    )


class Embeddings(nnx.Module):
    """The sum of a vector for the token, one for its place and one for its type, normalised.

    Args:
        config: Sizes.
        rngs: Source of the initial weights.
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.vocabulary = config.vocabulary
        self.words = nnx.Embed(config.vocabulary, config.embedding, rngs=rngs)
        self.positions = nnx.Embed(config.positions, config.embedding, rngs=rngs)
        self.types = nnx.Embed(config.types, config.embedding, rngs=rngs)
        self.norm = nnx.LayerNorm(config.embedding, epsilon=config.epsilon, rngs=rngs)

    def __call__(
        self, tokens: Integer[Array, "*batch length"], types: Integer[Array, "*batch length"] | None = None
    ) -> Float[Array, "*batch length embedding"]:
        """Embed tokens; without `types` all are of type 0.

        Raises:
            ValueError: If there are more tokens than positions, or a token that is known (not traced) is not in the
                vocabulary.
        """
        length, longest = tokens.shape[-1], self.positions.num_embeddings
        if length > longest:
            raise ValueError(f"Argument `tokens` must have at most {longest} tokens in a row, but has {length}.")
        check_tokens("tokens", tokens, self.vocabulary)
        types = jnp.zeros_like(tokens) if types is None else types
        return self.norm(self.words(tokens) + self.positions(jnp.arange(length)) + self.types(types))


class Encoder(nnx.Module):
    """Tokens in, a vector for each of them out.

    Args:
        config: Sizes.
        rngs: Source of the initial weights.

    Example:
        >>> sizes = dict(vocabulary=50, width=16, embedding=8, heads=2, hidden=32, positions=12)
        >>> shared = Encoder(EncoderConfig(**sizes, blocks=1, layers=3), rngs=nnx.Rngs(0))
        >>> shared(jnp.array([[7, 3, 9, 0, 0]])).shape
        (1, 5, 16)
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.uses = config.layers // config.blocks
        self.embeddings = Embeddings(config, rngs=rngs)
        self.projection: nnx.Linear | None = nnx.data(None)
        if config.embedding != config.width:
            self.projection = nnx.Linear(config.embedding, config.width, rngs=rngs)
        self.blocks = nnx.List(
            [
                Block(
                    width=config.width,
                    heads=config.heads,
                    hidden=config.hidden,
                    post_norm=True,
                    activation=config.activation,
                    epsilon=config.epsilon,
                    rngs=rngs,
                )
                for _ in range(config.blocks)
            ]
        )

    def __call__(
        self, tokens: Integer[Array, "*batch length"], types: Integer[Array, "*batch length"] | None = None
    ) -> Float[Array, "*batch length width"]:
        """Encode sentences.

        Args:
            tokens: Token numbers, 0 for padding, which nothing attends to.
            types: Type of every token; None for type 0 throughout.

        Returns:
            Vectors of the tokens; those of the padding mean nothing.
        """
        stream = self.embeddings(tokens, types)
        if self.projection is not None:
            stream = self.projection(stream)
        mask = (tokens != 0)[..., None, None, :]
        for block in self.blocks:
            for _ in range(self.uses):
                stream = block(stream, mask)
        return stream


class Classifier(nnx.Module):
    """Logits from the first token's vector: a linear layer and tanh (the pooler), then a linear layer.

    Args:
        encoder: The encoder.
        width: Features of its tokens.
        classes: Number of classes.
        pooled: Whether there is a pooler.
        rngs: Source of the initial weights.
    """

    def __init__(self, encoder: Encoder, *, width: int, classes: int, pooled: bool = True, rngs: nnx.Rngs):
        self.encoder = encoder
        self.pooler: nnx.Linear | None = nnx.Linear(width, width, rngs=rngs) if pooled else nnx.data(None)
        self.head = nnx.Linear(width, classes, rngs=rngs)

    def __call__(
        self, tokens: Integer[Array, "batch length"], types: Integer[Array, "batch length"] | None = None
    ) -> Float[Array, "batch classes"]:
        """Classify sentences; arguments as of `Encoder`."""
        first = self.encoder(tokens, types)[..., 0, :]
        return self.head(first if self.pooler is None else jnp.tanh(self.pooler(first)))


def mean_of_tokens(
    vectors: Float[Array, "*batch length width"], present: Bool[Array, "*batch length"]
) -> Float[Array, "*batch width"]:
    """Average the vectors of the tokens that are present (Reimers and Gurevych, *Sentence-BERT*, 2019).

    Args:
        vectors: Result of `Encoder`.
        present: Where there is a token.

    Returns:
        One vector for each sentence; zero for one without tokens.
    """
    weight = present[..., None].astype(vectors.dtype)
    return (vectors * weight).sum(axis=-2) / jnp.maximum(weight.sum(axis=-2), 1)
