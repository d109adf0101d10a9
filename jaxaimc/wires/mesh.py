"""Two-dimensional mesh: resistance in rows and columns, solved exactly, per vector or once for the whole tile."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer, check_number, check_trailing
from jaxaimc._core.component import component, static
from jaxaimc.units import ohm
from jaxaimc.wires.base import Effective, Placement, signed_sum
from jaxaimc.wires.elimination import transfer_matrix
from jaxaimc.wires.layouts import Layout, Separate
from jaxaimc.wires.lines import fold_lines
from jaxaimc.wires.methods import Automatic
from jaxaimc.wires.network import Method, Network, Outcome, check_converged, check_residual, ready


class Reading(NamedTuple):
    """Output currents of an array.

    Attributes:
        current: Current into each column's sense terminal [A].
        outcome: How the solve of each vector went.
    """

    current: Float[Array, "*batch cols"]
    outcome: Outcome


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
    outcome: Outcome


@component
class Mesh:
    """Resistive row and column wires: rows driven before the first column, columns sensed after the last row.

    Sense terminals are at zero volts. rows are held there too. The circuit is the common crossbar model (for example
    Xiao et al. 2022, arXiv 2109.01262); it is linear, so a programmed tile folds into one effective matrix.

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

    r_row: float = 1.0 * ohm
    r_col: float = 1.0 * ohm
    row_lead: float = 1.0
    col_lead: float = 1.0
    r_driver: float = 0.0 * ohm
    r_sense: float = 0.0 * ohm
    r_row_terminal: float = 0.0 * ohm
    r_col_terminal: float = 0.0 * ohm
    layout: Layout = Separate()
    method: Method = Automatic()
    solve_up_to: int = static(default=64)

    def __post_init__(self) -> None:
        check_integer("Mesh", "solve_up_to", self.solve_up_to, low=0, high=2**31 - 1)

    def network(self, g: Float[Array, "lines wires"], rows_after: int = 0, cols_before: int = 0) -> Network:
        """Return the circuit of one physical array.

        Args:
            g: Device conductances [S].
            rows_after: Unused rows between the last device and the sense circuits.
            cols_before: Unused columns between the drivers and the first device.

        Returns:
            The circuit.
        """
        return Network(
            g=g,
            r_row=self.r_row,
            r_row_end=self.r_row * (self.row_lead + cols_before) + self.r_driver + self.r_row_terminal,
            r_col=self.r_col,
            r_col_end=self.r_col * (self.col_lead + rows_after) + self.r_sense + self.r_col_terminal,
        )

    def read(self, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Reading:
        """Return the output currents of one array for row voltages.

        Up to `solve_up_to` vectors are solved one by one; more share an effective matrix, built once, and their
        outcome is then that of one of them, solved as a check. Gradients are exact: implicit for single solves,
        through a direct elimination for the matrix.

        Args:
            g: Device conductances [S].
            v: Voltage of each row's driver [V], against the sense terminals.

        Returns:
            Currents and the outcome of the solves.

        Raises:
            ValueError: If `v` has another number of rows than `g`.
            ConvergenceError: Outside jit, if a solve did not reach its tolerance; under jit the outcome says so.
        """
        check_trailing("v", v, g.shape[0])
        vectors = jnp.asarray(v, g.dtype).reshape(-1, g.shape[0])
        network = self.network(g)
        if vectors.shape[0] > self.solve_up_to:
            current = jnp.matmul(vectors, transfer_matrix(network), precision="highest")
            check = self._check(network, vectors[0], current[0])
            check_residual("Mesh", check.residual)
            outcome = jax.tree.map(lambda x: jnp.broadcast_to(x, v.shape[:-1]), check)
            return Reading(current.reshape(*v.shape[:-1], g.shape[1]), outcome)
        solvable = ready(network, self.method)

        def one(vector: Array) -> tuple[Array, Outcome]:
            e, outcome = solvable.device_voltages(jnp.broadcast_to(vector[:, None], g.shape))
            return jnp.sum(g * e, axis=0), outcome

        found = jax.lax.map(one, vectors, batch_size=_vectors_at_once(g))
        reading = Reading(*jax.tree.map(lambda x: x.reshape(*v.shape[:-1], *x.shape[1:]), found))
        check_converged("Mesh", reading.outcome)
        return reading

    def operating_point(self, g: Float[Array, "rows cols"], v: Float[Array, " rows"]) -> OperatingPoint:
        """Return all node voltages and device currents of one array for one vector of row voltages [V].

        Args:
            g: Device conductances [S].
            v: Voltage of each row's driver [V].

        Returns:
            The operating point; exact gradients.
        """
        check_trailing("v", v, g.shape[0])
        network = self.network(g)
        emf = jnp.broadcast_to(jnp.asarray(v, g.dtype)[:, None], g.shape)
        e, outcome = ready(network, self.method).device_voltages(emf)
        check_converged("Mesh", outcome)
        current = g * e
        return OperatingPoint(emf - network.row_drops(current), network.column_voltages(current), current, outcome)

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
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
        polarities, rows, cols = g.shape
        down, across = self.layout.pitch(polarities)
        rows_after = (placement.rows - placement.row_start - rows) * down
        cols_before = placement.col_start * across

        def one_array(devices: Array) -> tuple[Array, Array, Array]:
            network = self.network(devices, rows_after, cols_before)
            transfer, residual = self._transfer(network)
            return transfer, _own_shares(network), residual

        transfer, share, residual = jax.lax.map(one_array, self.layout.arrange(g))
        return Effective(
            matrix=signed_sum(self.layout.restore(transfer, polarities), signs),
            sensitivity=self.layout.restore(share, polarities),
            baseline=jnp.zeros((cols,), g.dtype),
            residual=jnp.broadcast_to(jnp.max(residual), (cols,)),
        )

    def validate(self) -> None:
        """Check resistances, lengths and the method.

        Raises:
            ValueError: If one is negative or not a number.
        """
        for name in ("r_row", "r_col", "r_driver", "r_sense", "r_row_terminal", "r_col_terminal"):
            check_number("Mesh", name, getattr(self, name), "ohm", low=0.0, high=1e9)
        for name in ("row_lead", "col_lead"):
            check_number("Mesh", name, getattr(self, name), low=0.0, high=1e6)
        self.method.validate()

    def _transfer(self, network: Network) -> tuple[Float[Array, "rows cols"], Float[Array, ""]]:
        """Return the transfer matrix of an array [S] and its residual [1]."""
        rows, cols = network.g.shape
        if min(rows, cols) > self.solve_up_to:
            transfer = transfer_matrix(network)
            ones = jnp.ones((rows,), network.g.dtype)
            return transfer, self._check(network, ones, jnp.sum(transfer, axis=0)).residual
        # By reciprocity a column driven at its sense terminal finds that column's weights at the drivers.
        few_rows = rows <= cols
        solvable = ready(network if few_rows else network.reciprocal(), self.method)
        g = solvable.network.g

        def one(row: Array) -> tuple[Array, Array]:
            emf = jnp.zeros_like(g).at[row].set(1.0)
            e, outcome = solvable.device_voltages(emf)
            return jnp.sum(g * e, axis=0), outcome.residual

        transfer, residual = jax.lax.map(one, jnp.arange(g.shape[0]))
        return transfer if few_rows else transfer[::-1, ::-1].T, jnp.max(residual)

    def _check(self, network: Network, v: Float[Array, " rows"], current: Float[Array, " cols"]) -> Outcome:
        """Compare currents with those of a solve of their own: the larger of its residual and the difference."""
        network, v, current = jax.lax.stop_gradient((network, v, current))
        emf = jnp.broadcast_to(v[:, None], network.g.shape)
        e, outcome = self.method.prepare(network).solve(emf)
        solved = jnp.sum(network.g * e, axis=0)
        largest = jnp.max(jnp.abs(solved))
        difference = jnp.max(jnp.abs(current - solved)) / jnp.where(largest > 0, largest, 1.0)
        residual = jnp.maximum(outcome.residual, difference)
        return outcome._replace(residual=residual)


def _own_shares(network: Network) -> Float[Array, "lines wires"]:
    """Return how much of a change of each device's conductance arrives in its effective weight [1]."""
    g, r_row, r_row_end, r_col, r_col_end = network
    rows = fold_lines(g.T, r_row, r_row_end, near_end_first=True)
    cols = fold_lines(g, r_col, r_col_end, near_end_first=False)
    to_driver = r_row_end + r_row * jnp.arange(g.shape[1], dtype=g.dtype)
    to_sense = r_col_end + r_col * jnp.arange(g.shape[0] - 1, -1, -1, dtype=g.dtype)
    # The profiles hold the device's own load once; its change meets it a second time, in the other line of each.
    return rows.profile().T * cols.profile() / (1 + g * (to_driver + to_sense[:, None]))


def _vectors_at_once(g: Float[Array, "rows cols"]) -> int:
    """Number of vectors solved side by side: one where cores are few and caches small, 1 GiB of state elsewhere."""
    if jax.default_backend() == "cpu":
        return 1
    return max(1, 2**30 // (16 * int(np.prod(g.shape)) * g.dtype.itemsize))
