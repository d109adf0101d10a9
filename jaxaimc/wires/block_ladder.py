"""The ladder of a column, block by block, and its derivatives.

Vectors lie on the last axis. A column may be read at either end, with the same sums: only the sign of their moments and
the order of the blocks differ.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.xla import shortened
from jaxaimc.wires.two_ports import Size, Slopes, State, Sums, after, at_the_end, derivatives_of_after

T = TypeVar("T")

# Blocks up to which the ladder is written out, which takes longer to compile and less to compute.
_UNROLLED = 16
# Rows from which on XLA for CPUs calls its library for a product.
_ROWS_OF_A_PRODUCT = 16


class Blocks(NamedTuple):
    """How rows are cut into blocks.

    Attributes:
        present: Number of rows.
        rows: Rows of a block; the last one may have fewer.
        precise: Whether sums are in full precision; otherwise their factors are rounded to bfloat16 where they are in
            single precision, which changes what the wire takes off by less than 0.5 %.
    """

    present: int
    rows: int
    precise: bool

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.present // self.rows)

    def of_rows(self, x: Float[Array, "rows *other"]) -> Float[Array, "block rows_of_block all_others"]:
        """Cut into blocks what is on the rows; the last one is filled up with zeros."""
        fill = self.count * self.rows - self.present
        # Before axes are joined, which XLA for CPUs would do number by number in what it fills up.
        x = jnp.pad(x, ((0, fill), *[(0, 0)] * (x.ndim - 1))) if fill else x
        return x.reshape(self.count, self.rows, -1)

    def of_cells(self, load: Float[Array, "rows cols"], drive: Float[Array, "rows cols"]) -> "Cells":
        """Cut conductances into blocks."""
        number = self.of_rows(jnp.asarray(self.numbers(), load.dtype)[:, None]).swapaxes(1, 2)
        turned = [self.of_rows(g).swapaxes(1, 2) for g in (load, drive)]
        return Cells(*(jnp.concatenate([g, number * g], axis=1) for g in turned))

    def shortened(self, arrays: T) -> T:
        """Return factors of sums in their precision."""
        return arrays if self.precise else jax.tree.map(shortened, arrays)

    def sizes(self, *, reverse: bool) -> list[Size]:
        """Return what follows from the size of each block.

        Args:
            reverse: Whether rows are numbered against their order.
        """
        return [Size.of(m, reverse=reverse) for m in self._rows()]

    def numbers(self) -> np.ndarray:
        """Return the number of each row in its block, from the block's middle."""
        return np.concatenate([np.arange(m) - (m - 1) / 2 for m in self._rows()])

    def _rows(self) -> list[int]:
        return [self.rows] * (self.count - 1) + [self.present - (self.count - 1) * self.rows]


class Cells(NamedTuple):
    """Conductances of columns that are read at one end, beside the same times the numbers of their rows.

    Attributes:
        load: Conductance that an active cell puts on its wire [S].
        drive: Conductance with which an active cell drives its wire, signs included [S].
    """

    load: Float[Array, "*block both_cols rows"]
    drive: Float[Array, "*block both_cols rows"]

    @property
    def turned(self) -> "Cells":
        """The same with the rows before the columns."""
        return Cells(*(x.swapaxes(1, 2) for x in self))


class Rows(NamedTuple):
    """What is on the rows of all blocks, or of one without the first axis.

    Attributes:
        connected: Share of the time for which each row is connected [1].
        driven: The same with the sign and size of its drive [1].
    """

    connected: Float[Array, "*block rows vector"]
    driven: Float[Array, "*block rows vector"]


class Ladder(NamedTuple):
    """A ladder of blocks, and what its steps have in common.

    Attributes:
        blocks: How rows are cut into blocks.
        at_first: Whether the columns are read at the first row's end.
    """

    blocks: Blocks
    at_first: bool

    def taken_off(self, rows: Rows, cells: Cells, r: Array, r_end: Array) -> Float[Array, "cols vector"]:
        """Return what the wire adds to the output current of each column, per volt of read voltage [S].

        Args:
            rows: What is on the rows, in blocks, as `Blocks.shortened` has them.
            cells: The columns, as `Blocks.shortened` has them.
            r: Segment resistance [ohm].
            r_end: Resistance between the last node and the ADC [ohm].
        """
        return at_the_end(self._walk(rows, cells, r)[1], r_end)

    def derivatives(
        self, rows: Rows, cells: Cells, turned: Cells, r: Array, r_end: Array, cotangent: Float[Array, "cols vector"]
    ) -> tuple[Rows, Cells, Array, Array]:
        """Return the derivatives by all arguments of `taken_off`.

        Args:
            rows: What is on the rows, in blocks, as `Blocks.shortened` has them.
            cells: The columns, as `Blocks.shortened` has them.
            turned: The same, turned; on CPUs products with a transposed matrix of bfloat16 are slow.
            r: Segment resistance [ohm].
            r_end: Resistance between the last node and the ADC [ohm].
            cotangent: Derivative by what the wire adds.
        """
        states, last = self._walk(rows, cells, r)
        scaled = cotangent / (1 + r_end * last.seen)
        by_end = -scaled * last.seen * (last.driven + at_the_end(last, r_end))
        by_last = Slopes(
            seen=-r_end * scaled * (last.driven + at_the_end(last, r_end)), driven=-r_end * last.seen * scaled
        )

        def back(by: tuple[Slopes, State, Array], one: tuple[Any, ...]) -> tuple[Any, tuple[Rows, Cells]]:
            by_near, near, by_r = by
            own, own_turned, own_cells, cells_turned, (before, sums), size = one
            sums = sums or self._sums(own, own_cells)
            by_before, by_sums, of_r = derivatives_of_after(before.seen, near, by_near, cotangent, sums, r, size)
            by_sums = [self.blocks.shortened(x).reshape(-1, x.shape[2]) for x in by_sums]
            by_rows = Rows(*(self._multiply(x, by) for x, by in zip(cells_turned, by_sums, strict=True)))
            by_cells = Cells(*(self._multiply(by, x) for x, by in zip(own_turned, by_sums, strict=True)))
            return (by_before, before, by_r + _total(of_r)), (by_rows, by_cells)

        # Turned once: XLA for CPUs would take the transposed rows into the products, which halves their speed.
        rows_turned = jax.lax.optimization_barrier(Rows(*(x.swapaxes(1, 2) for x in rows)))
        each = (rows, rows_turned, cells, turned, states, self._sizes(r))
        (_, _, by_r), found = self._steps(back, (by_last, last, jnp.zeros_like(scaled[0, 0])), each, back=True)
        by_rows, by_cells = _joined(found)
        return by_rows, by_cells, by_r, _total(by_end)

    def _walk(self, rows: Rows, cells: Cells, r: Array) -> tuple[Any, State]:
        """Return what is known before each block, in the order of the rows, and the state after the last one.

        That is the state, and the sums of the block if there are few.
        """

        def step(state: State, one: tuple[Any, ...]) -> tuple[State, tuple[State, Sums | None]]:
            rows, cells, size = one
            sums = self._sums(rows, cells)
            return after(state, sums, r, size), (state, sums if self._few else None)

        cols, vectors = cells.load.shape[1] // 2, rows.driven.shape[-1]
        # What the sums vary over is what the states vary over.
        none = jnp.zeros((cols, vectors), r.dtype) + 0 * (r + rows.driven[0, 0, 0].astype(r.dtype))
        last, before = self._steps(step, State(none, none, none), (rows, cells, self._sizes(r)))
        return before, last

    def _steps(self, step: Callable[..., Any], start: Any, each: Any, *, back: bool = False) -> tuple[Any, Any]:
        """Scan over blocks from the far end, or back to it; few of them are written out."""
        count, reverse = self.blocks.count, self.at_first != back
        if not self._few:
            return jax.lax.scan(step, start, each, reverse=reverse)
        found: list[Any] = [None] * count
        for index in reversed(range(count)) if reverse else range(count):
            start, found[index] = step(start, tuple(_at(x, index) for x in each))
        return start, found

    def _sizes(self, r: Array) -> Any:
        sizes = self.blocks.sizes(reverse=self.at_first)
        if self._few:
            return sizes
        return jax.tree.map(lambda *numbers: jnp.asarray(numbers, r.dtype), *sizes)

    @property
    def _few(self) -> bool:
        return self.blocks.count <= _UNROLLED

    def _multiply(self, a: Array, b: Array) -> Array:
        full = self.blocks.precise or a.dtype == jnp.float64
        return jnp.matmul(
            a,
            b,
            precision=jax.lax.Precision.HIGHEST if full else None,
            preferred_element_type=jnp.promote_types(a.dtype, jnp.float32),
        )

    def _sums(self, rows: Rows, cells: Cells) -> Sums:
        both = (self._multiply(cells.load, rows.connected), self._multiply(cells.drive, rows.driven))
        return Sums(*(x.reshape(2, -1, x.shape[1]) for x in both))


def _at(x: Any, index: int) -> Any:
    """Return one of a list, or of arrays along their first axis."""
    return x[index] if isinstance(x, list) else jax.tree.map(lambda array: array[index], x)


def _joined(found: Any) -> Any:
    """Return arrays with an axis for blocks."""
    return (
        jax.tree.map(lambda *parts: jnp.concatenate(parts).reshape(len(parts), *parts[0].shape), *found)
        if isinstance(found, list)
        else found
    )


def _total(x: Float[Array, "cols vector"]) -> Float[Array, ""]:
    # A product with several rows of ones: XLA for CPUs would compute what `jnp.sum` adds up number by number.
    ones = jnp.ones((_ROWS_OF_A_PRODUCT, x.shape[0]), x.dtype)
    return jnp.sum(jnp.matmul(ones, x, precision=jax.lax.Precision.HIGHEST)[0])
