"""Cells: how a normalised weight becomes the conductances of one or more devices.

A cell turns `w` in `[-1, 1]` into an array of target conductances with two leading axes: *slices* (columns of
different significance that are read separately) and *polarities* (devices of one cell that drive the same column
with opposite sign). Wires and devices see all of them; `decode` puts the digitised slices together again.
"""

from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._checks import check_less, check_number
from jaxaimc._component import component
from jaxaimc.units import uS


class Cell(Protocol):
    """What every cell offers. A cell of your own is a component (see `jaxaimc.component`) with these members."""

    @property
    def g_span(self) -> Float[Array, ""] | float:
        """Conductance change [S] that stands for a weight of one in a slice of significance one."""
        ...

    @property
    def signs(self) -> tuple[float, ...]:
        """Sign with which each polarity's current enters the column, shape (polarity,)."""
        ...

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return the target conductances [S] of weights in `[-1, 1]`."""
        ...

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Put digitised slice outputs together to `sum_i x_i w_ij`, shape (*batch, cols).

        `drive_sum` is the sum of the driven inputs, for cells whose zero weight is not zero conductance.
        """
        ...

    def validate(self) -> None:
        """Check the numeric fields.

        Raises:
            ValueError: If a field is out of its range.
        """
        ...


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

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (1, 2, rows, cols); exact gradients in `w`, `g_min` and `g_max`."""
        return (self.g_min + self.g_span * jnp.stack([jnp.maximum(w, 0), jnp.maximum(-w, 0)]))[None]

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Return the one slice there is; the pair has already subtracted itself on the column."""
        return q[..., 0, :]

    def validate(self) -> None:
        """Check the conductance window.

        Raises:
            ValueError: If `g_min` is negative or not below `g_max`.
        """
        check_number("Differential", "g_min", self.g_min, "S", low=0.0)
        check_number("Differential", "g_max", self.g_max, "S", low=0.0, open_low=True, high=1.0)
        check_less("Differential", "g_min", self.g_min, "g_max", self.g_max, "S")
