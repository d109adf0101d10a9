"""One transformer encoder; the embedding in front of it makes it a vision or a text classifier.

Vaswani et al., *Attention Is All You Need*, 2017, with the normalisation before each sub-layer (Xiong et al., *On Layer
Normalization in the Transformer Architecture*, 2020); its block can also normalise after the addition, as the paper of
2017 and BERT do (`models.encoder`). Images enter as flattened patches (Dosovitskiy et al., *An Image
is Worth 16x16 Words*, 2021). Classes are read from the mean over the tokens instead of from a class token: one token
fewer to compute, and every analog read contributes to the answer.

Every projection is an `nnx.Linear` or `nnx.LinearGeneral`, so that its `dot_general` can be replaced by an analog one.
The forward pass uses no random numbers.
"""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Integer

from .vocabulary import check_tokens


class Embedding(Protocol):
    """What turns raw inputs into tokens."""

    def __call__(self, inputs: Array) -> tuple[Float[Array, "batch length width"], Bool[Array, "batch length"] | None]:
        """Return the tokens, and where a token is present (None: everywhere)."""
        ...


class PatchEmbedding(nnx.Module):
    """Grey images cut into square patches, each mapped linearly to a token.

    Args:
        size: Height and width of an image in pixels.
        patch: Height and width of a patch in pixels; must divide `size`.
        width: Features of a token.
        mean: Mean grey value of the training images, 0 to 1.
        deviation: Standard deviation of the grey values of the training images.
        rngs: Source of the initial weights.

    Raises:
        ValueError: If `patch` does not divide `size`.
    """

    def __init__(self, *, size: int, patch: int, width: int, mean: float, deviation: float, rngs: nnx.Rngs):
        if size % patch:
            raise ValueError(f"Argument `patch` must divide the image size {size} [pixels], but is {patch}.")
        self.size, self.patch = size, patch
        self.length = (size // patch) ** 2
        self.mean, self.deviation = mean, deviation
        self.projection = nnx.Linear(patch * patch, width, rngs=rngs)

    def __call__(self, inputs: Integer[Array, "batch size size"]) -> tuple[Float[Array, "batch length width"], None]:
        """Embed grey values 0 to 255."""
        if inputs.ndim != 3 or inputs.shape[1:] != (self.size, self.size):
            raise ValueError(
                f"Argument `inputs` must have shape (batch, {self.size}, {self.size}), but has shape {inputs.shape}."
            )
        side = self.size // self.patch
        patches = inputs.reshape(-1, side, self.patch, side, self.patch).swapaxes(2, 3)
        patches = patches.reshape(-1, self.length, self.patch**2)
        return self.projection((patches / 255 - self.mean) / self.deviation), None


class TokenEmbedding(nnx.Module):
    """A learned vector for every entry of the vocabulary; entry 0 is the padding.

    Args:
        vocabulary: Number of entries, padding included.
        length: Longest sentence in tokens.
        width: Features of a token.
        rngs: Source of the initial weights.
    """

    def __init__(self, *, vocabulary: int, length: int, width: int, rngs: nnx.Rngs):
        self.length, self.vocabulary = length, vocabulary
        self.table = nnx.Embed(vocabulary, width, rngs=rngs)

    def __call__(
        self, inputs: Integer[Array, "batch length"]
    ) -> tuple[Float[Array, "batch length width"], Bool[Array, "batch length"]]:
        """Embed token numbers; zeros are absent.

        Raises:
            ValueError: If the shape is another, or a token that is known (not traced) is not in the vocabulary: a
                negative one would count from the end.
        """
        if inputs.ndim != 2 or inputs.shape[1] != self.length:
            raise ValueError(f"Argument `inputs` must have shape (batch, {self.length}), but has shape {inputs.shape}.")
        check_tokens("inputs", inputs, self.vocabulary)
        return self.table(inputs), inputs != 0


def exact_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return `x Phi(x)` with the normal distribution itself (Hendrycks and Gimpel 2016), not its tanh approximation."""
    return jax.nn.gelu(x, approximate=False)


class Block(nnx.Module):
    """Self-attention and a two-layer perceptron, each added to the stream and normalised before or after.

    With `S` for either of them and `N` for its layer normalisation, the stream becomes `x + S(N(x))`, or, post-norm,
    `N(x + S(x))`.

    Args:
        width: Features of a token.
        heads: Attention heads; must divide `width`.
        hidden: Features between the two perceptron layers.
        post_norm: Whether the sum is normalised rather than the input of each part.
        activation: Function between the two perceptron layers; the tanh form of the GELU by default. Models with equal
            activations share compilations, so give a function of a module rather than one made on the spot.
        epsilon: What the layer normalisations add to the variance.
        rngs: Source of the initial weights.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        hidden: int,
        post_norm: bool = False,
        activation: Callable[[Array], Array] = jax.nn.gelu,
        epsilon: float = 1e-6,
        rngs: nnx.Rngs,
    ):
        self.post_norm, self.activation = post_norm, activation
        self.attention_norm = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, keep_rngs=False, rngs=rngs)
        self.mlp_norm = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.mlp_in = nnx.Linear(width, hidden, rngs=rngs)
        self.mlp_out = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(
        self, tokens: Float[Array, "*batch length width"], mask: Bool[Array, "*batch 1 1 length"] | None
    ) -> Float[Array, "*batch length width"]:
        """Transform the tokens; `mask` is False at keys that must not be attended to."""
        if self.post_norm:
            tokens = self.attention_norm(tokens + self.attention(tokens, mask=mask))
            return self.mlp_norm(tokens + self._perceptron(tokens))
        tokens = tokens + self.attention(self.attention_norm(tokens), mask=mask)
        return tokens + self._perceptron(self.mlp_norm(tokens))

    def _perceptron(self, tokens: Float[Array, "*batch length width"]) -> Float[Array, "*batch length width"]:
        return self.mlp_out(self.activation(self.mlp_in(tokens)))


class Transformer(nnx.Module):
    """Embedding, learned positions, pre-norm blocks, mean over the tokens that are present, linear classifier.

    Args:
        embedding: `PatchEmbedding`, `TokenEmbedding` or any module with their call.
        length: Tokens of one input.
        width: Features of a token.
        layers: Number of blocks.
        heads: Attention heads; must divide `width`.
        hidden: Features between the two perceptron layers of a block.
        classes: Number of classes.
        rngs: Source of the initial weights.

    Example:
        >>> from flax import nnx
        >>> import jax.numpy as jnp
        >>> rngs = nnx.Rngs(0)
        >>> patches = PatchEmbedding(size=28, patch=7, width=16, mean=0.3, deviation=0.4, rngs=rngs)
        >>> vit = Transformer(patches, length=16, width=16, layers=2, heads=2, hidden=32, classes=10, rngs=rngs)
        >>> vit(jnp.zeros((3, 28, 28), jnp.uint8)).shape
        (3, 10)
    """

    def __init__(
        self,
        embedding: Embedding,
        *,
        length: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        classes: int,
        rngs: nnx.Rngs,
    ):
        self.embedding = embedding
        self.position = nnx.Param(0.02 * rngs.params.normal((length, width)))
        self.blocks = nnx.List([Block(width=width, heads=heads, hidden=hidden, rngs=rngs) for _ in range(layers)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, inputs: Array) -> Float[Array, "batch classes"]:
        """Classify a batch.

        Args:
            inputs: What the embedding takes, the batch on the first axis.

        Returns:
            Logits.
        """
        tokens, present = self.embedding(inputs)
        mask = None if present is None else present[:, None, None, :]
        tokens = tokens + self.position[...]
        for block in self.blocks:
            tokens = block(tokens, mask)
        tokens = self.norm(tokens)
        if present is None:
            return self.head(tokens.mean(axis=1))
        weight = present[..., None].astype(tokens.dtype)
        # An empty sentence has no token to average: its pooled vector is zero, not NaN.
        return self.head((tokens * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1))
