"""Pairs of devices whose currents are subtracted on the column: a zero weight is zero net current."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc._core.xla import leading
from jaxaimc.cells.base import PairCell
from jaxaimc.units import uS


@component
class Differential(PairCell):
    """One-sided differential pair: a weight sits in one device of two, the other stays at `g_min`.

    `g+ = g_min + (g_max - g_min) max(w, 0)` and `g- = g_min + (g_max - g_min) max(-w, 0)`: a zero weight gives zero
    net current, the "proportional" mapping of Xiao et al. 2022 (arXiv 2109.01262).

    Attributes:
        g_min: Conductance of a device that holds nothing [S].
        g_max: Conductance of a weight of one [S].

    Example:
        >>> import jax.numpy as jnp
        >>> g = Differential(g_min=0.0, g_max=20e-6).encode(jnp.array([[0.5, -1.0]]))
        >>> g.shape, [round(float(v) * 1e6, 3) for v in g[0, 0, 0]], [round(float(v) * 1e6, 3) for v in g[0, 1, 0]]
        ((1, 2, 1, 2), [10.0, 0.0], [0.0, 20.0])
    """

    g_min: float = leaf(0.0, "S", low=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0, high=1.0)

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (1, 2, rows, cols); exact gradients in `w`, `g_min` and `g_max`."""
        return one_sided(w, self.g_min, self.g_span)[None]


@component
class TwoSided(PairCell):
    """Two-sided differential pair: both devices move, `g± = g_min + (g_max - g_min) (1 ± w) / 2`.

    The pair loads its column with `g_min + g_max` whatever the weight, so that IR drop does not depend on the
    weights (Xiao et al. 2022, arXiv 2109.01262, discuss the choice).

    Attributes:
        g_min: Conductance of the first device at a weight of minus one [S].
        g_max: Conductance of the first device at a weight of one [S].
    """

    g_min: float = leaf(0.0, "S", low=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0, high=1.0)

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (1, 2, rows, cols); exact gradients."""
        return (self.g_min + self.g_span * (1 + leading(self.signs, w) * w) / 2)[None]


def one_sided(
    w: Float[Array, "*shape"], g_min: Array | float, g_span: Array | float
) -> Float[Array, "polarity *shape"]:
    """Return the conductances [S] of one-sided pairs that hold `w` in `[-1, 1]`."""
    return g_min + g_span * jnp.maximum(leading((1.0, -1.0), w) * w, 0)
