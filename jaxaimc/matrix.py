"""A matrix of any size on as many tiles as it takes: the four verbs of `jaxaimc.tile`, over blocks.

Rows and columns are split evenly over the fewest tiles that hold them. A block sits in the middle of its tile's rows
(Luquin et al. 2025 pad with zeros on both ends) and in its first columns. Every tile row's partial sum goes through its
own ADC, and the digitised partial sums are added. Unused cells are open.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._conversion import even_share
from jaxaimc._core.checks import check_key, check_matrix, check_time, check_trailing
from jaxaimc._core.component import component, static
from jaxaimc._core.random import fold_in
from jaxaimc._core.xla import add_up
from jaxaimc.tile import AnalogConfig
from jaxaimc.wires import Placement, check_residual

# Charges of all tile rows together above which they are read one after the other: 32 MB of float32, past which memory
# is mapped anew at every call.
_MANY_CHARGES = 8 * 2**20
P = ParamSpec("P")
R = TypeVar("R")


@component
class Programmed:
    """The devices of all tiles of a matrix.

    Attributes:
        tiles: Devices of the tiles, every array with leading axes (tile row, tile col).
        n_in: Rows of the matrix.
        n_out: Columns of the matrix.
    """

    tiles: tile.Programmed
    n_in: int = static()
    n_out: int = static()


@component
class Prepared:
    """All tiles of a matrix with their wires folded in; tiles side by side are merged along the columns.

    Attributes:
        tiles: Prepared tiles, every array with a leading axis (tile row).
        n_in: Rows of the matrix.
        n_out: Columns of the matrix.
    """

    tiles: tile.Prepared
    n_in: int = static()
    n_out: int = static()


def tile_grid(config: AnalogConfig, n_in: int, n_out: int) -> tuple[int, int]:
    """Return how many tiles a matrix takes.

    Args:
        config: The tile.
        n_in: Rows of the matrix.
        n_out: Columns of the matrix.

    Returns:
        Tile rows and tile columns.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> tile_grid(AnalogConfig(), 768, 3072)
        (2, 6)
    """
    return -(-n_in // config.rows), -(-n_out // config.cols)


def program(config: AnalogConfig, w: Float[Array, "n_in n_out"], key: Key[Array, ""]) -> Programmed:
    """Program a matrix of any size.

    Args:
        config: The tile.
        w: Weights, any scale.
        key: Chip key; every tile gets its own by `fold_in` of its index.

    Returns:
        The programmed devices, at time zero.

    Raises:
        ValueError: If `w` is not a finite matrix, `key` is not a single key, or a field of `config` is out of range.
    """
    config.validate()
    check_matrix("w", w, "n_in, n_out")
    check_key("key", key)
    return _program(config, jnp.asarray(w), key)


@jax.jit
def _program(config: AnalogConfig, w: Float[Array, "n_in n_out"], key: Key[Array, ""]) -> Programmed:
    n_in, n_out = w.shape
    grid = tile_grid(config, n_in, n_out)
    rows, cols = even_share(n_in, config.rows), even_share(n_out, config.cols)
    blocks = jnp.pad(w, ((0, grid[0] * rows - n_in), (0, grid[1] * cols - n_out)))
    blocks = blocks.reshape(grid[0], rows, grid[1], cols).swapaxes(1, 2)
    peak = None if config.column_scales else jnp.max(jnp.abs(w))
    tiles = _over_tiles(partial(tile.program, config, peak=peak))(blocks, _tile_keys(key, grid))
    return Programmed(tiles=_disconnect(tiles, n_in, n_out), n_in=n_in, n_out=n_out)


def drift(config: AnalogConfig, programmed: Programmed, t: Float[Array, ""] | float, key: Key[Array, ""]) -> Programmed:
    """Let all devices drift to a time since programming. See `jaxaimc.tile.drift`.

    Args:
        config: The tile.
        programmed: The devices, at any time.
        t: Time since programming [s].
        key: Chip key; every tile gets its own.

    Returns:
        The devices at time `t`.

    Raises:
        ValueError: If `t` is negative or not finite, `key` is not a single key, or a field of `config` is out of range.
    """
    config.validate()
    check_time("t", t)
    check_key("key", key)
    return _drift(config, programmed, t, key)


@jax.jit
def _drift(
    config: AnalogConfig, programmed: Programmed, t: Float[Array, ""] | float, key: Key[Array, ""]
) -> Programmed:
    tile_rows, tile_cols = programmed.tiles.t.shape
    keys = _tile_keys(key, (tile_rows, tile_cols))
    tiles = _over_tiles(lambda p, k: tile.drift(config, p, t, k))(programmed.tiles, keys)
    # A relaxation adds to a conductance, so that cells that are not there have to be taken out again.
    return replace(programmed, tiles=_disconnect(tiles, programmed.n_in, programmed.n_out))


def as_programmed(programmed: Programmed) -> Programmed:
    """Return the devices as they were right after programming, whatever time they have drifted to.

    Args:
        programmed: The devices, at any time.

    Returns:
        The devices at time zero.
    """
    tiles = programmed.tiles
    return replace(programmed, tiles=replace(tiles, g=tiles.g_programmed, t=jnp.zeros_like(tiles.t)))


def prepare(config: AnalogConfig, programmed: Programmed) -> Prepared:
    """Fold the wires of all tiles into effective matrices.

    Args:
        config: The tile.
        programmed: The devices.

    Returns:
        What `mvm` needs. Gradients are exact.

    Raises:
        ValueError: If a field of `config` is out of range.
        ConvergenceError: Outside jit, if the wires miss their own check; under jit `tiles.residual` says so.
    """
    config.validate()
    prepared = _prepare(config, programmed)
    check_residual("the matrix", prepared.tiles.residual)
    return prepared


@jax.jit
def _prepare(config: AnalogConfig, programmed: Programmed) -> Prepared:
    rows = programmed.tiles.g.shape[-2]
    # Blocks start in a tile's first column: their own columns alternate.
    placement = Placement(rows=config.rows, cols=config.cols, row_start=(config.rows - rows) // 2)
    tiles = _over_tiles(lambda p: tile.prepare(config, p, placement))(programmed.tiles)
    merged = jax.tree.map(lambda leaf: _merge_tile_columns(leaf, programmed.n_out), replace(tiles, network=None))
    # A network is solved as a whole: its tiles stay apart, along the axis that a tile of its own has for this.
    merged = replace(merged, network=jax.tree.map(lambda leaf: leaf[:, :, 0], tiles.network))
    return Prepared(tiles=merged, n_in=programmed.n_in, n_out=programmed.n_out)


def mvm(
    config: AnalogConfig,
    prepared: Prepared,
    x: Float[Array, "*batch n_in"],
    key: Key[Array, "*keys"] | None = None,
) -> Float[Array, "*batch n_out"]:
    """Multiply input vectors with a prepared matrix; the input range is that of the whole vector.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        x: Input vectors.
        key: Read key, one or one per vector (see `jaxaimc.tile.mvm`); every tile row gets its own by `fold_in`.

    Returns:
        Output vectors, in the unit of `x @ w`.

    Raises:
        ValueError: If the last axis of `x` is not the matrix's rows, `key` is missing or has a wrong shape, or a
            field of `config` is out of range.
    """
    config.validate()
    check_trailing("x", x, prepared.n_in, "n_in")
    if key is not None:
        check_key("key", key, batched=True)
    return _mvm(config, prepared, jnp.asarray(x, prepared.tiles.matrix.dtype), key)


@jax.jit
def _mvm(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"], key: Key[Array, "*keys"] | None
) -> Float[Array, "*batch n_out"]:
    pulses = config.drive.encode(x)
    tile_rows, rows = prepared.tiles.matrix.shape[:2]

    def partial_sum(block: tile.Prepared, level: Array, duration: Array, index: Array) -> Array:
        read_key = None if key is None else fold_in(key, index)
        return tile.read(config, block, pulses._replace(level=level, duration=duration), read_key)

    level, duration = (_row_blocks(a, tile_rows, rows) for a in (pulses.level, pulses.duration))
    blocks = (prepared.tiles, level, duration, jnp.arange(tile_rows))
    charges = level.size // rows * math.prod(prepared.tiles.matrix.shape[2:])
    if tile_rows == 1:
        # Products with a batch axis of one would have gradients that transpose the inputs.
        return partial_sum(*jax.tree.map(lambda a: a[0], blocks)) * pulses.scale[..., None]
    if charges < _MANY_CHARGES:
        return add_up(jax.vmap(partial_sum)(*blocks), 0) * pulses.scale[..., None]
    zeros = jnp.zeros((*x.shape[:-1], prepared.n_out), x.dtype)
    y, _ = jax.lax.scan(lambda y, block: (y + partial_sum(*block), None), zeros, blocks)
    return y * pulses.scale[..., None]


@jax.jit
def charges(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"], key: Key[Array, "*keys"] | None = None
) -> Float[Array, "tile_row *batch conversion slice n_out"]:
    """Return what the converters of all tiles get to see, in fully driven cells; see `jaxaimc.tile.charges`.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        x: Input vectors.
        key: Read key, one or one per vector; without one there is no read noise.

    Returns:
        Charges of every conversion.
    """
    pulses = config.drive.encode(jnp.asarray(x, prepared.tiles.matrix.dtype))
    tile_rows, rows = prepared.tiles.matrix.shape[:2]

    def one(block: tile.Prepared, level: Array, duration: Array, index: Array) -> Array:
        read_key = None if key is None else fold_in(key, index)
        return tile.charges(config, block, pulses._replace(level=level, duration=duration), read_key)

    level, duration = (_row_blocks(a, tile_rows, rows) for a in (pulses.level, pulses.duration))
    return jax.vmap(one)(prepared.tiles, level, duration, jnp.arange(tile_rows))


def compensate_drift(config: AnalogConfig, prepared: Prepared, reference: Prepared) -> Prepared:
    """Scale the outputs of each tile back to their size at a reference time: global drift compensation.

    The factor of a tile is the ratio of its summed absolute responses to one-hot inputs, then over now, read without
    noise (Joshi et al. 2020, Nature Communications 11, 2473: one digital factor per array).

    Args:
        config: The tile.
        prepared: The matrix now.
        reference: The same matrix at the reference time.

    Returns:
        `prepared` with its digital scales multiplied.
    """
    tile_of_column = jnp.arange(prepared.n_out) // even_share(prepared.n_out, config.cols)

    def response(p: Prepared) -> Float[Array, "tile_rows n_out"]:
        per_column = jnp.sum(jnp.abs(p.tiles.matrix), axis=(1, 2))
        per_tile = jax.vmap(lambda c: jax.ops.segment_sum(c, tile_of_column, tile_grid(config, 1, p.n_out)[1]))
        return per_tile(per_column)[:, tile_of_column]

    now = response(prepared)
    # A tile that does not answer at all is left alone.
    factor = jnp.where(now > 0, response(reference) / jnp.where(now > 0, now, 1.0), 1.0)
    return replace(prepared, tiles=replace(prepared.tiles, scale=prepared.tiles.scale * factor))


def _tile_keys(key: Key[Array, ""], grid: tuple[int, int]) -> Key[Array, "tile_rows tile_cols"]:
    index = jnp.arange(grid[0] * grid[1]).reshape(grid)
    return _over_tiles(lambda i: jax.random.fold_in(key, i))(index)


def _over_tiles(function: Callable[P, R]) -> Callable[P, R]:
    return jax.vmap(jax.vmap(function))


def _disconnect(tiles: tile.Programmed, n_in: int, n_out: int) -> tile.Programmed:
    """Open the cells that only fill up the last tile row and column."""
    tile_rows, tile_cols, *_, rows, cols = tiles.g.shape
    used_rows = np.arange(tile_rows * rows).reshape(tile_rows, 1, 1, 1, rows, 1) < n_in
    used_cols = np.arange(tile_cols * cols).reshape(1, tile_cols, 1, 1, 1, cols) < n_out
    used = used_rows & used_cols
    if used.all():
        return tiles
    opened = {name: jnp.where(used, getattr(tiles, name), 0.0) for name in ("g", "g_programmed", "g_target")}
    return replace(tiles, **opened)


def _merge_tile_columns(leaf: Array, n_out: int) -> Array:
    """Move the tile column (axis 1) next to the columns (last axis), merge the two and drop the filling."""
    moved = jnp.moveaxis(leaf, 1, -2)
    return moved.reshape(*moved.shape[:-2], moved.shape[-2] * moved.shape[-1])[..., :n_out]


def _row_blocks(a: Float[Array, "*batch n_in"], tile_rows: int, rows: int) -> Float[Array, "tile_rows *batch rows"]:
    """Cut the last axis into blocks, filling up the last one with zeros."""
    if tile_rows == 1:
        return a[None]
    filled = jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, tile_rows * rows - a.shape[-1])])
    return jnp.moveaxis(filled.reshape(*a.shape[:-1], tile_rows, rows), -2, 0)
