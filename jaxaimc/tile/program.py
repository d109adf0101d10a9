"""Programming and drift: from weights to the conductances of one chip, at any time."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import as_matrix, check_key, check_time
from jaxaimc._core.rounding import never_zero
from jaxaimc._core.sharding import divided_by_xla
from jaxaimc._core.xla import stored
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.tile.checks import check_programmed
from jaxaimc.tile.conversion import even_share
from jaxaimc.tile.state import Programmed, disconnected, over_tiles, tile_grid

# Folded into the key of a tile's programming for what is particular to its converters ("mism"). No small number:
# splitting a key is folding 0, 1, ... into it, and a device's programming may split its own.
_CONVERTERS = 0x6D69736D


def program(config: AnalogConfig, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]) -> Programmed:
    """Program a matrix of any size, or the blocks of a block-diagonal one.

    Args:
        config: The tile.
        w: Weights, any scale. With three axes, (groups, n_in, n_out), they are blocks along a diagonal, as those of a
            grouped convolution: each takes tiles of its own, and the matrix is that of all groups, of
            `groups * n_in` rows.
        key: Chip key: everything that this chip keeps, now and after any time, is drawn from it.

    Returns:
        The programmed devices, at time zero.

    Raises:
        ValueError: If `w` is no finite matrix of real numbers and not several of one size, `key` is not a single key,
            or a field of `config` is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, program
        >>> program(AnalogConfig(), jnp.ones((700, 96)), jax.random.key(0)).g.shape
        (2, 1, 1, 2, 350, 96)
        >>> depthwise = program(AnalogConfig(), jnp.ones((32, 9, 1)), jax.random.key(0))
        >>> depthwise.g.shape, depthwise.n_in, depthwise.n_out
        ((32, 1, 1, 2, 9, 1), 288, 32)
    """
    config.validate()
    w = as_matrix("w", w, "n_in, n_out", groups=True)
    check_key("key", key)
    groups, n_in, n_out = (1, *w.shape)[-3:]
    devices, g_target, w_scale, converters = divided_by_xla(_program, w)(config, w, key)
    # Within a larger compiled function, XLA would draw the devices anew for everything that reads them.
    g: Any = stored(devices)
    return Programmed(
        key=key,
        g=g,
        g_programmed=g,
        g_target=g_target,
        w_scale=w_scale,
        t=jnp.zeros((), g.dtype),
        converters=converters,
        n_in=groups * n_in,
        n_out=groups * n_out,
        exact=config.cell.exact and config.device.exact,
        groups=groups,
    )


@jax.jit
def _program(
    config: AnalogConfig, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]
) -> tuple[Array, Array, Array, Any]:
    groups, n_in, n_out = (1, *w.shape)[-3:]
    size = groups * n_in, groups * n_out, groups
    grid = tile_grid(config, *size)
    rows, cols = even_share(n_in, config.rows), even_share(n_out, config.cols)
    filling = (0, grid[0] // groups * rows - n_in), (0, grid[1] * cols - n_out)
    blocks = jnp.pad(w, ((0, 0), *filling)[-w.ndim :])
    blocks = blocks.reshape(grid[0], rows, grid[1], cols).swapaxes(1, 2)
    peak = jnp.max(jnp.abs(blocks), axis=-2) if config.column_scales else jnp.max(jnp.abs(w))
    w_scale = jnp.broadcast_to(_w_scale(peak), (*grid, cols))
    g, g_target, converters = over_tiles(partial(_program_tile, config))(blocks, w_scale, tile_keys(key, grid))
    return disconnected(g, *size), disconnected(g_target, *size), w_scale, converters


def _program_tile(
    config: AnalogConfig, w: Float[Array, "rows cols"], w_scale: Float[Array, " cols"], keys: Key[Array, "2"]
) -> tuple[Array, Array, Any]:
    g_target = config.cell.encode(w / w_scale)
    g = config.device.program(g_target, keys)
    converters = config.adc.draw_mismatch(jax.random.fold_in(keys[0], _CONVERTERS), g_target.shape[0], w.shape[1])
    return g, g_target, converters


def _w_scale(peak: Float[Array, "*column"]) -> Float[Array, "*column"]:
    """Return the weights that stand for one. A column of zeros takes the smallest of the others, and so its noise."""
    least = jnp.min(jnp.where(peak > 0, peak, jnp.inf))
    return never_zero(jnp.where((peak == 0) & jnp.isfinite(least), least, peak))


def tile_keys(key: Key[Array, ""], grid: tuple[int, int]) -> Key[Array, "tile_row tile_col 2"]:
    """Return the keys of every tile's devices: the two into which the chip key splits, one for programming and one for
    drift, each with the tile's number folded in.
    """
    index = jnp.arange(grid[0] * grid[1]).reshape(grid)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    parts = jax.random.split(key)
    return over_tiles(lambda i: fold(parts, i))(index)


def drift(config: AnalogConfig, programmed: Programmed, t: Float[Array, ""] | float) -> Programmed:
    """Let all devices drift to a time since programming.

    Times are counted from programming, whatever time `programmed` is at: drifting to a day is the same from any
    earlier state. The chip's own key says how its devices drift.

    Args:
        config: The tile.
        programmed: The devices, at any time.
        t: Time since programming [s].

    Returns:
        The devices at time `t`.

    Raises:
        ValueError: If `t` is not one number, zero or greater, `programmed` has the cells or tiles of another
            configuration, or a field of `config` is out of range.
    """
    config.validate()
    check_programmed(config, programmed)
    check_time("t", t)
    drifted = divided_by_xla(_drift, programmed)(config, programmed, t)
    return replace(drifted, g=stored(drifted.g))


@jax.jit
def _drift(config: AnalogConfig, programmed: Programmed, t: Float[Array, ""] | float) -> Programmed:
    t = jnp.asarray(t, programmed.g.dtype)
    tile_rows, tile_cols = programmed.g.shape[:2]
    keys = tile_keys(programmed.key, (tile_rows, tile_cols))
    g = over_tiles(lambda g, target, keys: config.device.at(g, target, t, keys))(
        programmed.g_programmed, programmed.g_target, keys
    )
    # A relaxation adds to a conductance, so that cells that are not there have to be taken out again.
    g = disconnected(g, programmed.n_in, programmed.n_out, programmed.groups)
    g = held(g, programmed.stuck)
    return replace(programmed, g=g, t=t, exact=programmed.exact and config.device.exact)


def held(g: Float[Array, "*devices"], stuck: Any) -> Float[Array, "*devices"]:
    """Return conductances with stuck devices at what they are stuck at.

    Args:
        g: Conductances [S].
        stuck: Those of stuck devices [S], NaN for others; `()` where none is stuck.
    """
    return g if isinstance(stuck, tuple) else jnp.where(jnp.isnan(stuck), g, stuck)


def as_programmed(programmed: Programmed) -> Programmed:
    """Return the devices as they were right after programming, whatever time they have drifted to.

    Args:
        programmed: The devices, at any time.

    Returns:
        The devices at time zero.
    """
    return replace(programmed, g=programmed.g_programmed, t=jnp.zeros_like(programmed.t))
