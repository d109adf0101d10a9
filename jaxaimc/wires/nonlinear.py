"""Mesh of devices whose current is not proportional to their voltage: Newton's method around the linear solver."""

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf, static
from jaxaimc.wires.base import Circuit, Placement, Solved, Wires, in_one_precision, one_by_one
from jaxaimc.wires.carry import carried
from jaxaimc.wires.crossbar import Crossbar, DeviceIV, Sources, State, peak_column_sum, ready, solve_linear
from jaxaimc.wires.curves import MiloIV
from jaxaimc.wires.mesh import Mesh, Reading, check_array
from jaxaimc.wires.outcome import SolveOutcome, check_conductances, check_converged
from jaxaimc.wires.timing import overlap


@component
class NonlinearMesh(Wires):
    """A `Mesh` whose devices follow a current-voltage curve.

    Kirchhoff's laws are solved by Newton's method: each iteration is one solve of the linear mesh whose devices are the
    tangents to the curve. Derivatives of any order are implicit: one further linear solve each.

    In a tile, amplitudes bend with the curve, while pulse-width modulated rows are at full voltage for their share of
    the time: the mesh is then solved for every set of rows that are on together.

    Attributes:
        mesh: Wires, layout of the polarities and the linear solver.
        iv: The devices' curve.
        tolerance: Newton residual to reach, of the largest current [1]; rounding limits it to 100 epsilon.
        max_iterations: Newton iterations after which the solve gives up and says so.
        signs: Sign of each polarity's drive, as in the cell.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.wires import PolynomialIV
        >>> wires = NonlinearMesh(mesh=Mesh(r_row=0.0, r_col=0.0), iv=PolynomialIV(c3=2.0))
        >>> [round(float(i), 5) for i in wires.read(jnp.array([[1e-3]]), jnp.array([0.5])).current * 1e3]
        [0.75]
    """

    resistances: ClassVar[tuple[str, ...]] = ("r_row", "r_col")

    mesh: Mesh = Mesh()
    iv: DeviceIV = MiloIV()
    tolerance: float = leaf(1e-11, above=0.0, high=1.0)
    max_iterations: int = static(default=30, low=1, high=10_000)
    signs: tuple[float, ...] = static(default=(1.0, -1.0))

    def read(self, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Reading:
        """Return the output currents of one array for row voltages; one Newton solve per vector.

        Args:
            g: Small-signal conductances of the devices [S].
            v: Voltage of each row's driver [V].

        Returns:
            Currents and the outcome of the solves; iterations count Newton's.

        Raises:
            ValueError: If `v` has another number of rows than `g`, or, outside jit, a conductance is negative or
                anything not finite.
            ConvergenceError: Outside jit, if a solve did not reach its tolerance; under jit the outcome says so.
        """
        reading = _read(self, *check_array(g, v))
        check_converged("NonlinearMesh", reading.outcome)
        return reading

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Solved:
        """Return the arrays as a circuit, and as linear tile the mesh at vanishing voltage.

        Args:
            g: Small-signal conductances of the devices [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.

        Raises:
            ValueError: If `signs` are not those of the field, or a conductance that is known is negative or not finite.
        """
        if signs != self.signs:
            raise ValueError(f"Field `signs` of NonlinearMesh must be the cell's, {signs}, but is {self.signs}.")
        check_conductances("g", g)
        polarities, rows, _ = g.shape
        down, across = self.mesh.layout.pitch(polarities)
        after, before = placement.rows_after(rows) * down, placement.col_start * across
        crossbars = jax.vmap(lambda a: self.mesh.crossbar(a, after, before))(self.mesh.layout.arrange(g))
        circuit = CurvedArrays(crossbars=crossbars, wires=jax.tree.map(jnp.asarray, self), cols=g.shape[2])
        return Solved(linear=self.mesh.effective(g, signs, placement), circuit=circuit)


@component
class CurvedArrays(Circuit):
    """Physical arrays of a tile whose devices follow a curve.

    Attributes:
        crossbars: A `Crossbar` whose arrays have a leading axis (array).
        wires: The wires that they belong to.
        cols: Columns of the tile.
    """

    crossbars: Any
    wires: NonlinearMesh
    cols: int = static()

    def charge(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool, v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        Timed pulses start together, idle rows are held at zero volts. A column of `n` rows takes at most `n` or `steps`
        Newton solves per vector, whichever is less, one after the other: memory is that of a few solves. The result is
        exact where pulses end on the drive's steps, and wherever rows are fewer than steps.

        A vector whose solve did not converge has NaN for outputs: under jit nothing else would be seen of it.

        Args:
            level: Signed pulses as a share of the longest, or of the read voltage [1].
            steps: Whole steps of a full-scale pulse; 0 where levels are no multiples of one over it.
            timed: Whether a level is the share of time for which its row is at full voltage. Otherwise it is driven
                with that share of the voltage, for the whole pulse.
            v_read: Read voltage [V].

        Returns:
            The charges. Gradients are exact; in the length of a pulse, where there are more rows than steps, they take
            the mean slope of the curve for its difference quotient.
        """
        return _charge(self, level, v_read, steps, timed)

    def current(self, share: Float[Array, " rows"], v_read: Float[Array, ""] | float) -> Float[Array, " cols"]:
        """Return the output current per volt [S] while rows are at shares of the read voltage [V]."""
        drives = self.wires.mesh.layout.drive(share * v_read, self.wires.signs)
        states, outcome = jax.vmap(partial(_solve, self.wires))(self.crossbars, drives)
        current = jnp.where(outcome.converged[:, None], states.output, jnp.nan)
        return self.wires.mesh.layout.combine(current, self.wires.signs) / v_read


@partial(jax.jit, static_argnums=(3, 4))
def _charge(
    arrays: CurvedArrays, level: Float[Array, "*batch rows"], v_read: Float[Array, ""] | float, steps: int, timed: bool
) -> Float[Array, "*batch cols"]:
    arrays, level = in_one_precision(arrays, level)
    v_read = jnp.asarray(v_read, level.dtype)
    rows = level.shape[-1]

    def amplitudes(vector: Array) -> Array:
        return arrays.current(vector, v_read)

    def by_length(vector: Array) -> Array:
        # Shortest pulse first: between the ends of two pulses, all rows that rank behind are on.
        sign = jnp.where(vector < 0, -1.0, 1.0).astype(vector.dtype)
        length = sign * vector
        order = jnp.argsort(jax.lax.stop_gradient(length))
        rank = jnp.zeros(rows, order.dtype).at[order].set(jnp.arange(rows, dtype=order.dtype))
        ends = length[order]
        widths = jnp.diff(ends, prepend=jnp.zeros_like(ends[:1]))
        return add_up(vector, lambda n: jnp.where(rank >= n, sign, 0.0), widths)

    def by_step(vector: Array) -> Array:
        sign = jnp.where(vector < 0, -1.0, 1.0).astype(vector.dtype)
        end = steps * sign * vector

        def on(step: Array) -> Array:
            low = step.astype(end.dtype)
            return sign * overlap(jnp.zeros_like(end), end, low, low + 1, steps)

        return add_up(vector, on, jnp.full(steps, 1 / steps, vector.dtype))

    def add_up(vector: Array, on: Any, widths: Array) -> Array:
        @jax.checkpoint
        def add(total: Array, interval: tuple[Array, Array]) -> tuple[Array, None]:
            index, width = interval
            return total + width * arrays.current(on(index), v_read), None

        none = carried(jnp.zeros(arrays.cols, vector.dtype), arrays, vector)
        return jax.lax.scan(add, none, (jnp.arange(widths.shape[0]), widths))[0]

    one = amplitudes if not timed else by_step if 0 < steps < rows else by_length
    return one_by_one(one, level, arrays.cols)


@jax.jit
def _read(wires: NonlinearMesh, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Reading:
    batch, crossbar = v.shape[:-1], wires.mesh.crossbar(g)
    if 0 in batch:
        return wires.mesh.read(g, v)

    def one(vector: Array) -> tuple[Array, SolveOutcome]:
        state, outcome = _solve(wires, crossbar, vector)
        return state.output, outcome

    found = jax.lax.map(one, v.reshape(-1, g.shape[0]))
    return Reading(*jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), found))


def _solve(wires: NonlinearMesh, crossbar: Crossbar, v: Float[Array, " rows"]) -> tuple[State, SolveOutcome]:
    """Return the state of an array with drivers at `v` [V]: exact gradients of any order."""
    everything = jax.tree.map(jax.lax.stop_gradient, (wires.iv, crossbar, v, wires.mesh.method))
    iv, still, drivers, method = jax.tree.map(lambda part: carried(jnp.asarray(part), everything), everything)
    g = still.g
    # Any tolerance below rounding would never be reached.
    enough = jnp.maximum(jnp.asarray(jax.lax.stop_gradient(wires.tolerance), g.dtype), 100 * jnp.finfo(g.dtype).eps)

    def newton(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        e, _, iteration = state
        current, slope, intercept = _tangents(iv, g, e)
        solver = ready(still._replace(g=slope), method)
        found, _ = solver.solve(Sources(drivers, None, intercept, intercept))
        new = found.row - found.col
        # Judged by what the step changed in the currents: quadratic, so the error left is far below it.
        entering = peak_column_sum(slope * found.row + intercept)
        change = peak_column_sum(iv.current(g, new) - current)
        return new, change / jnp.where(entering > 0, entering, 1.0), iteration + 1

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        return (state[1] > enough) & (state[2] < wires.max_iterations)

    start = (jnp.broadcast_to(drivers[:, None], g.shape), jnp.ones((), g.dtype), jnp.zeros((), jnp.int32))
    start = jax.tree.map(lambda x: carried(x, iv, still, drivers, method), start)
    e, change, iterations = jax.lax.while_loop(unfinished, newton, start)
    # Steps that derivatives see: at the solution they change nothing, but one carries first derivatives, a second one
    # those up to the third order.
    e = jax.lax.stop_gradient(e)
    for _ in range(2):
        _, slope, intercept = _tangents(wires.iv, crossbar.g, e)
        linear = crossbar._replace(g=slope)
        state, last = solve_linear(linear, ready(linear, method), v, intercept)
        e = state.row - state.col
    # A linear solve that gave up makes small steps as well: both have to have converged.
    outcome = SolveOutcome(jnp.maximum(change, last.residual), iterations, (change <= enough) & last.converged)
    return state, outcome


def _tangents(iv: DeviceIV, g: Array, e: Array) -> tuple[Array, Array, Array]:
    """Return the devices' currents [A], and slopes [S] and intercepts [A] of the tangents to their curves."""
    current, slope = jax.jvp(lambda x: iv.current(g, x), (e,), (jnp.ones_like(e),))
    return current, slope, current - slope * e
