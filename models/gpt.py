"""The GPT-2 decoder (Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019).

Layer normalisation before each part, learned positions, a perceptron with the tanh form of GELU (Hendrycks and Gimpel
2016), biases everywhere, and a head that shares the embedding's vectors.
"""

import functools

import jax
from flax import nnx
from jaxtyping import Array, Float, Integer

from .attention import Attention, Block
from .decoder import Decoder


class MLP(nnx.Module):
    """Perceptron of two layers.

    Args:
        width: Features of a token.
        hidden: Features between its layers.
        rngs: Source of the initial weights.
    """

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs):
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        """Transform the features of each token."""
        return self.down(jax.nn.gelu(self.up(x), approximate=True))


class GPT2(Decoder):
    """Decoder of the GPT-2 family.

    Args:
        vocabulary: Number of tokens.
        length: Longest text in tokens.
        width: Features of a token.
        layers: Number of blocks.
        heads: Attention heads; must divide `width`.
        hidden: Features within the perceptron of a block; None for four times the width.
        tied: Whether the head uses the embedding's vectors instead of weights of its own.
        epsilon: Added to the variance in every normalisation.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If the heads do not divide the width.

    Example:
        >>> from flax import nnx
        >>> import jax.numpy as jnp
        >>> gpt = GPT2(vocabulary=32, length=64, width=16, layers=2, heads=4, rngs=nnx.Rngs(0))
        >>> gpt(jnp.array([[1, 5, 7]])).shape
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
        hidden: int | None = None,
        tied: bool = True,
        epsilon: float = 1e-5,
        rngs: nnx.Rngs,
    ):
        norm = functools.partial(nnx.LayerNorm, width, epsilon=epsilon, rngs=rngs)
        blocks = [
            Block(
                norm=norm,
                attention=Attention(width=width, heads=heads, kv_heads=heads, bias=True, rotation=None, rngs=rngs),
                mlp=MLP(width, 4 * width if hidden is None else hidden, rngs=rngs),
            )
            for _ in range(layers)
        ]
        super().__init__(
            vocabulary=vocabulary, length=length, width=width, blocks=blocks, norm=norm(), tied=tied, rngs=rngs
        )
        self.position = nnx.Param(0.02 * rngs.params.normal((length, width)))

    def embed(
        self, tokens: Integer[Array, "batch length"], positions: Integer[Array, " length"]
    ) -> Float[Array, "batch length width"]:
        """Return the vectors of tokens plus those of their positions."""
        return self.embedding(tokens) + self.position[positions]
