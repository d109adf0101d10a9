"""Columns whose idle cells are open (1T1R), so that the load on a wire depends on which rows are active now.

The circuit is time-varying and its charge is not linear in the inputs: a row that ends its pulse takes its load off
the wire of every other row. There are three methods for it, from exact to fast: `EveryStep`, `Blocks`, `MeanField`.
"""

import abc
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component, leaf, static
from jaxaimc.units import ohm
from jaxaimc.wires.base import Circuit, Linear, Placement, Solved, Wires, signed_sum
from jaxaimc.wires.column_supply import columns_power
from jaxaimc.wires.columns import Columns, alternating_columns, shares
from jaxaimc.wires.idle_blocks import BlockColumns
from jaxaimc.wires.idle_mean_field import mean_field, mean_shares
from jaxaimc.wires.idle_steps import SteppedColumns
from jaxaimc.wires.outcome import check_conductances
from jaxaimc.wires.timing import Alignment, Left

# Stretches of time of a profile that serves read noise alone.
_FEW_BINS = 4
# Error below which blocks cost as much as every step [1].
_LEAST_ERROR = 0.0005
# Pulse lengths of which the mean activity is taken where no data say how long pulses are.
_LENGTHS = 64


class IdleMethod(Component):
    """How columns with open idle cells are solved. A method of your own derives from this and writes `circuit`.

    Attributes:
        bins: Stretches of time of timed pulses, or None.
        reverse_only: Whether the circuit's derivatives are by reverse mode alone; those of `of_profile` are then too,
            and take a fraction of the time.
    """

    bins: int | None
    reverse_only: ClassVar[bool] = False

    @abc.abstractmethod
    def circuit(
        self,
        columns: Columns,
        steps: int | None,
        profile: Float[Array, "plane bin rows"],
        of_profile: Float[Array, "plane bin rows cols"],
    ) -> Circuit:
        """Return the columns, ready to be read.

        Args:
            columns: The columns.
            steps: Time steps that the wires were given.
            profile: Mean share of each stretch of time for which a row is connected, for each plane of pulses, or one
                for all [1].
            of_profile: Which share of each cell's current then reaches its output [1].
        """

    @property
    def profile_bins(self) -> int:
        """Number of stretches of time of a profile."""
        return _FEW_BINS

    @property
    def finer(self) -> "IdleMethod | None":
        """A method with a smaller error, to tell that of this one; None if it is exact."""
        return None


@component
class EveryStep(IdleMethod):
    """Every step of the drive is solved by itself: exact, and the reference for the other methods. Exact gradients."""

    bins: ClassVar[int | None] = None

    def circuit(self, columns: Columns, steps: int | None, profile: Array, of_profile: Array) -> Circuit:
        """Return the columns, to be solved step by step."""
        return SteppedColumns(columns=columns, steps=steps)


@component
class Blocks(IdleMethod):
    """Few stretches of time, and blocks of rows as two-ports: matrix products and a short ladder.

    The error is that of the charge over the effect of the wires, both as root mean square, and was measured for 64 to
    512 rows, 0.15 to 20 ohm a segment, normal and rectified inputs. Inputs of which nearly all are close to zero can
    exceed it; `jaxaimc evaluate` says what it is on a network's own layers. Gradients are of first order.

    Attributes:
        error: Largest error over the effect of the wires [1]; says how many stretches and blocks there are.
        rows: Largest number of rows of a block; None for as many as the error allows.
        bins: Stretches of time of timed pulses, each solved twice; None for as few as the error allows.
    """

    reverse_only: ClassVar[bool] = True

    error: float = static(default=0.02)
    rows: int | None = static(default=None, low=1, high=65536)
    bins: int | None = static(default=None, low=1, high=65536)

    def circuit(self, columns: Columns, steps: int | None, profile: Array, of_profile: Array) -> Circuit:
        """Return the columns, to be solved block by block."""
        return BlockColumns(columns=columns, error=self.error, rows=self.rows, bins=self.bins)

    @property
    def finer(self) -> IdleMethod:
        """Blocks of a quarter of the error, at most that of the default."""
        return Blocks(error=min(max(self.error / 4, _LEAST_ERROR), 0.02))

    def check(self) -> None:
        """Check the error.

        Raises:
            ValueError: If it is no share of the effect.
        """
        if not isinstance(self.error, (int, float)) or not _LEAST_ERROR <= self.error <= 1:
            raise ValueError(f"Field `error` of Blocks must be in [{_LEAST_ERROR}, 1], but is {self.error}.")


@component
class MeanField(IdleMethod):
    """A matrix for each of few stretches of time, in which the rows load the wire as they do on average over data.

    The cheapest method, prepared once for a chip, and the one to train on. `jaxaimc.nn.calibrate` finds the profile of
    a layer's rows from data; without it pulses of all lengths are taken to be as frequent. Gradients are of first
    order.

    Attributes:
        bins: Stretches of time of timed pulses.
        activities: Activities over that of the profile at which matrices are built, from the lowest. Between several,
            such as (0.7, 1.0, 1.4), every vector has its own.
    """

    reverse_only: ClassVar[bool] = True

    bins: int | None = static(default=4, low=1, high=65536)
    activities: tuple[float, ...] = static(default=(1.0,))

    def circuit(self, columns: Columns, steps: int | None, profile: Array, of_profile: Array) -> Circuit:
        """Return the columns as matrices."""
        return mean_field(columns, profile, of_profile, self.activities)

    @property
    def profile_bins(self) -> int:
        """The method's own."""
        return self.bins or _FEW_BINS

    @property
    def finer(self) -> IdleMethod:
        """Blocks."""
        return Blocks()

    def check(self) -> None:
        """Check bins and activities.

        Raises:
            ValueError: If there is none, or activities do not rise from above zero.
        """
        if self.bins is None:
            raise ValueError("Field `bins` of MeanField must be a number of stretches, but is None.")
        rising = all(a < b for a, b in zip(self.activities, self.activities[1:], strict=False))
        if not self.activities or not rising or not 0 < self.activities[0] <= self.activities[-1] <= 100:
            raise ValueError(
                "Field `activities` of MeanField must be numbers in (0, 100] from the lowest to the highest, but is "
                f"{self.activities}."
            )


@component
class OpenIdle(Wires):
    """Resistive columns whose idle cells are disconnected; the ADC holds the column at the idle voltage.

    Gradients are those of its method.

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
        method: How the columns are solved: exactly, or faster with a stated error.

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
    supply_model: ClassVar[str] = "exact but for the mean over stretches of time, for pulses that start together"

    r: float = leaf(0.15 * ohm, "ohm", low=0.0, high=1e9)
    r_supply: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e9)
    adc_segments: float = leaf(0.5, low=0.0, high=1e6)
    r_out: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e12)
    alternate: bool = static(default=True)
    alignment: Alignment = Left()
    steps: int | None = static(default=None, low=1, high=65536)
    method: IdleMethod = EveryStep()

    @property
    def profiled(self) -> bool:
        """Yes: read noise, drift compensation and `MeanField` depend on how active the rows are."""
        return True

    def check(self) -> None:
        """Check that `steps` belong to the method.

        Raises:
            ValueError: If the method has none.
        """
        if self.steps is not None and not isinstance(self.method, EveryStep):
            raise ValueError(
                f"Field `steps` of OpenIdle must be None with `method={type(self.method).__name__}(...)`, which has "
                f"stretches of its own, but is {self.steps}."
            )

    @property
    def finer(self) -> "OpenIdle | None":
        """The same columns by a method with a smaller error; None where this one is exact."""
        finer = self.method.finer
        return None if finer is None else self.with_(method=finer)

    def activity(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool
    ) -> Float[Array, "*batch bin rows"]:
        """Return for which share of each of some stretches of time the rows are connected [1].

        Args:
            level: Signed pulses as a share of the largest one [1].
            steps: Whole steps of a full-scale pulse.
            timed: Whether a level is a share of time. Otherwise there is one stretch, the whole pulse.
        """
        if not timed:
            return jnp.asarray(level != 0, level.dtype)[..., None, :]
        alignment, steps = self.alignment.simplest, max(steps, 1)
        edges = jnp.asarray(alignment.bins(self.method.profile_bins), level.dtype)[:, None] * steps
        return shares(level[..., None, :], alignment, edges[:-1], edges[1:], steps)[0]

    def effective(
        self,
        g: Float[Array, "polarity rows cols"],
        signs: tuple[float, ...],
        placement: Placement,
        profile: Float[Array, "plane bin rows"] | None = None,
    ) -> Solved:
        """Return the columns as a circuit, and as linear tile what they are on average.

        The linear tile serves read noise and drift compensation, which need one number per cell: the share of a
        device's current that reaches the output, mean over the time for which its row is connected, while the other
        rows load the wire as the profile says.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.
            profile: Mean share of each stretch of time for which a row is connected, for each plane of pulses, as
                `activity` has it [1]; None for timed pulses of which all lengths are as frequent.
        """
        check_conductances("g", g)
        return _effective(self, g, signs, placement, profile)

    def _columns(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Columns:
        return alternating_columns(
            g,
            signs,
            placement,
            r=self.r + self.r_supply,
            adc_segments=self.adc_segments,
            r_out=self.r_out,
            alternate=self.alternate,
            alignment=self.alignment,
        )

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
        """Return the power that supplies deliver, mean over the longest pulse [W]: that of the rows connected.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.
            level: Signed pulses as a share of the largest one [1].
            timed: Whether a level is a share of time, or of the read voltage.
            v_read: Read voltage [V].
        """
        columns = self._columns(g, signs, placement)
        return columns_power(g, columns, level, timed=timed, v_read=v_read, held=False)

    def _of_all_lengths(self, rows: int, dtype: Any) -> Float[Array, "1 bin rows"]:
        lengths = (jnp.arange(_LENGTHS, dtype=dtype) + 0.5) / _LENGTHS
        level = jnp.broadcast_to(lengths[:, None], (_LENGTHS, rows))
        return jnp.mean(self.activity(level, steps=0, timed=True), axis=0)[None]


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _effective(
    wires: OpenIdle,
    g: Float[Array, "polarity rows cols"],
    signs: tuple[float, ...],
    placement: Placement,
    profile: Float[Array, "plane bin rows"] | None,
) -> Solved:
    columns = wires._columns(g, signs, placement)
    profile = wires._of_all_lengths(g.shape[1], g.dtype) if profile is None else profile
    of_profile = mean_shares(columns, profile, reverse_only=wires.method.reverse_only)
    share = _mean_over_time(profile, of_profile, wires.alignment.simplest)
    linear = Linear(
        matrix=signed_sum(g, signs) * share,
        sensitivity=jnp.broadcast_to(share, g.shape),
        baseline=jnp.zeros_like(g[0, 0]),
    )
    return Solved(linear=linear, circuit=wires.method.circuit(columns, wires.steps, profile, of_profile))


def _mean_over_time(
    profile: Float[Array, "plane bin rows"], of_profile: Float[Array, "plane bin rows cols"], alignment: Alignment
) -> Float[Array, "rows cols"]:
    """Return which share of each cell's current reaches its output, mean over the time for which it is connected."""
    edges = jnp.asarray(alignment.bins(profile.shape[1]), profile.dtype)
    time = profile * jnp.diff(edges)[:, None]
    total = jnp.sum(time, axis=(0, 1))
    # A row that is never connected has no noise that would be seen.
    time = jnp.where(total > 0, time / jnp.where(total > 0, total, 1.0), 1.0 / (time.shape[0] * time.shape[1]))
    return jnp.sum(time[..., None] * of_profile, axis=(0, 1))
