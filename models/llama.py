"""The LLaMA decoder (Touvron et al., *LLaMA: Open and Efficient Foundation Language Models*, 2023).

Root-mean-square normalisation (Zhang and Sennrich 2019), rotary positions (Su et al., *RoFormer*, 2021), a gated
perceptron (SwiGLU, Shazeer 2020), no biases, and heads of keys and values that several query heads may share.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Integer

from .attention import Attention, Block
from .decoder import Decoder


def rotate(
    x: Float[Array, "batch length heads features"], positions: Integer[Array, " length"], *, base: float = 10_000.0
) -> Float[Array, "batch length heads features"]:
    """Turn every pair of neighbouring features by an angle that grows with the position.

    Pair i of d features turns by position * base^(-2i/d) radians, so that the product of a query and a key depends on
    the distance between their positions only (Su et al. 2021, equation 34).

    Args:
        x: Queries or keys with an even number of features.
        positions: Place of each token in the text.
        base: Base of the angles; larger for longer texts.

    Returns:
        The turned vectors.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.ones((1, 1, 1, 4))
        >>> [round(value, 3) for value in rotate(x, jnp.array([1]))[0, 0, 0].tolist()]
        [-0.301, 1.382, 0.99, 1.01]
    """
    features = x.shape[-1]
    angles = positions[:, None] * base ** (-jnp.arange(0, features, 2) / features)
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return turned.reshape(x.shape).astype(x.dtype)


class SwiGLU(nnx.Module):
    """Gated perceptron, down(silu(gate(x)) * up(x)).

    Args:
        width: Features of a token.
        hidden: Features between its layers.
        rngs: Source of the initial weights.
    """

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        self.gate = nnx.Linear(width, hidden, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(width, hidden, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(hidden, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        """Transform the features of each token."""
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


class Llama(Decoder):
    """Decoder of the LLaMA family.

    Args:
        vocabulary: Number of tokens.
        length: Longest text in tokens.
        width: Features of a token.
        layers: Number of blocks.
        heads: Query heads; must divide `width`, an even number of features each.
        kv_heads: Heads of keys and values; must divide `heads`. None for as many as query heads.
        hidden: Features within the perceptron of a block.
        tied: Whether the head uses the embedding's vectors instead of weights of its own.
        epsilon: Added to the mean square in every normalisation.
        base: Base of the angles of the rotary positions.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If the heads do not divide the width, or the heads of keys and values the query heads, or a head has
            an odd number of features.

    Example:
        >>> from flax import nnx
        >>> import jax.numpy as jnp
        >>> sizes = dict(vocabulary=32, length=64, width=16, layers=2, heads=4, kv_heads=2, hidden=24)
        >>> llama = Llama(**sizes, tied=False, rngs=nnx.Rngs(0))
        >>> llama(jnp.array([[1, 5, 7]])).shape
        (1, 3, 32)
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        length: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        kv_heads: int | None = None,
        tied: bool = False,
        epsilon: float = 1e-5,
        base: float = 10_000.0,
        rngs: nnx.Rngs,
    ):
        if heads > 0 and width % heads == 0 and width // heads % 2:
            raise ValueError(
                f"Argument `heads` must leave each head an even number of features for the rotary positions, but "
                f"{heads} heads of a width of {width} have {width // heads}."
            )
        norm = functools.partial(nnx.RMSNorm, width, epsilon=epsilon, rngs=rngs)
        blocks = [
            Block(
                norm=norm,
                attention=Attention(
                    width=width,
                    heads=heads,
                    kv_heads=heads if kv_heads is None else kv_heads,
                    bias=False,
                    rotation=functools.partial(rotate, base=base),
                    rngs=rngs,
                ),
                mlp=SwiGLU(width, hidden, rngs=rngs),
            )
            for _ in range(layers)
        ]
        super().__init__(
            vocabulary=vocabulary, length=length, width=width, blocks=blocks, norm=norm(), tied=tied, rngs=rngs
        )
