"""Pairs of devices whose currents are subtracted on the column: a zero weight is zero net current."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component
from jaxaimc._core.xla import leading
from jaxaimc.cells.base import check_window
from jaxaimc.units import uS


@component
class Differential:
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

    g_min: float = 0.0
    g_max: float = 25 * uS

    @property
    def g_span(self) -> float:
        """Conductance change of a weight of one [S]."""
        return self.g_max - self.g_min

    @property
    def signs(self) -> tuple[float, ...]:
        """Plus for the first device, minus for the second."""
        return (1.0, -1.0)

    @property
    def significance(self) -> tuple[float, ...]:
        """One slice that is the result."""
        return (1.0,)

    @property
    def shared(self) -> tuple[int, ...]:
        """None."""
        return ()

    @property
    def binary(self) -> bool:
        """No."""
        return False

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (1, 2, rows, cols); exact gradients in `w`, `g_min` and `g_max`."""
        return one_sided(w, self.g_min, self.g_span)[None]

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Return the one slice there is; the pair has already subtracted itself on the column."""
        return q[..., 0, :]

    def validate(self) -> None:
        """Check the conductance window.

        Raises:
            ValueError: If `g_min` is negative or not below `g_max`.
        """
        check_window("Differential", self.g_min, self.g_max)


@component
class TwoSided:
    """Two-sided differential pair: both devices move, `g± = g_min + (g_max - g_min) (1 ± w) / 2`.

    The pair loads its column with `g_min + g_max` whatever the weight, so that IR drop does not depend on the
    weights (Xiao et al. 2022, arXiv 2109.01262, discuss the choice).

    Attributes:
        g_min: Conductance of the first device at a weight of minus one [S].
        g_max: Conductance of the first device at a weight of one [S].
    """

    g_min: float = 0.0
    g_max: float = 25 * uS

    @property
    def g_span(self) -> float:
        """Net conductance change of a weight of one [S]."""
        return self.g_max - self.g_min

    @property
    def signs(self) -> tuple[float, ...]:
        """Plus for the first device, minus for the second."""
        return (1.0, -1.0)

    @property
    def significance(self) -> tuple[float, ...]:
        """One slice that is the result."""
        return (1.0,)

    @property
    def shared(self) -> tuple[int, ...]:
        """None."""
        return ()

    @property
    def binary(self) -> bool:
        """No."""
        return False

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (1, 2, rows, cols); exact gradients."""
        return (self.g_min + self.g_span * (1 + leading(self.signs, w) * w) / 2)[None]

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Return the one slice there is."""
        return q[..., 0, :]

    def validate(self) -> None:
        """Check the conductance window.

        Raises:
            ValueError: If `g_min` is negative or not below `g_max`.
        """
        check_window("TwoSided", self.g_min, self.g_max)


def one_sided(
    w: Float[Array, "*shape"], g_min: Array | float, g_span: Array | float
) -> Float[Array, "polarity *shape"]:
    """Return the conductances [S] of one-sided pairs that hold `w` in `[-1, 1]`."""
    return g_min + g_span * jnp.maximum(leading((1.0, -1.0), w) * w, 0)
