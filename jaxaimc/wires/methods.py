"""Methods for the crossbar: fixed point, conjugate gradient on the column Schur complement, or a choice."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxaimc._core.component import component, leaf, static
from jaxaimc.wires.carry import carried
from jaxaimc.wires.conjugate import SchurSolver, folded_lines
from jaxaimc.wires.crossbar import Crossbar, Method, Solution, Sources, peak_column_sum
from jaxaimc.wires.lines import Lines
from jaxaimc.wires.outcome import LARGEST_RESIDUAL, SolveOutcome

# A residual is a difference of numbers near one: what rounding alone leaves, in units of the precision's epsilon.
_ROUNDING = 100.0
_FEW_ITERATIONS = 3.0  # of the fixed point, that are cheaper than the conjugate gradient


def _reachable(tolerance: Array | float, dtype: jnp.dtype) -> Array:
    """Return the tolerance, or what the precision allows where that is larger."""
    return jnp.maximum(jnp.asarray(tolerance, dtype), _ROUNDING * jnp.finfo(dtype).eps)


@component
class ConjugateGradient(Method):
    """Conjugate gradient on the column nodes, rows eliminated exactly, columns with held rows as preconditioner.

    With `A` the row lines and `P` the column lines, each loaded by the devices as if the other side were held, and `u0`
    the row voltages that the drivers alone would give, the column nodes obey `(P - G A^-1 G) v = G u0`. Both inverses
    are ladder reductions in positive numbers, and the product `P p` of each search direction is carried along by
    recurrence, so that no nodal matrix is ever applied. The error falls by orders of magnitude per iteration until rows
    and columns both drop most of the voltage.

    Attributes:
        tolerance: Violation of Kirchhoff's law to reach, of the largest current [1]; rounding limits it to 100 epsilon
            of the precision (1.2e-5 in float32).
        max_iterations: Iterations after which the solve gives up and says so.
    """

    tolerance: float = leaf(1e-11, above=0.0, high=1.0)
    max_iterations: int = static(default=500, low=1, high=1_000_000)

    def prepare(self, crossbar: Crossbar) -> SchurSolver:
        """Fold all row and column lines."""
        tolerance = _reachable(self.tolerance, crossbar.g.dtype)
        return SchurSolver(crossbar.g, *folded_lines(crossbar), tolerance, self.max_iterations)


@component
class FixedPoint(Method):
    """The plain iteration `i <- G (emf - K i)` on the device currents: cheap where the drop is small.

    It converges where the drop's largest eigenvalue, about `4 (rows^2 r_col + cols^2 r_row) mean(g) / pi^2`, is below
    one, and gains that factor per iteration; where it does not converge the outcome says so.

    Attributes:
        tolerance: Violation of Kirchhoff's law to reach, of the largest current [1]; rounding limits it to 100 epsilon
            of the precision.
        max_iterations: Iterations at most.
    """

    tolerance: float = leaf(1e-11, above=0.0, high=1.0)
    max_iterations: int = static(default=200, low=1, high=1_000_000)

    def prepare(self, crossbar: Crossbar) -> "_FixedPointSolver":
        """Keep the crossbar: nothing depends on it alone."""
        return _FixedPointSolver(crossbar, _reachable(self.tolerance, crossbar.g.dtype), self.max_iterations)


class _FixedPointSolver(NamedTuple):
    crossbar: Crossbar
    tolerance: Float[Array, ""]
    max_iterations: int

    def solve(self, sources: Sources) -> tuple[Solution, SolveOutcome]:
        crossbar, g = self.crossbar, self.crossbar.g
        # What the sources do where the devices carry nothing.
        row = jnp.broadcast_to(sources.row_terminal[:, None], g.shape)
        if sources.row_draw is not None:
            row = row - crossbar.row_drops(sources.row_draw)
        col = jnp.zeros_like(g) if sources.col_terminal is None else jnp.broadcast_to(sources.col_terminal, g.shape)
        if sources.col_inject is not None:
            col = col + crossbar.column_voltages(sources.col_inject)
        emf = row - col
        undropped = peak_column_sum(g * emf)

        def unfinished(state: _Iterate) -> Array:
            # A diverging iteration stops early: nothing is gained by running into infinities.
            hopeful = (state.change > self.tolerance * state.carried) & (state.change < 1e3 * undropped)
            return hopeful & (state.iteration < self.max_iterations)

        def advance(state: _Iterate) -> _Iterate:
            e = emf - crossbar.drops(g * state.e)
            change = peak_column_sum(g * (e - state.e))
            return _Iterate(e, change, peak_column_sum(g * e), state.iteration + 1)

        start = _Iterate(emf, undropped, undropped, jnp.zeros((), jnp.int32))
        start = jax.tree.map(lambda x: carried(x, self, sources), start)
        end = jax.lax.while_loop(unfinished, advance, start)
        current = g * end.e
        drawn = current if sources.row_draw is None else current + sources.row_draw
        given = current if sources.col_inject is None else current + sources.col_inject
        solution = Solution(
            row=row - crossbar.row_drops(current),
            col=col + crossbar.column_voltages(current),
            into_rows=jnp.sum(drawn, axis=1),
            out_of_cols=jnp.sum(given, axis=0),
        )
        return solution, self._outcome(end)

    def _outcome(self, end: "_Iterate") -> SolveOutcome:
        epsilon = jnp.finfo(end.e.dtype).eps
        violated = end.change / jnp.where(end.carried > 0, end.carried, 1.0)
        # The outputs are differences of drive and drop: no smaller than the drop leaves them.
        amplification = 1 + self.crossbar.largest_drop()
        residual = (violated + epsilon) * amplification
        allowed = jnp.maximum(self.tolerance, LARGEST_RESIDUAL)
        return SolveOutcome(residual, end.iteration, (violated <= self.tolerance) & (residual <= allowed))


class _Iterate(NamedTuple):
    e: Array
    change: Array
    carried: Array
    iteration: Array


@component
class Automatic(Method):
    """Fixed point where the drop is so small that it needs few iterations, conjugate gradient elsewhere.

    With every device at full voltage the largest drop over a read voltage of one is the norm of the iteration, so that
    its number of iterations is known beforehand. One of the conjugate gradient, which folds all lines first, costs as
    much as two or three: measured in single precision, 64 x 64 to 512 x 512, the fixed point takes 47 to 90 % of its
    time where it is chosen.

    Attributes:
        tolerance: Violation of Kirchhoff's law to reach, of the largest current [1]; rounding limits it to 100 epsilon
            of the precision.
        max_iterations: Iterations at most.
    """

    tolerance: float = leaf(1e-11, above=0.0, high=1.0)
    max_iterations: int = static(default=500, low=1, high=1_000_000)

    def prepare(self, crossbar: Crossbar) -> "_ChosenSolver":
        """Estimate the drop, and fold the lines where they are needed."""
        tolerance = _reachable(self.tolerance, crossbar.g.dtype)
        small = crossbar.largest_drop() <= tolerance ** (1 / _FEW_ITERATIONS)

        def folded(crossbar: Crossbar) -> tuple[Lines, Lines, Array, Array]:
            return jax.tree.map(lambda x: carried(x, crossbar), folded_lines(crossbar))

        def unused(crossbar: Crossbar) -> tuple[Lines, Lines, Array, Array]:
            shapes = jax.eval_shape(folded_lines, crossbar)
            return jax.tree.map(lambda x: carried(jnp.zeros(x.shape, x.dtype), crossbar), shapes)

        rows, cols, row_share, col_share = jax.lax.cond(small, unused, folded, crossbar)
        return _ChosenSolver(
            small=small,
            fixed_point=_FixedPointSolver(crossbar, tolerance, self.max_iterations),
            gradient=SchurSolver(crossbar.g, rows, cols, row_share, col_share, tolerance, self.max_iterations),
        )


class _ChosenSolver(NamedTuple):
    small: Bool[Array, ""]
    fixed_point: _FixedPointSolver
    gradient: SchurSolver

    def solve(self, sources: Sources) -> tuple[Solution, SolveOutcome]:
        return jax.lax.cond(self.small, self.fixed_point.solve, self.gradient.solve, sources)
