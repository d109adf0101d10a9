"""Columns with open idle cells, fast: few stretches of time, and blocks of rows as two-ports.

Rows whose pulses end within a stretch load the wire with the share of it for which they are on. The stretch is solved
twice, with what is on in its first half counted more and then less, so that their covariance is that of their pulses.
Within a block, load and drive are taken to change linearly, as their sums and first moments say.

Measured against the exact charge for 16 to 512 rows, normal and rectified inputs, 0.15 to 20 ohm a segment, over the
effect of the wires (root mean square), the largest of each: for K stretches of N rows 0.12 / K^2.5, and 0.44 / (N^0.5
K^1.3) from rows that are not spread evenly over time; for B blocks 0.15 / B^1.5 from rows that are not spread linearly
over a block, plus 0.0006 N / B^2 from the resistance within it where a column is loaded most.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc._core.xla import add_up, product, stored
from jaxaimc.wires.base import Circuit, in_one_precision
from jaxaimc.wires.block_ladder import Blocks, Cells, Ladder, Rows
from jaxaimc.wires.carry import carried
from jaxaimc.wires.columns import Columns, shares
from jaxaimc.wires.timing import Alignment, RowsFirst

# Charges of vectors and stretches that are computed at once: their sums stay in the cache.
_AT_ONCE = 2**16
# The same for derivatives, of which there are more arrays.
_AT_ONCE_BACK = 2**15
# Error from which on single precision may round the factors of the sums to bfloat16 [1].
_ROUNDED = 0.005
# Numbers of stretches and of blocks that are chosen from.
_CHOICES = (*range(1, 13), 14, 16, 20, 24, 32, 48, 64, 96, 128)
# What the estimates leave out, such as the resistances and inputs for which they are low [1].
_RESERVE = 1.1


def expected_error(rows: int, bins: int | None, blocks: int | None, beyond: int = 0) -> float:
    """Return the error over the effect of the wires, as measured [1].

    Args:
        rows: Number of rows.
        bins: Number of stretches; None where they are exact.
        blocks: Number of blocks; None where they are exact.
        beyond: Segments between the rows and the edge of the tile.
    """
    # Fewer rows average less over each other, those of rectified inputs least.
    of_bins = 0.0 if bins is None else math.hypot(0.12 / bins**2.5, 0.44 / (rows**0.5 * bins**1.3))
    of_blocks = 0.0 if blocks is None or blocks >= rows else 0.15 / blocks**1.5 + 0.0006 * rows / blocks**2
    # The way that two currents share is a third of the rows in the mean, and all of what lies beyond, which is exact.
    return math.hypot(of_bins, of_blocks * rows / (rows + 3 * beyond))


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
        # Sums cost as much for each stretch and row, the ladder for each stretch and block, as 40 rows do.
        (k * (rows / 40 + b), k, b)
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
        bins: Stretches of time, each solved twice unless they are the steps; None for as few as the error allows.
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
        # Pulses of few steps have no more stretches that differ, and one solve is exact for each.
        bins = steps if steps and self.bins is None and steps <= 2 * bins else bins
        # As equal as can be: within a block that is filled up with open rows, load is not spread at all evenly.
        return bins, math.ceil(rows / blocks)


@partial(jax.jit, static_argnums=(2, 3))
def _charge(
    circuit: BlockColumns, level: Float[Array, "*batch rows"], steps: int, timed: bool
) -> Float[Array, "*batch cols"]:
    circuit, level = in_one_precision(circuit, level)
    columns, vectors = circuit.columns, level.reshape(-1, level.shape[-1])
    charge = product(vectors, columns.matrix([group.drive for group in columns.groups]))
    if 0 not in level.shape[:-1]:
        bins, rows = circuit.sizes(steps, timed)
        edges = columns.alignment.simplest.bins(bins) if bins != steps else [k / bins for k in range(bins + 1)]
        blocks = Blocks(level.shape[-1], rows, circuit.error < _ROUNDED)
        edges, exact = tuple(map(float, edges)), bins == steps
        plan = _Plan(blocks, edges, max(steps, 1), timed, columns.at_first, twice=timed and not exact)
        given = (vectors, columns)
        off: Any = _taken_off(plan, *jax.tree.map(lambda x: carried(x, given), given))
        charge = charge + columns.in_order(off)
    return charge.reshape(*level.shape[:-1], columns.count)


class _Plan(NamedTuple):
    """What is known about a read beforehand."""

    blocks: Blocks
    edges: tuple[float, ...]
    steps: int
    timed: bool
    at_first: tuple[bool, ...]
    twice: bool

    @property
    def widths(self) -> list[float]:
        """What each solve counts in the mean over time [1]."""
        widths = [high - low for low, high in pairwise(self.edges)] if self.timed else [1.0]
        return [width / 2 for width in widths for _ in range(2)] if self.twice else widths

    @property
    def ladders(self) -> list[Ladder]:
        return [Ladder(self.blocks, at_first) for at_first in self.at_first]

    def cut(self, vectors: Float[Array, "vector other"], columns: Columns, at_once: int) -> Array:
        """Cut vectors into chunks of which the charges are computed at once; the last is filled up with zeros."""
        size = max(1, at_once // (len(self.widths) * columns.groups[0].load.shape[1]))
        # A power of two, which vector units divide; equally many in all chunks. The size of a symbolic batch is not
        # known: it is read as if it were large.
        count, size = vectors.shape[0], 2 ** int(math.log2(size))
        size = -(-count // -(-count // size)) if isinstance(count, int) else size
        chunks = -(-count // size)
        filled = jnp.pad(vectors, ((0, chunks * size - count), (0, 0)))
        return filled.reshape(chunks, size, vectors.shape[1]).swapaxes(1, 2)

    def rows(self, level: Float[Array, "rows vector"], alignment: Alignment) -> Rows:
        """Return what is on the rows of all blocks, for all stretches of all vectors."""
        level = _for_each(level, len(self.widths))
        if self.timed:
            times = jnp.asarray(self.edges, level.dtype)[:, None] * self.steps
            low, high, swing = times[:-1], times[1:], None
            if self.twice:
                low, high = jnp.repeat(low, 2, axis=0), jnp.repeat(high, 2, axis=0)
                swing = jnp.asarray([1.0, -1.0] * (len(self.edges) - 1), level.dtype)[:, None]
            both = shares(level, RowsFirst(of=alignment), low, high, self.steps, swing)
        else:
            both = (jnp.asarray(level != 0, level.dtype), level)
        return Rows(*(self.blocks.of_rows(x) for x in both))

    def over_time(self, x: Float[Array, "cols bin_and_vector"]) -> Float[Array, "cols vector"]:
        """Add up over stretches, each times its length."""
        # Written out: XLA would not vectorise a sum over the bins together with the ladder.
        first, *others = (
            width * part for width, part in zip(self.widths, jnp.split(x, len(self.widths), 1), strict=True)
        )
        return sum(others, start=first)

    def in_time(self, by_total: Float[Array, "cols vector"]) -> Float[Array, "cols bin_and_vector"]:
        """Return the derivatives by each stretch from those by the sum over them."""
        return jnp.concatenate([width * by_total for width in self.widths], axis=1)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _for_each(level: Float[Array, "rows vector"], count: int) -> Float[Array, "rows solve vector"]:
    """Return pulses for each of several solves; derivatives are added up in a sum that is written out."""
    return jnp.broadcast_to(level[:, None], (level.shape[0], count, level.shape[1]))


_for_each.defvjp(lambda level, count: (_for_each(level, count), None), lambda count, _, by: (add_up(by, 1),))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _taken_off(plan: _Plan, vectors: Float[Array, "vector rows"], columns: Columns) -> list[Array]:
    """Return what the wires add to the charges of each group of columns.

    Derivatives are by reverse mode. They keep the inputs alone: the sums are computed anew.
    """
    return _one_by_one(_forward, plan)(vectors, columns)


def _one_by_one(function: Callable[..., Any], plan: _Plan) -> Callable[..., Any]:
    """Return a function of a plan with that given, which `jax.vmap` calls for one tile after the other.

    Products with an axis for tiles would take several times as long on CPUs.
    """
    return jax.custom_batching.sequential_vmap(partial(function, plan))


class _Prepared(NamedTuple):
    """What the wires' share follows from, columns in the order of the rows and cut into blocks."""

    cells: list[Cells]
    r: Array
    r_ends: list[Array]
    alignment: Alignment


def _prepared(plan: _Plan, columns: Columns) -> _Prepared:
    cells = []
    for group, at_first in zip(columns.groups, plan.at_first, strict=True):
        far_last = slice(None, None, -1 if at_first else 1)
        cells.append(plan.blocks.of_cells(group.load[far_last], group.drive[far_last]))
    return _Prepared(cells, columns.r, [group.r_end for group in columns.groups], columns.alignment.simplest)


def _forward(plan: _Plan, vectors: Array, columns: Columns) -> list[Array]:
    known = _prepared(plan, columns)
    cells = plan.blocks.shortened(known.cells)

    def some(level: Float[Array, "rows vector"]) -> list[Array]:
        rows = plan.blocks.shortened(plan.rows(level, known.alignment))
        off = [
            ladder.taken_off(rows, own, known.r, r_end)
            for ladder, own, r_end in zip(plan.ladders, cells, known.r_ends, strict=True)
        ]
        return [plan.over_time(x) for x in off]

    found = jax.lax.map(some, plan.cut(vectors, columns, _AT_ONCE))
    return [_put_together(x, vectors) for x in found]


def _backward(plan: _Plan, vectors: Array, columns: Columns, cotangents: list[Array]) -> tuple[Array, Columns]:
    """Return the derivatives by vectors and columns."""
    known, by_columns = jax.vjp(partial(_prepared, plan), columns)
    cells = plan.blocks.shortened(known.cells)
    turned = [own.turned for own in cells]

    def some(total: _Prepared, one: tuple[Array, list[Array]]) -> tuple[_Prepared, Array]:
        # Stored: XLA for CPUs does not vectorise a kernel in which it takes one chunk out of all.
        level, by_off = stored(one[0]), one[1]
        rows, by_level = jax.vjp(plan.rows, level, known.alignment)
        rows = plan.blocks.shortened(rows)
        each = zip(plan.ladders, cells, turned, known.r_ends, by_off, strict=True)
        found = [
            ladder.derivatives(rows, own, own_turned, known.r, r_end, plan.in_time(by_own))
            for ladder, own, own_turned, r_end, by_own in each
        ]
        by_rows, by_cells, by_r, by_r_ends = zip(*found, strict=True)
        by_level, by_alignment = by_level(jax.tree.map(lambda *parts: sum(parts), *by_rows))
        added = _Prepared(list(by_cells), sum(by_r, jnp.zeros_like(known.r)), list(by_r_ends), by_alignment)
        return jax.tree.map(jnp.add, total, added), by_level

    chunks = [plan.cut(x, columns, _AT_ONCE_BACK) for x in (vectors, *cotangents)]
    total, by_level = jax.lax.scan(some, jax.tree.map(jnp.zeros_like, known), (chunks[0], chunks[1:]))
    (by_columns,) = by_columns(total)
    return _put_together(by_level, vectors), by_columns


def _put_together(chunks: Float[Array, "chunk other chunk_vector"], vectors: Array) -> Float[Array, "vector other"]:
    return chunks.swapaxes(1, 2).reshape(-1, chunks.shape[1])[: vectors.shape[0]]


def _saved(plan: _Plan, vectors: Array, columns: Columns) -> tuple[list[Array], tuple[Array, Columns]]:
    return _taken_off(plan, vectors, columns), (vectors, columns)


def _derivatives(plan: _Plan, saved: tuple[Array, Columns], cotangents: list[Array]) -> tuple[Array, Columns]:
    return _one_by_one(_backward, plan)(*saved, cotangents)


_taken_off.defvjp(_saved, _derivatives)
