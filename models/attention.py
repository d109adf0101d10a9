"""Attention that looks back only, and the block of a decoder.

A query attends to the keys of its own place and of the places before it (Vaswani et al., *Attention Is All You Need*,
2017). Several query heads may share one head of keys and values (Ainslie et al., *GQA: Training Generalized Multi-Query
Transformer Models from Multi-Head Checkpoints*, 2023). Products of activations with each other, which are attention
scores and weighted values, have no weights; they stay digital unless `jaxaimc.nn.with_analog_attention` puts them on
tiles.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Integer

Rotation = Callable[[Array, Array], Array]
LayerCache = tuple[Float[Array, "batch capacity kv_heads features"], Float[Array, "batch capacity kv_heads features"]]


class Attention(nnx.Module):
    """Attention of every token to itself and to the tokens before it.

    Args:
        width: Features of a token.
        heads: Query heads; must divide `width`.
        kv_heads: Heads of keys and values; must divide `heads`. Query head h reads head h // (heads / kv_heads).
        bias: Whether the projections have a bias.
        rotation: Turns queries and keys by their positions, `(x, positions) -> x`; None for no rotation.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If the heads do not divide the width, or the heads of keys and values the query heads.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        bias: bool,
        rotation: Rotation | None,
        rngs: nnx.Rngs,
    ):
        if heads < 1 or width % heads:
            raise ValueError(f"Argument `heads` must divide the width {width}, but is {heads}.")
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(f"Argument `kv_heads` must divide the {heads} query heads, but is {kv_heads}.")
        self.features = width // heads
        self.kv_heads = kv_heads
        self.rotation = rotation
        # An attribute, so that `jaxaimc.nn.with_analog_attention` can put the products of activations on tiles.
        self.attention_fn = grouped_attention
        self.query = nnx.LinearGeneral(width, (heads, self.features), use_bias=bias, rngs=rngs)
        self.key = nnx.LinearGeneral(width, (kv_heads, self.features), use_bias=bias, rngs=rngs)
        self.value = nnx.LinearGeneral(width, (kv_heads, self.features), use_bias=bias, rngs=rngs)
        self.out = nnx.LinearGeneral((heads, self.features), width, axis=(-2, -1), use_bias=bias, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch length width"], positions: Integer[Array, " length"], cache: LayerCache | None
    ) -> tuple[Float[Array, "batch length width"], LayerCache]:
        """Attend.

        Args:
            x: Tokens.
            positions: Their places in the text, one after the other.
            cache: Keys and values of the places before, with room for these; None if these tokens are the first.

        Returns:
            What is added to the tokens, and keys and values including theirs.
        """
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.rotation is not None:
            query, key = self.rotation(query, positions), self.rotation(key, positions)
        if cache is not None:
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), positions[0], axis=1)
                for old, new in zip(cache, (key, value), strict=True)
            )
        seen = jnp.arange(key.shape[1]) <= positions[:, None]
        return self.out(self.attention_fn(query, key, value, mask=seen)), (key, value)


def grouped_attention(
    query: Float[Array, "batch queries heads features"],
    key: Float[Array, "batch length kv_heads features"],
    value: Float[Array, "batch length kv_heads features"],
    *,
    mask: Bool[Array, "..."],
) -> Float[Array, "batch queries heads features"]:
    """Return values weighted with the softmax of scaled products of queries and keys.

    Args:
        query: Queries.
        key: Keys; query head h reads head h // (heads / kv_heads).
        value: Values.
        mask: Which keys a query sees, at least one; its shape broadcasts to (batch, heads, queries, length) from the
            last two axes.
    """
    batch, queries, heads, features = query.shape
    # Query heads that share keys are an axis of their own, so that keys and values are not copied.
    query = query.reshape(batch, queries, key.shape[2], heads // key.shape[2], features)
    scores = jnp.einsum("blkgf,bmkf->bkglm", query, key) / math.sqrt(features)
    weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
    mixed = jnp.einsum("bkglm,bmkf->blkgf", weights, value)
    return mixed.reshape(batch, queries, heads, features)


class Block(nnx.Module):
    """Attention and a perceptron, each on normalised tokens and added to the stream.

    Args:
        norm: Makes a normalisation.
        attention: The attention.
        mlp: The perceptron.
    """

    def __init__(self, *, norm: Callable[[], nnx.Module], attention: Attention, mlp: nnx.Module):
        self.attention_norm = norm()
        self.attention = attention
        self.mlp_norm = norm()
        self.mlp = mlp

    def __call__(
        self, x: Float[Array, "batch length width"], positions: Integer[Array, " length"], cache: LayerCache | None
    ) -> tuple[Float[Array, "batch length width"], LayerCache]:
        """Transform the tokens; see `Attention`."""
        attended, cache = self.attention(self.attention_norm(x), positions, cache)
        x = x + attended
        return x + self.mlp(self.mlp_norm(x)), cache
