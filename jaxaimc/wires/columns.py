"""Columns whose idle cells are disconnected, grouped by the end at which they are read."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, static
from jaxaimc.wires.base import Placement, signed_sum
from jaxaimc.wires.timing import Alignment, Left, overlap


@component
class ColumnGroup:
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
    """All columns of a tile.

    Attributes:
        groups: With n groups, group k holds the columns k, k + n, k + 2n, ...
        r: Segment resistance [ohm].
        at_first: For each group whether it is read at the first row's end.
        alignment: When each row's pulse starts.
        beyond: Segments between these rows and the edge of the tile where they are read, for the end that has fewest.
    """

    groups: tuple[ColumnGroup, ...]
    r: Float[Array, ""]
    at_first: tuple[bool, ...] = static()
    alignment: Alignment = Left()
    beyond: int = static(default=0)

    @property
    def count(self) -> int:
        """Number of columns."""
        return sum(group.load.shape[-1] for group in self.groups)

    def far_first(self, x: Float[Array, "*batch rows"]) -> list[Float[Array, "*batch rows"]]:
        """Return what is on the rows in the order that each group has them.

        Args:
            x: One number for each row.
        """
        return [x[..., ::-1] if at_first else x for at_first in self.at_first]

    def in_order(self, of_groups: list[Float[Array, "*batch _"]]) -> Float[Array, "*batch cols"]:
        """Put the columns of the groups side by side again.

        Args:
            of_groups: One number for each column of each group.
        """
        if len(of_groups) == 1:
            return of_groups[0]
        even, odd = of_groups
        paired = jnp.stack([even[..., : odd.shape[-1]], odd], axis=-1)
        paired = paired.reshape(*odd.shape[:-1], 2 * odd.shape[-1])
        return jnp.concatenate([paired, even[..., odd.shape[-1] :]], axis=-1)

    def matrix(self, of_groups: list[Float[Array, "*batch rows _"]]) -> Float[Array, "*batch rows cols"]:
        """Put matrices of the groups, far end first, side by side in the order of rows and columns.

        Args:
            of_groups: One matrix for each group.
        """
        return self.in_order(
            [x[..., ::-1, :] if at_first else x for x, at_first in zip(of_groups, self.at_first, strict=True)]
        )


def alternating_columns(
    g: Float[Array, "polarity rows cols"],
    signs: tuple[float, ...],
    placement: Placement,
    *,
    r: Float[Array, ""] | float,
    adc_segments: Float[Array, ""] | float,
    r_out: Float[Array, ""] | float,
    alternate: bool,
    alignment: Alignment,
) -> Columns:
    """Group the columns of a block of cells by the end at which they are read.

    Args:
        g: Device conductances [S].
        signs: Sign of each polarity's drive.
        placement: Where the block sits on its tile.
        r: Segment resistance [ohm].
        adc_segments: Length of the last segment, in segments [1].
        r_out: Further resistance in series with each column's ADC [ohm].
        alternate: Whether odd columns of the tile are read at the first row's end.
        alignment: When each row's pulse starts.
    """
    before, after = placement.row_start, placement.rows_after(g.shape[1])
    load, drive = signed_sum(g, (1.0,) * len(signs)), signed_sum(g, signs)
    # Even columns of the tile are read at the last row's end, odd ones at the first's.
    ends = (placement.col_start % 2 == 1, placement.col_start % 2 == 0) if alternate else (False,)
    ends = ends[: g.shape[2]]

    def group(k: int, at_first: bool) -> ColumnGroup:
        r_end = r * (adc_segments + (before if at_first else after)) + r_out
        own = [x[:, k :: len(ends)] for x in (load, drive)]
        own = [x[::-1] for x in own] if at_first else own
        return ColumnGroup(load=own[0], drive=own[1], r_end=jnp.asarray(r_end, g.dtype))

    return Columns(
        groups=tuple(group(k, at_first) for k, at_first in enumerate(ends)),
        r=jnp.asarray(r, g.dtype),
        at_first=ends,
        alignment=alignment,
        beyond=min(before if at_first else after for at_first in ends),
    )


def shares(
    level: Float[Array, "*batch rows"],
    alignment: Alignment,
    low: Float[Array, "*bin 1"],
    high: Float[Array, "*bin 1"],
    steps: int,
    swing: Float[Array, "*bin 1"] | None = None,
) -> tuple[Float[Array, "*both rows"], Float[Array, "*both rows"]]:
    """Return for which share of a stretch of time each row is connected, and the same with the sign of its drive.

    Args:
        level: Signed pulses as a share of the longest, of a shape that broadcasts against that of `low` [1].
        alignment: When each pulse starts.
        low: Begin of each stretch, in steps.
        high: Its end, in steps.
        steps: Steps of the longest pulse.
        swing: Amplitude of the first cosine of a stretch that is added to the share, positive where what is on in its
            first half counts more; None for the share alone. With one and minus one in turn, mean and covariance of
            rows that start or end within the stretch are those of their pulses, but for 1.5 % of rows that are spread
            evenly, where the share alone has none of the covariance. These shares can lie outside [0, 1], by 0.07.
    """
    fixed = jax.lax.stop_gradient

    def share(duration: Array) -> Array:
        start = alignment.start(duration)
        if swing is None:
            return overlap(steps * start, steps * (start + duration), low, high, steps) / (high - low)
        before, until = (overlap(low, steps * x, low, high, steps) / (high - low) for x in (start, start + duration))
        return until - before + swing * (_first_cosine(until) - _first_cosine(before))

    sign = fixed(jnp.sign(level))
    # The drive is odd in the level and has a slope at zero, where sign times magnitude would have none.
    lengthened = share(fixed(jnp.abs(level)) + level - fixed(level))
    # The load is even in the level: no slope at zero, where JAX's `abs` has one.
    if swing is None:
        connected = share(sign * level)
        return connected, fixed(sign * connected) + lengthened - fixed(lengthened)
    # One share for both: cheaper, and right for first derivatives alone, which is what two solves of a stretch have.
    return _with_slope_of(sign * lengthened, lengthened), _with_slope_of(lengthened, fixed(sign * lengthened))


@jax.custom_jvp
def _with_slope_of(other: Float[Array, "..."], value: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return a value with the first derivatives of another, which is not computed where none are asked for."""
    return value


@_with_slope_of.defjvp
def _with_slope_of_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return _with_slope_of(*primals), tangents[0]


def _first_cosine(until: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return `sqrt(2) sin(pi x) / pi`, the integral of the cosine up to there, right to 0.001; XLA's sine is slow."""
    arch = until * (1 - until)
    return math.sqrt(2) * arch * (1 + arch * (1 + 0.384 * arch))
