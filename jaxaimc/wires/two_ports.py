"""Blocks of rows as two-ports: the ladder of a column in a few steps, with its derivatives.

A block of m rows, some of them connected, is a two-port to first order in the resistance of its own wire. From the far
end (rows n = 1 ... m), with the connected conductances `G_n`, the driven ones `D_n` and `z = (m^2 - 1) / (6 m)`, four
sums describe it: `L = sum G_n`, `M = sum n G_n`, `D = sum D_n`, `E = sum n D_n`. They are matrix products for all
vectors and times at once. Voltage `v`, current `c` and output `o` at its far end become

    o + v (D + r z D L) + r c E,    v (1 + r (m L - M)) + r m c,    c (1 + r M) + v (L + r z L^2)

at its near end. What is carried here is `t = c / v`, the conductance seen toward the far end, and `q = o / v - S` with
`S` the sum of `D` so far: what the wire takes off the output, without the difference of large numbers.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.xla import product, short_product


class Sums(NamedTuple):
    """The four sums of a block, for vectors and columns.

    Attributes:
        load: Sum of the connected conductances, `L` [S].
        load_moment: The same, each times its row's number from the far end, `M` [S].
        drive: Sum of the driven conductances, signs included, `D` [S].
        drive_moment: The same, each times its row's number, `E` [S].
    """

    load: Float[Array, "vector cols"]
    load_moment: Float[Array, "vector cols"]
    drive: Float[Array, "vector cols"]
    drive_moment: Float[Array, "vector cols"]


class _State(NamedTuple):
    seen: Float[Array, "vector cols"]
    taken: Float[Array, "vector cols"]
    driven: Float[Array, "vector cols"]


@partial(jax.custom_vjp, nondiff_argnums=(6, 7))
def taken_off(
    connected: Float[Array, "vector rows"],
    driven: Float[Array, "vector rows"],
    load: Float[Array, "rows cols"],
    drive: Float[Array, "rows cols"],
    r: Float[Array, ""],
    r_end: Float[Array, ""],
    rows_per_block: int,
    precise: bool,
) -> Float[Array, "vector cols"]:
    """Return what the wire adds to the output current of each column, per volt of read voltage [S].

    Derivatives are by reverse mode. They keep the inputs alone: the sums are computed anew.

    Args:
        connected: Share of the time for which each row is connected, far end first [1].
        driven: The same with the sign and size of its drive [1].
        load: Conductance that an active cell puts on its wire [S].
        drive: Conductance with which an active cell drives its wire, signs included [S].
        r: Segment resistance [ohm].
        r_end: Resistance between the last node and the ADC [ohm].
        rows_per_block: Rows of a block; a divisor of the rows.
        precise: Whether sums are in full precision; otherwise their factors are rounded to bfloat16 where they are in
            single precision, which changes what the wire takes off by less than 0.5 %.
    """
    blocks = _sums(connected, driven, load, drive, rows_per_block, precise)
    last = _walk(blocks, r, rows_per_block)[-1]
    return _at_the_end(last, r_end)


def _at_the_end(last: _State, r_end: Float[Array, ""]) -> Float[Array, "vector cols"]:
    return (last.taken - r_end * last.seen * last.driven) / (1 + r_end * last.seen)


def _sums(connected: Array, driven: Array, load: Array, drive: Array, rows_per_block: int, precise: bool) -> list[Sums]:
    multiply = product if precise else short_product
    cols = load.shape[1]
    found = []
    for first in range(0, load.shape[0], rows_per_block):
        own = slice(first, first + rows_per_block)
        loads = multiply(connected[:, own], _with_moment(load[own]))
        drives = multiply(driven[:, own], _with_moment(drive[own]))
        found.append(Sums(loads[:, :cols], loads[:, cols:], drives[:, :cols], drives[:, cols:]))
    return found


def _with_moment(g: Float[Array, "rows cols"]) -> Float[Array, "rows both_cols"]:
    """Put a block's conductances beside the same times the numbers of their rows."""
    return jnp.concatenate([g, g * jnp.arange(1, g.shape[0] + 1, dtype=g.dtype)[:, None]], axis=1)


def _walk(blocks: list[Sums], r: Array, m: int) -> list[_State]:
    """Return the state before each block and after the last one."""
    z = (m * m - 1) / (6 * m)
    none = jnp.zeros_like(blocks[0].load)
    state = _State(none, none, none)
    states = [state]
    for load, load_moment, drive, drive_moment in blocks:
        seen, taken, driven = state
        rise = r * (m * load - load_moment) + r * m * seen
        driven = driven + drive
        state = _State(
            seen=(seen * (1 + r * load_moment) + load + r * z * load * load) / (1 + rise),
            taken=(taken + r * z * drive * load + r * seen * drive_moment - driven * rise) / (1 + rise),
            driven=driven,
        )
        states.append(state)
    return states


def _forward(
    connected: Array, driven: Array, load: Array, drive: Array, r: Array, r_end: Array, m: int, precise: bool
) -> tuple[Array, tuple[Array, ...]]:
    return taken_off(connected, driven, load, drive, r, r_end, m, precise), (connected, driven, load, drive, r, r_end)


def _backward(m: int, precise: bool, saved: tuple[Array, ...], cotangent: Array) -> tuple[Array, ...]:
    connected, driven, load, drive, r, r_end = saved
    blocks = _sums(connected, driven, load, drive, m, precise)
    states = _walk(blocks, r, m)
    last = states[-1]
    scaled = cotangent / (1 + r_end * last.seen)
    with_output = last.driven + _at_the_end(last, r_end)
    by_r_end = -jnp.sum(scaled * last.seen * with_output)
    by_state = _State(-r_end * scaled * with_output, scaled, -r_end * last.seen * scaled)
    by_blocks, by_r = [], jnp.zeros_like(cotangent)
    for index in reversed(range(len(blocks))):
        by_state, by_sums, of_r = _step_back(blocks[index], states[index], states[index + 1], by_state, r, m)
        by_blocks.append(by_sums)
        by_r = by_r + of_r
    by_loads = [(sums.load, sums.load_moment) for sums in reversed(by_blocks)]
    by_drives = [(sums.drive, sums.drive_moment) for sums in reversed(by_blocks)]
    by_connected, by_load = _by_factors(connected, load, by_loads, m, precise)
    by_driven, by_drive = _by_factors(driven, drive, by_drives, m, precise)
    return by_connected, by_driven, by_load, by_drive, jnp.sum(by_r), by_r_end


def _step_back(
    sums: Sums, before: _State, after: _State, by_after: _State, r: Array, m: int
) -> tuple[_State, Sums, Array]:
    """Return the derivatives by the state before a block, by its sums, and by the resistance, entry by entry."""
    z = (m * m - 1) / (6 * m)
    load, load_moment, drive, drive_moment = sums
    rise = r * (m * load - load_moment) + r * m * before.seen
    by_taken, by_seen = by_after.taken / (1 + rise), by_after.seen / (1 + rise)
    by_rise = -(after.taken + after.driven) * by_taken - after.seen * by_seen
    by_driven = by_after.driven - rise * by_taken
    by_sums = Sums(
        load=r * z * drive * by_taken + (1 + 2 * r * z * load) * by_seen + r * m * by_rise,
        load_moment=r * before.seen * by_seen - r * by_rise,
        drive=r * z * load * by_taken + by_driven,
        drive_moment=r * before.seen * by_taken,
    )
    by_before = _State(
        seen=r * drive_moment * by_taken + (1 + r * load_moment) * by_seen + r * m * by_rise,
        taken=by_taken,
        driven=by_driven,
    )
    by_r = (z * drive * load + before.seen * drive_moment) * by_taken
    by_r = by_r + (before.seen * load_moment + z * load * load) * by_seen
    return by_before, by_sums, by_r + (m * (load + before.seen) - load_moment) * by_rise


def _by_factors(
    x: Float[Array, "vector rows"],
    g: Float[Array, "rows cols"],
    by_sums: list[tuple[Array, Array]],
    m: int,
    precise: bool,
) -> tuple[Float[Array, "vector rows"], Float[Array, "rows cols"]]:
    """Return the derivatives by both factors of the sums of all blocks."""
    multiply = product if precise else short_product
    number = jnp.arange(1, m + 1, dtype=g.dtype)[:, None]
    by_x, by_g = [], []
    for index, (by_sum, by_moment) in enumerate(by_sums):
        own = slice(index * m, (index + 1) * m)
        by_x.append(multiply(by_sum, g[own].T) + multiply(by_moment, (number * g[own]).T))
        by_g.append(multiply(x[:, own].T, by_sum) + number * multiply(x[:, own].T, by_moment))
    return jnp.concatenate(by_x, axis=1), jnp.concatenate(by_g, axis=0)


taken_off.defvjp(_forward, _backward)
