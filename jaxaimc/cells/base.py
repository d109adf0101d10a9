"""What every cell is: how a normalised weight becomes the conductances of one or more devices."""

from abc import abstractmethod
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import Limits, check_less, check_limits
from jaxaimc._core.component import Component


class Cell(Component):
    """Base of all cells. A cell of your own derives from it, and needs `g_span` and `encode`.

    A cell turns `w` in `[-1, 1]` into target conductances with two leading axes: *slices* (columns of different
    significance that are read separately) and *polarities* (devices of one cell that drive the same column with
    different sign). Wires and devices see all of them; `decode` puts the digitised slices together again. Unless it
    says otherwise, a cell is one device in one slice, whose output is the result.
    """

    @property
    def g_min(self) -> Float[Array, ""] | float:
        """Lowest conductance that is programmed [S]; zero unless a cell says otherwise."""
        return 0.0

    @property
    @abstractmethod
    def g_span(self) -> Float[Array, ""] | float:
        """Conductance change [S] that a slice's output is counted in: a cell driven to it adds one."""

    @property
    def signs(self) -> tuple[float, ...]:
        """Sign with which each polarity's current enters the column, shape (polarity,)."""
        return (1.0,)

    @property
    def significance(self) -> tuple[float, ...]:
        """Weight of each slice's output in the result, shape (slice,)."""
        return (1.0,)

    @property
    def shared(self) -> tuple[int, ...]:
        """Slices that are one physical column for all columns of a tile, such as a reference column."""
        return ()

    @property
    def exact(self) -> bool:
        """Whether every device holds either zero or exactly `g_span`, so that charges are whole numbers."""
        return False

    @abstractmethod
    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return the target conductances [S] of weights in `[-1, 1]`."""

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Put digitised slice outputs together to `sum_i x_i w_ij`, shape (*batch, cols).

        Args:
            q: Digitised outputs [fully driven cells].
            drive_sum: Sum of the driven inputs, for cells whose zero weight is not zero conductance.

        Returns:
            The slices, each with its significance, added up.
        """
        return recombine(q, self.significance)


class WindowCell(Cell):
    """A cell whose devices have a window of conductances, its fields `g_min` and `g_max`."""

    g_min: float
    g_max: float

    @property
    def g_span(self) -> float:
        """Width of the window [S]."""
        return self.g_max - self.g_min

    def check(self) -> None:
        """Refuse an empty window.

        Raises:
            ValueError: If `g_min` is not below `g_max`.
        """
        check_less(type(self).__name__, "g_min", self.g_min, "g_max", self.g_max, "S")


class PairCell(WindowCell):
    """A cell of pairs of devices whose currents are subtracted on the column."""

    @property
    def signs(self) -> tuple[float, ...]:
        """Plus for the first device of each pair, minus for the second."""
        return (1.0, -1.0)


class WrappedCell(Cell):
    """Another cell, its field `cell`, with something changed; everything else is passed on."""

    cell: Cell

    @property
    def g_min(self) -> Float[Array, ""] | float:
        """Lowest conductance of the cell [S]."""
        return self.cell.g_min

    @property
    def g_span(self) -> Float[Array, ""] | float:
        """Span of the cell [S]."""
        return self.cell.g_span

    @property
    def signs(self) -> tuple[float, ...]:
        """Signs of the cell."""
        return self.cell.signs

    @property
    def significance(self) -> tuple[float, ...]:
        """Significance of the cell's slices."""
        return self.cell.significance

    @property
    def shared(self) -> tuple[int, ...]:
        """Shared slices of the cell."""
        return self.cell.shared

    @property
    def exact(self) -> bool:
        """As the cell."""
        return self.cell.exact

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return the cell's conductances [S]."""
        return self.cell.encode(w)

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Decode as the cell does."""
        return self.cell.decode(q, drive_sum)


def off_conductance(g_max: float, on_off_ratio: float) -> float:
    """Return the lowest conductance of a device with a given on/off ratio.

    Args:
        g_max: Highest conductance [S].
        on_off_ratio: `g_max / g_min` [1], greater than one; infinite for devices that switch off completely.

    Returns:
        `g_min` [S].

    Raises:
        ValueError: If the ratio is not greater than one, or `g_max` is no conductance.

    Example:
        >>> from jaxaimc.cells import Differential
        >>> g_min = off_conductance(25e-6, 100.0)
        >>> round(float(Differential(g_min=g_min, g_max=25e-6).g_min) * 1e6, 4)
        0.25
    """
    check_limits("off_conductance", "g_max", g_max, Limits("S", above=0.0))
    check_limits("off_conductance", "on_off_ratio", on_off_ratio, Limits(above=1.0, infinite=True))
    return g_max / on_off_ratio


def recombine(
    q: Float[Array, "*batch slice cols"], significance: Sequence[float | Array]
) -> Float[Array, "*batch cols"]:
    """Add digitised slices, each with its significance; a lone slice of significance one is returned as it is."""
    if len(significance) == 1 and isinstance(significance[0], float) and significance[0] == 1.0:
        return q[..., 0, :]
    factors = jnp.stack([jnp.asarray(factor, q.dtype) for factor in significance])
    # A contraction would be fused with the conversions, which XLA on CPUs then computes one by one: half as fast.
    return jnp.sum(q * factors[:, None], axis=-2)
