"""What wires do to a tile: fold line resistance into an effective conductance matrix."""

from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component


class Placement(NamedTuple):
    """Where a block of cells sits on its physical tile. Cells outside the block are open and carry nothing.

    Attributes:
        rows: Rows of the tile.
        cols: Columns of the tile.
        row_start: Tile row of the block's first row.
        col_start: Tile column of the block's first column.
    """

    rows: int
    cols: int
    row_start: int = 0
    col_start: int = 0


class Effective(NamedTuple):
    """A tile as seen from its terminals: output current = `sum_i V_i matrix_ij + baseline_j`.

    Attributes:
        matrix: Output current per unit of row drive, signs of the polarities included [S], shape (rows, cols).
        sensitivity: Share of a device's own current that reaches its output [1], shape (polarity, rows, cols).
        baseline: Output current with every row idle [A], shape (cols,).
        residual: How far a check by another solve is off, of the largest output [1], shape (cols,); zero where the
            matrix is exact by construction.
        network: What wires that are not linear need at every read, their `charge`'s first argument; None for linear
            wires, whose reads are matrix products.
    """

    matrix: Float[Array, "rows cols"]
    sensitivity: Float[Array, "polarity rows cols"]
    baseline: Float[Array, " cols"]
    residual: Float[Array, " cols"] | float = 0.0
    network: Any = None


class Wires(Protocol):
    """What every linear wire model offers. Wires of your own are a component with these members."""

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
        """Return the tile as seen from its terminals for device conductances `g` [S]."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


class NonlinearWires(Wires, Protocol):
    """What wires offer whose output is not linear in the inputs: a solve per input vector.

    Their `effective` sets `Effective.network`; `matrix` and `sensitivity` then serve read noise and drift compensation
    alone.
    """

    def charge(
        self, network: Any, level: Float[Array, "*batch rows"], v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        Args:
            network: From `Effective.network`.
            level: Signed pulses as a share of the longest one [1].
            v_read: Read voltage [V].
        """
        ...


def signed_sum(g: Float[Array, "polarity rows cols"], signs: tuple[float, ...]) -> Float[Array, "rows cols"]:
    """Add the polarities with their signs [S]."""
    total = signs[0] * g[0]
    for sign, conductance in zip(signs[1:], g[1:], strict=True):
        total = total + sign * conductance
    return total


@component
class NoWires:
    """Wires without resistance: every device sees its full read voltage."""

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
        """Return the signed conductances themselves, no baseline; exact gradients."""
        return Effective(
            matrix=signed_sum(g, signs),
            sensitivity=jnp.ones_like(g),
            baseline=jnp.zeros(g.shape[-1:], g.dtype),
        )

    def validate(self) -> None:
        """Nothing to check."""
