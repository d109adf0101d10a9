"""Transformer decoders: a cache of keys and values, and text drawn token by token.

A decoder reads tokens t_1 ... t_n and gives at every place the logits of the token that follows. In each block

    x <- x + attention(norm(x));  x <- x + mlp(norm(x))

What earlier tokens leave behind for later ones are their keys and values only, so that a further token costs one pass
through the network with a `Cache` of them.

`models.llama.Llama` and `models.gpt.GPT2` are made of these parts. Every projection is an `nnx.Linear` or an
`nnx.LinearGeneral`, so that `jaxaimc.nn.convert` can put it on tiles.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int32, Integer, Key

from jaxaimc import nn

from .attention import Block, LayerCache
from .vocabulary import check_tokens


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
    """Keys and values of the tokens that a decoder has read so far.

    Attributes:
        layers: Keys and values of every block, room for the whole text in each.
        filled: Number of tokens so far.
    """

    layers: tuple[LayerCache, ...]
    filled: Integer[Array, ""]


class TiedHead(nnx.Module):
    """Logits from the embedding's own vectors (Press and Wolf, *Using the Output Embedding to Improve Language Models*,
    2017). The head holds no weights."""

    def __call__(
        self, x: Float[Array, "batch length width"], table: nnx.Embed
    ) -> Float[Array, "batch length vocabulary"]:
        """Multiply the tokens with every vector of the table."""
        return table.attend(x)


class Decoder(nnx.Module):
    """Embedding, blocks, a last normalisation, and a head over the vocabulary.

    Args:
        vocabulary: Number of tokens.
        length: Longest text.
        width: Features of a token.
        blocks: The blocks.
        norm: The last normalisation.
        tied: Whether the head uses the embedding's vectors instead of weights of its own.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If there is no block.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        width: int,
        blocks: Sequence[Block],
        norm: nnx.Module,
        tied: bool,
        rngs: nnx.Rngs,
    ):
        if not blocks:
            raise ValueError("Argument `layers` must be at least 1, but is 0.")
        self.vocabulary, self.length = vocabulary, length
        self.embedding = nnx.Embed(vocabulary, width, rngs=rngs)
        self.blocks = nnx.List(blocks)
        self.norm = norm
        self.head = TiedHead() if tied else nnx.Linear(width, vocabulary, use_bias=False, rngs=rngs)

    def embed(
        self, tokens: Integer[Array, "batch length"], positions: Integer[Array, " length"]
    ) -> Float[Array, "batch length width"]:
        """Return the vectors of tokens; subclasses may add their positions."""
        return self.embedding(tokens)

    def __call__(self, inputs: Integer[Array, "batch length"]) -> Float[Array, "batch length vocabulary"]:
        """Give the logits of the token after each token.

        Tokens at the end do not matter to those before them, so that short texts may be filled up with any token.

        Args:
            inputs: Tokens 0 to vocabulary - 1, from the beginning of the text.

        Returns:
            Logits.

        Raises:
            ValueError: If the tokens have another shape or are no whole numbers, the text is longer than `length`, or a
                token that is known (not traced) is not in the vocabulary: a negative one would count from the end.
        """
        self._check(inputs)
        return self._run(inputs, jnp.arange(inputs.shape[1]), None)[0]

    def extend(
        self, tokens: Integer[Array, "batch length"], cache: Cache
    ) -> tuple[Float[Array, "batch length vocabulary"], Cache]:
        """Read further tokens.

        Args:
            tokens: The tokens after those in the cache.
            cache: From `empty_cache`, or what an earlier call returned. It must have room for the tokens, which is not
                checked where the number of tokens in it is traced.

        Returns:
            Logits of the token after each of these, and the cache with them in it.

        Raises:
            ValueError: If the cache has no room for the tokens, and as in `__call__`.
        """
        self._check(tokens)
        room = cache.layers[0][0].shape[1]
        filled = 0 if isinstance(cache.filled, jax.core.Tracer) else int(cache.filled)
        if filled + tokens.shape[1] > room:
            raise ValueError(
                f"Argument `cache` must have room for {tokens.shape[1]} further tokens, but holds {filled} of {room}."
            )
        logits, layers = self._run(tokens, cache.filled + jnp.arange(tokens.shape[1]), cache.layers)
        return logits, Cache(layers, cache.filled + tokens.shape[1])

    def empty_cache(self, batch: int, capacity: int) -> Cache:
        """Make a cache that holds nothing.

        Args:
            batch: Texts read side by side.
            capacity: Tokens that it has room for.

        Returns:
            The cache.

        Raises:
            ValueError: If `capacity` is not positive or larger than the longest text.
        """
        if not 1 <= capacity <= self.length:
            raise ValueError(f"Argument `capacity` must be 1 to {self.length} tokens, but is {capacity}.")
        layers = []
        for block in self.blocks:
            attention: Any = block.attention
            shape = (batch, capacity, attention.kv_heads, attention.features)
            layers.append((jnp.zeros(shape, attention.key.param_dtype), jnp.zeros(shape, attention.key.param_dtype)))
        return Cache(tuple(layers), jnp.zeros((), jnp.int32))

    def _run(
        self, tokens: Array, positions: Array, layers: tuple[LayerCache, ...] | None
    ) -> tuple[Array, tuple[LayerCache, ...]]:
        x, kept = self.embed(tokens, positions), []
        for i, block in enumerate(self.blocks):
            x, layer = block(x, positions, None if layers is None else layers[i])
            kept.append(layer)
        x = self.norm(x)
        logits = self.head(x, self.embedding) if isinstance(self.head, TiedHead) else self.head(x)
        return logits, tuple(kept)

    def _check(self, tokens: Array) -> None:
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.length:
            raise ValueError(
                f"The tokens must have shape (batch, 1 to {self.length} tokens), but have shape {tokens.shape}."
            )
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise ValueError(f"The tokens must be whole numbers, but have dtype {tokens.dtype}.")
        check_tokens("tokens", tokens, self.vocabulary)


def generate(
    model: Decoder,
    prompt: Integer[Array, "batch prompt"],
    length: int,
    key: Key[Array, ""],
    *,
    temperature: float = 1.0,
) -> Int32[Array, "batch length"]:
    """Draw the tokens that follow a prompt.

    The prompt is read in one pass, every further token in one of its own that uses the keys and values of the tokens
    before. On an analog chip each of these passes draws its own read noise, as the hardware would. The same key gives
    the same text.

    Args:
        model: Any decoder, as it is or on a chip (`jaxaimc.nn.convert` with a key). It is not changed, and needs no
            read key.
        prompt: Tokens to begin with, one text a row, at least one token each.
        length: Number of tokens to draw.
        key: Key of both the draws of tokens and the read noise.
        temperature: Divides the logits: 1 draws from the network's own distribution, 0 takes the likeliest token.

    Returns:
        The tokens after the prompt.

    Raises:
        ValueError: If the prompt holds anything but tokens of the vocabulary, prompt and drawn tokens together are
            longer than the longest text, or `temperature` is negative or not finite.

    Example:
        >>> from flax import nnx
        >>> from models.llama import Llama
        >>> llama = Llama(vocabulary=32, length=64, width=16, layers=1, heads=2, hidden=24, rngs=nnx.Rngs(0))
        >>> generate(llama, jnp.array([[1, 5, 7]]), 10, jax.random.key(0)).shape
        (1, 10)
    """
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"Argument `temperature` must be at least 0 and finite, but is {temperature}.")
    if length < 1:
        raise ValueError(f"Argument `length` must be at least 1 token, but is {length}.")
    prompt = jnp.asarray(prompt)
    model._check(prompt)
    if prompt.shape[1] + length > model.length:
        raise ValueError(
            f"Argument `length` must leave prompt and drawn tokens within the longest text of {model.length} tokens, "
            f"but is {length} after a prompt of {prompt.shape[1]}."
        )
    analog = any(isinstance(module, (nn.AnalogDot, nn.AnalogAttention)) for _, module in nnx.iter_modules(model))
    blank = nn.Blank(*nnx.split(model))
    return _generate(blank, prompt.astype(jnp.int32), key, jnp.float32(temperature), length=length, analog=analog)


@functools.partial(jax.jit, static_argnames=("length", "analog"))
def _generate(
    blank: nn.Blank,
    prompt: Int32[Array, "batch prompt"],
    key: Key[Array, ""],
    temperature: Float[Array, ""],
    *,
    length: int,
    analog: bool,
) -> Int32[Array, "batch length"]:
    read_key, draw_key = jax.random.split(key)

    def step(number: Any, tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        model: Any = blank.model()
        if analog:
            model = nn.with_read_key(model, jax.random.fold_in(read_key, number))
        logits, cache = model.extend(tokens, cache)
        return _draw(logits[:, -1], jax.random.fold_in(draw_key, number), temperature), cache

    def following(carry: tuple[Array, Cache], number: Array) -> tuple[tuple[Array, Cache], Array]:
        token, cache = step(number, carry[0][:, None], carry[1])
        return (token, cache), token

    empty = blank.model().empty_cache(len(prompt), prompt.shape[1] + length)
    first = step(0, prompt, empty)
    _, rest = jax.lax.scan(following, first, jnp.arange(1, length))
    return jnp.concatenate([first[0][None], rest]).T


def _draw(
    logits: Float[Array, "batch vocabulary"], key: Key[Array, ""], temperature: Float[Array, ""]
) -> Int32[Array, " batch"]:
    drawn = jax.random.categorical(key, logits / jnp.where(temperature > 0, temperature, 1))
    return jnp.where(temperature > 0, drawn, logits.argmax(axis=-1)).astype(jnp.int32)
