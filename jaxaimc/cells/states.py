"""Devices with a limited number of states."""

import math

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc._core.rounding import round_ste, settle
from jaxaimc.cells.base import Cell, WrappedCell
from jaxaimc.cells.differential import Differential


@component
class Quantised(WrappedCell):
    """Another cell whose targets are the nearest of equally spaced states, from `g_min` to `g_min + g_span`.

    A device of `b` bits has `2**b` states. Where a zero weight sits mid-window (`Offset`, `TwoSided`) one is dropped,
    `2**b - 1` states, so that zero exists; other numbers are refused. Gradient: straight-through.

    Attributes:
        cell: The cell.
        states: Number of states of each device.

    Example:
        >>> import jax.numpy as jnp
        >>> g = Quantised(cell=Differential(g_max=3e-6), states=4).encode(jnp.array([[0.4, -0.9]]))
        >>> [[round(float(v) * 1e6, 3) for v in device[0]] for device in g[0]]
        [[1.0, 0.0], [0.0, 3.0]]
    """

    cell: Cell = Differential()
    states: int = static(default=16, low=2, high=65536)

    @property
    def exact(self) -> bool:
        """No: the states are multiples of a step that is not whole."""
        return False

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return the states nearest to the cell's targets [S]."""
        return self._nearest(self.cell.encode(w))

    def check(self) -> None:
        """Check that a weight of zero is a state.

        Raises:
            ValueError: If zero falls between two states.
        """
        zero = self.cell.encode(jnp.zeros((1, 1)))
        if isinstance(zero, jax.core.Tracer):
            return
        off = np.max(np.abs(np.asarray(self._nearest(zero) - zero))) / float(self.cell.g_span)
        if off > 0.01 / (self.states - 1):
            raise ValueError(
                f"Field `states` of Quantised must make a weight of zero a state of {type(self.cell).__name__}, "
                f"which an odd number does, but is {self.states}."
            )

    def _nearest(self, g: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        step = self.cell.g_span / (self.states - 1)
        place = settle((g - self.cell.g_min) / step, math.ceil(math.log2(self.states)))
        return self.cell.g_min + step * round_ste(place)
