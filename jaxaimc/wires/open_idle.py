"""Gated columns: idle cells are open (1T1R), so that the load on a wire depends on which rows are active now.

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

from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc.units import ohm
from jaxaimc.wires.base import Effective, Placement, signed_sum
from jaxaimc.wires.ladder import Ladder

_ROWS_AT_ONCE = 32  # rows between two rescalings of the running voltages, which only grow
_STEPS_AT_ONCE = 16  # time steps solved side by side: bounds the memory, and keeps the running state in the cache


class Alignment(Protocol):
    """When a row's pulse starts. Alignments of your own are a component with this member."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return the start of each pulse for its duration, both as a share of the longest pulse [1]."""
        ...


@component
class Left:
    """All pulses start together."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return zero for every row."""
        return jnp.zeros_like(duration)


@component
class Right:
    """All pulses end together. Mirrored in time, the charge is that of `Left`."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return what is left of the longest pulse."""
        return 1 - duration


@component
class Centred:
    """All pulses have one centre. The same rows are on together for the same times as with `Left`."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return half of what is left of the longest pulse."""
        return (1 - duration) / 2


@component
class Staggered:
    """Even rows start together, odd rows end together: fewer rows load the wire at once, and IR drop is less."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return zero for even rows, what is left of the longest pulse for odd ones."""
        return jnp.where(jnp.arange(duration.shape[-1]) % 2, 1 - duration, 0.0)


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
class Columns:
    """Devices of gated columns, ready to be read.

    Attributes:
        groups: With n groups, group k holds the columns k, k + n, k + 2n, ...
        r: Segment resistance [ohm].
        at_first: For each group whether it is read at the first row's end.
    """

    groups: tuple[ColumnGroup, ...]
    r: Float[Array, ""]
    at_first: tuple[bool, ...] = static()


@component
class OpenIdle:
    """Resistive columns whose idle cells are disconnected; the ADC holds the column at the idle voltage.

    Attributes:
        r: Resistance of a wire segment between neighbouring cells [ohm].
        r_supply: Segment of a separate supply line that runs beside each column and is fed at the ADC's end [ohm]; the
            current of a cell then passes both lines. Zero where rows themselves supply the cells.
        adc_segments: Length of the last segment, from the tile's edge cell to the ADC, in segments [1].
        r_out: Further resistance in series with each column's ADC [ohm].
        alternate: Whether odd columns are read at the first row's end. Even columns are read at the last row's.
        alignment: When each row's pulse starts.
        steps: Time steps into which the longest pulse is cut. Exact where pulses start and end on step boundaries:
            127 for `PWM` at 8 bits, 1 for a bit plane. Fewer are a fast approximation.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.wires import OpenIdle, Placement
        >>> wires = OpenIdle(r=100.0, steps=4)
        >>> network = wires.effective(jnp.full((1, 2, 1), 1e-3), (1.0,), Placement(rows=2, cols=1)).network
        >>> charge = wires.charge(network, jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), 0.2)
        >>> [round(float(q) * 1e3, 4) for q in charge[:, 0]]
        [0.8696, 0.9524, 1.7427]
    """

    r: float = 0.15 * ohm
    r_supply: float = 0.0 * ohm
    adc_segments: float = 0.5
    r_out: float = 0.0 * ohm
    alternate: bool = static(default=True)
    alignment: Alignment = Left()
    steps: int = static(default=127)

    def __post_init__(self) -> None:
        check_integer("OpenIdle", "steps", self.steps, low=1, high=65536)

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
        """Return the columns for `charge`, and as matrix what they are with every cell connected.

        The matrix and the sensitivities serve read noise and drift compensation, which need one number per cell; the
        charge itself never uses them.
        """
        total_r = self.r + self.r_supply
        ladder = Ladder(
            r=total_r, adc_segments=self.adc_segments, r_out=self.r_out, v_adc=0.0, v_idle=0.0, alternate=self.alternate
        )
        rows = g.shape[1]
        before, after = placement.row_start, placement.rows - placement.row_start - rows
        load, drive = signed_sum(g, (1.0,) * len(signs)), signed_sum(g, signs)
        # Even columns of the tile are read at the last row's end, odd ones at the first's.
        ends = (placement.col_start % 2 == 1, placement.col_start % 2 == 0) if self.alternate else (False,)

        ends = ends[: g.shape[2]]

        def group(k: int, at_first: bool) -> ColumnGroup:
            r_end = total_r * (self.adc_segments + (before if at_first else after)) + self.r_out
            own = [x[:, k :: len(ends)] for x in (load, drive)]
            own = [x[::-1] for x in own] if at_first else own
            return ColumnGroup(*own, r_end=jnp.asarray(r_end, g.dtype))

        columns = Columns(
            groups=tuple(group(k, at_first) for k, at_first in enumerate(ends)),
            r=jnp.asarray(total_r, g.dtype),
            at_first=ends,
        )
        return ladder.effective(g, signs, placement)._replace(network=columns)

    def charge(
        self, network: Columns, level: Float[Array, "*batch rows"], v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        Memory is bounded by a few arrays of 16 steps x cols, whatever the batch. Gradients are exact for the charge
        as computed here, in conductances, resistances and pulse lengths; where a pulse ends on a step boundary the
        derivative in its length is the mean of those of the two steps that meet there.

        Args:
            network: The columns, from `effective`.
            level: Signed pulse lengths as a share of the longest pulse [1].
            v_read: Read voltage [V]; gated columns are linear in it.

        Returns:
            The charge of each column per volt and per length of the longest pulse [S].
        """
        vectors = level.reshape(-1, level.shape[-1])
        charge = jax.lax.map(partial(self._charge_of_one, network), vectors)
        return charge.reshape(*level.shape[:-1], charge.shape[-1])

    def validate(self) -> None:
        """Check the resistances.

        Raises:
            ValueError: If one is negative.
        """
        check_number("OpenIdle", "r", self.r, "ohm", low=0.0, high=1e9)
        check_number("OpenIdle", "r_supply", self.r_supply, "ohm", low=0.0, high=1e9)
        check_number("OpenIdle", "adc_segments", self.adc_segments, low=0.0, high=1e6)
        check_number("OpenIdle", "r_out", self.r_out, "ohm", low=0.0, high=1e12)

    def _charge_of_one(self, columns: Columns, level: Float[Array, " rows"]) -> Float[Array, " cols"]:
        count = min(_STEPS_AT_ONCE, self.steps)
        chunks = -(-self.steps // count)
        # Steps that only fill up the last chunk lie beyond every pulse: nobody is connected, no charge flows.
        times = jnp.arange(chunks * count, dtype=level.dtype).reshape(chunks, count)

        @jax.checkpoint
        def add_chunk(totals: tuple[Array, ...], step: Array) -> tuple[tuple[Array, ...], None]:
            connected, driven = self._shares(level, step[:, None])
            currents = [
                _solve_columns(group, columns.r, *((x[:, ::-1] if at_first else x) for x in (connected, driven)))
                for group, at_first in zip(columns.groups, columns.at_first, strict=True)
            ]
            return tuple(t + jnp.sum(c, axis=0) for t, c in zip(totals, currents, strict=True)), None

        none = tuple(jnp.zeros_like(group.drive[0]) for group in columns.groups)
        totals, _ = jax.lax.scan(add_chunk, none, times)
        if len(totals) == 1:
            return totals[0] / self.steps
        even, odd = totals
        paired = jnp.stack([even[: odd.shape[0]], odd], axis=-1).reshape(-1)
        return jnp.concatenate([paired, even[odd.shape[0] :]]) / self.steps

    def _shares(self, level: Array, step: Array) -> tuple[Array, Array]:
        """Return for which share of each step each row is connected, and the same with the sign of its drive."""
        fixed = jax.lax.stop_gradient

        def share(duration: Array) -> Array:
            start = self.alignment.start(duration)
            return _share_of_step(self.steps * start, self.steps * (start + duration), step, self.steps)

        # The load is even in the level: no slope at zero, where JAX's `abs` has one.
        connected = share(fixed(jnp.sign(level)) * level)
        # The drive is odd in the level and has a slope at zero, where sign times magnitude would have none.
        lengthened = share(fixed(jnp.abs(level)) + level - fixed(level))
        return connected, fixed(jnp.sign(level) * connected) + lengthened - fixed(lengthened)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _share_of_step(start: Array, end: Array, step: Array, steps: int) -> Array:
    """Return for which share of a time step a pulse is on; times in units of steps [1]."""
    return jnp.clip(jnp.minimum(end, step + 1) - jnp.maximum(start, step), 0, 1)


@_share_of_step.defjvp
def _share_of_step_jvp(steps: int, primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]) -> tuple:
    start, end, step = primals

    def snapped(edge: Array) -> Array:
        # A code over its largest times the steps is a whole number but for rounding.
        whole = jnp.round(edge)
        return jnp.where(jnp.abs(edge - whole) < 1e-3, whole, edge)

    def inside(edge: Array) -> Array:
        # An edge on a boundary moves in both steps that meet there, half in each; at the window's ends there is one.
        edge = snapped(edge)
        after = (edge >= step) & (edge < step + 1) & (step < steps)
        before = (edge > step) & (edge <= step + 1)
        return after * jnp.where(edge <= 0, 1.0, 0.5) + before * jnp.where(edge >= steps, 1.0, 0.5)

    moved = inside(end) * tangents[1] - inside(start) * tangents[0]
    return _share_of_step(start, end, step, steps), moved


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
        # Only ratios matter.
        scale = 1 / voltage
        return (jnp.ones_like(voltage), current * scale, output * scale), None

    shape = (connected.shape[0], columns.load.shape[1])
    start = (jnp.ones(shape, connected.dtype), jnp.zeros(shape, connected.dtype), jnp.zeros(shape, connected.dtype))
    groups = (grouped(columns.load), grouped(columns.drive), grouped(connected.T), grouped(driven.T))
    (voltage, current, output), _ = jax.lax.scan(add_rows, start, groups)
    return output / (voltage + columns.r_end * current)
