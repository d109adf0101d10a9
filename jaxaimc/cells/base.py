"""The protocol of cells: how a normalised weight becomes the conductances of one or more devices."""

from collections.abc import Sequence
from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_less, check_number


class Cell(Protocol):
    """What every cell offers. A cell of your own is a component (see `jaxaimc.component`) with these members.

    A cell turns `w` in `[-1, 1]` into target conductances with two leading axes: *slices* (columns of different
    significance that are read separately) and *polarities* (devices of one cell that drive the same column with
    different sign). Wires and devices see all of them; `decode` puts the digitised slices together again.
    """

    @property
    def g_min(self) -> Float[Array, ""] | float:
        """Lowest conductance that is programmed [S]."""
        ...

    @property
    def g_span(self) -> Float[Array, ""] | float:
        """Conductance change [S] that a slice's output is counted in: a cell driven to it adds one."""
        ...

    @property
    def signs(self) -> tuple[float, ...]:
        """Sign with which each polarity's current enters the column, shape (polarity,)."""
        ...

    @property
    def significance(self) -> tuple[float, ...]:
        """Weight of each slice's output in the result, shape (slice,)."""
        ...

    @property
    def shared(self) -> tuple[int, ...]:
        """Slices that are one physical column for all columns of a tile, such as a reference column."""
        ...

    @property
    def binary(self) -> bool:
        """Whether every device holds either zero or exactly `g_span`, so that charges are whole numbers."""
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


def off_conductance(g_max: float, on_off_ratio: float) -> float:
    """Return the lowest conductance of a device with a given on/off ratio.

    Args:
        g_max: Highest conductance [S].
        on_off_ratio: `g_max / g_min` [1], greater than one; infinite for devices that switch off completely.

    Returns:
        `g_min` [S].

    Raises:
        ValueError: If the ratio is not greater than one.

    Example:
        >>> from jaxaimc.cells import Differential
        >>> g_min = off_conductance(25e-6, 100.0)
        >>> round(float(Differential(g_min=g_min, g_max=25e-6).g_min) * 1e6, 4)
        0.25
    """
    check_number("off_conductance", "on_off_ratio", on_off_ratio, low=1.0, open_low=True, finite=False)
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


def check_window(owner: str, g_min: float, g_max: float) -> None:
    """Check a conductance window.

    Raises:
        ValueError: If `g_min` is negative or not below `g_max`.
    """
    check_number(owner, "g_min", g_min, "S", low=0.0)
    check_number(owner, "g_max", g_max, "S", low=0.0, open_low=True, high=1.0)
    check_less(owner, "g_min", g_min, "g_max", g_max, "S")
