"""What every cell must do, checked."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc.cells import Cell
from jaxaimc.testing.rules import check_base, continuous, rule, traced_once

_ROWS, _COLS = 4, 3


def check_cell(cell: Cell) -> None:
    """Check a cell against everything that the tiles rely on.

    Shapes and precision, conductances within the window, binary ones where the cell says that it is exact, weights of
    minus one, zero and one that come back from what a perfect column would carry, the same under `jit` and `vmap`, one
    compilation for all windows, and finite gradients.

    Args:
        cell: Cell to check.

    Raises:
        ConformanceError: If a rule is broken; the message says which.
        ValueError: If a field of the cell is out of its range.

    Example:
        >>> from jaxaimc.cells import Offset
        >>> check_cell(Offset(g_min=1e-6))
    """
    check_base(cell, "a cell", Cell)
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            w = jnp.linspace(-1, 1, _ROWS * _COLS, dtype=dtype).reshape(_ROWS, _COLS)
            _check_conductances(cell, w)
            _check_decoding(cell, w)
    _check_transformations(cell)
    _check_gradients(cell)


def _check_conductances(cell: Cell, w: Float[Array, "rows cols"]) -> None:
    g = cell.encode(w)
    slices, polarities = len(cell.significance), len(cell.signs)
    with rule(cell, f"`encode` must give shape (slice={slices}, polarity={polarities}, rows, cols)"):
        chex.assert_shape(g, (slices, polarities, *w.shape))
    with rule(cell, f"`encode` must keep the precision {w.dtype}"):
        chex.assert_equal(g.dtype, w.dtype)
    low, high = float(cell.g_min), float(cell.g_min + cell.g_span)
    with rule(cell, "conductances must lie between `g_min` and `g_min + g_span`"):
        chex.assert_tree_all_finite(g)
        chex.assert_equal(bool(np.all((g >= low * (1 - 1e-6)) & (g <= high * (1 + 1e-6)))), True)
    with rule(cell, "`shared` must number slices of the cell"):
        chex.assert_equal(all(0 <= index < slices for index in cell.shared), True)
    if cell.exact:
        with rule(cell, "devices of an exact cell must hold zero or exactly `g_span`"):
            held = np.asarray(g)
            chex.assert_equal(bool(np.all((held == 0) | (held == np.asarray(cell.g_span, held.dtype)))), True)


def _check_decoding(cell: Cell, w: Float[Array, "rows cols"]) -> None:
    slices = len(cell.significance)
    decoded = cell.decode(jnp.ones((2, 5, slices, _COLS), w.dtype), jnp.ones((2, 5), w.dtype))
    with rule(cell, "`decode` must give shape (*batch, cols) in the precision of the charges"):
        chex.assert_shape(decoded, (2, 5, _COLS))
        chex.assert_equal(decoded.dtype, w.dtype)
    ends = jnp.asarray([[-1.0, 0.0, 1.0]] * _ROWS, w.dtype)
    charges = jnp.einsum("sprc,p->rsc", cell.encode(ends), jnp.asarray(cell.signs, w.dtype)) / cell.g_span
    for index in cell.shared:
        charges = charges.at[:, index].set(charges[:, index, :1])
    with rule(cell, "weights of minus one, zero and one must come back from the charges of their columns"):
        chex.assert_trees_all_close(cell.decode(charges, jnp.ones(_ROWS, w.dtype)), ends, atol=1e-5)


def _check_transformations(cell: Cell) -> None:
    w = jnp.linspace(-1, 1, _ROWS * _COLS).reshape(_ROWS, _COLS)
    with rule(cell, "`encode` must give the same under vmap over matrices"):
        chex.assert_trees_all_close(jax.vmap(cell.encode)(jnp.stack([w, -w]))[0], cell.encode(w), rtol=1e-5, atol=1e-12)
    leaves, rebuild = continuous(cell)
    encode = jax.jit(traced_once(lambda values, w: rebuild(values).encode(w)))
    with rule(cell, "`encode` must give the same under jit, compiled once for all values of the fields"):
        chex.assert_trees_all_close(encode(leaves, w), cell.encode(w), rtol=1e-5, atol=1e-12)
        encode([1.01 * value for value in leaves], w)


def _check_gradients(cell: Cell) -> None:
    w = jnp.linspace(-0.9, 0.95, _ROWS * _COLS).reshape(_ROWS, _COLS)
    leaves, rebuild = continuous(cell)
    slopes = jax.grad(lambda values, w: jnp.sum(rebuild(values).encode(w)), (0, 1))(leaves, w)
    with rule(cell, "derivatives of `encode` by the weights and by the fields must be finite"):
        chex.assert_tree_all_finite(slopes)
