"""Digital corrections of a chip whose conductances have changed since it was programmed.

Drift compensation multiplies the digital scales, after the converters, by the ratio of a reference response to that of
today. It restores the size of the outputs, not the part of them that fell between two codes; choosing the converters'
range for today's charges (`jaxaimc.calibration`) does that.
"""

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc import matrix
from jaxaimc._core.component import component, static
from jaxaimc.tile import AnalogConfig

# What `jaxaimc.nn.drift` takes: config, the matrix now and the devices that it was prepared from; the corrected matrix.
Compensation = Callable[[AnalogConfig, matrix.Prepared, matrix.Programmed], matrix.Prepared]


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
        >>> from jaxaimc import AnalogConfig, matrix
        >>> config, key = AnalogConfig(), jax.random.key(0)
        >>> chip = matrix.drift(config, matrix.program(config, jnp.eye(8), key), 1e7, key)
        >>> prepared = matrix.prepare(config, chip)
        >>> corrected = GlobalCompensation()(config, prepared, chip)
        >>> bool((corrected.tiles.scale > 1.5 * prepared.tiles.scale).all())
        True
    """

    exact: bool = static(default=False)

    def __call__(
        self, config: AnalogConfig, prepared: matrix.Prepared, programmed: matrix.Programmed
    ) -> matrix.Prepared:
        """Return `prepared` with its digital scales multiplied.

        Args:
            config: The tile.
            prepared: The matrix now.
            programmed: Its devices, at any time.

        Returns:
            The corrected matrix; differentiable.
        """
        reference = matrix.prepare(config, _reference(programmed, exact=self.exact))
        return matrix.compensate_drift(config, prepared, reference)


@component
class ColumnCompensation:
    """One factor per column of each tile: the ratio of its summed absolute responses, then over now.

    It also evens out differences between columns that programming noise made, at the price of one reference value and
    one multiplication per column.

    Attributes:
        exact: As for `GlobalCompensation`.
    """

    exact: bool = static(default=False)

    def __call__(
        self, config: AnalogConfig, prepared: matrix.Prepared, programmed: matrix.Programmed
    ) -> matrix.Prepared:
        """Return `prepared` with its digital scales multiplied; see `GlobalCompensation`."""
        reference = matrix.prepare(config, _reference(programmed, exact=self.exact))
        now, then = _column_response(prepared), _column_response(reference)
        # A column that does not answer at all is left alone.
        factor = jnp.where(now > 0, then / jnp.where(now > 0, now, 1.0), 1.0)
        return replace(prepared, tiles=replace(prepared.tiles, scale=prepared.tiles.scale * factor))


def _reference(programmed: matrix.Programmed, *, exact: bool) -> matrix.Programmed:
    """Return the devices right after programming, or at their targets."""
    fresh = matrix.as_programmed(programmed)
    if not exact:
        return fresh
    return replace(fresh, tiles=replace(fresh.tiles, g=fresh.tiles.g_target))


def _column_response(prepared: matrix.Prepared) -> Float[Array, "tile_rows n_out"]:
    return jnp.sum(jnp.abs(prepared.tiles.matrix), axis=(1, 2))
