"""What wires do to a tile: fold line resistance into an effective matrix, or leave a circuit to solve at every read."""

import abc
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component
from jaxaimc.wires.supply import without_drop

T = TypeVar("T")


class Placement(NamedTuple):
    """Where a block of cells sits on its physical tile. Cells outside the block are open and carry nothing.

    Attributes:
        rows: Rows of the tile.
        cols: Columns of the tile.
        row_start: Tile row of the block's first row.
        col_start: Tile column of the block's first column.
    """

    rows: int
    cols: int
    row_start: int = 0
    col_start: int = 0

    def rows_after(self, rows: int) -> int:
        """Return how many rows of the tile lie between the block's last row and the sense amplifiers.

        Args:
            rows: Rows of the block.

        Raises:
            ValueError: If the block does not fit on the tile.
        """
        after = self.rows - self.row_start - rows
        if self.row_start < 0 or after < 0:
            raise ValueError(
                f"A block of {rows} rows from row {self.row_start} on does not fit on a tile of {self.rows} rows."
            )
        return after


class Circuit(Component):
    """A tile that has to be solved at every read, because its output is not linear in the inputs."""

    @abc.abstractmethod
    def charge(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool, v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        Args:
            level: Signed pulses as a share of the largest one [1].
            steps: Whole steps of a full-scale pulse: levels are multiples of one over it; 0 where they are not.
            timed: True where a level is the share of time for which its row is driven at full read voltage (pulse-width
                modulation), False where it is the share of the read voltage that drives the row for the whole pulse.
            v_read: Read voltage [V].
        """

    def of_plane(self, index: int) -> "Circuit":
        """Return the circuit as one plane of pulses sees it: this one, unless it has been told of each.

        Args:
            index: Number of the plane.
        """
        return self


class Linear(NamedTuple):
    """A tile as seen from its terminals: output current = `sum_i V_i matrix_ij + baseline_j`.

    Attributes:
        matrix: Output current per unit of row drive, signs of the polarities included [S].
        sensitivity: Share of a device's own current that reaches its output [1].
        baseline: Output current with every row idle [A].
        residual: How far a check by another solve is off, of the largest output [1]; zero where the matrix is exact by
            construction.
    """

    matrix: Float[Array, "rows cols"]
    sensitivity: Float[Array, "polarity rows cols"]
    baseline: Float[Array, " cols"]
    residual: Float[Array, " cols"] | float = 0.0


class Solved(NamedTuple):
    """A tile whose output is not linear in its inputs.

    Attributes:
        linear: The nearest linear tile: read noise and drift compensation use its matrix and sensitivities.
        circuit: What is solved at every read.
    """

    linear: Linear
    circuit: Circuit


class Wires(Component):
    """What line resistance does to a tile. Wires of your own derive from this and write `effective`.

    Attributes:
        resistances: Names of the fields that are the resistance of a wire segment between neighbouring cells [ohm];
            studies of wire resistance set these.
        supply_model: What `supply_power` is, in words.
    """

    resistances: ClassVar[tuple[str, ...]] = ()
    supply_model: ClassVar[str] = "without the drop in the wires"

    @property
    def exact(self) -> bool:
        """Whether the effective matrix is the conductances themselves."""
        return False

    @property
    def profiled(self) -> bool:
        """Whether `effective` takes a `profile`, how active each row is, which `activity` finds for pulses."""
        return False

    @property
    def finer(self) -> "Wires | None":
        """The same circuit by a method with a smaller error, to tell that of the present one; None for exact ones."""
        return None

    def activity(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool
    ) -> Float[Array, "*batch bin rows"]:
        """Return for which share of each of some stretches of time the rows are connected [1].

        Args:
            level: Signed pulses as a share of the largest one [1].
            steps: Whole steps of a full-scale pulse; 0 where levels are no multiples of one over it.
            timed: Whether a level is a share of time, as `Circuit.charge` has it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no rows that are connected for a while.")

    @abc.abstractmethod
    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Linear | Solved:
        """Return the tile as seen from its terminals.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block of devices sits on its tile.

        Returns:
            A linear tile, or one that is solved at every read.
        """

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
        """Return the power that supplies deliver to the tile, mean over the longest pulse [W].

        All that devices and wires dissipate, to what `supply_model` says; unless wires say otherwise, that of devices
        which see the whole read voltage, an upper bound. For costs, not for outputs.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block of devices sits on its tile.
            level: Signed pulses as a share of the largest one [1].
            timed: Whether a level is a share of time, or of the read voltage.
            v_read: Read voltage [V].
        """
        return without_drop(g, level, timed=timed, v_read=v_read)


def signed_sum(g: Float[Array, "polarity rows cols"], signs: tuple[float, ...]) -> Float[Array, "rows cols"]:
    """Add the polarities with their signs [S]."""
    total = signs[0] * g[0]
    for sign, conductance in zip(signs[1:], g[1:], strict=True):
        total = total + sign * conductance
    return total


def unloaded(g: Float[Array, "polarity rows cols"], signs: tuple[float, ...]) -> Linear:
    """Return a tile without wires: the signed conductances themselves, no baseline."""
    return Linear(matrix=signed_sum(g, signs), sensitivity=jnp.ones_like(g), baseline=jnp.zeros(g.shape[-1:], g.dtype))


def in_one_precision(circuit: T, level: Float[Array, "*batch rows"]) -> tuple[T, Float[Array, "*batch rows"]]:
    """Return a circuit and pulses in the wider of their precisions: loops carry one type."""
    dtype = jnp.result_type(level, *jax.tree.leaves(circuit))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), circuit), jnp.asarray(level, dtype)


def one_by_one(
    solve: Callable[[Float[Array, " rows"]], Float[Array, " cols"]], level: Float[Array, "*batch rows"], cols: int
) -> Float[Array, "*batch cols"]:
    """Apply a solve to each vector of a batch, one after the other, so that memory is that of one.

    Args:
        solve: From a vector to the currents of the columns.
        level: The vectors.
        cols: Columns, for a batch without vectors.
    """
    batch = level.shape[:-1]
    if 0 in batch:
        return jnp.zeros((*batch, cols), level.dtype)
    return jax.lax.map(solve, level.reshape(-1, level.shape[-1])).reshape(*batch, cols)


@component
class NoWires(Wires):
    """Wires without resistance: every device sees its full read voltage."""

    supply_model: ClassVar[str] = "exact"

    @property
    def exact(self) -> bool:
        """Yes."""
        return True

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Linear:
        """Return the signed conductances themselves, no baseline; exact gradients."""
        return unloaded(g, signs)
