"""Columns that are loaded with conductances times how active their rows are: all stretches of time in one walk.

The circuit is that of `ladder_shares`, with the load of a cell times its row's activity in each stretch of time. Loads
are made row by row within the walks. A gradient keeps two arrays with the size of all stretches: the conductances at
the nodes, and the result.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxaimc.wires.carry import carried
from jaxaimc.wires.ladder import ladder_shares


@jax.custom_vjp
def mean_load_shares(
    load: Float[Array, "rows cols"],
    active: Float[Array, "rows end stretch"],
    second: Bool[Array, " cols"],
    r: Float[Array, ""],
    r_end: Float[Array, " cols"],
) -> Float[Array, "rows stretch cols"]:
    """Return the node voltages of all columns in all stretches, for a unit voltage at the ADC with grounded rows [1].

    Derivatives are by reverse mode.

    Args:
        load: Conductance of each cell to its row line where that is connected [S], far end first.
        active: Mean share of each stretch for which a row is connected, far end first: as the columns see it that are
            read at the first of their ends, and at the second if there are two [1].
        second: Which columns are read at the second end.
        r: Segment resistance [ohm].
        r_end: Resistance between the last node and the ADC of each column [ohm].
    """
    return _walks(load, active, second, r, r_end)[0]


def forward_mean_load_shares(
    load: Float[Array, "rows cols"],
    active: Float[Array, "rows end stretch"],
    second: Bool[Array, " cols"],
    r: Float[Array, ""],
    r_end: Float[Array, " cols"],
) -> Float[Array, "rows stretch cols"]:
    """Return the same, with derivatives by forward mode as well, for several times the time of those by reverse mode.

    Args:
        load: As `mean_load_shares` has it.
        active: Likewise.
        second: Likewise.
        r: Likewise.
        r_end: Likewise.
    """
    loads = load[:, None] * jax.vmap(_of_columns, (0, None))(active, second)
    share, _ = ladder_shares(loads.reshape(len(load), -1), r, jnp.broadcast_to(r_end, loads.shape[1:]).reshape(-1))
    return share.reshape(loads.shape)


def _walks(load: Array, active: Array, second: Array, r: Array, r_end: Array) -> tuple[Array, Array]:
    """Return the node voltages, and the conductance at each node of all that is farther out and its own cell [S]."""

    def toward_adc(y: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        load, active = row
        total = load * _of_columns(active, second) + y
        return total / (1 + r * total), total

    def toward_far_end(u: Array, total: Array) -> tuple[Array, Array]:
        u = u / (1 + r * total)
        return u, u

    none = jnp.zeros((active.shape[2], load.shape[1]), load.dtype)
    _, total = jax.lax.scan(toward_adc, carried(none, load), (load, active))
    # The last segment is r_end, not r.
    last = 1 / (1 + r_end * total[-1])
    _, voltage = jax.lax.scan(toward_far_end, last * (1 + r * total[-1]), total, reverse=True)
    return voltage, total


def _of_columns(active: Float[Array, "end stretch"], second: Bool[Array, " cols"]) -> Float[Array, "stretch _"]:
    """Return how active a row is for each column."""
    if len(active) == 1:
        return active[0][:, None]
    return jnp.where(second, active[1][:, None], active[0][:, None])


def _forward(*given: Array) -> tuple[Array, tuple[Array, ...]]:
    voltage, total = _walks(*given)
    return voltage, (*given, voltage, total)


def _backward(saved: tuple[Array, ...], cotangent: Array) -> tuple[Array, Array, None, Array, Array]:
    """Walk back along both walks: with a bar for what the result says of a number, `u_s = d_s u_(s+1)` gives
    `ubar_s += d_(s-1) ubar_(s-1)`, and `t_s = G_s + t_(s-1) d_(s-1)` with `d = 1 / (1 + r t)` gives
    `Gbar_s = tbar_s = d_s^2 (tbar_(s+1) - r ubar_s u_(s+1))`.
    """
    load, active, second, r, r_end, voltage, total = saved

    def of_voltage(beyond: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        own, total = row
        own = own + beyond
        return own / (1 + r * total), own

    _, by_voltage = jax.lax.scan(of_voltage, carried(jnp.zeros_like(total[0]), total), (cotangent, total))

    def of_conductance(carry: tuple[Array, ...], row: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        after, next_voltage, by_r = carry
        own, total, voltage = row
        drop = 1 / (1 + r * total)
        of_drop, square = own * next_voltage, drop * drop
        by_r = by_r - total * square * (total * after + of_drop)
        own = square * (after - r * of_drop)
        return (own, voltage, by_r), own

    # The last segment is r_end, not r: the walk starts such that its first step gives what the last row gets.
    last, own = total[-1], by_voltage[-1]
    by_r_end = -last * jnp.square(1 / (1 + r_end * last)) * own
    square = jnp.square(1 / (1 + r * last))
    after = r * own - r_end * own * jnp.square((1 + r * last) / (1 + r_end * last))
    start = (after, carried(jnp.ones_like(after), after), last * square * (last * after + own))
    (_, _, by_r), by_load = jax.lax.scan(of_conductance, start, (by_voltage, total, voltage), reverse=True)
    by_active = by_load * load[:, None]
    if active.shape[1] == 1:
        of_ends = jnp.sum(by_active, axis=2)[:, None]
    else:
        of_ends = jnp.stack([jnp.sum(jnp.where(chosen, by_active, 0), axis=2) for chosen in (~second, second)], axis=1)
    of_stretches = (by_load[:, k] * _of_rows(active[:, :, k], second) for k in range(active.shape[2]))
    by_each = functools.reduce(jnp.add, of_stretches)
    return by_each, of_ends, None, jnp.sum(by_r), jnp.sum(by_r_end, axis=0)


def _of_rows(active: Float[Array, "rows end"], second: Bool[Array, " cols"]) -> Float[Array, "rows _"]:
    return active[:, :1] if active.shape[1] == 1 else jnp.where(second, active[:, 1:], active[:, :1])


mean_load_shares.defvjp(_forward, _backward)
