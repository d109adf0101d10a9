"""Rounding with derivative one, the straight-through estimator (Bengio et al. 2013, arXiv 1308.3432), and clipping."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def _straight_through(function: Callable[[Array], Array], doc: str) -> Callable[[Array], Array]:
    # One positional argument: custom_jvp would trace the optional ones of jnp.round too.
    rounding = jax.custom_jvp(lambda x: function(x))
    rounding.defjvp(lambda primals, tangents: (function(*primals), tangents[0]))
    rounding.__doc__ = doc
    return rounding


round_ste = _straight_through(jnp.round, "Round to the nearest integer, ties to even; derivative one.")
floor_ste = _straight_through(jnp.floor, "Round down; derivative one.")
trunc_ste = _straight_through(jnp.trunc, "Round toward zero; derivative one.")


def clip(x: Array, low: Array | float, high: Array | float) -> Array:
    """Clip to a closed range; derivative one in `x` within it, its ends included, else one in the end that acts.

    `jnp.clip` gives one half at the ends, which is where the largest entry of a vector scaled by its peak always sits.
    """
    return jnp.where(x > high, high, jnp.where(x < low, low, x))
