"""Conjugate gradient of a crossbar: column nodes, rows eliminated exactly, columns with held rows to precondition."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc.wires.carry import carried
from jaxaimc.wires.crossbar import Crossbar, Solution, Sources, peak_column_sum
from jaxaimc.wires.lines import Lines, fold_lines
from jaxaimc.wires.outcome import LARGEST_RESIDUAL, SolveOutcome

_ROUNDS = 4  # times that a conjugate gradient whose true violation is too large goes on
_UNSEEN = 4.0  # rounding of the voltages that no violation shows, in units of the precision's epsilon


def _dot(a: Float[Array, "rows cols"], b: Float[Array, "rows cols"]) -> Float[Array, ""]:
    # Rows first: XLA vectorises that sum on a CPU, a sum over everything it does not.
    return jnp.sum(jnp.sum(a * b, axis=0))


def folded_lines(crossbar: Crossbar) -> tuple[Lines, Lines, Array, Array]:
    """Return row and column lines, each loaded by the devices as if the other side were held, and their shares."""
    g, r_row, r_row_end, r_col, r_col_end = crossbar
    rows = fold_lines(g.T, r_row, r_row_end, near_end_first=True)
    cols = fold_lines(g, r_col, r_col_end, near_end_first=False)
    return rows, cols, rows.profile().T, cols.profile()


class _Search(NamedTuple):
    """State of the conjugate gradient; names ending in `_current` are `P` times those ending in `_voltage`."""

    current: Array
    residual: Array
    direction_voltage: Array
    direction_current: Array
    energy: Array
    direction_energy: Array
    softest: Array
    iteration: Array


class SchurSolver(NamedTuple):
    """Lines folded once; `row_share` and `col_share` are their voltages for one volt at the terminal, the others held.

    By reciprocity these are also the shares of a current put into a node that arrive at the terminal.
    """

    g: Float[Array, "rows cols"]
    rows: Lines
    cols: Lines
    row_share: Float[Array, "rows cols"]
    col_share: Float[Array, "rows cols"]
    tolerance: Float[Array, ""]
    max_iterations: int

    def _row_voltages(self, current: Float[Array, "rows cols"]) -> Float[Array, "rows cols"]:
        return self.rows.voltages(current.T).T

    def solve(self, sources: Sources) -> tuple[Solution, SolveOutcome]:
        """Search for the column voltages, and confirm them by Kirchhoff's law; see `ConjugateGradient`."""
        g = self.g
        driven = self.row_share * sources.row_terminal[:, None]
        # What the column terminals alone do to the column nodes; the search is for the rest.
        held = None if sources.col_terminal is None else self.col_share * sources.col_terminal

        def rows_for(voltage: Array) -> Array:
            """Return the row voltages that go with column voltages."""
            return driven + self._row_voltages(_less(g * voltage, sources.row_draw))

        def into_columns(row_voltage: Array) -> Array:
            return _plus(g * row_voltage, sources.col_inject)

        def as_carried(x: Array) -> Array:
            return carried(x, self, sources)

        alone = driven
        if held is not None:
            alone = rows_for(held)
        elif sources.row_draw is not None:
            # Mostly zero, of which a pass over the rows would make nothing again: a loop that runs once at most. (A
            # condition, under `vmap`, would not pass `shard_map`'s checks.)
            start = (jnp.any(sources.row_draw != 0), driven)
            once = lambda _: jax.tree.map(as_carried, (jnp.zeros((), bool), rows_for(jnp.zeros_like(g))))  # noqa: E731
            _, alone = jax.lax.while_loop(lambda state: state[0], once, jax.tree.map(as_carried, start))
        b = into_columns(alone)
        z, first = self.cols.voltages_and_power(b)

        def advance(s: _Search) -> _Search:
            applied = s.direction_current - g * self._row_voltages(g * s.direction_voltage)
            # Summed over the difference: its two parts, which other passes could sum, cancel where rows drop much.
            curvature = _dot(s.direction_voltage, applied)
            step = s.energy / curvature
            residual = s.residual - step * applied
            z, energy = self.cols.voltages_and_power(residual)
            ratio = energy / s.energy
            return _Search(
                current=s.current + step * s.direction_current,
                residual=residual,
                direction_voltage=z + ratio * s.direction_voltage,
                direction_current=residual + ratio * s.direction_current,
                energy=energy,
                direction_energy=energy + jnp.square(ratio) * s.direction_energy,
                softest=jnp.minimum(s.softest, curvature / s.direction_energy),
                iteration=s.iteration + 1,
            )

        # Without column resistance there is nothing to search for: `b` is the current already.
        current = jnp.where(first > 0, 0, b)
        start = _Search(
            current=current,
            residual=b,
            direction_voltage=z,
            direction_current=b,
            energy=first,
            direction_energy=first,
            softest=jnp.ones((), g.dtype),
            iteration=jnp.zeros((), jnp.int32),
        )
        # Conjugate gradient lowers the energy norm of the error; the tolerance is on the true violation. Where the
        # first is met and the second is not, the search goes on from where it stands.
        enough = (0.3 * self.tolerance) ** 2 * first

        def unconfirmed(state: _Confirmed) -> Array:
            going = (state.search.energy > 0) & (state.search.iteration < self.max_iterations)
            return (state.rounds == 0) | ((state.violated > self.tolerance) & going & (state.rounds < _ROUNDS))

        def confirm(state: _Confirmed) -> _Confirmed:
            def unfinished(s: _Search) -> Array:
                return (s.energy > state.enough) & (s.iteration < self.max_iterations)

            search = jax.lax.while_loop(unfinished, advance, state.search)
            col = _plus(self.cols.voltages(search.current), held)
            # Rows solved once more for the columns found, against the current those columns carry.
            row = rows_for(col)
            current = into_columns(row)
            arriving = peak_column_sum(self.col_share * current)
            violated = peak_column_sum(self.col_share * (current - search.current))
            violated = violated / jnp.where(arriving > 0, arriving, 1.0)
            return _Confirmed(search, state.enough * 1e-2, row, col, violated, state.rounds + 1)

        zero = jnp.zeros((), g.dtype)
        nothing = _Confirmed(start, enough, driven, driven, zero, jnp.zeros((), jnp.int32))
        end = jax.lax.while_loop(unconfirmed, confirm, jax.tree.map(as_carried, nothing))
        return self._terminals(sources, end.row, end.col), self._outcome(end)

    def _terminals(self, sources: Sources, row: Array, col: Array) -> Solution:
        """Read the terminal currents where they do not cancel: as shares of what enters the nodes."""
        g = self.g
        out = jnp.sum(self.col_share * _plus(g * row, sources.col_inject), axis=0)
        if sources.col_terminal is not None:
            out = out - sources.col_terminal * jnp.sum(self.col_share * g, axis=0)
        back = jnp.sum(self.row_share * _less(g * col, sources.row_draw), axis=1)
        into = sources.row_terminal * jnp.sum(self.row_share * g, axis=1) - back
        return Solution(row=row, col=col, into_rows=into, out_of_cols=out)

    def _outcome(self, end: "_Confirmed") -> SolveOutcome:
        # The softest direction met tells how much larger than a violation its effect can be: where rows and columns
        # both hold the array by large resistances, the voltage common to all nodes follows rounding alone.
        epsilon = jnp.finfo(self.g.dtype).eps
        amplification = 1 / jnp.clip(end.search.softest, epsilon, 1.0)
        residual = (end.violated + _UNSEEN * epsilon) * amplification
        allowed = jnp.maximum(self.tolerance, LARGEST_RESIDUAL)
        converged = (end.violated <= self.tolerance) & (residual <= allowed)
        return SolveOutcome(residual, end.search.iteration, converged)


def _plus(x: Array, y: Array | None) -> Array:
    return x if y is None else x + y


def _less(x: Array, y: Array | None) -> Array:
    return x if y is None else x - y


class _Confirmed(NamedTuple):
    """A search, what it found, and by how much that truly violates Kirchhoff's law."""

    search: _Search
    enough: Array
    row: Array
    col: Array
    violated: Array
    rounds: Array
