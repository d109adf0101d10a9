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

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Size(NamedTuple):
    """Numbers that follow from how many rows a block has, or arrays of them for many blocks.

    Attributes:
        rows: Number of rows.
        mean: Mean number of a row.
        of_sums: Weight of `L D` in the sum over pairs of rows.
        of_one_moment: Weight of `L W - U D`.
        of_moments: Weight of `U W`.
        sign: Minus one where rows are numbered against their order.
    """

    rows: Any
    mean: Any
    of_sums: Any
    of_one_moment: Any
    of_moments: Any
    sign: Any

    @classmethod
    def of(cls, rows: int, *, reverse: bool) -> "Size":
        """Return the numbers for a block."""
        number = np.arange(rows) - (rows - 1) / 2
        spread = max(float(number @ number), 1.0)
        later, earlier = number[:, None], number[None]
        between = np.maximum(later - earlier, 0)
        return cls(
            rows=float(rows),
            mean=(rows + 1) / 2,
            of_sums=float(np.sum(between)) / rows**2,
            of_one_moment=float(np.sum(between * later)) / (rows * spread),
            of_moments=float(np.sum(between * later * earlier)) / spread**2,
            sign=-1.0 if reverse else 1.0,
        )


class State(NamedTuple):
    """What lies beyond a block's end: conductance seen `t`, what is taken off `q`, sum of what drives `S` [S]."""

    seen: Float[Array, "cols vector"]
    taken: Float[Array, "cols vector"]
    driven: Float[Array, "cols vector"]


class Sums(NamedTuple):
    """The four sums of a block: `L`, `U`, `D` and `W`."""

    load: Float[Array, "cols vector"]
    load_moment: Float[Array, "cols vector"]
    drive: Float[Array, "cols vector"]
    drive_moment: Float[Array, "cols vector"]

    @property
    def pairs(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Sums and moments of load and drive."""
        return (self.load, self.load_moment), (self.drive, self.drive_moment)

    def numbered(self, size: "Size") -> "Sums":
        """Return sums over rows in their order as those over rows from the far end, or back again."""
        return self._replace(load_moment=size.sign * self.load_moment, drive_moment=size.sign * self.drive_moment)


def after(state: State, sums: Sums, r: Array, size: Size) -> State:
    """Return the state at the near end of a block from that at its far end."""
    load, _, drive, drive_moment = sums
    seen, taken, driven = state
    rise = r * _rise(state, sums, size)
    driven = driven + drive
    inner = seen * _not_negative(_first_moment(sums, size)) + _not_negative(_load_pairs(sums, size))
    outer = _drive_pairs(sums, size) + seen * (size.mean * drive + drive_moment)
    return State(
        seen=_not_negative(seen + load + r * inner) / (1 + rise),
        taken=(taken + r * outer - driven * rise) / (1 + rise),
        driven=driven,
    )


def derivatives_of_after(
    before: State, state: State, by_state: State, sums: Sums, r: Array, size: Size
) -> tuple[State, Sums, Array]:
    """Return the derivatives by the state before a block, by its sums, and by the resistance, entry by entry.

    Args:
        before: State at the far end.
        state: That at the near end.
        by_state: Derivatives by that.
        sums: Sums of the block.
        r: Segment resistance [ohm].
        size: What follows from the size of the block.
    """
    load, load_moment, drive, drive_moment = sums
    m, mean, of_sums, of_one, of_moments, _ = size
    seen = before.seen
    rise, first = _rise(before, sums, size), _first_moment(sums, size)
    load_pairs, drive_pairs = _load_pairs(sums, size), _drive_pairs(sums, size)
    by_taken, by_seen = by_state.taken / (1 + r * rise), by_state.seen / (1 + r * rise)
    by_seen = jnp.where(seen + load + r * (seen * _not_negative(first) + _not_negative(load_pairs)) < 0, 0.0, by_seen)
    by_rise = -r * ((state.taken + state.driven) * by_taken + state.seen * by_seen)
    # Computed once: XLA would do so again for each of what follows.
    by_taken, by_seen, by_rise = jax.lax.optimization_barrier((by_taken, by_seen, by_rise))
    by_outer, by_inner = r * by_taken, r * by_seen
    by_near = jnp.where((m - mean) * load < load_moment, 0.0, by_rise)
    by_first = jnp.where(first < 0, 0.0, by_inner * seen)
    by_load_pairs = jnp.where(load_pairs < 0, 0.0, by_inner)
    by_driven = by_state.driven - r * rise * by_taken
    by_sums = Sums(
        load=by_seen
        + by_outer * (of_sums * drive + of_one * drive_moment)
        + mean * by_first
        + 2 * of_sums * load * by_load_pairs
        + (m - mean) * by_near,
        load_moment=by_outer * (of_moments * drive_moment - of_one * drive)
        + by_first
        + 2 * of_moments * load_moment * by_load_pairs
        - by_near,
        drive=by_driven + by_outer * (of_sums * load - of_one * load_moment + mean * seen),
        drive_moment=by_outer * (of_one * load + of_moments * load_moment + seen),
    )
    by_before = State(
        seen=by_outer * (mean * drive + drive_moment) + by_seen + by_inner * _not_negative(first) + m * by_rise,
        taken=by_taken,
        driven=by_driven,
    )
    by_r = (drive_pairs + seen * (mean * drive + drive_moment)) * by_taken
    by_r = by_r + (seen * _not_negative(first) + _not_negative(load_pairs)) * by_seen
    return by_before, by_sums, by_r - rise * ((state.taken + state.driven) * by_taken + state.seen * by_seen)


def _rise(state: State, sums: Sums, size: Size) -> Array:
    return _not_negative((size.rows - size.mean) * sums.load - sums.load_moment) + size.rows * state.seen


def _first_moment(sums: Sums, size: Size) -> Array:
    return size.mean * sums.load + sums.load_moment


def _load_pairs(sums: Sums, size: Size) -> Array:
    return size.of_sums * sums.load * sums.load + size.of_moments * sums.load_moment * sums.load_moment


def _drive_pairs(sums: Sums, size: Size) -> Array:
    load, load_moment, drive, drive_moment = sums
    of_one = size.of_one_moment * (load * drive_moment - load_moment * drive)
    return size.of_sums * load * drive + of_one + size.of_moments * load_moment * drive_moment


def _not_negative(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return sums that cannot be negative, but for what is left out, with their slope at zero."""
    return jnp.where(x < 0, 0.0, x)


def at_the_end(last: State, r_end: Float[Array, ""]) -> Float[Array, "cols vector"]:
    """Return what is taken off the output behind the last segment, of that resistance [S]."""
    return (last.taken - r_end * last.seen * last.driven) / (1 + r_end * last.seen)
