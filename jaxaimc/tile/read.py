"""Reading: the analog product itself.

A read of a programmed chip is, for every tile,

    q = u W_eff + b + sigma(u) eps,    y = x_scale w_scale decode(adc(q)),

with `u` the pulses of the inputs, `W_eff` the effective matrix, `b` the charge of idle columns and `sigma` the standard
deviation that the devices' noise has under these pulses. `read_tile` is this equation.
"""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import as_matrix, as_real, check_key, check_time, check_trailing
from jaxaimc._core.checks import warn_of_lost_inputs
from jaxaimc._core.random import fold_in, normal
from jaxaimc._core.sharding import divided_by_xla
from jaxaimc._core.xla import add_up
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.drives import Pulses
from jaxaimc.tile.checks import checked_read
from jaxaimc.tile.conversion import at_converters, readout
from jaxaimc.tile.planes import VECTORS, Lines, charges_of_parts, driven_tiles, parts_of_planes, pulses_of_part
from jaxaimc.tile.prepare import kept, prepare_unchecked
from jaxaimc.tile.program import drift, program
from jaxaimc.tile.state import Prepared
from jaxaimc.wires import check_residual

# Folded into a read key where currents are drawn from it as well.
_CONVERTERS = 1
# Charges of all tile rows together above which they are read one after the other: 32 MB of float32, past which memory
# is mapped anew at every call.
_MANY_CHARGES = 8 * 2**20


def mvm(
    config: AnalogConfig,
    prepared: Prepared,
    x: Float[Array, "*batch n_in"],
    key: Key[Array, "*keys"] | None = None,
) -> Float[Array, "*batch n_out"]:
    """Multiply input vectors with a prepared matrix: drive, wires, read noise, converters, digital scales.

    The input range is that of the whole vector, which has the inputs of all groups side by side. Read noise is drawn
    once per input vector, plane, slice and tile row at the output, with the variance that the tile's devices have under
    that vector's pulses; no matrix is drawn. That is exact in distribution without wires. With wires the current
    through a device is taken to be its conductance times the full read voltage, which drops the product of IR drop and
    noise. Measured against matrices sampled device by device, 512 rows: the standard deviation is right within 1 % for
    weights and inputs of both signs (0.15 and 1 ohm), and 23 % (39 %) too large in the worst case, all weights and
    inputs one, where the outputs themselves lose 24 % (61 %). In single precision the variance is a product of bfloat16
    factors, and of a noise with a small second term (`ReadNoise.small_terms`) both are one product: for normal weights
    and inputs the standard deviation is within 0.1 % of the exact sum, and within 1.8 % whatever they are.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        x: Input vectors; computed in the wider of their precision and the chip's.
        key: Read key, needed where devices or converters are noisy. A single key covers the whole batch; an array of
            keys whose shape is that of the leading batch axes gives each vector its own, so that results do not depend
            on how a batch is split. Every tile row gets its own by `fold_in`.

    Returns:
        Output vectors, in the unit of `x @ w`. Gradients are straight-through in the roundings, exact elsewhere.

    Raises:
        ValueError: If `x` holds no real numbers, its last axis is not the matrix's rows, `key` is missing or has a
            wrong shape, `prepared` has the cells or tiles of another configuration, or a field of `config` is out of
            range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, mvm, prepare, program
        >>> config = AnalogConfig()
        >>> prepared = prepare(config, program(config, jnp.eye(8), jax.random.key(0)))
        >>> mvm(config, prepared, jnp.ones((5, 8)), jax.random.key(1)).shape
        (5, 8)
    """
    x = checked_read(config, prepared, x, key)
    warn_of_lost_inputs(config.drive.lost(x), "mvm")
    return divided_by_xla(_mvm, (prepared, x), like=x)(config, prepared, x, key)


@jax.jit
def _mvm(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"], key: Key[Array, "*keys"] | None
) -> Float[Array, "*batch n_out"]:
    pulses, tiles = driven_tiles(config, prepared, x)
    tile_rows, rows, *outs = tiles[0].matrix.shape
    groups = prepared.groups

    def partial_sum(tile: Prepared, level: Array, duration: Array, index: Array) -> Array:
        read_key = None if key is None else fold_in(key, index)
        return read_tile(config, tile, replace(pulses, level=level, duration=duration), read_key)

    charges = tiles[1].size // rows * math.prod(outs)
    if len(tiles[-1]) == 1:
        # Products with a batch axis of one would have gradients that transpose the inputs.
        return partial_sum(*jax.tree.map(lambda a: a[0], tiles)) * pulses.x_scale[..., None]
    # The size of a symbolic batch is not known: it is read as if it were large.
    if isinstance(charges, int) and charges < _MANY_CHARGES:
        partial_sums = jax.vmap(partial_sum)(*tiles)
        if groups == 1:
            return add_up(partial_sums, 0) * pulses.x_scale[..., None]
        of_groups = add_up(partial_sums.reshape(groups, tile_rows // groups, *partial_sums.shape[1:]), 1)
        return _side_by_side(of_groups) * pulses.x_scale[..., None]

    def of_group(tiles: Any) -> Array:
        zeros = jnp.zeros((*x.shape[:-1], prepared.n_out // groups), tiles[0].matrix.dtype)
        return jax.lax.scan(lambda y, tile: (y + partial_sum(*tile), None), zeros, tiles)[0]

    if groups == 1:
        return of_group(tiles) * pulses.x_scale[..., None]
    of_groups = jax.lax.map(of_group, jax.tree.map(lambda a: a.reshape(groups, -1, *a.shape[1:]), tiles))
    return _side_by_side(of_groups) * pulses.x_scale[..., None]


def _side_by_side(y: Float[Array, "group *batch cols"]) -> Float[Array, "*batch n_out"]:
    """Put the outputs of all groups in one vector."""
    y = jnp.moveaxis(y, 0, -2)
    return y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1])


def read_tile(
    config: AnalogConfig, tile: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None, lines: Lines = VECTORS
) -> Float[Array, "*batch n_out"]:
    """Read one row of tiles, without the leading axis: `q = u W_eff + b + sigma(u) eps`, `w_scale decode(adc(q))`.

    Args:
        config: The tile.
        tile: The row of tiles.
        pulses: Pulses on its lines.
        key: Read key of this row of tiles, or None if nothing is drawn.
        lines: Products of the pulses.
    """
    rows, slices, cols = tile.matrix.shape
    parts = parts_of_planes(config, tile, pulses)  # one, unless several planes share a product
    total = jnp.zeros((), tile.matrix.dtype)
    for index, (part, q) in enumerate(zip(parts, charges_of_parts(config, tile, pulses, parts, lines), strict=True)):
        part_key = key if key is None or len(parts) == 1 else fold_in(key, index)
        q = q + tile.baseline.reshape(slices * cols)
        if tile.variance.shape[0]:
            q = q + read_noise(config, tile, pulses_of_part(pulses, part), part_key, lines)
        q = at_converters(config.cell, config.drive, pulses, q.reshape(*q.shape[:-1], slices, cols), config.cols)
        known = {"rows": rows, "tile_rows": config.rows, "converters": tile.converters}
        seen, significance = readout(config.cell, config.drive, pulses, part, **known)
        adc_key = fold_in(part_key, _CONVERTERS) if config.adc.noisy and part_key is not None else None
        # One pass over the charges together with the conversion; a contraction would store the codes.
        total = total + add_up(config.adc.convert(q, seen, adc_key) * significance[:, None, None], -3)
    weighted = pulses.level * pulses.significance[:, None]
    driven = add_up(lines.product(weighted, jnp.ones((rows, 1), weighted.dtype))[..., 0], -1)
    return config.cell.decode(total, driven) * tile.w_scale


def read_noise(
    config: AnalogConfig, tile: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None, lines: Lines = VECTORS
) -> Float[Array, "*batch plane out"]:
    """Return `sigma(u) eps` of one row of tiles, in fully driven cells.

    Args:
        config: The tile.
        tile: The row of tiles.
        pulses: Pulses on its lines.
        key: Read key of this row of tiles.
        lines: Products of the pulses.
    """
    whole, rows, slices, cols = tile.variance.shape
    factors = [weight * pulses.level**2 for weight in config.device.read_noise.weight(pulses.duration)]
    for ratio, small in zip(tile.ratios, factors[whole:], strict=True):
        factors[0] = factors[0] + ratio * small
    # One product for each term: side by side in one, their factors would be written anew.
    variance = sum(
        lines.variance_product(factor, of_cells.reshape(rows, slices * cols))
        for factor, of_cells in zip(factors[:whole], tile.variance, strict=True)
    )
    # The square root has no derivative at zero, where a vector drives no row.
    noisy = variance > 0
    sigma = jnp.where(noisy, jnp.sqrt(jnp.where(noisy, variance, 1.0)), 0.0)
    # A branch of its own keeps XLA from drawing anew in every place that reads the outputs, as several do in a residual
    # network. For a single vector, to look for a variance takes longer than to draw.
    draw = lambda: normal(key, sigma.shape, sigma.dtype, axes=2, where="devices have read noise")  # noqa: E731
    if all(size == 1 for size in pulses.level.shape[:-1]):
        return sigma * draw()
    return sigma * jax.lax.cond(jnp.any(tile.variance > 0), draw, lambda: jnp.zeros_like(sigma))


def reads_are_random(config: AnalogConfig, prepared: Prepared) -> bool:
    """Return whether a read draws random numbers, and so needs a key.

    Args:
        config: The tile.
        prepared: Result of `prepare`.

    Returns:
        Whether devices have read noise or the converter is noisy.
    """
    return prepared.variance.shape[-4] > 0 or config.adc.noisy


def analog_matmul(
    config: AnalogConfig,
    w: Float[Array, "*group rows cols"],
    x: Float[Array, "*batch n_in"],
    key: Key[Array, ""],
    t: Float[Array, ""] | float | None = None,
) -> Float[Array, "*batch n_out"]:
    """Program, drift, prepare and multiply in one differentiable call.

    Args:
        config: The tile.
        w: Weights of any size; with three axes the blocks of a block-diagonal matrix, see `program`.
        x: Input vectors.
        key: Split into a chip key and a read key.
        t: Time of the read after programming [s]; without one the devices are as programmed.

    Returns:
        Output vectors. Differentiable in `w`, `x` and every continuous leaf of `config`.

    Raises:
        ValueError: As `program`, `drift` and `mvm`.
        ConvergenceError: As `prepare`.
    """
    config.validate()
    w, x = as_matrix("w", w, "n_in, n_out", groups=True), as_real("x", x)
    check_trailing("x", x, math.prod(w.shape[:-1]), "n_in")
    check_key("key", key)
    if t is not None:
        check_time("t", t)
    y, residual = divided_by_xla(_analog_matmul, (w, x))(config, w, x, key, t)
    check_residual("the matrix", residual)
    return y


@jax.jit
def _analog_matmul(
    config: AnalogConfig, w: Array, x: Array, key: Key[Array, ""], t: Array | float | None
) -> tuple[Array, Array]:
    chip_key, read_key = jax.random.split(key)
    programmed = program(config, w, chip_key)
    if t is not None:
        programmed = drift(config, programmed, t)
    prepared = kept(prepare_unchecked(config, programmed))
    return _mvm(config, prepared, x, read_key), prepared.residual
