"""One device per weight: zero sits in the middle of the conductance window and is subtracted afterwards."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc.cells.base import Cell, WindowCell, WrappedCell, recombine
from jaxaimc.units import uS


@component
class Offset(WindowCell):
    """One device per weight, `g = g_min + (g_max - g_min) (w + 1) / 2`, mid-scale subtracted digitally.

    The digital part subtracts `(g_min + g_max) / 2 sum_i x_i`, which it knows exactly; what the ADC digitises still
    contains it, and takes some 3.4 bits of its range in ResNet-50 (Xiao et al. 2022, arXiv 2109.01262). The span is
    the conductance of a weight of two, so that a cell never adds more than one to a column when `g_min` is zero.

    Attributes:
        g_min: Conductance of a weight of minus one [S].
        g_max: Conductance of a weight of one [S].
    """

    g_min: float = leaf(0.0, "S", low=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0, high=1.0)

    @property
    def significance(self) -> tuple[float, ...]:
        """Half a span is a weight of one."""
        return (2.0,)

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (1, 1, rows, cols); exact gradients."""
        return (self.g_min + self.g_span * (w + 1) / 2)[None, None]

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Return the output with its mid-scale term subtracted."""
        mid = (self.g_min + self.g_max) / self.g_span
        return 2 * q[..., 0, :] - mid * drive_sum[..., None]


@component
class UnitColumn(WrappedCell):
    """Another cell whose zero is measured: a column programmed to weight zero, digitised and subtracted.

    Every tile has one such column per slice. It drifts, suffers IR drop and is read with noise as the others are, and
    its error is common to all columns of its tile. It costs the simulation twice the columns.

    Attributes:
        cell: The cell whose mid-scale is subtracted; one whose zero weight conducts, such as `Offset`.

    Example:
        >>> import jax.numpy as jnp
        >>> g = UnitColumn(cell=Offset(g_max=20e-6)).encode(jnp.array([[1.0, -1.0]]))
        >>> [[round(float(v) * 1e6) for v in column] for column in g[:, 0, 0]]
        [[20, 0], [10, 10]]
    """

    cell: Cell = Offset()

    @property
    def significance(self) -> tuple[float, ...]:
        """Those of the cell, and the same with minus for the unit column."""
        own = self.cell.significance
        return (*own, *(-factor for factor in own))

    @property
    def shared(self) -> tuple[int, ...]:
        """The unit column's slices."""
        count = len(self.cell.significance)
        return tuple(range(count, 2 * count))

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S] of the cell, followed by those of its zero."""
        return jnp.concatenate([self.cell.encode(w), self.cell.encode(jnp.zeros_like(w))])

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Return the difference of the columns; the drives' sum is not used."""
        return recombine(q, self.significance)

    def check(self) -> None:
        """Refuse a cell that has shared columns already.

        Raises:
            ValueError: If it has.
        """
        if self.cell.shared:
            raise ValueError(
                f"Field `cell` of UnitColumn must be a cell without shared columns, but {type(self.cell).__name__} "
                f"shares slices {self.cell.shared}."
            )
