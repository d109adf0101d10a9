"""The circuit of a two-dimensional crossbar: its equations, what drives it, and derivatives of its solution.

Device (i, j) joins node (i, j) of row line i to node (i, j) of column line j. Rows are driven before column 0, columns
are held at zero volts after the last row. Written so that every term is regular for zero resistances and conductances:

    u_ij = t_i - r_row sum_p (min(j, p) + 1) i_ip      row nodes, driven at the terminals with t
    v_ij = r_col sum_k (rows - max(i, k)) i_kj         column nodes
    i_ij = I(g_ij, u_ij - v_ij)                        devices; g (u - v) where they are linear
    o_j  = sum_i i_ij                                  outputs

These are the equations to differentiate. Solvers work on others, in positive numbers, so that float32 keeps its digits
where lines are long or terminals resistive; that is why the outputs are unknowns of their own: where a large resistance
holds the column back, `sum_i g (u - v)` cancels to nothing, while the current through that resistance does not.
"""

import abc
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component
from jaxaimc.wires.carry import carried
from jaxaimc.wires.lines import voltage_drop
from jaxaimc.wires.outcome import SolveOutcome


class Crossbar(NamedTuple):
    """A crossbar of devices and wires.

    Attributes:
        g: Device conductances [S].
        r_row: Segment of a row line between neighbouring columns [ohm].
        r_row_end: From a row's driver to its first node [ohm].
        r_col: Segment of a column line between neighbouring rows [ohm].
        r_col_end: From a column's last node to its sense terminal [ohm].
    """

    g: Float[Array, "rows cols"]
    r_row: Float[Array, ""] | float
    r_row_end: Float[Array, ""] | float
    r_col: Float[Array, ""] | float
    r_col_end: Float[Array, ""] | float

    def column_voltages(self, current: Float[Array, "rows cols"]) -> Float[Array, "rows cols"]:
        """Return what device currents [A] raise the column nodes to [V]."""
        return voltage_drop(current, self.r_col, self.r_col_end, near_end_first=False)

    def row_drops(self, current: Float[Array, "rows cols"]) -> Float[Array, "rows cols"]:
        """Return what device currents [A] take off the row nodes [V]."""
        return voltage_drop(current.T, self.r_row, self.r_row_end, near_end_first=True).T

    def drops(self, current: Float[Array, "rows cols"]) -> Float[Array, "rows cols"]:
        """Return the voltage that device currents [A] cost each device, in both lines [V]."""
        return self.column_voltages(current) + self.row_drops(current)

    def reciprocal(self) -> "Crossbar":
        """Return the same circuit driven at the sense terminals and sensed at the drivers, both in reverse order."""
        g = self.g[::-1, ::-1].T
        return Crossbar(g, self.r_col, self.r_col_end, self.r_row, self.r_row_end)

    def largest_drop(self) -> Float[Array, ""]:
        """Return a bound on the drop at any device over the read voltage, were no voltage lost [1].

        The worst column's farthest node and the worst row's: no device loses more, and what all lose together bounds
        the factor by which the fixed-point iteration converges.
        """
        to_driver, to_sense = self.to_terminals()
        return jnp.max(to_sense @ self.g) + jnp.max(self.g @ to_driver)

    def to_terminals(self) -> tuple[Float[Array, " cols"], Float[Array, " rows"]]:
        """Return a row line's resistance from each node to its driver, a column line's to its sense terminal [ohm]."""
        rows, cols = self.g.shape
        to_driver = self.r_row_end + self.r_row * jnp.arange(cols, dtype=self.g.dtype)
        to_sense = self.r_col_end + self.r_col * jnp.arange(rows - 1, -1, -1, dtype=self.g.dtype)
        return to_driver, to_sense


class Sources(NamedTuple):
    """What drives a crossbar of linear devices.

    Attributes:
        row_terminal: Voltage of each row's driver [V].
        col_terminal: Voltage of each column's sense terminal [V]; None for zero.
        row_draw: Current drawn from each row node, besides its device's [A]; None for none.
        col_inject: Current put into each column node, besides its device's [A]; None for none.
    """

    row_terminal: Float[Array, " rows"]
    col_terminal: Float[Array, " cols"] | None = None
    row_draw: Float[Array, "rows cols"] | None = None
    col_inject: Float[Array, "rows cols"] | None = None


class Solution(NamedTuple):
    """Node voltages and terminal currents of a crossbar of linear devices.

    Attributes:
        row: Voltage of the row nodes [V].
        col: Voltage of the column nodes [V].
        into_rows: Current out of each row's driver [A].
        out_of_cols: Current into each column's sense terminal [A].
    """

    row: Float[Array, "rows cols"]
    col: Float[Array, "rows cols"]
    into_rows: Float[Array, " rows"]
    out_of_cols: Float[Array, " cols"]


class Solver(Protocol):
    """A crossbar made ready for any number of solves: a pytree."""

    def solve(self, sources: Sources) -> tuple[Solution, SolveOutcome]:
        """Return voltages and terminal currents; not to be differentiated."""
        ...


class Method(Component):
    """A way to solve crossbars. A method of your own derives from this and writes `prepare`.

    Gradients do not depend on it: they are implicit, one further solve.
    """

    @abc.abstractmethod
    def prepare(self, crossbar: Crossbar) -> Solver:
        """Do once what depends on the crossbar alone."""


class State(NamedTuple):
    """The unknowns of a crossbar.

    Attributes:
        terminal: Voltage of each row's driver [V].
        row: Voltage of the row nodes [V].
        col: Voltage of the column nodes [V].
        current: Current from row to column through each device [A].
        output: Current into each column's sense terminal [A].
    """

    terminal: Float[Array, " rows"]
    row: Float[Array, "rows cols"]
    col: Float[Array, "rows cols"]
    current: Float[Array, "rows cols"]
    output: Float[Array, " cols"]


class DeviceIV(Component):
    """Current of a device against its voltage. A curve of your own derives from this and writes `current`."""

    @abc.abstractmethod
    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A] at voltages `v` [V] of devices of small-signal conductance `g` [S]; rising in `v`."""


def solve_linear(
    crossbar: Crossbar, solver: Solver, v: Float[Array, " rows"], offset: Float[Array, "rows cols"] | None = None
) -> tuple[State, SolveOutcome]:
    """Return the state of a crossbar whose devices carry `g (u - v) + offset`.

    Derivatives of any order are implicit, in both modes: a further solve of the same circuit each.

    Args:
        crossbar: The circuit; derivatives flow through it.
        solver: Its solver; no derivative flows through it.
        v: Voltage of each row's driver [V].
        offset: Current of each device without a voltage across it [A]; none by default.
    """
    # All of one type: JAX transposes the equations without a look at which of their parts differ between devices.
    everything = (crossbar, v, offset)
    crossbar, v, offset = jax.tree.map(lambda part: carried(jnp.asarray(part), everything), everything)
    g = crossbar.g
    zero = jnp.zeros_like(g)
    given = State(v, zero, zero, zero if offset is None else offset, jnp.zeros_like(g[0]))
    # JAX transposes a solve only where all of it depends on what is differentiated: nothing, tied to everything.
    tie_given = 0 * (v[0] + given.current[0, 0])
    given = jax.tree.map(lambda part: part + tie_given, given)
    tie_circuit = 0 * sum(jnp.asarray(part)[(0,) * jnp.ndim(part)] for part in crossbar)

    def equations(x: State) -> State:
        tie = tie_circuit * sum(part[(0,) * part.ndim] for part in x)
        broken = State(
            terminal=x.terminal,
            row=x.row - x.terminal[:, None] + crossbar.row_drops(x.current),
            col=x.col - crossbar.column_voltages(x.current),
            current=x.current - g * (x.row - x.col),
            output=x.output - jnp.sum(x.current, axis=0),
        )
        return jax.tree.map(lambda part: part + tie, broken)

    def solve(_: object, b: State) -> tuple[State, SolveOutcome]:
        # In voltages relative to the emf of each node, all that is left of the equations is a device current.
        injected = g * (b.row - b.col) + b.current
        found, outcome = solver.solve(Sources(b.terminal, None, injected, injected))
        row, col = found.row + b.row, found.col + b.col
        state = State(b.terminal, row, col, g * (row - col) + b.current, found.out_of_cols + b.output)
        return jax.tree.map(varying, state), outcome

    def solve_adjoint(_: object, c: State) -> tuple[State, SolveOutcome]:
        # The transposed equations are those of the same circuit, driven at the sense terminals.
        draw, inject = g * c.current + c.row, g * c.current - c.col
        found, outcome = solver.solve(Sources(jnp.zeros_like(c.terminal), -c.output, draw, inject))
        across = c.current + found.row - found.col
        flow = g * across
        adjoint = State(c.terminal + found.into_rows, c.row + flow, c.col - flow, across, c.output)
        return jax.tree.map(varying, adjoint), outcome

    def varying(part: Array) -> Array:
        return carried(part, crossbar, given)

    return jax.lax.custom_linear_solve(equations, jax.tree.map(varying, given), solve, solve_adjoint, has_aux=True)


def ready(crossbar: Crossbar, method: Method) -> Solver:
    """Prepare a crossbar for solves, through which no derivative flows."""
    everything = jax.tree.map(jax.lax.stop_gradient, (method, crossbar))
    # All of one type: conditions under `vmap` do not pass `shard_map`'s checks otherwise.
    method, crossbar = jax.tree.map(lambda part: carried(jnp.asarray(part), everything), everything)
    return method.prepare(crossbar)


def peak_column_sum(current: Float[Array, "rows cols"]) -> Float[Array, ""]:
    """Return the largest sum of magnitudes of a column: the size of an array's currents, or of what violates them."""
    return jnp.max(jnp.sum(jnp.abs(current), axis=0))
