"""Blocks of rows as two-ports: the ladder of a column in a few steps, with its derivatives.

A block of m rows, some of them connected, is a two-port to first order in the resistance of its own wire. From the far
end (rows n = 1 ... m), with the connected conductances `G_n` and the driven ones `D_n`, four sums describe it:
`L = sum G_n`, `U = sum (n - (m + 1) / 2) G_n`, `D = sum D_n`, `W = sum (n - (m + 1) / 2) D_n`. They are matrix products
for all vectors and times at once. Voltage `v`, current `c` and output `o` at its far end become

    o + v (D + r sum_(k<n) (n - k) G_k D_n) + r c sum n D_n,
    v (1 + r sum (m - n) G_n) + r m c,
    c (1 + r sum n G_n) + v (L + r sum_(k<n) (n - k) G_k G_n)

at its near end. Where two rows meet in a sum, both conductances are taken to change linearly from row to row, as their
sums say: `G_n = L / m + 12 U / (m (m^2 - 1)) (n - (m + 1) / 2)`. What is carried here is `t = c / v`, the conductance
seen toward the far end, and `q = o / v - S` with `S` the sum of `D` so far: what the wire takes off the output, without
the difference of large numbers.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Size(NamedTuple):
    """Numbers that follow from how many rows a block has, or arrays of them for many blocks.

    Attributes:
        rows: Number of rows.
        mean: Mean number of a row.
        sign: Minus one where rows are numbered against their order.
        of_sums: Weight of `L D` in the sum over pairs of rows.
        of_moments: Weight of `U W`.
        of_one_moment: Weight of `L W - U D`, with the sign.
    """

    rows: Any
    mean: Any
    sign: Any
    of_sums: Any
    of_moments: Any
    of_one_moment: Any

    @classmethod
    def of(cls, rows: int, *, reverse: bool) -> "Size":
        """Return the numbers for a block."""
        number = np.arange(rows) - (rows - 1) / 2
        spread = max(float(number @ number), 1.0)
        later, earlier = number[:, None], number[None]
        between = np.maximum(later - earlier, 0)
        sign = -1.0 if reverse else 1.0
        return cls(
            rows=float(rows),
            mean=(rows + 1) / 2,
            sign=sign,
            of_sums=float(np.sum(between)) / rows**2,
            of_moments=float(np.sum(between * later * earlier)) / spread**2,
            of_one_moment=sign * float(np.sum(between * later)) / (rows * spread),
        )


class State(NamedTuple):
    """What lies beyond a block's end: conductance seen `t`, what is taken off `q`, sum of what drives `S` [S]."""

    seen: Float[Array, "cols vector"]
    taken: Float[Array, "cols vector"]
    driven: Float[Array, "cols vector"]


class Slopes(NamedTuple):
    """Derivatives by a state. That by what is taken off is the one by what drives, and that by the result."""

    seen: Float[Array, "cols vector"]
    driven: Float[Array, "cols vector"]


class Sums(NamedTuple):
    """The sums of a block, each before its moment over rows in their order: `L` and `U`, `D` and `W`."""

    load: Float[Array, "both cols vector"]
    drive: Float[Array, "both cols vector"]


def after(state: State, sums: Sums, r: Array, size: Size) -> State:
    """Return the state at the near end of a block from that at its far end."""
    seen, taken, driven = state
    rise = r * _rise(seen, sums, size)
    driven = driven + sums.drive[0]
    outer = _drive_pairs(sums, size) + seen * _first_moment(sums.drive, size)
    return State(
        seen=_not_negative(seen + sums.load[0] + r * _inner(seen, sums, size)) / (1 + rise),
        taken=(taken + r * outer - driven * rise) / (1 + rise),
        driven=driven,
    )


def derivatives_of_after(
    seen: Array, near: State, by: Slopes, by_off: Array, sums: Sums, r: Array, size: Size
) -> tuple[Slopes, Sums, Array]:
    """Return the derivatives by the state before a block, by its sums, and by the resistance, entry by entry.

    Args:
        seen: Conductance seen at the far end.
        near: State at the near end.
        by: Derivatives by that.
        by_off: Derivative by what the wire adds.
        sums: Sums of the block.
        r: Segment resistance [ohm].
        size: What follows from the size of the block.
    """
    load, drive = sums
    over = _rise(seen, sums, size)
    rise = r * over
    # XLA for CPUs stores what it divides, and computes all else anew for each result.
    by_driven = (by.driven - rise * by_off) / (1 + rise)
    inner = _inner(seen, sums, size)
    by_seen = jnp.where(seen + load[0] + r * inner < 0, 0.0, by.seen) / (1 + rise)
    by_taken = by_off + by_driven
    by_over = -((near.taken + near.driven) * by_taken + near.seen * by_seen)
    first, pairs = _first_moment(load, size), _load_pairs(sums, size)
    by_near = jnp.where(_last_moment(load, size) < 0, 0.0, r * by_over)
    by_first = jnp.where(first < 0, 0.0, r * seen * by_seen)
    by_pairs = jnp.where(pairs < 0, 0.0, 2 * r * by_seen)
    by_outer = r * by_taken
    squares = _two(size.of_sums, size.of_moments, load)
    products, numbers = _two(size.of_one_moment, -size.of_one_moment, load), _two(size.mean, size.sign, load)
    sum_alone = _two(1.0, 0.0, load)
    by_sums = Sums(
        load=sum_alone * by_seen
        + numbers * by_first
        + _two(size.rows - size.mean, -size.sign, load) * by_near
        + squares * load * by_pairs
        + by_outer * (squares * drive + products * drive[::-1]),
        drive=sum_alone * by_driven + by_outer * (squares * load - products * load[::-1] + numbers * seen),
    )
    through = _first_moment(drive, size)
    by_before = Slopes(
        seen=by_outer * through + by_seen * (1 + r * _not_negative(first)) + size.rows * r * by_over, driven=by_driven
    )
    by_r = (_drive_pairs(sums, size) + seen * through) * by_taken + inner * by_seen + over * by_over
    return by_before, by_sums, by_r


def _two(of_sum: Any, of_moment: Any, like: Array) -> Float[Array, "both 1 1"]:
    """Return what sums are multiplied with, and their moments."""
    return jnp.stack([jnp.asarray(x, like.dtype) for x in (of_sum, of_moment)])[:, None, None]


def _rise(seen: Array, sums: Sums, size: Size) -> Array:
    return _not_negative(_last_moment(sums.load, size)) + size.rows * seen


def _inner(seen: Array, sums: Sums, size: Size) -> Array:
    return seen * _not_negative(_first_moment(sums.load, size)) + _not_negative(_load_pairs(sums, size))


def _first_moment(both: Float[Array, "both cols vector"], size: Size) -> Float[Array, "cols vector"]:
    return size.mean * both[0] + size.sign * both[1]


def _last_moment(both: Float[Array, "both cols vector"], size: Size) -> Float[Array, "cols vector"]:
    return (size.rows - size.mean) * both[0] - size.sign * both[1]


def _load_pairs(sums: Sums, size: Size) -> Array:
    load, moment = sums.load
    return size.of_sums * load * load + size.of_moments * moment * moment


def _drive_pairs(sums: Sums, size: Size) -> Array:
    (load, load_moment), (drive, drive_moment) = sums
    of_one = size.of_one_moment * (load * drive_moment - load_moment * drive)
    return size.of_sums * load * drive + of_one + size.of_moments * load_moment * drive_moment


def _not_negative(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return sums that cannot be negative, but for what is left out, with their slope at zero."""
    return jnp.where(x < 0, 0.0, x)


def at_the_end(last: State, r_end: Float[Array, ""]) -> Float[Array, "cols vector"]:
    """Return what is taken off the output behind the last segment, of that resistance [S]."""
    return (last.taken - r_end * last.seen * last.driven) / (1 + r_end * last.seen)
