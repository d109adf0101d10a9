"""Blocks of rows as two-ports: the ladder of a column in a few steps, with its derivatives.

A block of m rows, some of them connected, is a two-port to first order in the resistance of its own wire. From the far
end (rows n = 1 ... m), with the connected conductances `G_n`, the driven ones `D_n` and `z = (m^2 - 1) / (6 m)`, four
sums describe it: `L = sum G_n`, `M = sum n G_n`, `D = sum D_n`, `E = sum n D_n`. They are matrix products for all
vectors and times at once. Voltage `v`, current `c` and output `o` at its far end become

    o + v (D + r z D L) + r c E,    v (1 + r (m L - M)) + r m c,    c (1 + r M) + v (L + r z L^2)

at its near end. What is carried here is `t = c / v`, the conductance seen toward the far end, and `q = o / v - S` with
`S` the sum of `D` so far: what the wire takes off the output, without the difference of large numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.xla import product, short_product

# Blocks up to which the ladder is written out, which takes longer to compile and less to compute.
_UNROLLED = 16


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


class _Blocks(NamedTuple):
    """Rows and cells of all blocks, or of one without the first axis."""

    connected: Float[Array, "*block vector rows"]
    driven: Float[Array, "*block vector rows"]
    load: Float[Array, "*block rows cols"]
    drive: Float[Array, "*block rows cols"]


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
    return _one_by_one(_taken_off, rows_per_block, precise)(connected, driven, load, drive, r, r_end)


def _one_by_one(function: Callable[..., Any], m: int, precise: bool) -> Callable[..., Any]:
    """Return a function of a block's size with that given, which `jax.vmap` calls for one tile after the other.

    Products with an axis for tiles would take several times as long on CPUs.
    """
    return jax.custom_batching.sequential_vmap(partial(function, m, precise))


def _taken_off(
    m: int, precise: bool, connected: Array, driven: Array, load: Array, drive: Array, r: Array, r_end: Array
) -> Array:
    blocks = _blocks(connected, driven, load, drive, m)
    if len(blocks.load) <= _UNROLLED:
        return _at_the_end(_walk(_sums(blocks, precise), r, m)[-1], r_end)
    return _at_the_end(_scan(blocks, r, m, precise)[0], r_end)


def _at_the_end(last: _State, r_end: Float[Array, ""]) -> Float[Array, "vector cols"]:
    return (last.taken - r_end * last.seen * last.driven) / (1 + r_end * last.seen)


def _blocks(connected: Array, driven: Array, load: Array, drive: Array, m: int) -> _Blocks:
    of_rows = lambda x: x.reshape(x.shape[0], -1, m).swapaxes(0, 1)  # noqa: E731
    of_cells = lambda g: g.reshape(-1, m, g.shape[1])  # noqa: E731
    return _Blocks(of_rows(connected), of_rows(driven), of_cells(load), of_cells(drive))


def _sums(blocks: _Blocks, precise: bool) -> list[Sums]:
    return [_sums_of(_Blocks(*(x[index] for x in blocks)), precise) for index in range(len(blocks.load))]


def _sums_of(block: _Blocks, precise: bool) -> Sums:
    """Return the sums of one block."""
    multiply = product if precise else short_product
    cols = block.load.shape[1]
    loads = multiply(block.connected, _with_moment(block.load))
    drives = multiply(block.driven, _with_moment(block.drive))
    return Sums(loads[:, :cols], loads[:, cols:], drives[:, :cols], drives[:, cols:])


def _scan(blocks: _Blocks, r: Array, m: int, precise: bool) -> tuple[_State, _State]:
    """Return the state after the last of many blocks, and those before each."""
    # What the sums vary over is what the states vary over.
    none = jnp.zeros_like(_sums_of(_Blocks(*(x[0] for x in blocks)), precise).load) + 0 * r

    def step(state: _State, block: _Blocks) -> tuple[_State, _State]:
        return _next(state, _sums_of(block, precise), r, m), state

    return jax.lax.scan(step, _State(none, none, none), blocks)


def _with_moment(g: Float[Array, "rows cols"]) -> Float[Array, "rows both_cols"]:
    """Put a block's conductances beside the same times the numbers of their rows."""
    return jnp.concatenate([g, g * jnp.arange(1, g.shape[0] + 1, dtype=g.dtype)[:, None]], axis=1)


def _walk(blocks: list[Sums], r: Array, m: int) -> list[_State]:
    """Return the state before each block and after the last one."""
    none = jnp.zeros_like(blocks[0].load)
    states = [_State(none, none, none)]
    for sums in blocks:
        states.append(_next(states[-1], sums, r, m))
    return states


def _next(state: _State, sums: Sums, r: Array, m: int) -> _State:
    z = (m * m - 1) / (6 * m)
    load, load_moment, drive, drive_moment = sums
    seen, taken, driven = state
    rise = r * (m * load - load_moment) + r * m * seen
    driven = driven + drive
    return _State(
        seen=(seen * (1 + r * load_moment) + load + r * z * load * load) / (1 + rise),
        taken=(taken + r * z * drive * load + r * seen * drive_moment - driven * rise) / (1 + rise),
        driven=driven,
    )


def _forward(
    connected: Array, driven: Array, load: Array, drive: Array, r: Array, r_end: Array, m: int, precise: bool
) -> tuple[Array, tuple[Array, ...]]:
    return taken_off(connected, driven, load, drive, r, r_end, m, precise), (connected, driven, load, drive, r, r_end)


def _backward(m: int, precise: bool, saved: tuple[Array, ...], cotangent: Array) -> tuple[Array, ...]:
    return _one_by_one(_derivatives, m, precise)(*saved, cotangent)


def _derivatives(
    m: int,
    precise: bool,
    connected: Array,
    driven: Array,
    load: Array,
    drive: Array,
    r: Array,
    r_end: Array,
    cotangent: Array,
) -> tuple[Array, ...]:
    """Return the derivatives by all arguments of `taken_off`."""
    blocks = _blocks(connected, driven, load, drive, m)
    few = len(blocks.load) <= _UNROLLED
    sums = _sums(blocks, precise) if few else []
    states = _walk(sums, r, m) if few else []
    last, before = (states[-1], states[-1]) if few else _scan(blocks, r, m, precise)
    scaled = cotangent / (1 + r_end * last.seen)
    with_output = last.driven + _at_the_end(last, r_end)
    by_r_end = -jnp.sum(scaled * last.seen * with_output)
    by_state = _State(-r_end * scaled * with_output, scaled, -r_end * last.seen * scaled)
    start = (by_state, jnp.zeros_like(scaled))

    def back(by: tuple[_State, Array], block: _Blocks, sums: Sums, state: _State, after: _State) -> tuple[Any, _Blocks]:
        by_state, by_sums, of_r = _step_back(sums, state, after, by[0], r, m)
        by_connected, by_load = _by_factors(block.connected, block.load, by_sums[:2], precise)
        by_driven, by_drive = _by_factors(block.driven, block.drive, by_sums[2:], precise)
        return (by_state, by[1] + of_r), _Blocks(by_connected, by_driven, by_load, by_drive)

    def back_anew(by: tuple[_State, Array], one: tuple[_Blocks, _State]) -> tuple[Any, _Blocks]:
        sums = _sums_of(one[0], precise)
        return back(by, one[0], sums, one[1], _next(one[1], sums, r, m))

    if few:
        found = []
        for index in reversed(range(len(sums))):
            own = _Blocks(*(x[index] for x in blocks))
            start, of_block = back(start, own, sums[index], states[index], states[index + 1])
            found.insert(0, of_block)
        by_blocks = _Blocks(*(jnp.stack(parts) for parts in zip(*found, strict=True)))
        by_r = start[1]
    else:
        (_, by_r), by_blocks = jax.lax.scan(back_anew, start, (blocks, before), reverse=True)
    of_rows = lambda x: x.swapaxes(0, 1).reshape(x.shape[1], -1)  # noqa: E731
    of_cells = lambda g: g.reshape(-1, g.shape[2])  # noqa: E731
    by_rows = (of_rows(by_blocks.connected), of_rows(by_blocks.driven))
    return *by_rows, of_cells(by_blocks.load), of_cells(by_blocks.drive), jnp.sum(by_r), by_r_end


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
    x: Float[Array, "vector rows"], g: Float[Array, "rows cols"], by_sums: tuple[Array, Array], precise: bool
) -> tuple[Float[Array, "vector rows"], Float[Array, "rows cols"]]:
    """Return the derivatives by both factors of a block's sum and of its moment."""
    multiply = product if precise else short_product
    number = jnp.arange(1, g.shape[0] + 1, dtype=g.dtype)[:, None]
    by_sum, by_moment = by_sums
    by_x = multiply(by_sum, g.T) + multiply(by_moment, (number * g).T)
    return by_x, multiply(x.T, by_sum) + number * multiply(x.T, by_moment)


taken_off.defvjp(_forward, _backward)
