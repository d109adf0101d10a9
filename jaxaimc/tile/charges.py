"""What the converters of a matrix get to see, for choosing their range."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
from jaxtyping import Array, Float, Key

from jaxaimc._core.random import fold_in
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.drives import Pulses
from jaxaimc.tile.checks import checked_read
from jaxaimc.tile.conversion import at_converters
from jaxaimc.tile.planes import charges_of_parts, driven_tiles
from jaxaimc.tile.read import read_noise
from jaxaimc.tile.state import Prepared


def charges(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"], key: Key[Array, "*keys"] | None = None
) -> Float[Array, "tile_row *batch conversion slice n_out"]:
    """Return what the converters of all tiles get to see.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        x: Input vectors.
        key: Read key, one or one per vector; without one there is no read noise.

    Returns:
        Charges of every conversion, in fully driven cells. With groups, the tile rows of all groups stand one after
        another, and `n_out` counts the columns of one.

    Raises:
        ValueError: If `x` holds no real numbers or its last axis is not the matrix's rows, `prepared` has the cells or
            tiles of another configuration, or a field of `config` is out of range.
    """
    return _charges(config, prepared, checked_read(config, prepared, x, key), key)


@jax.jit
def _charges(config: AnalogConfig, prepared: Prepared, x: Array, key: Key[Array, "*keys"] | None) -> Array:
    return of_tile_rows(charges_of_tile, config, prepared, x, key)


def of_tile_rows(
    function: Callable[[AnalogConfig, Prepared, Pulses, Any], Array],
    config: AnalogConfig,
    prepared: Prepared,
    x: Float[Array, "*batch n_in"],
    key: Key[Array, "*keys"] | None,
) -> Float[Array, "tile_row *found"]:
    """Return what a function finds in every row of tiles, driven by its inputs and with a read key of its own.

    Args:
        function: Function of the tile's config, a row of tiles, the pulses of its rows and its read key.
        config: The tile.
        prepared: The matrix.
        x: Input vectors.
        key: Read key, one or one per vector, or None.
    """
    pulses, tiles = driven_tiles(config, prepared, x)

    def one(tile: Prepared, level: Array, duration: Array, index: Array) -> Array:
        read_key = None if key is None else fold_in(key, index)
        return function(config, tile, replace(pulses, level=level, duration=duration), read_key)

    return jax.vmap(one)(*tiles)


def charges_of_tile(
    config: AnalogConfig, tile: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None
) -> Float[Array, "*batch conversion slice cols"]:
    """Return what the converters of one row of tiles get to see.

    Args:
        config: The tile.
        tile: One row of tiles.
        pulses: Pulses of its rows.
        key: Read key of this row of tiles; without one there is no read noise.
    """
    _, slices, cols = tile.matrix.shape
    everything = slice(0, pulses.level.shape[-2])
    q = charges_of_parts(config, tile, pulses, [everything])[0] + tile.baseline.reshape(slices * cols)
    if tile.variance.shape[0] and key is not None:
        q = q + read_noise(config, tile, pulses, key)
    return at_converters(config.cell, config.drive, pulses, q.reshape(*q.shape[:-1], slices, cols), config.cols)
