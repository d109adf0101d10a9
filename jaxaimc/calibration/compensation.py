"""Digital corrections of a chip whose conductances have changed since it was programmed.

Drift compensation multiplies the digital scales, after the converters, by the ratio of a reference response to that of
today. It restores the size of the outputs, not the part of them that fell between two codes; choosing the converters'
range for today's charges (`Percentile`, `LeastError`) does that.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc.config import AnalogConfig
from jaxaimc.tile import Prepared, Programmed, as_programmed, prepare, tile_grid
from jaxaimc.tile.conversion import even_share

# What `jaxaimc.nn.drift` takes: config, the matrix now and the devices that it was prepared from; the corrected matrix.
Compensation = Callable[[AnalogConfig, Prepared, Programmed], Prepared]


@component
class GlobalCompensation:
    """One factor per tile: the ratio of its summed absolute responses to one-hot inputs, then over now.

    Source: Joshi et al. 2020 (Nature Communications 11, 2473), one digital factor per array. The responses are read
    through the wires and without noise, that is averaged over many reads.

    Attributes:
        exact: Whether the reference is what the tile would answer with every device at its target, which a digital
            twin computes, instead of what it answered right after programming.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, drift, prepare, program
        >>> config = AnalogConfig()
        >>> chip = drift(config, program(config, jnp.eye(8), jax.random.key(0)), 1e7)
        >>> prepared = prepare(config, chip)
        >>> corrected = GlobalCompensation()(config, prepared, chip)
        >>> bool((corrected.w_scale > 1.5 * prepared.w_scale).all())
        True
    """

    exact: bool = static(default=False)

    def __call__(self, config: AnalogConfig, prepared: Prepared, programmed: Programmed) -> Prepared:
        """Return `prepared` with its digital scales multiplied.

        Args:
            config: The tile.
            prepared: The matrix now.
            programmed: Its devices, at any time.

        Returns:
            The corrected matrix; differentiable.
        """
        reference = prepare(config, _reference(programmed, exact=self.exact))
        return compensate_drift(config, prepared, reference)


@component
class ColumnCompensation:
    """One factor per column of each tile: the ratio of its summed absolute responses, then over now.

    It also evens out differences between columns that programming noise made, at the price of one reference value and
    one multiplication per column.

    Attributes:
        exact: As for `GlobalCompensation`.
    """

    exact: bool = static(default=False)

    def __call__(self, config: AnalogConfig, prepared: Prepared, programmed: Programmed) -> Prepared:
        """Return `prepared` with its digital scales multiplied; see `GlobalCompensation`."""
        reference = prepare(config, _reference(programmed, exact=self.exact))
        return _with_factor(prepared, _column_response(prepared), _column_response(reference))


def compensate_drift(config: AnalogConfig, prepared: Prepared, reference: Prepared) -> Prepared:
    """Scale the outputs of each tile back to their size at a reference time.

    Args:
        config: The tile.
        prepared: The matrix now.
        reference: The same matrix at the reference time.

    Returns:
        `prepared` with its digital scales multiplied by the ratio of each tile's responses, then over now.
    """
    return _with_factor(prepared, _tile_response(config, prepared), _tile_response(config, reference))


def _reference(programmed: Programmed, *, exact: bool) -> Programmed:
    """Return the devices right after programming, or at their targets."""
    fresh = as_programmed(programmed)
    return replace(fresh, g=fresh.g_target) if exact else fresh


def _column_response(prepared: Prepared) -> Float[Array, "tile_row n_out"]:
    return jnp.sum(jnp.abs(prepared.matrix), axis=(1, 2))


def _tile_response(config: AnalogConfig, prepared: Prepared) -> Float[Array, "tile_row n_out"]:
    """Return the summed response of each column's tile."""
    columns_of_group = prepared.n_out // prepared.groups
    tile_of_column = jnp.arange(columns_of_group) // even_share(columns_of_group, config.cols)
    tiles = tile_grid(config, 1, columns_of_group)[1]
    per_tile = jax.vmap(lambda columns: jax.ops.segment_sum(columns, tile_of_column, tiles))
    return per_tile(_column_response(prepared))[:, tile_of_column]


def _with_factor(prepared: Prepared, now: Float[Array, "..."], then: Float[Array, "..."]) -> Prepared:
    """Multiply the digital scales by a ratio of responses; what does not answer at all is left alone."""
    factor = jnp.where(now > 0, then / jnp.where(now > 0, now, 1.0), 1.0)
    return replace(prepared, w_scale=prepared.w_scale * factor)
