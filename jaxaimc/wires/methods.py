"""Methods for the crossbar network: fixed point, conjugate gradient on the column Schur complement, or a choice."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc.wires.lines import Lines, fold_lines
from jaxaimc.wires.network import Network, Outcome, peak_column_sum

# A residual is a difference of numbers near one: what rounding alone leaves, in units of the precision's epsilon.
_ROUNDING = 100.0
_FEW_ITERATIONS = 3.0  # of the fixed point, that are cheaper than the conjugate gradient
_ROUNDS = 4  # times that a conjugate gradient whose true residual is too large goes on


def _reachable(tolerance: Array | float, dtype: jnp.dtype) -> Array:
    """Return the tolerance, or what the precision allows where that is larger."""
    return jnp.maximum(jnp.asarray(tolerance, dtype), _ROUNDING * jnp.finfo(dtype).eps)


def _dot(a: Float[Array, "rows cols"], b: Float[Array, "rows cols"]) -> Float[Array, ""]:
    # Rows first: XLA vectorises that sum on a CPU, a sum over everything it does not.
    return jnp.sum(jnp.sum(a * b, axis=0))


@component
class ConjugateGradient:
    """Conjugate gradient on the column nodes, rows eliminated exactly, columns with held rows as preconditioner.

    With `A` the row lines and `P` the column lines, each loaded by the devices as if the other side were held, the
    column nodes obey `(P - G A^-1 G) v = G (emf - A^-1 G emf)`. Both inverses are ladder reductions in positive
    numbers, and the product `P p` of each search direction is carried along by recurrence, so that no nodal matrix is
    ever applied. The error falls by orders of magnitude per iteration until rows and columns both drop most of the
    voltage.

    Attributes:
        tolerance: Residual to reach [1]; rounding limits it to 100 epsilon of the precision (1.2e-5 in float32).
        max_iterations: Iterations after which the solve gives up and says so.
    """

    tolerance: float = 1e-11
    max_iterations: int = static(default=500)

    def __post_init__(self) -> None:
        check_integer("ConjugateGradient", "max_iterations", self.max_iterations, low=1, high=1_000_000)

    def prepare(self, network: Network) -> "_SchurSolver":
        """Fold all row and column lines."""
        tolerance = _reachable(self.tolerance, network.g.dtype)
        return _SchurSolver(network.g, *_fold(network), tolerance, self.max_iterations)

    def validate(self) -> None:
        """Check the tolerance.

        Raises:
            ValueError: If it is not greater than zero and at most one.
        """
        check_number("ConjugateGradient", "tolerance", self.tolerance, low=0.0, high=1.0, open_low=True)


def _fold(network: Network) -> tuple[Lines, Lines]:
    """Return row lines and column lines, each loaded by the devices."""
    g, r_row, r_row_end, r_col, r_col_end = network
    return (
        fold_lines(g.T, r_row, r_row_end, near_end_first=True),
        fold_lines(g, r_col, r_col_end, near_end_first=False),
    )


class _Search(NamedTuple):
    """State of the conjugate gradient; names ending in `_current` are `P` times those ending in `_voltage`."""

    current: Array
    residual: Array
    direction_voltage: Array
    direction_current: Array
    energy: Array
    iteration: Array


class _SchurSolver(NamedTuple):
    g: Float[Array, "rows cols"]
    rows: Lines
    cols: Lines
    tolerance: Float[Array, ""]
    max_iterations: int

    def _row_voltages(self, current: Float[Array, "rows cols"]) -> Float[Array, "rows cols"]:
        return self.rows.voltages(current.T).T

    def solve(self, emf: Float[Array, "rows cols"]) -> tuple[Float[Array, "rows cols"], Outcome]:
        g = self.g
        b = g * (emf - self._row_voltages(g * emf))
        z, first = self.cols.voltages_and_power(b)

        def advance(s: _Search) -> _Search:
            applied = s.direction_current - g * self._row_voltages(g * s.direction_voltage)
            # Summed over the difference: its two parts, which other passes could sum, cancel where rows drop much.
            step = s.energy / _dot(s.direction_voltage, applied)
            residual = s.residual - step * applied
            z, energy = self.cols.voltages_and_power(residual)
            ratio = energy / s.energy
            return _Search(
                current=s.current + step * s.direction_current,
                residual=residual,
                direction_voltage=z + ratio * s.direction_voltage,
                direction_current=residual + ratio * s.direction_current,
                energy=energy,
                iteration=s.iteration + 1,
            )

        # Without column resistance there is nothing to search for: `b` is the current already.
        current = jnp.where(first > 0, 0, b)
        start = _Search(current, b, z, b, first, jnp.zeros((), jnp.int32))
        # Conjugate gradient lowers the energy norm of the error; the tolerance is on the true residual. Where the
        # first is met and the second is not, the search goes on from where it stands.
        enough = (0.3 * self.tolerance) ** 2 * first

        def unconfirmed(state: _Confirmed) -> Array:
            going = (state.search.energy > 0) & (state.search.iteration < self.max_iterations)
            return (state.rounds == 0) | ((state.residual > self.tolerance) & going & (state.rounds < _ROUNDS))

        def confirm(state: _Confirmed) -> _Confirmed:
            def unfinished(s: _Search) -> Array:
                return (s.energy > state.enough) & (s.iteration < self.max_iterations)

            search = jax.lax.while_loop(unfinished, advance, state.search)
            voltage = self.cols.voltages(search.current)
            # Rows solved once more for the columns found, against the current those columns carry.
            row_emf = emf - self._row_voltages(g * (emf - voltage))
            current = g * row_emf
            carried = peak_column_sum(current)
            residual = peak_column_sum(current - search.current) / jnp.where(carried > 0, carried, 1.0)
            return _Confirmed(search, state.enough * 1e-2, row_emf - voltage, residual, state.rounds + 1)

        zero = jnp.zeros((), emf.dtype)
        end = jax.lax.while_loop(unconfirmed, confirm, _Confirmed(start, enough, emf, zero, jnp.zeros((), jnp.int32)))
        return end.e, Outcome(end.residual, end.search.iteration, end.residual <= self.tolerance)


class _Confirmed(NamedTuple):
    """A search, what it found, and the true residual of that."""

    search: _Search
    enough: Array
    e: Array
    residual: Array
    rounds: Array


@component
class FixedPoint:
    """The plain iteration `i <- G (emf - K i)` on the device currents: cheap where the drop is small.

    It converges where the drop's largest eigenvalue, about `4 (rows^2 r_col + cols^2 r_row) mean(g) / pi^2`, is below
    one, and gains that factor per iteration; where it does not converge the outcome says so.

    Attributes:
        tolerance: Residual to reach [1]; rounding limits it to 100 epsilon of the precision.
        max_iterations: Iterations at most.
    """

    tolerance: float = 1e-11
    max_iterations: int = static(default=200)

    def __post_init__(self) -> None:
        check_integer("FixedPoint", "max_iterations", self.max_iterations, low=1, high=1_000_000)

    def prepare(self, network: Network) -> "_FixedPointSolver":
        """Keep the network: nothing depends on it alone."""
        return _FixedPointSolver(network, _reachable(self.tolerance, network.g.dtype), self.max_iterations)

    def validate(self) -> None:
        """Check the tolerance.

        Raises:
            ValueError: If it is not greater than zero and at most one.
        """
        check_number("FixedPoint", "tolerance", self.tolerance, low=0.0, high=1.0, open_low=True)


class _FixedPointSolver(NamedTuple):
    network: Network
    tolerance: Float[Array, ""]
    max_iterations: int

    def solve(self, emf: Float[Array, "rows cols"]) -> tuple[Float[Array, "rows cols"], Outcome]:
        g = self.network.g

        undropped = peak_column_sum(g * emf)

        def unfinished(state: _Iterate) -> Array:
            # A diverging iteration stops early: nothing is gained by running into infinities.
            hopeful = (state.change > self.tolerance * state.carried) & (state.change < 1e3 * undropped)
            return hopeful & (state.iteration < self.max_iterations)

        def advance(state: _Iterate) -> _Iterate:
            e = emf - self.network.drops(g * state.e)
            change = peak_column_sum(g * (e - state.e))
            return _Iterate(e, change, peak_column_sum(g * e), state.iteration + 1)

        start = _Iterate(emf, undropped, undropped, jnp.zeros((), jnp.int32))
        end = jax.lax.while_loop(unfinished, advance, start)
        residual = end.change / jnp.where(end.carried > 0, end.carried, 1.0)
        return end.e, Outcome(residual, end.iteration, residual <= self.tolerance)


class _Iterate(NamedTuple):
    e: Array
    change: Array
    carried: Array
    iteration: Array


@component
class Automatic:
    """Fixed point where the drop is so small that it needs few iterations, conjugate gradient elsewhere.

    With every device at full voltage the largest drop over a read voltage of one is the norm of the iteration, so that
    its number of iterations is known beforehand. One of the conjugate gradient, which folds all lines first, costs as
    much as two or three: measured in single precision, 64 x 64 to 512 x 512, the fixed point takes 47 to 90 % of its
    time where it is chosen.

    Attributes:
        tolerance: Residual to reach [1]; rounding limits it to 100 epsilon of the precision.
        max_iterations: Iterations at most.
    """

    tolerance: float = 1e-11
    max_iterations: int = static(default=500)

    def __post_init__(self) -> None:
        check_integer("Automatic", "max_iterations", self.max_iterations, low=1, high=1_000_000)

    def prepare(self, network: Network) -> "_ChosenSolver":
        """Estimate the drop, and fold the lines where they are needed."""
        tolerance = _reachable(self.tolerance, network.g.dtype)
        small = network.largest_drop() <= tolerance ** (1 / _FEW_ITERATIONS)

        def folded(network: Network) -> list[tuple[Array, Array]]:
            return [(lines.divider, lines.segment) for lines in _fold(network)]

        def unused(network: Network) -> list[tuple[Array, Array]]:
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(folded, network))

        rows, cols = jax.lax.cond(small, unused, folded, network)
        rows, cols = Lines(*rows, near_end_first=True), Lines(*cols, near_end_first=False)
        return _ChosenSolver(
            small=small,
            fixed_point=_FixedPointSolver(network, tolerance, self.max_iterations),
            gradient=_SchurSolver(network.g, rows, cols, tolerance, self.max_iterations),
        )

    def validate(self) -> None:
        """Check the tolerance.

        Raises:
            ValueError: If it is not greater than zero and at most one.
        """
        check_number("Automatic", "tolerance", self.tolerance, low=0.0, high=1.0, open_low=True)


class _ChosenSolver(NamedTuple):
    small: Bool[Array, ""]
    fixed_point: _FixedPointSolver
    gradient: _SchurSolver

    def solve(self, emf: Float[Array, "rows cols"]) -> tuple[Float[Array, "rows cols"], Outcome]:
        return jax.lax.cond(self.small, self.fixed_point.solve, self.gradient.solve, emf)
