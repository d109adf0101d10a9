"""What is kept of a matrix on a chip: its devices, and what reading them needs.

Rows and columns are split evenly over the fewest tiles that hold them. A block sits in the middle of its tile's rows
(Luquin et al. 2025 pad with zeros on both ends) and in its first columns. Every tile row's partial sum goes through its
own converters, and the digitised partial sums are added. Unused cells are open. One tile is a grid of 1 x 1.

A matrix may be one of groups, as that of a grouped or depthwise convolution is: blocks along a diagonal, with nothing
but zeros beside them. No tile holds these zeros. Every block has tiles of its own, the tile rows of all groups stand
one after another, and partial sums are added within a group.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import component, static
from jaxaimc.config.analog import AnalogConfig

R = TypeVar("R")


@component
class Programmed:
    """The devices of a matrix: a chip, and all that is kept of it after programming.

    Attributes:
        key: Chip key. Whatever a chip keeps is drawn from it: programming errors, drift, mismatch of the converters.
        g: Conductance of every device now [S].
        g_programmed: Conductance of every device right after programming [S].
        g_target: Conductance that programming aimed at [S].
        w_scale: Weight that stands for a normalised one, per column of a tile.
        t: Time since programming [s].
        converters: What is particular to each converter; its arrays end with the axes (slice, cols).
        n_in: Rows of the matrix, those of all groups.
        n_out: Columns of the matrix, those of all groups.
        profile: For which share of each stretch of time each row is connected, mean over data, as `activity_profile`
            finds it [1]; `()` where that is not known. Only wires that are `profiled` have a use for it.
        stuck: Conductance at which devices are stuck whatever is asked of them, at every time, NaN for devices that
            work [S], as `with_stuck_devices` sets it; `()` where all work.
        exact: Whether every device holds exactly zero or the cell's `g_span`.
        groups: Number of blocks of equal size along the diagonal of the matrix; one for a matrix without groups.
    """

    key: Key[Array, ""]
    g: Float[Array, "tile_row tile_col slice polarity rows cols"]
    g_programmed: Float[Array, "tile_row tile_col slice polarity rows cols"]
    g_target: Float[Array, "tile_row tile_col slice polarity rows cols"]
    w_scale: Float[Array, "tile_row tile_col cols"]
    t: Float[Array, ""]
    converters: Any = ()
    profile: Any = ()
    stuck: Any = ()
    n_in: int = static()
    n_out: int = static()
    exact: bool = static(default=False)
    groups: int = static(default=1)


@component
class Prepared:
    """A matrix with its wires folded in: what a product needs, and nothing else. Tiles side by side are merged.

    The axis `n_out` of the arrays has the columns of one group.

    Attributes:
        matrix: Effective weight of every cell [1], signs and wires included.
        baseline: Charge of an idle column [fully driven cells].
        variance: Read-noise variance factors of every cell, seen at the output [1].
        ratios: Factors of terms that are small, over those of the first term [1].
        w_scale: Weight that stands for a normalised one, per column; drift compensation acts here.
        residual: How far the wires' own check of the matrix is off, of the largest output [1].
        circuit: What wires that are not linear solve at every read, with leading axes (tile_row, tile_col, slice); None
            for linear wires. Where it is given, `matrix` serves read noise and drift compensation alone.
        converters: What is particular to each converter, as in `Programmed`.
        n_in: Rows of the matrix, those of all groups.
        n_out: Columns of the matrix, those of all groups.
        exact: Whether `matrix` holds zeros and ones only; several planes then share one product.
        groups: Number of groups, as in `Programmed`.
    """

    matrix: Float[Array, "tile_row rows slice n_out"]
    baseline: Float[Array, "tile_row slice n_out"]
    variance: Float[Array, "tile_row term rows slice n_out"]
    ratios: Float[Array, "tile_row small_term"]
    w_scale: Float[Array, "tile_row n_out"]
    residual: Float[Array, "tile_row slice n_out"]
    circuit: Any = None
    converters: Any = ()
    n_in: int = static()
    n_out: int = static()
    exact: bool = static(default=False)
    groups: int = static(default=1)


def tile_grid(config: AnalogConfig, n_in: int, n_out: int, groups: int = 1) -> tuple[int, int]:
    """Return how many tiles a matrix takes.

    Args:
        config: The tile.
        n_in: Rows of the matrix, those of all groups.
        n_out: Columns of the matrix, those of all groups.
        groups: Number of blocks along its diagonal, each of which has tiles of its own.

    Returns:
        Tile rows and tile columns; the tile rows of all groups are counted, the tile columns of one.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> tile_grid(AnalogConfig(), 768, 3072)
        (2, 6)
        >>> tile_grid(AnalogConfig(), 768, 768, groups=768)
        (768, 1)
    """
    return groups * -(-n_in // groups // config.rows), -(-n_out // groups // config.cols)


def over_tiles(function: Callable[..., R]) -> Callable[..., R]:
    """Map a function of one tile over the grid of tiles, the two leading axes of its arguments."""

    def mapped(*arguments: Any) -> R:
        if jax.tree.leaves(arguments)[0].shape[:2] != (1, 1):
            return jax.vmap(jax.vmap(function))(*arguments)
        # Batch axes of one keep XLA from fusing draws: gradients through programming would take half as long again.
        found = function(*jax.tree.map(lambda a: a[0, 0], arguments))
        return jax.tree.map(lambda a: jnp.asarray(a)[None, None], found)

    return mapped


def disconnected(
    g: Float[Array, "tile_row tile_col slice polarity rows cols"], n_in: int, n_out: int, groups: int
) -> Float[Array, "tile_row tile_col slice polarity rows cols"]:
    """Open the cells that only fill up the last tile row of each group, and the last tile column."""
    tile_rows, tile_cols, *_, rows, cols = g.shape
    row_of_group = np.arange(tile_rows * rows) % (tile_rows * rows // groups)
    used_rows = row_of_group.reshape(tile_rows, 1, 1, 1, rows, 1) < n_in // groups
    used_cols = np.arange(tile_cols * cols).reshape(1, tile_cols, 1, 1, 1, cols) < n_out // groups
    used = used_rows & used_cols
    return g if used.all() else jnp.where(used, g, 0.0)


def row_blocks(
    a: Float[Array, "*batch n_in"], tile_rows: int, rows: int, groups: int
) -> Float[Array, "tile_row *batch rows"]:
    """Cut the last axis into the rows of each tile row, filling up the last one of each group with zeros."""
    if tile_rows == 1:
        return a[None]
    batch, n_in = a.shape[:-1], a.shape[-1] // groups
    filling = [(0, 0)] * (len(batch) + 1) + [(0, tile_rows * rows // groups - n_in)]
    filled = jnp.pad(a.reshape(*batch, groups, n_in), filling)
    return jnp.moveaxis(filled.reshape(*batch, tile_rows, rows), -2, 0)
