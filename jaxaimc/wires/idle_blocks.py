"""Columns with open idle cells, fast: few stretches of time, and blocks of rows as two-ports.

Pulses that end within a stretch load the wire with the share of it for which they are on; the error falls with the
square of the number of stretches. Within a block, load and drive are taken to be spread as their sums and first moments
say; the error falls nearly with the square of the number of blocks. Measured against the exact charge for 512 rows,
normal and rectified inputs, 0.15 to 20 ohm a segment, over the effect of the wires (root mean square): 0.7 / K^2 for
K stretches and 0.5 / B^1.9 for B blocks, whatever the resistance; a little more for fewer rows.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc._core.xla import product
from jaxaimc.wires.base import Circuit, in_one_precision
from jaxaimc.wires.carry import carried
from jaxaimc.wires.columns import ColumnGroup, Columns, shares
from jaxaimc.wires.two_ports import taken_off

# Charges of vectors and stretches that are computed at once: their sums stay in the cache.
_AT_ONCE = 2**16
# Error from which on single precision may round the factors of the sums to bfloat16 [1].
_ROUNDED = 0.005
# Numbers of stretches and of blocks that are chosen from.
_CHOICES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
# What the estimates leave out, such as the resistances and inputs for which they are low [1].
_RESERVE = 1.3


def expected_error(rows: int, bins: int | None, blocks: int | None, beyond: int = 0) -> float:
    """Return the error over the effect of the wires, as measured [1].

    Args:
        rows: Number of rows.
        bins: Number of stretches; None where they are exact.
        blocks: Number of blocks; None where they are exact.
        beyond: Segments between the rows and the edge of the tile.
    """
    of_bins = 0.0 if bins is None else 0.7 / bins**2
    of_blocks = 0.0 if blocks is None or blocks >= rows else 0.5 / blocks**1.9
    # The way that two currents share is a third of the rows in the mean, and all of what lies beyond, which is exact.
    of_blocks *= rows / (rows + 3 * beyond)
    # Fewer rows average less over each other, those of rectified inputs least.
    return (1 + (40 / rows) ** 1.2) * math.hypot(of_bins, of_blocks)


def cheapest(error: float, rows: int, *, bins: int | None, blocks: int | None, beyond: int = 0) -> tuple[int, int]:
    """Return the numbers of stretches and blocks that cost least for an error.

    Args:
        error: Largest error over the effect of the wires [1].
        rows: Number of rows.
        bins: Number of stretches, where that is given.
        blocks: Number of blocks, where that is given.
        beyond: Segments between the rows and the edge of the tile.
    """
    # Blocks have equally many rows, which leaves fewer of them than asked for.
    choices = sorted({math.ceil(rows / math.ceil(rows / choice)) for choice in _CHOICES})
    fits = [
        # Sums cost as much for each stretch, the ladder for each stretch and block.
        (k * (16 + b), k, b)
        for k in ((bins,) if bins else _CHOICES)
        for b in ((blocks,) if blocks else choices)
        if _RESERVE * expected_error(rows, None if bins else k, None if blocks else b, beyond) <= error
    ]
    return min(fits)[1:] if fits else (bins or _CHOICES[-1], blocks or choices[-1])


@component
class BlockColumns(Circuit):
    """Columns whose idle cells are disconnected, solved block by block in few stretches of time.

    Attributes:
        columns: The columns.
        error: Largest error over the effect of the wires [1].
        rows: Largest number of rows of a block; None for as many as the error allows.
        bins: Stretches of time; None for as few as the error allows.
    """

    columns: Columns
    error: float = static(default=0.02)
    rows: int | None = static(default=None)
    bins: int | None = static(default=None)

    def charge(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool, v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        The product with the conductances is in full precision; what is approximate is what the wires take off it.
        Memory is bounded by some arrays of 65,536 numbers for each block, whatever the batch, and by the result.
        Gradients are those of the charge as computed here, by reverse mode; a row whose amplitude is zero is taken to
        stay disconnected.

        Args:
            level: Signed pulses as a share of the longest, or of the read voltage [1].
            steps: Whole steps of a full-scale pulse, which only matters where they are fewer than the stretches.
            timed: As `Circuit.charge` has it.
            v_read: Read voltage [V]; the charge is linear in it.

        Returns:
            The charge of each column per volt and per length of the longest pulse [S].
        """
        return _charge(self, level, steps, timed)

    def sizes(self, steps: int, timed: bool) -> tuple[int, int]:
        """Return the number of stretches, and the rows of a block.

        Args:
            steps: Whole steps of a full-scale pulse.
            timed: Whether pulses differ in length.
        """
        rows = self.columns.groups[0].load.shape[0]
        known = (self.bins or None) if timed else 1
        blocks = None if self.rows is None else math.ceil(rows / self.rows)
        bins, blocks = cheapest(self.error, rows, bins=known, blocks=blocks, beyond=self.columns.beyond)
        # Pulses of few steps have no more stretches that differ.
        bins = min(bins, steps) if steps and self.bins is None else bins
        # As equal as can be: within a block that is filled up with open rows, load is not spread at all evenly.
        return bins, math.ceil(rows / blocks)


@partial(jax.jit, static_argnums=(2, 3))
def _charge(
    circuit: BlockColumns, level: Float[Array, "*batch rows"], steps: int, timed: bool
) -> Float[Array, "*batch cols"]:
    circuit, level = in_one_precision(circuit, level)
    bins, rows = circuit.sizes(steps, timed)
    alignment = circuit.columns.alignment.simplest
    edges = np.asarray(alignment.bins(bins) if bins != steps else [k / bins for k in range(bins + 1)])
    vectors = level.reshape(-1, level.shape[-1])
    count = vectors.shape[0]
    ideal = [
        product(own, group.drive)
        for own, group in zip(circuit.columns.far_first(vectors), circuit.columns.groups, strict=True)
    ]

    @jax.checkpoint
    def some(level: Float[Array, "vector rows"]) -> list[Float[Array, "vector cols"]]:
        if timed:
            times = jnp.asarray(edges * max(steps, 1), level.dtype)[:, None, None]
            connected, driven = shares(level, alignment, times[:-1], times[1:], max(steps, 1))
        else:
            connected, driven = jnp.asarray(level != 0, level.dtype)[None], level[None]
        pairs = zip(circuit.columns.far_first(connected), circuit.columns.far_first(driven), strict=True)
        return [
            _of_group(circuit, group, *own, rows, edges)
            for group, own in zip(circuit.columns.groups, pairs, strict=True)
        ]

    if 0 not in level.shape[:-1]:
        size = max(1, _AT_ONCE // (bins * circuit.columns.groups[0].load.shape[1]))
        # The size of a symbolic batch is not known: it is read as if it were large.
        size = min(count, size) if isinstance(count, int) else size
        chunks = -(-count // size)
        filled = jnp.pad(vectors, ((0, chunks * size - count), (0, 0))).reshape(chunks, size, vectors.shape[1])
        off = [x.reshape(chunks * size, x.shape[-1])[:count] for x in jax.lax.map(some, filled)]
        ideal = [x + y for x, y in zip(ideal, off, strict=True)]
    return circuit.columns.in_order(ideal).reshape(*level.shape[:-1], circuit.columns.count)


def _of_group(
    circuit: BlockColumns,
    group: ColumnGroup,
    connected: Float[Array, "bin vector rows"],
    driven: Float[Array, "bin vector rows"],
    rows: int,
    edges: np.ndarray,
) -> Float[Array, "vector cols"]:
    """Return what the wires add to the charge of columns that are read at one end."""
    bins, count, present = connected.shape
    # Open rows beyond the far end do nothing, so that is where a last block is filled up.
    fill = -present % rows
    on, signed = (jnp.pad(x.reshape(-1, present), ((0, 0), (fill, 0))) for x in (connected, driven))
    load, drive = (jnp.pad(x, ((fill, 0), (0, 0))) for x in (group.load, group.drive))
    given = (on, signed, load, drive, circuit.columns.r, group.r_end)
    off: Array = taken_off(*(carried(x, given) for x in given), rows, circuit.error < _ROUNDED)
    off = off.reshape(bins, count, -1)
    # Written out: XLA would not vectorise a sum over the bins together with the ladder.
    return sum(float(edges[k + 1] - edges[k]) * off[k] for k in range(1, bins)) + float(edges[1] - edges[0]) * off[0]
