"""Rounding whose derivative is one: the straight-through estimator (Bengio et al. 2013, arXiv 1308.3432)."""

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
