"""Preparing: the wires folded into an effective matrix, once per programmed chip."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.rounding import round_ste
from jaxaimc._core.sharding import divided_by_xla
from jaxaimc._core.xla import add_up, stored
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.tile.activity import assumed_profile
from jaxaimc.tile.checks import check_programmed
from jaxaimc.tile.state import Prepared, Programmed, over_tiles
from jaxaimc.wires import Placement, Solved, check_residual


def prepare(config: AnalogConfig, programmed: Programmed, placement: Placement | None = None) -> Prepared:
    """Fold the wires of all tiles into effective matrices.

    Args:
        config: The tile.
        programmed: The devices.
        placement: Where the block of every tile sits; in the middle of the rows and from the first column by default.

    Returns:
        What `mvm` needs. Gradients are exact.

    Raises:
        ValueError: If `programmed` has the cells or tiles of another configuration, `placement` does not fit, or a
            field of `config` is out of range.
        ConvergenceError: Outside jit, if the wires miss their own check; under jit `residual` says so.
    """
    config.validate()
    check_programmed(config, programmed)
    fold = partial(prepare_unchecked, placement=placement)
    prepared = divided_by_xla(fold, programmed)(config, programmed)
    check_residual("the matrix", prepared.residual)
    return kept(prepared)


def kept(prepared: Prepared) -> Prepared:
    """Return a prepared matrix that XLA computes once, also within a larger compiled function.

    Args:
        prepared: The matrix.
    """
    if not prepared.variance.size:
        return prepared  # nothing but one product reads it
    own: Any = stored({"matrix": prepared.matrix, "variance": prepared.variance})
    return replace(prepared, **own)


@partial(jax.jit, static_argnames="placement")
def prepare_unchecked(config: AnalogConfig, programmed: Programmed, placement: Placement | None = None) -> Prepared:
    """Fold the wires in without a look at fields and residual; see `prepare`."""
    if placement is None:
        # Blocks start in a tile's first column: their own columns alternate.
        start = (config.rows - programmed.g.shape[-2]) // 2
        placement = Placement(rows=config.rows, cols=config.cols, row_start=start)
    fold = over_tiles(partial(_prepare_tile, config, placement, programmed.t))
    folded = fold(programmed.g, programmed.g_target, _profile_of_tiles(config, programmed))
    matrix, baseline, variance, residual, circuit = folded
    merge = partial(_merge_tile_columns, n_out=programmed.n_out // programmed.groups)
    exact = programmed.exact and config.wires.exact
    matrix = merge(matrix)
    variance, ratios = _without_small_terms(merge(variance), config.device.read_noise.small_terms)
    return Prepared(
        # XLA divides by the span by multiplying with its inverse, which leaves some ones a unit in the last place off.
        matrix=round_ste(matrix) if exact else matrix,
        baseline=merge(baseline),
        variance=variance,
        ratios=ratios,
        w_scale=merge(programmed.w_scale),
        residual=merge(residual),
        circuit=circuit,
        converters=jax.tree.map(merge, programmed.converters),
        n_in=programmed.n_in,
        n_out=programmed.n_out,
        exact=exact,
        groups=programmed.groups,
    )


def _profile_of_tiles(
    config: AnalogConfig, programmed: Programmed
) -> Float[Array, "tile_row tile_col plane bin rows"] | None:
    """Return how active the rows of every tile are, if that matters to the wires."""
    if not config.wires.profiled:
        return None
    profile = programmed.profile
    assumed = partial(assumed_profile, config, programmed.n_in, programmed.groups, programmed.g.dtype)
    if isinstance(profile, tuple):
        profile = assumed()
    else:
        _check_profile(config, profile.shape, jax.eval_shape(assumed).shape)
    # The same for tiles side by side.
    return jnp.broadcast_to(profile[:, None], (*programmed.g.shape[:2], *profile.shape[1:]))


def _check_profile(config: AnalogConfig, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    tile_rows, planes, _, rows = wanted
    if len(shape) != 4 or (shape[0], shape[3]) != (tile_rows, rows) or shape[1] not in (1, planes):
        raise ValueError(
            f"Argument `programmed` has a profile of shape {tuple(shape)}, but with `config`, whose drive is "
            f"{type(config.drive).__name__}, it must have ({tile_rows}, {planes}, bins, {rows}), or one plane for all: "
            "find it with `activity_profile` for the drive that the chip is read with."
        )


def _prepare_tile(
    config: AnalogConfig,
    placement: Placement,
    t: Float[Array, ""],
    g: Float[Array, "slice polarity rows cols"],
    g_target: Float[Array, "slice polarity rows cols"],
    profile: Float[Array, "plane bin rows"] | None,
) -> tuple[Array, Array, Array, Array, Any]:
    """Return matrix, baseline, variance, residual and circuit of one tile."""
    span = config.cell.g_span
    known: Any = {} if profile is None else {"profile": profile}

    def one_slice(g: Array) -> tuple[Array, tuple[Array, Array, Array, Any]]:
        seen = config.wires.effective(g, config.cell.signs, placement, **known)
        linear, circuit = seen if isinstance(seen, Solved) else (seen, None)
        residual = jnp.broadcast_to(jnp.asarray(linear.residual, g.dtype), g.shape[-1:])
        return linear.matrix, (linear.sensitivity, linear.baseline, residual, circuit)

    if g.shape[0] == 1:
        # A batch axis of one would cost two copies of the tile in the layout of the scans.
        matrix, rest = one_slice(g[0])
        matrix, rest = matrix[:, None], jax.tree.map(lambda a: jnp.asarray(a)[None], rest)
    else:
        matrix, rest = jax.vmap(one_slice, out_axes=(1, 0))(g)
    sensitivity, baseline, residual, circuit = rest
    noise = config.device.read_noise.variance(g, g_target, t) / span**2
    variance = jnp.moveaxis(add_up(noise * sensitivity**2, 2), 1, 2)
    return matrix / span, baseline / (span * config.drive.v_read), variance, residual, circuit


def _without_small_terms(
    variance: Float[Array, "tile_row term rows slice n_out"], small: int
) -> tuple[Float[Array, "tile_row whole rows slice n_out"], Float[Array, "tile_row small"]]:
    """Return the variance without its small terms, and these over the first, which they are nearly proportional to."""
    total = jnp.sum(variance, axis=(2, 3, 4))
    whole = variance.shape[1] - small
    first = total[:, :1]
    return variance[:, :whole], total[:, whole:] / jnp.where(first > 0, first, 1.0)


def _merge_tile_columns(leaf: Array, n_out: int) -> Array:
    """Move the tile column (axis 1) next to the columns (last axis), merge the two and drop the filling."""
    moved = jnp.moveaxis(leaf, 1, -2)
    return moved.reshape(*moved.shape[:-2], moved.shape[-2] * moved.shape[-1])[..., :n_out]
