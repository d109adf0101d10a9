"""When rows are driven: alignment of pulses, and for which share of a time step a pulse is on."""

import abc
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component


class Alignment(Component):
    """When a row's pulse starts. An alignment of your own derives from this and writes `start`.

    Attributes:
        edges_per_step: Places in a step of the drive where pulses start or end.
    """

    edges_per_step: ClassVar[int] = 1

    @abc.abstractmethod
    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return the start of each pulse for its duration, both as a share of the longest pulse [1]."""

    def bins(self, count: int) -> tuple[float, ...]:
        """Return the edges of a few stretches into which the longest pulse is cut, from zero to one [1].

        Args:
            count: Number of stretches; equally long ones unless more pulses start or end at some times than at others.
        """
        return tuple(edge / count for edge in range(count + 1))

    @property
    def simplest(self) -> "Alignment":
        """An alignment with the same charge whatever the pulses, for which `bins` are best."""
        return self


# Power with which the edges of time stretches grow: most pulses of usual inputs are short.
_CLOSER = 1.7


@component
class Left(Alignment):
    """All pulses start together."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return zero for every row."""
        return jnp.zeros_like(duration)

    def bins(self, count: int) -> tuple[float, ...]:
        """Return edges that are closer to each other at first, when most pulses end."""
        return tuple((edge / count) ** _CLOSER for edge in range(count + 1))


@component
class Right(Alignment):
    """All pulses end together. Mirrored in time, the charge is that of `Left`."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return what is left of the longest pulse."""
        return 1 - duration

    @property
    def simplest(self) -> Alignment:
        """That of pulses which start together."""
        return Left()


@component
class Centred(Alignment):
    """All pulses have one centre. The same rows are on together for the same times as with `Left`."""

    # The pulse that is one step shorter starts half a step later.
    edges_per_step: ClassVar[int] = 2

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return half of what is left of the longest pulse."""
        return (1 - duration) / 2

    @property
    def simplest(self) -> Alignment:
        """That of pulses which start together."""
        return Left()


@component
class Staggered(Alignment):
    """Even rows start together, odd rows end together: fewer rows load the wire at once, and IR drop is less."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return zero for even rows, what is left of the longest pulse for odd ones."""
        return jnp.where(jnp.arange(duration.shape[-1]) % 2, 1 - duration, 0.0)


@component
class RowsFirst(Alignment):
    """Another alignment, for pulses with the rows on the first axis instead of the last.

    Attributes:
        of: The alignment.
    """

    of: Alignment = Left()

    def start(self, duration: Float[Array, "rows *batch"]) -> Float[Array, "rows *batch"]:
        """Return the start of each pulse."""
        return jnp.moveaxis(self.of.start(jnp.moveaxis(duration, 0, -1)), -1, 0)


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def overlap(start: Array, end: Array, low: Array, high: Array, longest: int) -> Array:
    """Return for how long a pulse is on within a stretch of time; times in units of steps [1].

    Args:
        start: Start of the pulse.
        end: Its end.
        low: Start of the stretch, between zero and `longest`.
        high: Its end.
        longest: Length of the longest pulse.
    """
    return jnp.clip(jnp.minimum(end, high) - jnp.maximum(start, low), 0, high - low)


@overlap.defjvp
def _overlap_jvp(longest: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple:
    start, end, low, high = primals

    def snapped(edge: Array) -> Array:
        # A code over its largest times the steps is a whole number but for rounding.
        whole = jnp.round(edge)
        return jnp.where(jnp.abs(edge - whole) < 1e-3, whole, edge)

    def inside(edge: Array) -> Array:
        # An edge on a boundary moves in both stretches that meet there, half in each; at the window's ends there is
        # one.
        edge = snapped(edge)
        after = (edge >= low) & (edge < high) & (low < longest)
        before = (edge > low) & (edge <= high)
        return after * jnp.where(edge <= 0, 1.0, 0.5) + before * jnp.where(edge >= longest, 1.0, 0.5)

    moved = inside(end) * tangents[1] - inside(start) * tangents[0]
    return overlap(start, end, low, high, longest), moved
