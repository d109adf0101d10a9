"""What a matrix on tiles does for an input vector: pulses, supply energy, conversions. Means over vectors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from jaxaimc.config import AnalogConfig
from jaxaimc.cost.counters import CounterCost
from jaxaimc.drives import Pulses
from jaxaimc.tile import Prepared, Programmed
from jaxaimc.tile.charges import charges_of_tile, of_tile_rows
from jaxaimc.tile.conversion import even_share, readout
from jaxaimc.tile.state import row_blocks
from jaxaimc.wires import Placement

# Vectors of which the supply power is found together.
_AT_ONCE = 16


class Load(NamedTuple):
    """What all tiles of a matrix do for one input vector.

    Attributes:
        supply: Energy that is delivered to devices and wires [J].
        pulses: Pulses on rows, for each plane; a row that crosses several tiles counts in each.
        square: Sum of their squares of voltage over the read voltage, for each plane [1].
        on: Sum of their lengths over that of the longest, for each plane [1].
        duration: Length of the longest pulse of each plane [s].
        steps: Steps of a full-scale pulse of each plane.
        timed: Whether pulses are timed.
        conversions: Conversions of all tiles.
        in_sequence: Conversions of one charge that follow each other, for each plane (one where planes accumulate).
        counting: Energy of conversions that count [J]; None for converters that do not count.
        bits: Resolution [bit]; None for converters without one.
    """

    supply: Float[Array, ""]
    pulses: Float[Array, " plane"]
    square: Float[Array, " plane"]
    on: Float[Array, " plane"]
    duration: Float[Array, " plane"]
    steps: tuple[int, ...]
    timed: bool
    conversions: Float[Array, ""]
    in_sequence: Float[Array, " conversion"]
    counting: Float[Array, ""] | None
    bits: Float[Array, ""] | float | None


def load(
    config: AnalogConfig,
    programmed: Programmed,
    prepared: Prepared,
    x: Float[Array, "vector n_in"],
    counter: CounterCost,
) -> Load:
    """Look at what tiles do.

    Args:
        config: The tile.
        programmed: The devices.
        prepared: The same, wires folded in.
        x: Input vectors.
        counter: Energy of converters that count.
    """
    dtype = programmed.g.dtype
    pulses = config.drive.encode(x.astype(dtype))
    tile_rows, tile_cols, slices, _, rows, _ = programmed.g.shape
    level = row_blocks(pulses.level, tile_rows, rows, programmed.groups)
    duration = pulses.full_scale / config.drive.v_read
    driven = (level != 0).astype(dtype)

    def of_planes(a: Float[Array, "tile_row vector plane rows"]) -> Float[Array, " plane"]:
        return tile_cols * jnp.sum(jnp.mean(a, axis=1), axis=(0, 2))

    seen = _readout(config, pulses, rows, ())
    planes = 1 if config.drive.accumulates else len(pulses.steps)
    uses = jnp.broadcast_to(config.adc.uses(seen), (planes, slices, 1)).astype(dtype)
    copies = jnp.asarray(columns_of_slices(config, programmed), dtype)
    return Load(
        supply=jnp.sum(_supply_power(config, programmed, pulses, level) * duration),
        pulses=of_planes(driven),
        square=of_planes(driven if pulses.timed else level**2),
        on=of_planes(jnp.abs(level) if pulses.timed else driven),
        duration=duration,
        steps=pulses.steps,
        timed=pulses.timed,
        conversions=tile_rows * jnp.sum(copies * uses[..., 0]),
        in_sequence=jnp.max(uses, axis=(1, 2)),
        counting=_counting(config, prepared, x, counter, duration),
        bits=config.adc.resolution(seen),
    )


def columns_of_slices(config: AnalogConfig, programmed: Programmed) -> np.ndarray:
    """Return how many columns of each slice there are in a row of tiles: for each output, or one for each tile."""
    shared = np.isin(np.arange(len(config.cell.significance)), config.cell.shared)
    return np.where(shared, programmed.g.shape[1], programmed.n_out // programmed.groups)


def converted(config: AnalogConfig, cols: int) -> Bool[np.ndarray, "slice cols"]:
    """Return which columns of a row of tiles exist: of those that a tile's outputs share, the first.

    Args:
        config: The tile.
        cols: Outputs side by side.
    """
    shared = np.isin(np.arange(len(config.cell.significance)), config.cell.shared)
    first = np.arange(cols) % even_share(cols, config.cols) == 0
    return ~shared[:, None] | first


def _readout(config: AnalogConfig, pulses: Pulses, rows: int, converters: Any) -> Any:
    every = slice(0, pulses.significance.size)
    known = {"rows": rows, "tile_rows": config.rows, "converters": converters}
    return readout(config.cell, config.drive, pulses, every, **known)[0]


def _supply_power(
    config: AnalogConfig, programmed: Programmed, pulses: Pulses, level: Float[Array, "tile_row vector plane rows"]
) -> Float[Array, " plane"]:
    """Return the power of all tiles, mean over vectors and over each plane's longest pulse [W]."""
    rows, cols = programmed.g.shape[-2:]
    place = Placement(rows=config.rows, cols=config.cols, row_start=(config.rows - rows) // 2)
    there = converted(config, cols)[:, None, None, :]
    g = programmed.g if there.all() else jnp.where(there, programmed.g, 0)
    known = {"timed": pulses.timed, "v_read": jnp.asarray(config.drive.v_read, g.dtype)}

    def one_tile(
        g: Float[Array, "slice polarity rows cols"], level: Float[Array, "vector plane rows"]
    ) -> Float[Array, " plane"]:
        def one_vector(level: Float[Array, "plane rows"]) -> Float[Array, " plane"]:
            power = jax.vmap(lambda g: config.wires.supply_power(g, config.cell.signs, place, level, **known))(g)
            return jnp.sum(power, axis=0)

        return jnp.mean(jax.lax.map(one_vector, level, batch_size=_AT_ONCE), axis=0)

    def tiles_side_by_side(row: tuple[Array, Array]) -> Array:
        g, level = row
        return jnp.sum(jax.lax.map(lambda g: one_tile(g, level), g), axis=0)

    return jnp.sum(jax.lax.map(tiles_side_by_side, (g, level)), axis=0)


def _counting(
    config: AnalogConfig,
    prepared: Prepared,
    x: Float[Array, "vector n_in"],
    counter: CounterCost,
    duration: Float[Array, " plane"],
) -> Float[Array, ""] | None:
    """Return the energy of all conversions of a vector that count, mean over vectors [J]."""
    if not config.adc.counting:
        return None
    time = (jnp.sum(duration, keepdims=True) if config.drive.accumulates else duration)[:, None, None]

    def of_row(config: AnalogConfig, tile: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None) -> Array:
        seen = _readout(config, pulses, tile.matrix.shape[0], tile.converters)
        q = charges_of_tile(config, tile, pulses, key)
        counts = config.adc.counts(q, seen)
        each = counter.energy(counts, jnp.abs(q) * seen.unit_charge, time) * config.adc.uses(seen)
        return jnp.sum(jnp.where(converted(config, q.shape[-1]), each, 0.0)) / len(x)

    return jnp.sum(of_tile_rows(of_row, config, prepared, x, None))
