"""Power that supplies deliver to an array: what devices and wires dissipate while pulses run.

Take one column as a ladder, its terminal held at the voltage of idle rows, from which all voltages are counted. Row `s`
drives it with the current `f_s = v sum_p g_ps s_p u_s` of its devices, and loads it with their sum `G_s`. Going from
the far end to the terminal, all that lies behind a segment of resistance `r` is one current source `J` with one
conductance `Y`:

    Y_s = G_s + Y_(s-1) / (1 + r Y_(s-1)),    J_s = f_s + J_(s-1) / (1 + r Y_(s-1))

The supplies deliver `sum_s G_s v_s^2` without wires, and less by `sum_s r J_s^2 / (1 + r Y_s)` with them, the last
segment being that to the terminal (our derivation: eliminating the nodes one by one leaves this sum of the quadratic
form of the inverse). No division by a resistance or a conductance occurs. It is exact, and to first order in `r` the
loss is that of the undisturbed currents, `r I^2` of every segment.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.xla import product
from jaxaimc.wires.carry import carried
from jaxaimc.wires.crossbar import Crossbar
from jaxaimc.wires.timing import Left

# Stretches of time in which timed pulses are looked at.
_BINS = 8


class Stretches(NamedTuple):
    """Pulses in a few stretches of time.

    Attributes:
        connected: Share of each stretch for which each row is driven [1].
        drive: The same with the sign and, of amplitudes, the size of the drive over the read voltage [1].
        width: Length of each stretch over that of the longest pulse [1].
    """

    connected: Float[Array, "*batch bin rows"]
    drive: Float[Array, "*batch bin rows"]
    width: Float[Array, " bin"]


class Reduced(NamedTuple):
    """Columns as their terminals see them.

    Attributes:
        lost: What supplies deliver less than without wires [W].
        current: Current source [A].
        conductance: Conductance beside it [S].
    """

    lost: Float[Array, "*batch cols"]
    current: Float[Array, "*batch cols"]
    conductance: Float[Array, "..."]


def mean_square(level: Float[Array, "*batch rows"], *, timed: bool) -> Float[Array, "*batch rows"]:
    """Return the mean square of each row's drive over the longest pulse, in squares of the read voltage [1].

    Args:
        level: Signed pulses as a share of the largest one [1].
        timed: Whether a level is a share of time, or of the read voltage.
    """
    return jnp.abs(level) if timed else level**2


def stretches(level: Float[Array, "*batch rows"], *, timed: bool) -> Stretches:
    """Cut pulses that start together into a few stretches of time; amplitudes last for one.

    Args:
        level: Signed pulses as a share of the largest one [1].
        timed: Whether a level is a share of time, or of the read voltage.
    """
    if not timed:
        connected = jnp.asarray(level != 0, level.dtype)
        return Stretches(connected[..., None, :], level[..., None, :], jnp.ones((1,), level.dtype))
    edges = jnp.asarray(Left().bins(_BINS), level.dtype)
    low, width = edges[:-1, None], jnp.diff(edges)
    on = jnp.clip(jnp.abs(level)[..., None, :] - low, 0, width[:, None]) / width[:, None]
    return Stretches(on, on * jnp.sign(level)[..., None, :], width)


def without_drop(
    g: Float[Array, "polarity rows cols"],
    level: Float[Array, "*batch rows"],
    *,
    timed: bool,
    v_read: Float[Array, ""] | float,
) -> Float[Array, "*batch"]:
    """Return `sum g v^2`, mean over the longest pulse [W].

    Args:
        g: Device conductances [S].
        level: Signed pulses as a share of the largest one [1].
        timed: Whether a level is a share of time, or of the read voltage.
        v_read: Read voltage [V].
    """
    return product(mean_square(level, timed=timed), jnp.sum(g, axis=(0, 2))[:, None])[..., 0] * v_read**2


def reduced(
    load: Float[Array, "rows cols"],
    drive: Float[Array, "rows cols"],
    r: Float[Array, ""] | float,
    r_end: Float[Array, ""] | float,
    v: Float[Array, "*batch rows"],
    connected: Float[Array, "*batch rows"] | None = None,
) -> Reduced:
    """Reduce columns, rows in the order from the far end to the terminal.

    Args:
        load: Conductance of each cell [S].
        drive: The same with the signs of its polarities [S].
        r: Segment [ohm].
        r_end: From the last node to the terminal [ohm].
        v: Voltage of each row [V].
        connected: Share of each row's load that is connected [1]; all of it by default.
    """
    everything = (load, drive, v, r, r_end)
    shape = (*v.shape[:-1], load.shape[-1])
    zeros = carried(jnp.zeros(shape, jnp.result_type(*everything)), everything)
    first = Reduced(zeros, zeros, carried(jnp.zeros_like(zeros[(0,) * (zeros.ndim - 1)]), everything))
    if connected is not None:
        first = first._replace(conductance=zeros)

    def toward_terminal(far: Reduced, row: tuple) -> tuple[Reduced, None]:
        g, d, u, on = row
        passed = 1 / (1 + r * far.conductance)
        lost = far.lost + r * far.current**2 * passed
        load = g if on is None else on[..., None] * g
        return Reduced(lost, u[..., None] * d + far.current * passed, load + far.conductance * passed), None

    rows = (load, drive, jnp.moveaxis(v, -1, 0), None if connected is None else jnp.moveaxis(connected, -1, 0))
    last, _ = jax.lax.scan(jax.checkpoint(toward_terminal, prevent_cse=False), first, rows)
    return last._replace(lost=last.lost + r_end * last.current**2 / (1 + r_end * last.conductance))


def mesh_power(
    crossbar: Crossbar, level: Float[Array, "*batch lines"], *, timed: bool, v_read: Float[Array, ""] | float
) -> Float[Array, "*batch"]:
    """Return the power that the drivers of a two-dimensional crossbar deliver, mean over the longest pulse [W].

    Exact where rows or columns have no resistance, and close to it where both have: what either costs is taken for
    resistance in series with all of it, `1 / P = 1 / P_columns + 1 / P_rows - 1 / P_none`.

    Args:
        crossbar: The circuit; idle rows are held at the voltage of the sense terminals.
        level: Signed pulses on its row lines, as a share of the largest one [1].
        timed: Whether a level is a share of time, or of the read voltage.
        v_read: Read voltage [V].
    """
    g = crossbar.g
    on = stretches(level, timed=timed)
    columns = reduced(g, g, crossbar.r_col, crossbar.r_col_end, on.drive * v_read)
    lost = jnp.sum(jnp.sum(columns.lost, axis=-1) * on.width, axis=-1)
    ideal = without_drop(g[None], level, timed=timed, v_read=v_read)
    in_rows = product(mean_square(level, timed=timed), _row_conductance(crossbar)[:, None])[..., 0] * v_read**2
    driven = ideal > 0
    in_columns, in_rows, ideal = (jnp.where(driven, part, 1.0) for part in (ideal - lost, in_rows, ideal))
    return jnp.where(driven, 1 / (1 / in_columns + 1 / in_rows - 1 / ideal), 0.0)


def _row_conductance(crossbar: Crossbar) -> Float[Array, " lines"]:
    """Return the conductance of each row line at its driver, columns being without resistance [S]."""
    g = crossbar.g

    def toward_driver(far: Array, own: Array) -> tuple[Array, None]:
        return own + far / (1 + crossbar.r_row * far), None

    first = carried(jnp.zeros_like(g[:, 0]), g, crossbar.r_row)
    at_first, _ = jax.lax.scan(toward_driver, first, g.T, reverse=True)
    return at_first / (1 + crossbar.r_row_end * at_first)
