"""The whole transfer matrix of a crossbar by direct elimination: blocks of devices joined pairwise into larger blocks.

A block of devices is known from outside by what its wires do at its four edges. Row wires are given their voltage on
the left and the current drawn from them on the right; column wires are given their voltage at the bottom and the
current entering at the top. What they answer is linear:

    (P, Q, S, T) = M (p, q, s, t)
    p row voltage, left     P row current, left       s column voltage, bottom     S column current, bottom
    q row current, right    Q row voltage, right      t column current, top        T column voltage, top

Two neighbours share the wires that cross from one to the other; eliminating those is one dense solve with
`1 + R Y`, `R` the resistances of one block and `Y` the conductances of the other as seen from the cut: regular and
well conditioned for zero resistances and zero conductances alike. Joining halves until one block is left is nested
dissection (George 1973, SIAM Journal on Numerical Analysis 10, 345); for N x N devices it costs a few tens of N^3
operations, almost all in matrix products, holds a few dozen N^2 numbers and uses no iteration, so that structured
conductances cost what uniform ones do. Derivatives flow through the elimination itself.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc.wires.crossbar import Crossbar

_LEAF = 4  # rows and columns of the blocks that are built element by element, batch innermost
_SINGLES = 4  # blocks per side from which on each is handled by itself, without the ports it does not need

_p, _q, _s, _t = range(4)
_P, _Q, _S, _T = range(4)


class _Algebra(Protocol):
    """How the matrices of many blocks are laid out."""

    axes: tuple[int, int]

    def product(self, a: Array, b: Array) -> Array: ...

    def solve(self, a: Array, b: Array) -> Array: ...

    def eye(self, n: int, dtype: jnp.dtype) -> Array: ...


class _BatchFirst:
    """Matrices with leading batch axes: dense products and solves of a linear algebra library."""

    axes: tuple[int, int] = (-2, -1)

    def product(self, a: Array, b: Array) -> Array:
        return jnp.matmul(a, b, precision="highest")

    def solve(self, a: Array, b: Array) -> Array:
        return jnp.linalg.solve(a, b)

    def eye(self, n: int, dtype: jnp.dtype) -> Array:
        return jnp.eye(n, dtype=dtype)


class _BatchLast:
    """Small matrices with three trailing batch axes, unrolled: element-wise work on contiguous batches."""

    axes: tuple[int, int] = (0, 1)

    def product(self, a: Array, b: Array) -> Array:
        total = a[:, 0, None] * b[None, 0]
        for k in range(1, a.shape[1]):
            total = total + a[:, k, None] * b[None, k]
        return total

    def solve(self, a: Array, b: Array) -> Array:
        # No pivoting: `a` is 1 + R Y with both factors positive semidefinite, and its diagonal dominates.
        rows, rights = [a[k] for k in range(a.shape[0])], [b[k] for k in range(a.shape[0])]
        for k in range(len(rows)):
            inverse = 1 / rows[k][k]
            rows[k], rights[k] = rows[k] * inverse, rights[k] * inverse
            for m in range(len(rows)):
                if m != k:
                    factor = rows[m][k]
                    rows[m], rights[m] = rows[m] - factor * rows[k], rights[m] - factor * rights[k]
        return jnp.stack(rights)

    def eye(self, n: int, dtype: jnp.dtype) -> Array:
        return jnp.eye(n, dtype=dtype)[:, :, None, None, None]


class _Block(NamedTuple):
    """A block of devices seen from its edges.

    Attributes:
        matrix: Its answers (P, Q, S, T) to unit given quantities (p, q, s, t), those that are needed.
        ins: How many of each given quantity there are.
        outs: How many of each answer there are.
    """

    matrix: Array
    ins: tuple[int, ...]
    outs: tuple[int, ...]

    def part(self, algebra: _Algebra, outs: tuple[int, ...], ins: tuple[int, ...]) -> Array:
        """Return the answers of some kinds to given quantities of some kinds."""
        rows = _pick(self.matrix, self.outs, outs, algebra.axes[0])
        return _pick(rows, self.ins, ins, algebra.axes[1])

    def without(self, algebra: _Algebra, outs: tuple[int, ...], ins: tuple[int, ...]) -> "_Block":
        """Drop answers that nobody asks for and given quantities that are zero."""
        kept_out, kept_in = _others(*outs), _others(*ins)
        return _Block(
            self.part(algebra, kept_out, kept_in),
            tuple(0 if k in ins else n for k, n in enumerate(self.ins)),
            tuple(0 if k in outs else n for k, n in enumerate(self.outs)),
        )


def _others(*kinds: int) -> tuple[int, ...]:
    return tuple(k for k in range(4) if k not in kinds)


def _pick(x: Array, sizes: tuple[int, ...], kinds: tuple[int, ...], axis: int) -> Array:
    """Return the slices of some kinds, neighbouring kinds in one slice."""
    if kinds == tuple(range(4)):
        return x
    starts = [sum(sizes[:k]) for k in range(5)]
    spans: list[list[int]] = []
    for k in kinds:
        if spans and spans[-1][1] == starts[k]:
            spans[-1][1] = starts[k + 1]
        else:
            spans.append([starts[k], starts[k + 1]])
    slices = [jax.lax.slice_in_dim(x, a, b, axis=axis) for a, b in spans if b > a]
    if not slices:
        return jax.lax.slice_in_dim(x, 0, 0, axis=axis)
    return slices[0] if len(slices) == 1 else jnp.concatenate(slices, axis=axis)


class _Cut(NamedTuple):
    """Which ports two neighbours share, seen from the block that gives the voltage and the one that takes it."""

    voltage_out: int
    current_in: int
    current_out: int
    voltage_in: int
    giver_first: bool


_SIDE_BY_SIDE = _Cut(_Q, _q, _P, _p, giver_first=True)
_STACKED = _Cut(_T, _t, _S, _s, giver_first=False)


def _join(giver: _Block, taker: _Block, cut: _Cut, algebra: _Algebra) -> _Block:
    """Join two blocks at a cut: the giver answers with a voltage there, the taker with a current."""
    row, col = algebra.axes
    ins_giver, ins_taker = _others(cut.current_in), _others(cut.voltage_in)
    outs_giver, outs_taker = _others(cut.voltage_out), _others(cut.current_out)
    resistance = giver.part(algebra, (cut.voltage_out,), (cut.current_in,))
    conductance = taker.part(algebra, (cut.current_out,), (cut.voltage_in,))
    from_taker = taker.part(algebra, (cut.current_out,), ins_taker)
    open_voltage = jnp.concatenate(
        [giver.part(algebra, (cut.voltage_out,), ins_giver), algebra.product(resistance, from_taker)], axis=col
    )
    coupling = algebra.eye(resistance.shape[row], resistance.dtype) - algebra.product(resistance, conductance)
    voltage = algebra.solve(coupling, open_voltage)
    n_giver = open_voltage.shape[col] - from_taker.shape[col]
    current = algebra.product(conductance, voltage)
    current = _add_at(current, from_taker, 0, n_giver, algebra)

    by_current = giver.part(algebra, outs_giver, (cut.current_in,))
    by_voltage = taker.part(algebra, outs_taker, (cut.voltage_in,))
    upper = _add_at(algebra.product(by_current, current), giver.part(algebra, outs_giver, ins_giver), 0, 0, algebra)
    lower = _add_at(
        algebra.product(by_voltage, voltage), taker.part(algebra, outs_taker, ins_taker), 0, n_giver, algebra
    )
    both = jnp.concatenate([upper, lower], axis=row)
    both, outs = _sort(both, row, giver.outs, taker.outs, outs_giver, outs_taker, cut.giver_first)
    both, ins = _sort(both, col, giver.ins, taker.ins, ins_giver, ins_taker, cut.giver_first)
    return _Block(both, ins, outs)


def _add_at(x: Array, y: Array, row: int, col: int, algebra: _Algebra) -> Array:
    """Add `y` to the part of `x` that starts at (row, col)."""
    widths = [(0, 0, 0)] * x.ndim
    for axis, start in zip(algebra.axes, (row, col), strict=True):
        widths[axis] = (start, x.shape[axis] - start - y.shape[axis], 0)
    return x + jax.lax.pad(y, jnp.zeros((), y.dtype), widths)


def _sort(
    x: Array,
    axis: int,
    giver: tuple[int, ...],
    taker: tuple[int, ...],
    of_giver: tuple[int, ...],
    of_taker: tuple[int, ...],
    giver_first: bool,
) -> tuple[Array, tuple[int, ...]]:
    """Bring ports that lie giver's kinds then taker's kinds into the order kind by kind, wires as they lie."""
    spans: dict[int, list[tuple[int, int]]] = {k: [] for k in range(4)}
    start = 0
    for kinds, sizes in ((of_giver, giver), (of_taker, taker)):
        for k in kinds:
            spans[k].append((start, start + sizes[k]))
            start += sizes[k]
    pieces, counts = [], []
    for k in range(4):
        ordered = spans[k] if giver_first else spans[k][::-1]
        pieces += [jax.lax.slice_in_dim(x, a, b, axis=axis) for a, b in ordered if b > a]
        counts.append(sum(b - a for a, b in ordered))
    return jnp.concatenate(pieces, axis=axis), tuple(counts)


def _cells(crossbar: Crossbar, first_col: Array, last_row: Array) -> Array:
    """Return the answers of single devices, each with the row segment before and the column segment below it.

    Args:
        crossbar: The circuit, conductances of any shape.
        first_col: Whether a device is its row's first.
        last_row: Whether a device is its column's last.

    Returns:
        Answers of shape (4, 4, *devices).
    """
    g = crossbar.g
    row = jnp.where(first_col, crossbar.r_row_end, crossbar.r_row).astype(g.dtype)
    col = jnp.where(last_row, crossbar.r_col_end, crossbar.r_col).astype(g.dtype)
    seen = g / (1 + (row + col) * g)
    # Device current for p, q, s, t; it adds to P and S, lowers Q and raises T through the segments.
    by = (seen, -row * seen, -seen, -col * seen)
    zero, one = jnp.zeros_like(g), jnp.ones_like(g)
    through = ((zero, one, zero, zero), (one, -row, zero, zero), (zero, zero, zero, one), (zero, zero, one, col))
    effect = (one, -row, one, col)
    return jnp.stack(
        [jnp.stack([a + e * b for a, b in zip(line, by, strict=True)]) for line, e in zip(through, effect, strict=True)]
    )


@jax.jit
def transfer_matrix(crossbar: Crossbar) -> Float[Array, "rows cols"]:
    """Return the current out of each column per volt on each row, all other terminals at zero volts [S].

    Args:
        crossbar: The circuit.

    Returns:
        The transfer matrix; derivatives in conductances and resistances flow through the elimination.
    """
    rows, cols = crossbar.g.shape
    (leaf_rows, row_doublings), (leaf_cols, col_doublings) = _plan(rows), _plan(cols)
    # Open devices beyond the far ends change nothing: above the first row, right of the last column.
    fill_rows, fill_cols = -rows % (leaf_rows << row_doublings), -cols % (leaf_cols << col_doublings)
    padded = crossbar._replace(g=jnp.pad(crossbar.g, ((fill_rows, 0), (0, fill_cols))))
    blocks = _leaves(padded, leaf_rows, leaf_cols)
    for step in range(max(row_doublings, col_doublings)):
        if step < col_doublings:
            blocks = _join_neighbours(blocks, _SIDE_BY_SIDE, axis=1)
        if step < row_doublings:
            blocks = _join_neighbours(blocks, _STACKED, axis=0)
    return _join_all(blocks).T[fill_rows:, :cols]


def _plan(n: int) -> tuple[int, int]:
    """Return the leaf size of a side and how often leaves are doubled before blocks are handled singly."""
    leaf = min(_LEAF, 1 << (n - 1).bit_length())
    doublings = 0
    while -(-n // (leaf << doublings)) > _SINGLES:
        doublings += 1
    return leaf, doublings


def _leaves(crossbar: Crossbar, leaf_rows: int, leaf_cols: int) -> _Block:
    """Build all leaf blocks, one strip of block rows after the other to stay within the cache.

    Returns:
        Blocks with leading batch axes (block row, block col).
    """
    rows, cols = crossbar.g.shape
    strips = crossbar.g.reshape(rows // leaf_rows, leaf_rows, cols)
    algebra = _BatchLast()
    shape = (leaf_rows, cols // leaf_cols, leaf_cols)

    def one_strip(strip: tuple[Array, Array]) -> Array:
        g, last = strip
        first_col = jnp.arange(cols) == 0
        last_row = last & (jnp.arange(leaf_rows) == leaf_rows - 1)[:, None]
        cells = _cells(crossbar._replace(g=g), first_col, last_row)
        # Batch axes (row in leaf, col in leaf, block col): pairs come from the first two, work runs along the last.
        block = _Block(cells.reshape(4, 4, *shape).swapaxes(-1, -2), (1, 1, 1, 1), (1, 1, 1, 1))
        while block.matrix.shape[2:4] != (1, 1):
            if block.matrix.shape[3] > 1:
                left, right = (block._replace(matrix=block.matrix[:, :, :, k::2]) for k in (0, 1))
                block = _join(left, right, _SIDE_BY_SIDE, algebra)
            if block.matrix.shape[2] > 1:
                upper, lower = (block._replace(matrix=block.matrix[:, :, k::2]) for k in (0, 1))
                block = _join(lower, upper, _STACKED, algebra)
        return jnp.moveaxis(block.matrix[:, :, 0, 0], -1, 0)

    last_strip = jnp.arange(strips.shape[0]) == strips.shape[0] - 1
    matrix = jax.lax.map(one_strip, (strips, last_strip))
    sizes = (leaf_rows, leaf_rows, leaf_cols, leaf_cols)
    return _Block(matrix, sizes, sizes)


def _join_neighbours(blocks: _Block, cut: _Cut, axis: int) -> _Block:
    """Join blocks pairwise along a batch axis."""
    first, second = (
        blocks._replace(matrix=jax.lax.slice_in_dim(blocks.matrix, k, None, stride=2, axis=axis)) for k in (0, 1)
    )
    giver, taker = (first, second) if cut.giver_first else (second, first)
    return _join(giver, taker, cut, _BatchFirst())


def _join_all(blocks: _Block) -> Float[Array, "cols rows"]:
    """Join the last few blocks, each without the ports that the edge of the array makes idle."""
    algebra = _BatchFirst()
    height, width = blocks.matrix.shape[:2]

    def trimmed(i: int, j: int) -> _Block:
        outs, ins = [], []
        if j == 0:
            outs.append(_P)  # nobody asks for the drivers' currents
        if j == width - 1:
            outs.append(_Q)
            ins.append(_q)
        if i == 0:
            outs.append(_T)
            ins.append(_t)
        if i == height - 1:
            ins.append(_s)  # columns are sensed at zero volts
        return blocks._replace(matrix=blocks.matrix[i, j]).without(algebra, tuple(outs), tuple(ins))

    grid = [[trimmed(i, j) for j in range(width)] for i in range(height)]
    while len(grid) > 1 or len(grid[0]) > 1:
        grid = [_pairwise(line, lambda left, right: _join(left, right, _SIDE_BY_SIDE, algebra)) for line in grid]
        columns = [list(column) for column in zip(*grid, strict=True)]
        columns = [_pairwise(c, lambda upper, lower: _join(lower, upper, _STACKED, algebra)) for c in columns]
        grid = [list(line) for line in zip(*columns, strict=True)]
    return grid[0][0].matrix


def _pairwise(blocks: list[_Block], join: Callable[[_Block, _Block], _Block]) -> list[_Block]:
    """Join first and second, third and fourth, ...; an odd last block stays as it is."""
    joined = [join(a, b) for a, b in zip(blocks[::2], blocks[1::2], strict=False)]
    return joined + blocks[len(blocks) // 2 * 2 :]
