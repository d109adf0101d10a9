"""Which conversions of a matrix saturate."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from jaxaimc.config.analog import AnalogConfig
from jaxaimc.drives import Pulses
from jaxaimc.tile.charges import charges_of_tile, of_tile_rows
from jaxaimc.tile.checks import checked_read
from jaxaimc.tile.conversion import even_share, readout
from jaxaimc.tile.state import Prepared


def saturation(
    config: AnalogConfig, prepared: Prepared, x: Float[Array, "*batch n_in"], key: Key[Array, "*keys"] | None = None
) -> Float[Array, ""]:
    """Return the share of a matrix's conversions that saturate.

    A conversion saturates where its charge lies beyond the converter's range, so that the code at that end stands for
    it, whatever it is. End codes that are right, such as the zero of a range that begins there, do not count. A charge
    that is converted several times, for a vote, counts once; one that is computed digitally instead does not count.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        x: Input vectors, at least one.
        key: Read key, one or one per vector; without one there is no read noise.

    Returns:
        Share of the conversions [1]; zero for converters without a range.

    Raises:
        ValueError: If `x` holds no real numbers or its last axis is not the matrix's rows, `prepared` has the cells or
            tiles of another configuration, or a field of `config` is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, adcs, devices, prepare, program, tile
        >>> adc = adcs.Uniform(range=adcs.Symmetric(limit=5.0))
        >>> config = AnalogConfig(device=devices.IdealDevice(), adc=adc)
        >>> prepared = prepare(config, program(config, jnp.eye(8).at[:, 0].set(1), jax.random.key(0)))
        >>> float(tile.saturation(config, prepared, jnp.ones((3, 8))))  # eight cells in one column of eight
        0.125
    """
    return _saturation(config, prepared, checked_read(config, prepared, x, key), key)


@jax.jit
def _saturation(config: AnalogConfig, prepared: Prepared, x: Array, key: Key[Array, "*keys"] | None) -> Array:
    return jnp.mean(of_tile_rows(_share, config, prepared, x, key))


def _share(config: AnalogConfig, tile: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None) -> Float[Array, ""]:
    planes = slice(0, pulses.significance.size)
    known = {"rows": tile.matrix.shape[0], "tile_rows": config.rows, "converters": tile.converters}
    seen, _ = readout(config.cell, config.drive, pulses, planes, **known)
    q = charges_of_tile(config, tile, pulses, key)
    counted = (config.adc.uses(seen) > 0) & _converted(config, q.shape[-1])
    return jnp.mean(config.adc.saturated(q, seen), where=counted)


def _converted(config: AnalogConfig, cols: int) -> Bool[np.ndarray, "slice cols"]:
    """Return which columns are converted: of those that a tile's outputs share, the first."""
    shared = np.isin(np.arange(len(config.cell.significance)), config.cell.shared)
    first = np.arange(cols) % even_share(cols, config.cols) == 0
    return ~shared[:, None] | first
