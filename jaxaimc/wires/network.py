"""The circuit of a two-dimensional crossbar and its linear solve, differentiated implicitly.

Device (i, j) joins node (i, j) of row line i to node (i, j) of column line j. Rows are driven before column 0, columns
are held at zero volts after the last row. With the driver's voltage moved into the devices of its row (an emf in
series with each), all terminals are grounded, and Kirchhoff's voltage law around every device reads

    e_ij + r_col sum_k (rows - max(i, k)) g_kj e_kj + r_row sum_p (min(j, p) + 1) g_ip e_ip = emf_ij

with `e` the voltage across the device and one segment at either end. This branch form is bilinear in conductances
and resistances and regular where either is zero, which makes it the equation to differentiate.
"""

from typing import NamedTuple, Protocol

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxaimc.wires.lines import voltage_drop


class Network(NamedTuple):
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

    def reciprocal(self) -> "Network":
        """Return the same circuit driven at the sense terminals and sensed at the drivers, both in reverse order."""
        g = self.g[::-1, ::-1].T
        return Network(g, self.r_col, self.r_col_end, self.r_row, self.r_row_end)

    def largest_drop(self) -> Float[Array, ""]:
        """Return a bound on the drop at any device over the read voltage, were no voltage lost [1].

        The worst column's farthest node and the worst row's: no device loses more, and what all lose together bounds
        the factor by which the fixed-point iteration converges.
        """
        rows, cols = self.g.shape
        to_sense = self.r_col_end + self.r_col * jnp.arange(rows - 1, -1, -1, dtype=self.g.dtype)
        to_driver = self.r_row_end + self.r_row * jnp.arange(cols, dtype=self.g.dtype)
        return jnp.max(to_sense @ self.g) + jnp.max(self.g @ to_driver)


# An error of a thousandth of the largest output is that of an ideal 10-bit converter.
LARGEST_RESIDUAL = 1e-3


class Outcome(NamedTuple):
    """How a solve went.

    Attributes:
        residual: Current that violates Kirchhoff's law, largest column sum over largest column sum of currents [1].
        iterations: Iterations taken.
        converged: Whether the residual is within the method's tolerance.
    """

    residual: Float[Array, "*batch"]
    iterations: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


class ConvergenceError(FloatingPointError):
    """A solve ended without reaching its tolerance."""


def check_converged(owner: str, outcome: Outcome) -> None:
    """Refuse an outcome that is known and did not converge; under jit the flag in the result is what remains.

    Args:
        owner: Class whose solve it is, for the message.
        outcome: The outcome.

    Raises:
        ConvergenceError: If a solve did not reach its tolerance.
    """
    if isinstance(outcome.converged, jax.core.Tracer) or bool(jnp.all(outcome.converged)):
        return
    worst, most = float(jnp.max(outcome.residual)), int(jnp.max(outcome.iterations))
    raise ConvergenceError(
        f"{owner} did not converge: residual {worst:.2g} of the largest current after {most} iterations. "
        "Allow more iterations, a larger tolerance, or another method."
    )


def check_residual(owner: str, residual: Float[Array, "..."]) -> None:
    """Refuse effective matrices that are known and miss their own check; under jit the residual is what remains.

    Args:
        owner: What was prepared, for the message.
        residual: How far the check is off, of the largest output [1].

    Raises:
        ConvergenceError: If it is larger than `LARGEST_RESIDUAL`, or not a number.
    """
    if isinstance(residual, jax.core.Tracer):
        return
    worst = float(jnp.max(residual)) if residual.size else 0.0
    if not worst <= LARGEST_RESIDUAL:
        raise ConvergenceError(
            f"The wires of {owner} miss their own check by {worst:.2g} of the largest output; allowed is "
            f"{LARGEST_RESIDUAL:g}. Give the wires' method more iterations, or use double precision "
            "(`jax.enable_x64`) where devices conduct far better than lines."
        )


class Solver(Protocol):
    """A network made ready for any number of solves."""

    def solve(self, emf: Float[Array, "rows cols"]) -> tuple[Float[Array, "rows cols"], Outcome]:
        """Return the device voltages [V] for an emf in series with each device [V]; not to be differentiated."""
        ...


class Method(Protocol):
    """A way to solve networks: a component with these members."""

    def prepare(self, network: Network) -> Solver:
        """Do once what depends on the network alone."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


class Solvable(NamedTuple):
    """A network with its solver: solves that can be differentiated.

    Attributes:
        network: The circuit; derivatives flow through it.
        solver: Its solver; no derivative flows through it.
    """

    network: Network
    solver: Solver

    def device_voltages(self, emf: Float[Array, "rows cols"]) -> tuple[Float[Array, "rows cols"], Outcome]:
        """Return the voltage across each device [V] for an emf in series with each [V].

        Derivatives in both modes are implicit: one further solve of the same network, by the same solver. With `K`
        the drops and `G` the conductances, the adjoint of `(1 + K G)^-1` is `1 - G (1 + K G)^-1 K`.
        """
        network, solver = self

        def kirchhoff(e: Array) -> Array:
            return e + network.drops(network.g * e)

        def solve(_: object, b: Array) -> tuple[Array, Outcome]:
            return solver.solve(b)

        def solve_adjoint(_: object, c: Array) -> tuple[Array, Outcome]:
            e, outcome = solver.solve(network.drops(c))
            return c - network.g * e, outcome

        return jax.lax.custom_linear_solve(kirchhoff, emf, solve, solve_adjoint, has_aux=True)


def ready(network: Network, method: Method) -> Solvable:
    """Prepare a network for differentiable solves with a method."""
    fixed = jax.tree.map(jax.lax.stop_gradient, network)
    return Solvable(network=network, solver=method.prepare(fixed))


def peak_column_sum(current: Float[Array, "rows cols"]) -> Float[Array, ""]:
    """Return the largest sum of magnitudes of a column: the size of an array's currents, or of what violates them."""
    return jnp.max(jnp.sum(jnp.abs(current), axis=0))
