"""What a matrix takes of a chip: tiles, devices, conversions. From sizes alone, without weights."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer

from jaxaimc._core.checks import check_integer
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.tile.conversion import even_share, readout
from jaxaimc.tile.state import tile_grid


class Footprint(NamedTuple):
    """What a matrix takes of a chip.

    A tile has as many output columns as `config.cols`; the slices of an output are physical columns of their own, and
    count as devices.

    Attributes:
        tile_rows: Tiles that share an output, one below the other; with groups, those of all of them.
        tile_cols: Tiles side by side.
        rows: Rows that a tile uses; the last one may use fewer.
        cols: Output columns that a tile uses; the last one may use fewer.
        cells: Cells of all tiles, used or not.
        utilisation: Share of them that hold a weight [1].
        devices_per_weight: Devices that hold one weight: slices times polarities.
        devices: Devices in use, columns that a tile's outputs share (such as a unit column) included.
        conversions: Conversions for one input vector.
    """

    tile_rows: int
    tile_cols: int
    rows: int
    cols: int
    cells: int
    utilisation: float
    devices_per_weight: int
    devices: int
    conversions: int


def footprint(config: AnalogConfig, n_in: int, n_out: int, groups: int = 1) -> Footprint:
    """Return what a matrix takes of a chip.

    An output takes a conversion for every plane of the drive (one, where the planes accumulate before it), slice of the
    cell and tile row; a column that is shared by all outputs of a tile is converted once for them. Converters that vote
    count as often as they convert, and diagonals that are computed digitally do not count.

    Args:
        config: The tile.
        n_in: Rows of the matrix, those of all groups.
        n_out: Columns of the matrix, those of all groups.
        groups: Number of blocks along the diagonal of the matrix, each on tiles of its own.

    Returns:
        Tiles, devices and conversions.

    Raises:
        ValueError: If a size is no positive integer or no multiple of the groups, or a field of `config` is out of
            range.

    Example:
        >>> from jaxaimc import presets, tile
        >>> found = tile.footprint(presets.tile_circuit(), 768, 3072)
        >>> (found.tile_rows, found.tile_cols), (found.rows, found.cols), found.utilisation
        ((2, 6), (384, 512), 0.75)
        >>> found.devices_per_weight, found.conversions
        (2, 6144)
    """
    config.validate()
    check_integer("footprint", "n_in", n_in, low=1)
    check_integer("footprint", "n_out", n_out, low=1)
    check_integer("footprint", "groups", groups, low=1)
    if n_in % groups or n_out % groups:
        raise ValueError(f"Argument `groups` must divide {n_in} rows and {n_out} columns, but is {groups}.")
    cell = config.cell
    tile_rows, tile_cols = tile_grid(config, n_in, n_out, groups)
    n_in, n_out = n_in // groups, n_out // groups  # of a block
    rows, cols = even_share(n_in, config.rows), even_share(n_out, config.cols)
    shared = np.isin(np.arange(len(cell.significance)), cell.shared)
    # How often every slice is in the chip: for each output, or once for all outputs of a tile.
    copies = np.where(shared, tile_cols, n_out)
    cells = tile_rows * tile_cols * config.rows * config.cols
    return Footprint(
        tile_rows=tile_rows,
        tile_cols=tile_cols,
        rows=rows,
        cols=cols,
        cells=cells,
        utilisation=groups * n_in * n_out / cells,
        devices_per_weight=int(np.sum(~shared)) * len(cell.signs),
        devices=groups * n_in * int(np.sum(copies)) * len(cell.signs),
        conversions=tile_rows * int(np.sum(copies * conversions_per_column(config, rows))),
    )


def conversions_per_column(config: AnalogConfig, rows: int) -> np.ndarray:
    """Return how often the column of each slice is converted for one input vector, shape (slice,).

    Args:
        config: The tile.
        rows: Rows in use.
    """
    return np.asarray(_conversions_per_column(config, rows))


@partial(jax.jit, static_argnums=1)
def _conversions_per_column(config: AnalogConfig, rows: int) -> Integer[Array, " slice"]:
    pulses = config.drive.encode(jnp.zeros((1,)))
    planes = slice(0, pulses.significance.size)
    known = {"rows": rows, "tile_rows": config.rows, "converters": ()}
    seen, significance = readout(config.cell, config.drive, pulses, planes, **known)
    conversions = (significance.size, len(config.cell.significance), 1)
    return jnp.sum(jnp.broadcast_to(config.adc.uses(seen), conversions), axis=(0, 2))
