"""Charges of planes of pulses: products with the effective matrix, several planes in one where that is exact."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.bits import counted_product
from jaxaimc._core.rounding import round_ste
from jaxaimc._core.xla import planes_per_product, read_product, variance_product
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.drives import Pulses
from jaxaimc.tile.state import Prepared, row_blocks


class Lines(NamedTuple):
    """Products of the pulses on the lines of a tile with a matrix on its rows.

    Attributes:
        product: Product in full precision.
        variance_product: Product of numbers that are not negative, to within a hundredth.
    """

    product: Callable[[Array, Array], Array] = read_product
    variance_product: Callable[[Array, Array], Array] = variance_product


VECTORS = Lines()


def driven_tiles(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"]
) -> tuple[Pulses, tuple[Prepared, Array, Array, Array]]:
    """Drive all tiles.

    Args:
        config: The tile.
        prepared: The matrix.
        x: Input vectors; the wider of their precision and the chip's is that of the read.

    Returns:
        The pulses, and what each tile row is read with, along a leading axis: the tile, the levels and durations of its
        rows, and its number.
    """
    prepared = in_precision(prepared, jnp.promote_types(x.dtype, prepared.matrix.dtype))
    pulses = config.drive.encode(x.astype(prepared.matrix.dtype))
    tile_rows, rows = prepared.matrix.shape[:2]
    level, duration = (row_blocks(a, tile_rows, rows, prepared.groups) for a in (pulses.level, pulses.duration))
    return pulses, (prepared, level, duration, jnp.arange(tile_rows))


def in_precision(prepared: Prepared, dtype: jnp.dtype) -> Prepared:
    """Return a prepared matrix in another precision; itself where it has that already.

    Args:
        prepared: The matrix.
        dtype: Floating type.
    """
    if prepared.matrix.dtype == dtype:
        return prepared
    wider = lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a  # noqa: E731
    return jax.tree.map(wider, prepared)


def parts_of_planes(config: AnalogConfig, tile: Prepared, pulses: Pulses) -> list[slice]:
    """Return which planes are read together: all, or equally many in each part where several parts share a product.

    Args:
        config: The tile.
        tile: One row of tiles.
        pulses: The pulses.
    """
    planes = pulses.level.shape[-2]
    together = 1
    steps = pulses.steps[0]
    if tile.exact and steps > 0 and set(pulses.steps) == {steps} and not config.drive.accumulates:
        together = planes_per_product(tile.matrix.shape[0] * steps, pulses.level.dtype)
    size = -(-planes // together)
    return [slice(first, min(first + size, planes)) for first in range(0, planes, size)]


def pulses_of_part(pulses: Pulses, part: slice) -> Pulses:
    """Return some of the planes."""
    return replace(pulses, level=pulses.level[..., part, :], duration=pulses.duration[..., part, :])


def charges_of_parts(
    config: AnalogConfig, tile: Prepared, pulses: Pulses, parts: list[slice], lines: Lines = VECTORS
) -> tuple[Float[Array, "*batch plane out"], ...]:
    """Return `u W_eff` for parts of the planes, in fully driven cells, without what idle columns add."""
    rows, slices, cols = tile.matrix.shape
    if tile.circuit is not None:
        return (_solved_charge(config, tile, pulses),)
    matrix = tile.matrix.reshape(rows, slices * cols)
    digit = pulses.steps[0]
    if len(parts) == 1:
        if digit == 1 and tile.exact and set(pulses.steps) == {1} and lines is VECTORS:
            return counted_product((pulses.level,), matrix, 1, _signed(config))
        return (lines.product(pulses.level, matrix),)
    # The parts have equally many planes but for the last one, which is filled up.
    size = parts[0].stop - parts[0].start
    steps = tuple(_filled(round_ste(digit * pulses.level[..., part, :]), size) for part in parts)
    charges = counted_product(steps, matrix, digit, _signed(config))
    return tuple(q[..., : part.stop - part.start, :] / digit for part, q in zip(parts, charges, strict=True))


def _signed(config: AnalogConfig) -> bool:
    """Return whether pulses may be negative."""
    return config.drive.bipolar or config.drive.accumulates


def _filled(planes: Float[Array, "*batch plane rows"], size: int) -> Float[Array, "*batch size rows"]:
    """Add idle planes up to a number of planes."""
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, size - planes.shape[-2]), (0, 0)])


def _solved_charge(config: AnalogConfig, tile: Prepared, pulses: Pulses) -> Float[Array, "*batch plane out"]:
    """Return the charges of wires that are not linear, in fully driven cells: one solve per vector, plane and slice."""
    _, slices, cols = tile.matrix.shape

    def of_planes(
        level: Float[Array, "*batch plane rows"], steps: int, plane: int | None = None
    ) -> Float[Array, "*batch plane slice cols"]:
        known = {"steps": steps, "timed": pulses.timed, "v_read": config.drive.v_read}

        def one(circuit: Any) -> Array:
            return (circuit if plane is None else circuit.of_plane(plane)).charge(level, **known)

        # Tiles side by side share no wire: each is solved by itself, and a last one's unused columns are dropped.
        charge = jax.vmap(jax.vmap(one))(tile.circuit)
        tile_cols, _, *batch, width = charge.shape
        return jnp.moveaxis(charge, (1, 0), (-3, -2)).reshape(*batch, slices, tile_cols * width)[..., :cols]

    if len(set(pulses.steps)) == 1:
        charge = of_planes(pulses.level, pulses.steps[0])
    else:
        parts = [of_planes(pulses.level[..., [k], :], steps, k) for k, steps in enumerate(pulses.steps)]
        charge = jnp.concatenate(parts, axis=-3)
    return charge.reshape(*pulses.level.shape[:-1], slices * cols) / config.cell.g_span
