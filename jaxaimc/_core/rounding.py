"""Rounding with derivative one, the straight-through estimator (Bengio et al. 2013, arXiv 1308.3432), and clipping."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# Its inverse and the square of that are within single precision.
NEXT_TO_NOTHING = 2.0**-60


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


@jax.custom_jvp
def settle(x: Array, bits: Array | int) -> Array:
    """Round to a fraction of a code that floating point cannot tell from a tie or a code; derivative one.

    Charges, inputs and weights are often ratios of small whole numbers, and their places among the codes of a range
    then are exact ties (or exact codes) that arithmetic leaves one or two units in the last place beside. A place up
    to `2**bits` is settled to a multiple of four such units, and never more coarsely than to 1/512 of a code: exact
    ratios come out exact for up to 12 bits in single precision, whatever the order in which they were computed.

    Args:
        x: Places among codes, at most `2**bits` in size.
        bits: Resolution [bit], rounded up.
    """
    fraction = jnp.maximum(jnp.finfo(x.dtype).nmant - 2 - jnp.ceil(bits), 9).astype(jnp.int32)
    one = jnp.ones((), x.dtype)
    return jnp.round(x * jnp.ldexp(one, fraction)) * jnp.ldexp(one, -fraction)


@settle.defjvp
def _settle_jvp(primals: tuple[Array, Any], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
    return settle(*primals), tangents[0]


def never_zero(scale: Array) -> Array:
    """Return a scale to divide and to multiply by, next to nothing instead of zero.

    What has the scale zero is zero itself; a scale of one would blow up the noise of reading it to the size of
    whatever has that scale. Derivatives of scaled quantities stay what they are.
    """
    return jnp.where(scale > 0, scale, jnp.where(scale == 0, jnp.asarray(NEXT_TO_NOTHING, scale.dtype), scale))
