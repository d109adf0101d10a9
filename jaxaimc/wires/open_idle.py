"""Columns whose idle cells are open (1T1R), so that the load on a wire depends on which rows are active now.

The circuit is time-varying and its charge is not linear in the inputs: a row that ends its pulse takes its load off
the wire of every other row. Time is cut into equal steps. Within a step each row's devices load the wire with their
conductance times the share of the step for which they are connected, and the column is solved exactly. Where pulses
start and end on step boundaries, as pulse-width modulated codes do, that is the exact charge; with fewer, longer
steps it is an approximation whose error falls with the square of the step, because only rows that end within the same
step see each other's load averaged.

A column is solved in one pass from its far end, without a division per row: with the far node at one volt and all
rows grounded, current and voltage only grow toward the ADC, and the node voltages over the ADC's are by reciprocity
the shares with which the devices' currents arrive.
"""

import warnings
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf, static
from jaxaimc.units import ohm
from jaxaimc.wires.base import Circuit, Placement, Solved, Wires, in_one_precision, one_by_one, signed_sum
from jaxaimc.wires.carry import carried
from jaxaimc.wires.ladder import Ladder
from jaxaimc.wires.outcome import check_conductances
from jaxaimc.wires.timing import Alignment, Left, share_of_step

# Rows between two rescalings of the running voltages, which only grow. In float32 that holds up to 16 times per row:
# segments with 15 times the resistance of what they feed, beyond which the charge is no number.
_ROWS_AT_ONCE = 32
_UNKNOWN_STEPS = 127  # of pulses that are no whole steps of their drive
_STEPS_AT_ONCE = 16  # time steps solved side by side: bounds the memory, and keeps the running state in the cache


class ColumnGroup(NamedTuple):
    """Columns that are read at the same end, far end first.

    Attributes:
        load: Conductance that an active cell puts on its wire [S].
        drive: Conductance with which an active cell drives its wire, signs included [S].
        r_end: Resistance between the last node and the ADC [ohm].
    """

    load: Float[Array, "rows cols"]
    drive: Float[Array, "rows cols"]
    r_end: Float[Array, ""]


@component
class IdleColumns(Circuit):
    """Columns whose idle cells are disconnected, ready to be read.

    Attributes:
        groups: With n groups, group k holds the columns k, k + n, k + 2n, ...
        r: Segment resistance [ohm].
        at_first: For each group whether it is read at the first row's end.
        alignment: When each row's pulse starts.
        steps: Time steps into which the longest pulse is cut; None for the drive's own.
    """

    groups: tuple[ColumnGroup, ...]
    r: Float[Array, ""]
    at_first: tuple[bool, ...] = static()
    alignment: Alignment = Left()
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
        cols = sum(group.load.shape[1] for group in self.groups)
        count = self._count(steps) if timed else 0
        return _charge(self, level, count, cols)

    def _count(self, steps: int) -> int:
        """Return into how many steps the longest pulse is cut."""
        edges = steps * self.alignment.edges_per_step
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
        return self._in_order([current[0] for current in self._currents(connected[None], level[None])])

    def _currents(self, connected: Float[Array, "step rows"], driven: Float[Array, "step rows"]) -> list[Array]:
        """Return the currents of each group of columns in each step, per volt of read voltage [S]."""
        return [
            _solve_columns(group, self.r, *((x[:, ::-1] if at_first else x) for x in (connected, driven)))
            for group, at_first in zip(self.groups, self.at_first, strict=True)
        ]

    def _in_order(self, currents: list[Array]) -> Float[Array, " cols"]:
        """Put the columns of the groups side by side again."""
        if len(currents) == 1:
            return currents[0]
        even, odd = currents
        paired = jnp.stack([even[: odd.shape[0]], odd], axis=-1).reshape(-1)
        return jnp.concatenate([paired, even[odd.shape[0] :]])

    def _timed(self, level: Float[Array, " rows"], steps: int) -> Float[Array, " cols"]:
        count = min(_STEPS_AT_ONCE, steps)
        chunks = -(-steps // count)
        # Steps that only fill up the last chunk lie beyond every pulse: nobody is connected, no charge flows.
        times = jnp.arange(chunks * count, dtype=level.dtype).reshape(chunks, count)

        @jax.checkpoint
        def add_chunk(totals: tuple[Array, ...], step: Array) -> tuple[tuple[Array, ...], None]:
            connected, driven = self._shares(level, step[:, None], steps)
            currents = self._currents(connected, driven)
            return tuple(t + jnp.sum(c, axis=0) for t, c in zip(totals, currents, strict=True)), None

        none = tuple(carried(jnp.zeros_like(group.drive[0]), self, level) for group in self.groups)
        totals, _ = jax.lax.scan(add_chunk, none, times)
        return self._in_order([total / steps for total in totals])

    def _shares(self, level: Array, step: Array, steps: int) -> tuple[Array, Array]:
        """Return for which share of each step each row is connected, and the same with the sign of its drive."""
        fixed = jax.lax.stop_gradient

        def share(duration: Array) -> Array:
            start = self.alignment.start(duration)
            return share_of_step(steps * start, steps * (start + duration), step, steps)

        # The load is even in the level: no slope at zero, where JAX's `abs` has one.
        connected = share(fixed(jnp.sign(level)) * level)
        # The drive is odd in the level and has a slope at zero, where sign times magnitude would have none.
        lengthened = share(fixed(jnp.abs(level)) + level - fixed(level))
        return connected, fixed(jnp.sign(level) * connected) + lengthened - fixed(lengthened)


@component
class OpenIdle(Wires):
    """Resistive columns whose idle cells are disconnected; the ADC holds the column at the idle voltage.

    Attributes:
        r: Resistance of a wire segment between neighbouring cells [ohm].
        r_supply: Segment of a separate supply line that runs beside each column and is fed at the ADC's end [ohm]; the
            current of a cell then passes both lines. Zero where rows themselves supply the cells.
        adc_segments: Length of the last segment, from the tile's edge cell to the ADC, in segments [1].
        r_out: Further resistance in series with each column's ADC [ohm].
        alternate: Whether odd columns are read at the first row's end. Even columns are read at the last row's.
        alignment: When each row's pulse starts.
        steps: Time steps into which the longest of timed pulses is cut; None for the drive's own (127 for `PWM` at 8
            bits), with which the charge is exact. Fewer are a fast approximation, and a warning says so where pulses
            then start or end within a step. Rows driven with amplitudes stay connected, and need one step.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.wires import OpenIdle, Placement
        >>> g = jnp.full((1, 2, 1), 1e-3)
        >>> circuit = OpenIdle(r=100.0).effective(g, (1.0,), Placement(rows=2, cols=1)).circuit
        >>> pulses = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> [round(float(q) * 1e3, 4) for q in circuit.charge(pulses, steps=4, timed=True, v_read=0.2)[:, 0]]
        [0.8696, 0.9524, 1.7427]
    """

    resistances: ClassVar[tuple[str, ...]] = ("r",)

    r: float = leaf(0.15 * ohm, "ohm", low=0.0, high=1e9)
    r_supply: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e9)
    adc_segments: float = leaf(0.5, low=0.0, high=1e6)
    r_out: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e12)
    alternate: bool = static(default=True)
    alignment: Alignment = Left()
    steps: int | None = static(default=None, low=1, high=65536)

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Solved:
        """Return the columns as a circuit, and as linear tile what they are with every cell connected.

        The linear tile serves read noise and drift compensation, which need one number per cell; the charge itself
        never uses it.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.
        """
        check_conductances("g", g)
        total_r = self.r + self.r_supply
        ladder = Ladder(
            r=total_r, adc_segments=self.adc_segments, r_out=self.r_out, v_adc=0.0, v_idle=0.0, alternate=self.alternate
        )
        rows = g.shape[1]
        before, after = placement.row_start, placement.rows_after(rows)
        load, drive = signed_sum(g, (1.0,) * len(signs)), signed_sum(g, signs)
        # Even columns of the tile are read at the last row's end, odd ones at the first's.
        ends = (placement.col_start % 2 == 1, placement.col_start % 2 == 0) if self.alternate else (False,)
        ends = ends[: g.shape[2]]

        def group(k: int, at_first: bool) -> ColumnGroup:
            r_end = total_r * (self.adc_segments + (before if at_first else after)) + self.r_out
            own = [x[:, k :: len(ends)] for x in (load, drive)]
            own = [x[::-1] for x in own] if at_first else own
            return ColumnGroup(*own, r_end=jnp.asarray(r_end, g.dtype))

        circuit = IdleColumns(
            groups=tuple(group(k, at_first) for k, at_first in enumerate(ends)),
            r=jnp.asarray(total_r, g.dtype),
            at_first=ends,
            alignment=self.alignment,
            steps=self.steps,
        )
        return Solved(linear=ladder.effective(g, signs, placement), circuit=circuit)


@partial(jax.jit, static_argnums=(2, 3))
def _charge(
    columns: IdleColumns, level: Float[Array, "*batch rows"], steps: int, cols: int
) -> Float[Array, "*batch cols"]:
    """Return the charges of timed pulses cut into steps, or of amplitudes for no steps."""
    columns, level = in_one_precision(columns, level)
    one = partial(columns._timed, steps=steps) if steps else columns._amplitudes
    return one_by_one(one, level, cols)


def _solve_columns(
    columns: ColumnGroup, r: Array, connected: Float[Array, "step rows"], driven: Float[Array, "step rows"]
) -> Float[Array, "step cols"]:
    """Return the output current of each column in each step, per volt of read voltage [S]."""
    fill = -columns.load.shape[0] % _ROWS_AT_ONCE

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

    def add_rows(state: tuple[Array, Array, Array], group: tuple) -> tuple[tuple[Array, Array, Array], None]:
        (voltage, current, output), _ = jax.lax.scan(add_row, state, group)
        # Only ratios matter. What has left the range of the precision says so, not zero.
        scale = jnp.where(jnp.isfinite(voltage), 1 / voltage, jnp.nan)
        return (jnp.ones_like(voltage), current * scale, output * scale), None

    none = carried(
        jnp.zeros((connected.shape[0], columns.load.shape[1]), connected.dtype), columns, r, connected, driven
    )
    start = (none + 1, none, none)
    groups = (grouped(columns.load), grouped(columns.drive), grouped(connected.T), grouped(driven.T))
    (voltage, current, output), _ = jax.lax.scan(add_rows, start, groups)
    return output / (voltage + columns.r_end * current)
