"""Mesh of devices whose current is not proportional to their voltage: Newton's method around the linear solver."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc.units import S
from jaxaimc.wires.base import Effective, Placement
from jaxaimc.wires.mesh import Mesh, Reading
from jaxaimc.wires.network import Network, Outcome, check_converged, peak_column_sum, ready


class DeviceIV(Protocol):
    """Current of a device against its voltage. A curve of your own is a component with this member."""

    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A] at voltages `v` [V] of devices of small-signal conductance `g` [S]; rising in `v`."""
        ...


@component
class PolynomialIV:
    """`I = g (V + c2 V |V| + c3 V^3)`: odd, so that both polarities of a read see the same curve.

    Attributes:
        c2: Coefficient of the square [1/V].
        c3: Coefficient of the cube [1/V^2].
    """

    c2: float = 0.0
    c3: float = 0.0

    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A]."""
        return g * v * (1 + (self.c2 + self.c3 * jnp.abs(v)) * jnp.abs(v))


@component
class MiloIV:
    """`I = g V + n2 V^2 + n3 V^3` with coefficients that follow the conductance (Milo et al. 2021, HfO2 RRAM).

    With `L = log10(g / S)`: `n2 = 1.388e-4 L^3 + 1.541e-3 L^2 + 5.711e-3 L + 7.063e-3` A/V^2 and
    `n3 = 8.871e-5 L^2 + 6.7919e-4 L + 1.2968e-3` A/V^3, fitted for 50 to 225 uS at positive voltages; taken as odd in
    the voltage here. Below `g_floor` the two coefficients shrink in proportion to `g`, so that an open device carries
    nothing.

    Attributes:
        g_floor: Conductance below which the fit is not used [S].
    """

    g_floor: float = 50e-6 * S

    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A]."""
        fitted = jnp.maximum(g, self.g_floor)
        x = jnp.log10(fitted)
        n2 = ((1.388e-4 * x + 1.541e-3) * x + 5.711e-3) * x + 7.063e-3
        n3 = (8.871e-5 * x + 6.7919e-4) * x + 1.2968e-3
        share = g / fitted
        return v * (g + share * (n2 + n3 * jnp.abs(v)) * jnp.abs(v))


class ArraysOfTile(NamedTuple):
    """Physical arrays of a tile, ready to be read.

    Attributes:
        circuits: Circuits, with a leading axis (array).
    """

    circuits: Network


@component
class NonlinearMesh:
    """A `Mesh` whose devices follow a current-voltage curve.

    Kirchhoff's laws are solved by Newton's method: each iteration is one solve of the linear mesh with the devices'
    differential conductances. The derivative is implicit: the last iteration alone is differentiated, which gives
    exact gradients in both modes at the cost of one further linear solve.

    In a tile the mesh is read with amplitudes: a row's level times the read voltage, for the whole window.

    Attributes:
        mesh: Wires, layout of the polarities and the linear solver.
        iv: The devices' curve.
        tolerance: Newton residual to reach, of the largest current [1]; rounding limits it to 100 epsilon.
        max_iterations: Newton iterations after which the solve gives up and says so.
        signs: Sign of each polarity's drive, as in the cell.

    Example:
        >>> import jax.numpy as jnp
        >>> wires = NonlinearMesh(mesh=Mesh(r_row=0.0, r_col=0.0), iv=PolynomialIV(c3=2.0))
        >>> [round(float(i), 5) for i in wires.read(jnp.array([[1e-3]]), jnp.array([0.5])).current * 1e3]
        [0.75]
    """

    mesh: Mesh = Mesh()
    iv: DeviceIV = MiloIV()
    tolerance: float = 1e-11
    max_iterations: int = static(default=30)
    signs: tuple[float, ...] = static(default=(1.0, -1.0))

    def __post_init__(self) -> None:
        check_integer("NonlinearMesh", "max_iterations", self.max_iterations, low=1, high=10_000)

    def read(self, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Reading:
        """Return the output currents of one array for row voltages; one Newton solve per vector.

        Args:
            g: Small-signal conductances of the devices [S].
            v: Voltage of each row's driver [V].

        Returns:
            Currents and the outcome of the solves; iterations count Newton's.

        Raises:
            ConvergenceError: Outside jit, if a solve did not reach its tolerance; under jit the outcome says so.
        """
        vectors = jnp.asarray(v, g.dtype).reshape(-1, g.shape[0])
        network = self.mesh.network(g)
        found = jax.lax.map(lambda vector: self._solve(network, vector), vectors)
        reading = Reading(*jax.tree.map(lambda x: x.reshape(*v.shape[:-1], *x.shape[1:]), found))
        check_converged("NonlinearMesh", reading.outcome)
        return reading

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
        """Return the arrays for `charge`, and as matrix the mesh at vanishing voltage."""
        if signs != self.signs:
            raise ValueError(f"Field `signs` of NonlinearMesh must be the cell's, {signs}, but is {self.signs}.")
        seen = self.mesh.effective(g, signs, placement)
        polarities, rows, _ = g.shape
        down, across = self.mesh.layout.pitch(polarities)
        after, before = (placement.rows - placement.row_start - rows) * down, placement.col_start * across
        arrays = self.mesh.layout.arrange(g)
        circuits = jax.vmap(lambda a: jax.tree.map(jnp.asarray, self.mesh.network(a, after, before)))(arrays)
        return seen._replace(network=ArraysOfTile(circuits))

    def charge(
        self, network: ArraysOfTile, level: Float[Array, "*batch rows"], v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the output current per volt of read voltage [S], rows driven at `level v_read`.

        A vector whose solve did not converge has NaN for outputs: under jit nothing else would be seen of it.
        """

        def one(vector: Array) -> Array:
            drives = self.mesh.layout.drive(vector * v_read, self.signs)
            current, outcome = jax.vmap(self._solve)(network.circuits, drives)
            current = jnp.where(outcome.converged[:, None], current, jnp.nan)
            return self.mesh.layout.combine(current, self.signs) / v_read

        current = jax.lax.map(one, level.reshape(-1, level.shape[-1]))
        return current.reshape(*level.shape[:-1], current.shape[-1])

    def validate(self) -> None:
        """Check the mesh and the tolerance.

        Raises:
            ValueError: If a field is out of its range.
        """
        self.mesh.validate()
        check_number("NonlinearMesh", "tolerance", self.tolerance, low=0.0, high=1.0, open_low=True)

    def _solve(self, network: Network, v: Float[Array, " rows"]) -> tuple[Float[Array, " cols"], Outcome]:
        g = network.g
        fixed = jax.lax.stop_gradient
        iv, still = fixed(self.iv), jax.tree.map(fixed, network)
        emf = jnp.broadcast_to(v[:, None], g.shape)
        # Any tolerance below rounding would never be reached.
        enough = jnp.maximum(jnp.asarray(self.tolerance, g.dtype), 100 * jnp.finfo(g.dtype).eps)

        def violation(circuit: Network, curve: DeviceIV, sources: Array, e: Array) -> Array:
            return sources - e - circuit.drops(curve.current(circuit.g, e))

        def slope(e: Array) -> Array:
            return jax.jvp(lambda x: iv.current(still.g, x), (e,), (jnp.ones_like(e),))[1]

        def newton(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            e, _, iteration = state
            step, _ = self.mesh.method.prepare(still._replace(g=slope(e))).solve(violation(still, iv, fixed(emf), e))
            new = e + step
            # Judged by what the step changed in the currents: quadratic, so the error left is far below it.
            carried = peak_column_sum(iv.current(still.g, new))
            change = peak_column_sum(iv.current(still.g, new) - iv.current(still.g, e))
            return new, change / jnp.where(carried > 0, carried, 1.0), iteration + 1

        def unfinished(state: tuple[Array, Array, Array]) -> Array:
            return (state[1] > enough) & (state[2] < self.max_iterations)

        start = (fixed(emf), jnp.ones((), g.dtype), jnp.zeros((), jnp.int32))
        e, residual, iterations = jax.tree.map(fixed, jax.lax.while_loop(unfinished, newton, start))
        # One more step, the only one that derivatives see: at the solution it changes nothing but carries them all.
        linear = ready(still._replace(g=slope(e)), self.mesh.method)
        step, last = linear.device_voltages(violation(network, self.iv, emf, e))
        current = self.iv.current(g, e + step)
        # A linear solve that gave up makes small steps as well: both have to have converged.
        return jnp.sum(current, axis=0), Outcome(residual, iterations, (residual <= enough) & last.converged)
