"""Column ladder with held idle cells: the exact IR drop of the tile-circuit model, once per programmed tile.

Source: circuit of Luquin et al. 2025 (arXiv 2506.00004). Each column wire is a ladder of segments `r`; both devices
of a cell always load it with `G = g+ + g-`, because idle rows are held at the idle voltage. The network is therefore
linear and does not change while pulses run, and the integrated charge is a plain matrix product with effective
weights. By reciprocity the effective weights of a column are its node voltages when the ADC end is at one volt and
every row is grounded: one tridiagonal solve per column, O(rows x cols) in all.
"""

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf, static
from jaxaimc.units import V, ohm
from jaxaimc.wires.base import Linear, Placement, Wires, signed_sum
from jaxaimc.wires.carry import carried
from jaxaimc.wires.column_supply import columns_power
from jaxaimc.wires.columns import alternating_columns
from jaxaimc.wires.outcome import check_conductances
from jaxaimc.wires.timing import Left


@component
class Ladder(Wires):
    """Resistive column wires, idle cells held at the idle voltage.

    Attributes:
        r: Resistance of a wire segment between neighbouring cells [ohm].
        adc_segments: Length of the last segment, from the tile's edge cell to the ADC, in segments [1].
        r_out: Further resistance in series with each column's ADC [ohm].
        v_idle: Voltage at which idle rows hold the column's devices [V].
        v_adc: Input voltage of the ADC [V]; its difference to `v_idle` drives a constant offset current.
        alternate: Whether odd columns are read at the first row's end. Even columns are read at the last row's.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.wires import Placement
        >>> g = jnp.full((1, 2, 1), 1e-3)
        >>> seen = Ladder(r=100.0).effective(g, (1.0,), Placement(rows=2, cols=1))
        >>> [round(float(share), 4) for share in seen.sensitivity.ravel()]
        [0.8299, 0.9129]
    """

    resistances: ClassVar[tuple[str, ...]] = ("r",)
    supply_model: ClassVar[str] = "exact but for the mean over stretches of time, for pulses that start together"

    r: float = leaf(0.15 * ohm, "ohm", low=0.0, high=1e9)
    adc_segments: float = leaf(0.5, low=0.0, high=1e6)
    r_out: float = leaf(0.0 * ohm, "ohm", low=0.0, high=1e12)
    v_idle: float = leaf(0.4 * V, "V", low=-100.0, high=100.0)
    v_adc: float = leaf(0.4005 * V, "V", low=-100.0, high=100.0)
    alternate: bool = static(default=True)

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Linear:
        """Return the exact effective matrix of a block of cells.

        Open rows between the block and its ADC end are wire in series; open rows beyond the far end do nothing.
        Gradients are exact, in `g` and in every field, by two linear scans over the rows. Zero `r` and
        zero conductances are exact: no division by either occurs.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.

        Returns:
            The effective matrix, sensitivities and baseline currents.
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
        """Return the power that supplies deliver, the ADCs' input voltage included, mean over the longest pulse [W].

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.
            level: Signed pulses as a share of the largest one [1].
            timed: Whether a level is a share of time, or of the read voltage.
            v_read: Read voltage [V].
        """
        columns = alternating_columns(
            g,
            signs,
            placement,
            r=self.r,
            adc_segments=self.adc_segments,
            r_out=self.r_out,
            alternate=self.alternate,
            alignment=Left(),
        )
        v_offset = self.v_adc - self.v_idle
        return columns_power(g, columns, level, timed=timed, v_read=v_read, held=True, v_offset=v_offset)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _effective(
    ladder: Ladder, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
) -> Linear:
    _, rows, cols = g.shape
    load = signed_sum(g, (1.0,) * len(g))
    flipped = (np.arange(cols) + placement.col_start) % 2 == 1 if ladder.alternate else np.zeros(cols, bool)
    lead = np.where(flipped, placement.row_start, placement.rows_after(rows))
    r_end = ladder.r * (ladder.adc_segments + lead) + ladder.r_out
    # A double-precision leaf must not change the type of a single-precision scan.
    r, r_end = jnp.asarray(ladder.r, g.dtype), jnp.asarray(r_end, g.dtype)
    share, y_column = ladder_shares(_far_first(load, flipped), r, r_end)
    share = _far_first(share, flipped)
    return Linear(
        matrix=signed_sum(g, signs) * share,
        sensitivity=jnp.broadcast_to(share, g.shape),
        baseline=(ladder.v_idle - ladder.v_adc) * y_column,
    )


def _far_first(x: Float[Array, "rows cols"], flipped: np.ndarray) -> Float[Array, "rows cols"]:
    """Reverse the columns that are read at the first row's end, so that the far end always comes first."""
    if not flipped.any():
        return x
    return jnp.where(flipped, x[::-1], x)


@jax.custom_jvp
def ladder_shares(
    load: Float[Array, "rows cols"], r: Float[Array, ""] | float, r_end: Float[Array, " cols"]
) -> tuple[Float[Array, "rows cols"], Float[Array, " cols"]]:
    """Solve all ladders for a unit voltage at the ADC with grounded rows, in positive numbers only.

    With `t` the conductance at a node of all that is farther out, the node's own cell included, and `d` the voltage
    ratio over the segment that follows: `t_s = G_s + t_(s-1) d_(s-1)`, `d_s = 1 / (1 + r t_s)`, `u_s = d_s u_(s+1)`.

    Args:
        load: Conductance of each cell to its row line [S], far end first.
        r: Segment resistance [ohm].
        r_end: Resistance between the last node and the ADC [ohm].

    Returns:
        Node voltages `u` [1], which are also the share of each cell's current that reaches the ADC, and the column's
        conductance seen from the ADC [S].
    """

    def toward_adc(carry: tuple[Array, Array], g: Array) -> tuple[tuple[Array, Array], Array]:
        y, _ = carry
        total = g + y
        drop = 1 / (1 + r * total)
        return (total * drop, total), drop

    none = carried(jnp.zeros_like(load[0]), r)
    (_, last), drop = jax.lax.scan(toward_adc, (none, none), load)
    drop_end = 1 / (1 + r_end * last)
    return _voltages(drop, drop_end), last * drop_end


@ladder_shares.defjvp
def _ladder_jvp(primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]) -> tuple[Any, Any]:
    """Differentiate the two walks by two linear ones, which JAX transposes for reverse mode."""
    load, r, r_end = primals
    load_dot, r_dot, r_end_dot = tangents

    def toward_adc(y: Array, g: Array) -> tuple[Array, tuple[Array, Array]]:
        total = g + y
        drop = 1 / (1 + r * total)
        return total * drop, (total, drop)

    _, (total, drop) = jax.lax.scan(toward_adc, carried(jnp.zeros_like(load[0]), r), load)
    drop_end = 1 / (1 + r_end * total[-1])
    voltage = _voltages(drop, drop_end)

    # The last segment is r_end, not r: its factor replaces the last row's.
    square = jnp.square(drop)
    by_r = -jnp.square(total) * square

    def conductance_walk(y_dot: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        g_dot, factor, r_factor = row
        t_dot = g_dot + y_dot
        return factor * t_dot + r_factor * r_dot, t_dot

    _, total_dot = jax.lax.scan(
        conductance_walk, carried(jnp.zeros_like(load[0]), tangents, r), (load_dot, square, by_r)
    )
    drop_dot = -square * (r * total_dot + total * r_dot)
    drop_end_dot = -jnp.square(drop_end) * (r_end * total_dot[-1] + total[-1] * r_end_dot)

    def voltage_walk(u_dot: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        factor, source = row
        u_dot = factor * u_dot + source
        return u_dot, u_dot

    source = drop_dot[:-1] * voltage[1:]
    _, rest_dot = jax.lax.scan(voltage_walk, carried(drop_end_dot, source, drop), (drop[:-1], source), reverse=True)
    voltage_dot = jnp.concatenate([rest_dot, drop_end_dot[None]])
    y_dot = drop_end * total_dot[-1] + total[-1] * drop_end_dot
    return (voltage, total[-1] * drop_end), (voltage_dot, y_dot)


def _voltages(drop: Float[Array, "rows cols"], drop_end: Float[Array, " cols"]) -> Float[Array, "rows cols"]:
    """Walk away from the ADC and return the node voltages [1]."""

    def toward_far_end(u: Array, d: Array) -> tuple[Array, Array]:
        return u * d, u * d

    # The first factor is the last segment's; dividing by the one it replaces saves a copy of the whole array.
    return jax.lax.scan(toward_far_end, drop_end / drop[-1], drop, reverse=True)[1]
