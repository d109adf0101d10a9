"""Tokens that are in the vocabulary."""

import jax.core
import numpy as np
from jaxtyping import Array, Integer


def check_tokens(name: str, tokens: Integer[Array, "..."], vocabulary: int) -> None:
    """Check that tokens, where they are known (not traced), are in the vocabulary: a negative one counts from the end.

    Args:
        name: Name of the argument.
        tokens: Numbers of tokens.
        vocabulary: Number of tokens.

    Raises:
        ValueError: If one is not.
    """
    if isinstance(tokens, jax.core.Tracer):
        return
    # Of NumPy: in a compiled function JAX would trace the comparison of arrays that are known as well.
    known = np.asarray(tokens)
    if known.size and (known.min() < 0 or known.max() >= vocabulary):
        raise ValueError(
            f"Argument `{name}` must hold tokens 0 to {vocabulary - 1}, but holds {known.min()} to {known.max()}."
        )
