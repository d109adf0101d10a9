"""Power that supplies deliver to columns without row resistance, idle cells held or open."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc.wires.columns import Columns
from jaxaimc.wires.supply import reduced, stretches, without_drop


def columns_power(
    g: Float[Array, "polarity rows cols"],
    columns: Columns,
    level: Float[Array, "*batch rows"],
    *,
    timed: bool,
    v_read: Float[Array, ""] | float,
    held: bool,
    v_offset: Float[Array, ""] | float = 0.0,
) -> Float[Array, "*batch"]:
    """Return the power that supplies deliver, mean over the longest pulse [W].

    Exact for each vector of drives; pulses that end within one of a few stretches of time count there with their mean,
    which is of second order in the length of the stretch.

    Args:
        g: Device conductances [S].
        columns: The columns.
        level: Signed pulses as a share of the largest one [1].
        timed: Whether a level is a share of time, or of the read voltage.
        v_read: Read voltage [V].
        held: Whether idle cells load the column, at the voltage of idle rows, or are open.
        v_offset: Voltage of the terminals against that of idle rows [V].
    """
    on = stretches(level, timed=timed)
    lost = jnp.zeros(level.shape[:-1], jnp.result_type(g, level))
    for group, u, connected in zip(
        columns.groups, columns.far_first(on.drive), columns.far_first(on.connected), strict=True
    ):
        seen = reduced(group.load, group.drive, columns.r, group.r_end, u * v_read, None if held else connected)
        # The terminal's own source: across the column's conductance, and against the current that comes out of it.
        passed = 1 / (1 + group.r_end * seen.conductance)
        own = v_offset * (2 * seen.current - v_offset * seen.conductance) * passed
        lost = lost + jnp.sum(jnp.sum(seen.lost + own, axis=-1) * on.width, axis=-1)
    return without_drop(g, level, timed=timed, v_read=v_read) - lost
