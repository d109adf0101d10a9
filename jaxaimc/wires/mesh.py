"""Two-dimensional mesh: resistance in rows and columns, solved exactly, per vector or once for the whole tile."""

from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.arguments import check_trailing
from jaxaimc._core.component import component, leaf, static
from jaxaimc.units import ohm
from jaxaimc.wires.base import Linear, Placement, Wires, signed_sum
from jaxaimc.wires.conjugate import folded_lines
from jaxaimc.wires.crossbar import Crossbar, Method, Sources, ready, solve_linear
from jaxaimc.wires.elimination import transfer_matrix
from jaxaimc.wires.layouts import Layout, Separate
from jaxaimc.wires.methods import Automatic
from jaxaimc.wires.outcome import (
    SolveOutcome,
    check_conductances,
    check_converged,
    check_residual,
    check_voltages,
)
from jaxaimc.wires.supply import mesh_power


class Reading(NamedTuple):
    """Output currents of an array.

    Attributes:
        current: Current into each column's sense terminal [A].
        outcome: How the solve of each vector went.
    """

    current: Float[Array, "*batch cols"]
    outcome: SolveOutcome


class OperatingPoint(NamedTuple):
    """Voltages and currents everywhere in an array, for one input vector.

    Attributes:
        row_voltage: Voltage of the row nodes [V].
        col_voltage: Voltage of the column nodes [V].
        device_current: Current from row to column through each device [A].
        outcome: How the solve went.
    """

    row_voltage: Float[Array, "rows cols"]
    col_voltage: Float[Array, "rows cols"]
    device_current: Float[Array, "rows cols"]
    outcome: SolveOutcome


@component
class Mesh(Wires):
    """Resistive row and column wires: rows driven before the first column, columns sensed after the last row.

    Sense terminals are at zero volts, and idle rows are held there too. The circuit is the common crossbar model (for
    example Xiao et al. 2022, arXiv 2109.01262); it is linear, so a programmed tile folds into one effective matrix.

    Attributes:
        r_row: Segment of a row line between neighbouring devices [ohm].
        r_col: Segment of a column line between neighbouring devices [ohm].
        row_lead: Length of a row line from its driver to the tile's first device, in segments [1].
        col_lead: Length of a column line from the tile's last device to its sense circuit, in segments [1].
        r_driver: Output resistance of a row driver [ohm].
        r_sense: Input resistance of a column's sense circuit [ohm].
        r_row_terminal: Contact between a row line and its driver [ohm].
        r_col_terminal: Contact between a column line and its sense circuit [ohm].
        layout: How the polarities of a cell lie on physical arrays.
        method: How single vectors are solved; by default chosen by the size of the drop.
        solve_up_to: Number of vectors up to which each is solved. For more, `read` folds the array into its effective
            matrix first, and the effective matrix of an array with more rows and columns comes from an elimination,
            which is faster there (at 64 x 64 as well, five times) but takes ten times as long to compile.

    Example:
        >>> import jax.numpy as jnp
        >>> g = jnp.array([[1e-4, 5e-5], [2e-5, 1e-4]])
        >>> [round(float(i) * 1e6, 3) for i in Mesh(r_row=10.0, r_col=10.0).read(g, jnp.array([0.2, 0.1])).current]
        [21.921, 19.923]
    """

    resistances: ClassVar[tuple[str, ...]] = ("r_row", "r_col")
    supply_model: ClassVar[str] = "exact for rows or columns alone, their effects in series"

    r_row: float = leaf(1.0 * ohm, "ohm", low=0.0, high=1e9)
    r_col: float = leaf(1.0 * ohm, "ohm", low=0.0, high=1e9)
    row_lead: float = leaf(1.0, low=0.0, high=1e6)
    col_lead: float = leaf(1.0, low=0.0, high=1e6)
    r_driver: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e9)
    r_sense: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e9)
    r_row_terminal: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e9)
    r_col_terminal: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e9)
    layout: Layout = Separate()
    method: Method = Automatic()
    solve_up_to: int = static(default=64, low=0, high=2**31 - 1)

    def crossbar(self, g: Float[Array, "lines wires"], rows_after: int = 0, cols_before: int = 0) -> Crossbar:
        """Return the circuit of one physical array.

        Args:
            g: Device conductances [S].
            rows_after: Unused rows between the last device and the sense circuits.
            cols_before: Unused columns between the drivers and the first device.

        Returns:
            The circuit.
        """
        resistances = (
            self.r_row,
            self.r_row * (self.row_lead + cols_before) + self.r_driver + self.r_row_terminal,
            self.r_col,
            self.r_col * (self.col_lead + rows_after) + self.r_sense + self.r_col_terminal,
        )
        # A double-precision leaf must not change the type of single-precision loops.
        return Crossbar(g, *(jnp.asarray(r, g.dtype) for r in resistances))

    def read(self, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Reading:
        """Return the output currents of one array for row voltages.

        Up to `solve_up_to` vectors are solved one by one; more share an effective matrix, built once, and their
        outcome is then that of a check: all rows at one volt, solved. Gradients are exact and of any order: implicit
        for single solves, through a direct elimination for the matrix.

        Args:
            g: Device conductances [S].
            v: Voltage of each row's driver [V], against the sense terminals.

        Returns:
            Currents and the outcome of the solves.

        Raises:
            ValueError: If `v` has another number of rows than `g`, or, outside jit, a conductance is negative or
                anything not finite.
            ConvergenceError: Outside jit, if a solve did not reach its tolerance; under jit the outcome says so.
        """
        g, v = check_array(g, v)
        reading = _read(self, g, v)
        if v.size // g.shape[0] > self.solve_up_to:
            check_residual("Mesh", reading.outcome.residual)
        else:
            check_converged("Mesh", reading.outcome)
        return reading

    def operating_point(self, g: Float[Array, "rows cols"], v: Float[Array, " rows"]) -> OperatingPoint:
        """Return all node voltages and device currents of one array for one vector of row voltages [V].

        Args:
            g: Device conductances [S].
            v: Voltage of each row's driver [V].

        Returns:
            The operating point; exact gradients.

        Raises:
            ValueError: As for `read`.
            ConvergenceError: As for `read`.
        """
        point = _operating_point(self, *check_array(g, v))
        check_converged("Mesh", point.outcome)
        return point

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Linear:
        """Return the exact effective matrix of a block of cells.

        Arrays of up to `solve_up_to` rows or columns are solved once for each of these, larger ones by elimination.

        The sensitivity of a device is its row's share of the read voltage times its column's share of the current,
        each taken from the line's own ladder with the other lines held; it equals the derivative of the effective
        weight in its own device to first order in the resistances.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile; unused rows and columns lengthen the leads.

        Returns:
            The effective matrix, sensitivities, no baseline, and the residual: the largest of the solves, or that of a
            check against a solved vector.
        """
        check_conductances("g", g)
        return _effective(self, g, signs, placement)

    def supply_power(
        self,
        g: Float[Array, "polarity rows cols"],
        signs: tuple[float, ...],
        placement: Placement,
        level: Float[Array, "*batch rows"],
        *,
        timed: bool,
        v_read: Float[Array, ""] | float,
    ) -> Float[Array, "*batch"]:
        """Return the power that row drivers deliver, mean over the longest pulse [W]; see `supply.mesh_power`.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.
            level: Signed pulses as a share of the largest one [1].
            timed: Whether a level is a share of time, or of the read voltage.
            v_read: Read voltage [V].
        """
        down, across = self.layout.pitch(g.shape[0])
        place = placement.rows_after(g.shape[1]) * down, placement.col_start * across
        lines = jax.vmap(lambda vector: self.layout.drive(vector, signs))(level.reshape(-1, level.shape[-1]))
        each = [
            mesh_power(self.crossbar(devices, *place), lines[:, k], timed=timed, v_read=v_read)
            for k, devices in enumerate(self.layout.arrange(g))
        ]
        return sum(each, jnp.zeros((), g.dtype)).reshape(level.shape[:-1])


def check_array(g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> tuple[Array, Array]:
    """Check conductances [S] and row voltages [V] of an array, and return the voltages in the conductances' type.

    Raises:
        ValueError: If the voltages have another number of rows, or, where they are known, a conductance is negative or
            anything not finite.
    """
    check_trailing("v", v, g.shape[0])
    check_conductances("g", g)
    check_voltages("v", v)
    g = jnp.asarray(g)
    return g, jnp.asarray(v, g.dtype)


@jax.jit
def _read(mesh: Mesh, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Reading:
    batch, vectors, crossbar = v.shape[:-1], v.reshape(-1, g.shape[0]), mesh.crossbar(g)
    if 0 in batch:
        nothing = jnp.zeros(batch, g.dtype)
        outcome = SolveOutcome(nothing, nothing.astype(jnp.int32), nothing == 0)
        return Reading(jnp.zeros((*batch, g.shape[1]), g.dtype), outcome)
    if vectors.shape[0] > mesh.solve_up_to:
        transfer = transfer_matrix(crossbar)
        current = jnp.matmul(vectors, transfer, precision="highest")
        outcome = jax.tree.map(lambda x: jnp.broadcast_to(x, batch), _check(mesh, crossbar, transfer))
        return Reading(current.reshape(*batch, g.shape[1]), outcome)
    solver = ready(crossbar, mesh.method)

    def one(vector: Array) -> tuple[Array, SolveOutcome]:
        state, outcome = solve_linear(crossbar, solver, vector)
        return state.output, outcome

    found = jax.lax.map(one, vectors, batch_size=_vectors_at_once(g))
    return Reading(*jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), found))


@jax.jit
def _operating_point(mesh: Mesh, g: Float[Array, "rows cols"], v: Float[Array, " rows"]) -> OperatingPoint:
    crossbar = mesh.crossbar(g)
    state, outcome = solve_linear(crossbar, ready(crossbar, mesh.method), v)
    return OperatingPoint(state.row, state.col, state.current, outcome)


@partial(jax.jit, static_argnums=(2, 3))
def _effective(
    mesh: Mesh, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
) -> Linear:
    polarities, rows, cols = g.shape
    down, across = mesh.layout.pitch(polarities)
    rows_after = placement.rows_after(rows) * down
    cols_before = placement.col_start * across

    def one_array(devices: Array) -> tuple[Array, Array, Array]:
        crossbar = mesh.crossbar(devices, rows_after, cols_before)
        transfer, residual = _transfer(mesh, crossbar)
        return transfer, _own_shares(crossbar), residual

    transfer, share, residual = jax.lax.map(one_array, mesh.layout.arrange(g))
    return Linear(
        matrix=signed_sum(mesh.layout.restore(transfer, polarities), signs),
        sensitivity=mesh.layout.restore(share, polarities),
        baseline=jnp.zeros((cols,), g.dtype),
        residual=jnp.broadcast_to(jnp.max(residual), (cols,)),
    )


def _transfer(mesh: Mesh, crossbar: Crossbar) -> tuple[Float[Array, "rows cols"], Float[Array, ""]]:
    """Return the transfer matrix of an array [S] and its residual [1]."""
    rows, cols = crossbar.g.shape
    if min(rows, cols) > mesh.solve_up_to:
        transfer = transfer_matrix(crossbar)
        return transfer, _check(mesh, crossbar, transfer).residual
    # By reciprocity a column driven at its sense terminal finds that column's weights at the drivers.
    few_rows = rows <= cols
    driven = crossbar if few_rows else crossbar.reciprocal()
    solver = ready(driven, mesh.method)

    def one(v: Array) -> tuple[Array, Array]:
        state, outcome = solve_linear(driven, solver, v)
        return state.output, outcome.residual

    transfer, residual = jax.lax.map(one, jnp.eye(min(rows, cols), dtype=crossbar.g.dtype))
    return transfer if few_rows else transfer[::-1, ::-1].T, jnp.max(residual)


def _check(mesh: Mesh, crossbar: Crossbar, transfer: Float[Array, "rows cols"]) -> SolveOutcome:
    """Compare a matrix with a solve, all rows at one volt: the larger of its residual and the difference."""
    transfer = jax.lax.stop_gradient(transfer)
    ones = jnp.ones(transfer.shape[:1], transfer.dtype)
    found, outcome = ready(crossbar, mesh.method).solve(Sources(ones))
    solved = found.out_of_cols
    largest = jnp.max(jnp.abs(solved))
    difference = jnp.max(jnp.abs(jnp.sum(transfer, axis=0) - solved)) / jnp.where(largest > 0, largest, 1.0)
    return outcome._replace(residual=jnp.maximum(outcome.residual, difference))


def _own_shares(crossbar: Crossbar) -> Float[Array, "lines wires"]:
    """Return how much of a change of each device's conductance arrives in its effective weight [1]."""
    _, _, row_share, col_share = folded_lines(crossbar)
    to_driver, to_sense = crossbar.to_terminals()
    # The shares hold the device's own load once; its change meets it a second time, in the other line of each.
    return row_share * col_share / (1 + crossbar.g * (to_driver + to_sense[:, None]))


def _vectors_at_once(g: Float[Array, "rows cols"]) -> int:
    """Number of vectors solved side by side: one where cores are few and caches small, 1 GiB of state elsewhere."""
    if jax.default_backend() == "cpu":
        return 1
    return max(1, 2**30 // (16 * int(np.prod(g.shape)) * g.dtype.itemsize))
