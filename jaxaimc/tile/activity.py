"""How active the rows of a matrix are, for wires whose load depends on it: from data, or assumed."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.arguments import as_real
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.drives import FixedRange
from jaxaimc.tile.conversion import even_share
from jaxaimc.tile.state import row_blocks

# Vectors whose pulses are looked at together.
_AT_ONCE = 256
# Inputs of which the mean activity is taken where no data say what they are.
_ASSUMED = 64


def activity_profile(
    config: AnalogConfig, x: Float[Array, "*batch n_in"], groups: int = 1
) -> Float[Array, "tile_row plane bin rows"]:
    """Return for which share of each stretch of time each row of all tiles is connected, mean over input vectors.

    Args:
        config: The tile, whose wires are `profiled`.
        x: Input vectors.
        groups: Number of blocks along the diagonal of the matrix.

    Returns:
        Shares, for every plane of pulses and for the stretches of time that the wires' method has [1].

    Raises:
        ValueError: If `x` holds no real numbers or no vector, its inputs are not as many for each group, or the wires
            have no use for a profile.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, wires
        >>> config = AnalogConfig(wires=wires.OpenIdle(method=wires.MeanField(bins=2)))
        >>> activity_profile(config, jnp.array([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])).shape
        (1, 1, 2, 3)
    """
    if not config.wires.profiled:
        raise ValueError(
            f"Argument `config` must have wires whose load depends on the rows' activity, such as `OpenIdle`, but has "
            f"{type(config.wires).__name__}."
        )
    x = as_real("x", x)
    if x.ndim == 0 or x.shape[-1] % groups or 0 in x.shape:
        raise ValueError(
            f"Argument `x` must have vectors of inputs on its last axis, as many for each of {groups} groups, but has "
            f"shape {x.shape}."
        )
    return _profile(config, x.reshape(-1, x.shape[-1]), groups)


def assumed_profile(
    config: AnalogConfig, n_in: int, groups: int, dtype: jnp.dtype
) -> Float[Array, "tile_row plane bin rows"]:
    """Return the profile of inputs of which all between the two ends of the range are as frequent.

    Args:
        config: The tile, whose wires are `profiled`.
        n_in: Rows of the matrix.
        groups: Number of blocks along its diagonal.
        dtype: Floating type.
    """
    own = config.drive.with_(range=FixedRange(limit=1.0)) or config.drive
    inputs = jnp.linspace(-1, 1, _ASSUMED + 1, dtype=dtype)[1:] - 1 / _ASSUMED
    x = jnp.broadcast_to(inputs[:, None], (_ASSUMED, n_in))
    return _profile(config.with_(drive=own), x, groups)


@partial(jax.jit, static_argnums=2)
def _profile(config: AnalogConfig, x: Float[Array, "vector n_in"], groups: int) -> Array:
    n_in = x.shape[1] // groups
    tile_rows, rows = groups * -(-n_in // config.rows), even_share(n_in, config.rows)

    def total(level: Float[Array, "vector plane n_in"], steps: tuple[int, ...], timed: bool) -> Array:
        blocks = row_blocks(level, tile_rows, rows, groups)
        found = [
            jnp.sum(config.wires.activity(blocks[..., plane, :], steps=own, timed=timed), axis=1)
            for plane, own in enumerate(steps)
        ]
        return jnp.stack(found, axis=1)

    # Ranges that follow a call, such as its largest input, are those of all vectors.
    pulses = config.drive.encode(x)
    size = min(len(x), _AT_ONCE)
    # Idle vectors fill the last chunk up; they add nothing.
    chunks = jnp.pad(pulses.level, ((0, -len(x) % size), (0, 0), (0, 0))).reshape(-1, size, *pulses.level.shape[1:])
    sums = jax.lax.map(lambda level: total(level, pulses.steps, pulses.timed), chunks)
    return jnp.sum(sums, axis=0) / len(x)
