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


@component
class Left(Alignment):
    """All pulses start together."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return zero for every row."""
        return jnp.zeros_like(duration)


@component
class Right(Alignment):
    """All pulses end together. Mirrored in time, the charge is that of `Left`."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return what is left of the longest pulse."""
        return 1 - duration


@component
class Centred(Alignment):
    """All pulses have one centre. The same rows are on together for the same times as with `Left`."""

    # The pulse that is one step shorter starts half a step later.
    edges_per_step: ClassVar[int] = 2

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return half of what is left of the longest pulse."""
        return (1 - duration) / 2


@component
class Staggered(Alignment):
    """Even rows start together, odd rows end together: fewer rows load the wire at once, and IR drop is less."""

    def start(self, duration: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
        """Return zero for even rows, what is left of the longest pulse for odd ones."""
        return jnp.where(jnp.arange(duration.shape[-1]) % 2, 1 - duration, 0.0)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def share_of_step(start: Array, end: Array, step: Array, steps: int) -> Array:
    """Return for which share of a time step a pulse is on; times in units of steps [1]."""
    return jnp.clip(jnp.minimum(end, step + 1) - jnp.maximum(start, step), 0, 1)


@share_of_step.defjvp
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
    return share_of_step(start, end, step, steps), moved
