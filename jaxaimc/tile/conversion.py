"""What the converters of a tile get to see: which charges are converted, and what is known about them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc.adcs import Readout
from jaxaimc.adcs.base import Part
from jaxaimc.cells import Cell
from jaxaimc.drives import Drive, Pulses


def even_share(count: int, largest: int) -> int:
    """Return how many of `count` lines each of the fewest tiles takes that hold `largest` each."""
    return -(-count // -(-count // largest))


def at_converters(
    cell: Cell, drive: Drive, pulses: Pulses, q: Float[Array, "*batch plane slice cols"], tile_cols: int
) -> Float[Array, "*batch conversion slice cols"]:
    """Return the charges that are converted: shared columns are one for the tile, accumulated planes are one.

    Args:
        cell: Says which slices are shared.
        drive: Says whether planes accumulate.
        pulses: Significance of the planes.
        q: Charges of all planes, in fully driven cells.
        tile_cols: Columns of a physical tile.
    """
    for index in cell.shared:
        width = even_share(q.shape[-1], tile_cols)
        first = np.arange(q.shape[-1]) // width * width
        q = q.at[..., index, :].set(q[..., index, first])
    if drive.accumulates:
        highest = jax.lax.Precision.HIGHEST
        q = jnp.einsum("...psc,p->...sc", q, pulses.significance, precision=highest)[..., None, :, :]
    return q


def readout(
    cell: Cell, drive: Drive, pulses: Pulses, part: slice, *, rows: int, tile_rows: int, converters: Any
) -> tuple[Readout, Float[Array, " conversion"]]:
    """Return what is known about the conversions of a part of the planes, and what each counts in the result.

    Args:
        cell: Slices and their significance.
        drive: Says whether planes accumulate.
        pulses: Full scale [V s] and significance of the planes.
        part: Which of the planes.
        rows: Rows in use.
        tile_rows: Rows of a physical tile.
        converters: What is particular to each converter.
    """
    unit_charge, significance, reach = pulses.full_scale * cell.g_span, pulses.significance, pulses.reach
    if drive.accumulates:
        # What is added up is in units of an input of one, which has the charge of a full-scale pulse.
        unit_charge, one = jnp.max(unit_charge, keepdims=True), jnp.ones((1,), significance.dtype)
        significance = reach = one
    slices = jnp.stack([jnp.asarray(factor, significance.dtype) for factor in cell.significance])
    weight = jnp.abs(significance[:, None] * slices)
    seen = Readout(
        # One conversion per plane and slice, each at that plane's own full scale.
        unit_charge=unit_charge[part, None, None],
        rows=rows,
        tile_rows=tile_rows,
        weight=(weight / jnp.max(weight))[part, :, None],
        converters=converters,
        peak=_largest_charge(cell),
        conversions=weight.size,
        reach=reach[part, None, None],
        part=Part(*part.indices(significance.size)[:2], significance.size),
    )
    return seen, significance[part]


def _largest_charge(cell: Cell) -> Float[Array, ""] | float:
    """Return the largest charge of a fully driven row: `g_min` of as many devices as are subtracted cancels."""
    alone = abs(sum(cell.signs))
    most = (sum(abs(sign) for sign in cell.signs) + alone) / 2
    return most + alone * cell.g_min / cell.g_span if alone else most
