"""Columns with open idle cells, exactly: time is cut into equal steps, and each is solved.

Within a step each row's devices load the wire with their conductance times the share of the step for which they are
connected. Where pulses start and end on step boundaries, as pulse-width modulated codes do, that is the exact charge;
with fewer, longer steps it is an approximation whose error falls with the square of the step, because only rows that
end within the same step see each other's load averaged.

A column is solved in one pass from its far end, without a division per row: with the far node at one volt and all
rows grounded, current and voltage only grow toward the ADC, and the node voltages over the ADC's are by reciprocity
the shares with which the devices' currents arrive.
"""

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc.wires.base import Circuit, in_one_precision, one_by_one
from jaxaimc.wires.carry import carried
from jaxaimc.wires.columns import ColumnGroup, Columns, shares

# Rows between two rescalings of the running voltages, which only grow. In float32 that holds up to 16 times per row:
# segments with 15 times the resistance of what they feed, beyond which the charge is no number.
_ROWS_AT_ONCE = 32
_UNKNOWN_STEPS = 127  # of pulses that are no whole steps of their drive
_STEPS_AT_ONCE = 16  # time steps solved side by side: bounds the memory, and keeps the running state in the cache


@component
class SteppedColumns(Circuit):
    """Columns whose idle cells are disconnected, solved step by step.

    Attributes:
        columns: The columns.
        steps: Time steps into which the longest pulse is cut; None for the drive's own.
    """

    columns: Columns
    steps: int | None = static(default=None, low=1, high=65536)

    def charge(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool, v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        Memory is bounded by a few arrays of 16 steps x cols, whatever the batch. Gradients are exact for the charge
        as computed here, in conductances, resistances and pulses; where a pulse ends on a step boundary the derivative
        in its length is the mean of those of the two steps that meet there, and a row whose amplitude is zero is taken
        to stay disconnected.

        Args:
            level: Signed pulses as a share of the longest, or of the read voltage [1].
            steps: Whole steps of a full-scale pulse; 0 where levels are no multiples of one over it.
            timed: Whether a level is the share of time for which its row is connected and driven at full voltage.
                Otherwise a row whose level is not zero is connected for the whole pulse, and driven with that share.
            v_read: Read voltage [V]; the charge is linear in it.

        Returns:
            The charge of each column per volt and per length of the longest pulse [S].
        """
        return _charge(self, level, self._count(steps) if timed else 0)

    def _count(self, steps: int) -> int:
        """Return into how many steps the longest pulse is cut."""
        edges = steps * self.columns.alignment.edges_per_step
        if self.steps is None:
            return edges or _UNKNOWN_STEPS
        if edges and self.steps % edges:
            warnings.warn(
                f"Field `steps` of OpenIdle is {self.steps}, but the drive's pulses start and end at multiples of "
                f"1/{edges} of the longest: their charge is approximate. It is exact with `steps=None` or a multiple "
                f"of {edges}.",
                stacklevel=3,
            )
        return self.steps

    def _amplitudes(self, level: Float[Array, " rows"]) -> Float[Array, " cols"]:
        connected = jnp.asarray(level != 0, level.dtype)
        return self.columns.in_order([current[0] for current in self._currents(connected[None], level[None])])

    def _currents(self, connected: Float[Array, "step rows"], driven: Float[Array, "step rows"]) -> list[Array]:
        """Return the currents of each group of columns in each step, per volt of read voltage [S]."""
        columns = self.columns
        rows = zip(columns.groups, columns.far_first(connected), columns.far_first(driven), strict=True)
        return [_solve_columns(group, columns.r, on, signed) for group, on, signed in rows]

    def _timed(self, level: Float[Array, " rows"], steps: int) -> Float[Array, " cols"]:
        count = min(_STEPS_AT_ONCE, steps)
        chunks = -(-steps // count)
        # Steps that only fill up the last chunk lie beyond every pulse: nobody is connected, no charge flows.
        times = jnp.arange(chunks * count, dtype=level.dtype).reshape(chunks, count)

        @jax.checkpoint
        def add_chunk(totals: tuple[Array, ...], step: Array) -> tuple[tuple[Array, ...], None]:
            low = step[:, None]
            connected, driven = shares(level, self.columns.alignment, low, low + 1, steps)
            currents = self._currents(connected, driven)
            return tuple(t + jnp.sum(c, axis=0) for t, c in zip(totals, currents, strict=True)), None

        none: Any = tuple(carried(jnp.zeros_like(group.drive[0]), self, level) for group in self.columns.groups)
        totals, _ = jax.lax.scan(add_chunk, none, times)
        return self.columns.in_order([total / steps for total in totals])


@partial(jax.jit, static_argnums=2)
def _charge(circuit: SteppedColumns, level: Float[Array, "*batch rows"], steps: int) -> Float[Array, "*batch cols"]:
    """Return the charges of timed pulses cut into steps, or of amplitudes for no steps."""
    circuit, level = in_one_precision(circuit, level)
    one = partial(circuit._timed, steps=steps) if steps else circuit._amplitudes
    return one_by_one(one, level, circuit.columns.count)


def _solve_columns(
    group: ColumnGroup, r: Array, connected: Float[Array, "step rows"], driven: Float[Array, "step rows"]
) -> Float[Array, "step cols"]:
    """Return the output current of each column in each step, per volt of read voltage [S]."""
    fill = -group.load.shape[0] % _ROWS_AT_ONCE

    def grouped(x: Array) -> Array:
        # Open rows beyond the far end do nothing, so that is where a last group is filled up.
        filled = jnp.pad(x, [(fill, 0)] + [(0, 0)] * (x.ndim - 1))
        return filled.reshape(-1, _ROWS_AT_ONCE, *x.shape[1:])

    # One row per scan step: with several, XLA computes the chain once for each of the three running quantities.
    def add_row(state: tuple[Array, Array, Array], row: tuple) -> tuple[tuple[Array, Array, Array], None]:
        voltage, current, output = state
        load, drive, on, signed = row
        voltage = voltage + r * current
        return (
            voltage,
            current + load * on[:, None] * voltage,
            output + drive * signed[:, None] * voltage,
        ), None

    def add_rows(state: tuple[Array, Array, Array], some: tuple) -> tuple[tuple[Array, Array, Array], None]:
        (voltage, current, output), _ = jax.lax.scan(add_row, state, some)
        # Only ratios matter. What has left the range of the precision says so, not zero.
        scale = jnp.where(jnp.isfinite(voltage), 1 / voltage, jnp.nan)
        return (jnp.ones_like(voltage), current * scale, output * scale), None

    none = carried(jnp.zeros((connected.shape[0], group.load.shape[1]), connected.dtype), group, r, connected, driven)
    start = (none + 1, none, none)
    rows = (grouped(group.load), grouped(group.drive), grouped(connected.T), grouped(driven.T))
    (voltage, current, output), _ = jax.lax.scan(add_rows, start, rows)
    return output / (voltage + group.r_end * current)
