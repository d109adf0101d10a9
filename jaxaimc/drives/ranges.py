"""Input ranges: the input value that is driven at full scale."""

from abc import abstractmethod
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component, leaf
from jaxaimc._core.rounding import clip, never_zero


class InputRange(Component):
    """Base of all input ranges. One of your own needs `bound`, and `of_parts` if calls may be read in parts."""

    @property
    def shared(self) -> bool:
        """Whether all inputs have one bound, whatever they are, so that each can be scaled by itself."""
        return False

    @abstractmethod
    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return the input value, greater than zero, that is driven at full scale for each vector."""

    def normalise(self, x: Float[Array, "*batch rows"]) -> tuple[Float[Array, "*batch rows"], Float[Array, "*batch"]]:
        """Return the inputs clipped to `[-1, 1]` in units of the bound, and that."""
        bound = self.bound(x)
        return clip(x / bound[..., None], -1.0, 1.0), bound

    def with_limit(self, limit: Float[Array, ""] | float) -> "InputRange":
        """Return this range with another `limit` at full scale; a fixed one if it has no field of that name."""
        changed = self.with_(limit=limit)
        return FixedRange(limit=limit) if changed is None else changed  # pyright: ignore[reportArgumentType]

    def of_parts(self, bounds: Callable[[], Float[Array, "part *batch"]]) -> "InputRange | None":
        """Return the range with which the vectors of a call are driven in parts as they are all at once.

        Args:
            bounds: Finds the bounds of the vectors of every part, if they matter.

        Returns:
            The range of every part. None, as here, says that there is none: the vectors are then driven at once.
        """
        return None


@component
class PerVector(InputRange):
    """Each vector is scaled by its own largest magnitude; the scale is constant under differentiation."""

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return `max_i |x_i|`, next to nothing where a vector is zero."""
        return _largest(x, axis=-1)

    def of_parts(self, bounds: Callable[[], Float[Array, "part *batch"]]) -> InputRange:
        """Return this range: vectors have nothing to do with each other."""
        return self


@component
class AbsoluteMaximum(InputRange):
    """All vectors of a call share one scale, their largest magnitude; it is constant under differentiation.

    A result then depends on what else is in the batch; `FixedRange` with a calibrated limit does not. Inputs that are
    not finite have no part in the scale: they spoil their own vector's result, and no other.
    """

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return the largest magnitude of the batch for every vector, next to nothing where all are zero."""
        return jnp.broadcast_to(_largest(jnp.where(jnp.isfinite(x), x, 0)), x.shape[:-1])

    def of_parts(self, bounds: Callable[[], Float[Array, "part *batch"]]) -> InputRange:
        """Return the largest magnitude of all parts as a fixed range."""
        return FixedRange(limit=cast(float, jnp.max(bounds())))


@component
class FixedRange(InputRange):
    """One range for all vectors; larger inputs are clipped. `jaxaimc.nn.calibrate` finds limits from data.

    Attributes:
        limit: Input value driven at full scale (the input's unit), greater than zero; differentiable.
    """

    limit: float = leaf(above=0.0)

    @property
    def shared(self) -> bool:
        """Yes, unless a derived range says what the bound is."""
        return type(self).bound is FixedRange.bound and type(self).normalise is InputRange.normalise

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return `limit` for every vector."""
        return jnp.broadcast_to(jnp.asarray(self.limit, x.dtype), x.shape[:-1])

    def of_parts(self, bounds: Callable[[], Float[Array, "part *batch"]]) -> InputRange:
        """Return this range."""
        return self


@component
class LearnedRange(InputRange):
    """A range that training moves by the rule of Rasch et al. 2023 (Nature Communications 14, 5282).

    The forward pass is that of `FixedRange`. The gradient of `limit` `b` is `b (sum_(x >= b) min(dL/dx, 0) -
    sum_(x <= -b) max(dL/dx, 0)) + decay b [share of |x| < b above inside]`: clipped inputs that ask for more widen
    the range, and it shrinks while more than `inside` of the inputs fit. This replaces the derivative of the output
    scale and of the rounding, which `FixedRange` has. `dL/dx` is that of an input that is not clipped.

    Attributes:
        limit: Input value driven at full scale (the input's unit), greater than zero.
        decay: Pull towards smaller ranges [1]; constant under differentiation.
        inside: Share of inputs within the range above which the pull acts [1]; constant under differentiation.
    """

    limit: float = leaf(3.0, above=0.0)
    decay: float = leaf(1e-3, low=0.0)
    inside: float = leaf(0.95, low=0.0, high=1.0)

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return `limit` for every vector; constant under differentiation, as the rule replaces its derivative."""
        return jnp.broadcast_to(jax.lax.stop_gradient(jnp.asarray(self.limit, x.dtype)), x.shape[:-1])

    def normalise(self, x: Float[Array, "*batch rows"]) -> tuple[Float[Array, "*batch rows"], Float[Array, "*batch"]]:
        """Return the clipped inputs over the limit, and that."""
        limit, decay, inside = (jnp.asarray(v, x.dtype) for v in (self.limit, self.decay, self.inside))
        normalised = _rasch_clip(x, limit, jax.lax.stop_gradient(decay), jax.lax.stop_gradient(inside))
        return normalised, self.bound(x)


def _largest(x: Float[Array, "*batch rows"], axis: int | None = None) -> Float[Array, "..."]:
    # Without the magnitudes, whose largest takes twice as long on CPUs.
    largest = jnp.maximum(jnp.max(x, axis=axis, initial=0.0), -jnp.min(x, axis=axis, initial=0.0))
    return never_zero(jax.lax.stop_gradient(largest))


@jax.custom_vjp
def _rasch_clip(x: Array, limit: Array, decay: Array, inside: Array) -> Array:
    return jnp.clip(x / limit, -1.0, 1.0)


def _rasch_forward(x: Array, limit: Array, decay: Array, inside: Array) -> tuple[Array, tuple[Array, ...]]:
    return _rasch_clip(x, limit, decay, inside), (x, limit, decay, inside)


def _rasch_backward(saved: tuple[Array, ...], cotangent: Array) -> tuple[Array, ...]:
    x, limit, decay, inside = saved
    by_x = cotangent / limit
    wider = jnp.sum(jnp.where(x >= limit, jnp.minimum(by_x, 0), 0))
    wider = wider - jnp.sum(jnp.where(x <= -limit, jnp.maximum(by_x, 0), 0))
    fits = jnp.mean((jnp.abs(x) < limit).astype(x.dtype)) > inside
    by_limit = limit * wider + decay * limit * fits
    return jnp.where(jnp.abs(x) <= limit, by_x, 0), by_limit, jnp.zeros_like(decay), jnp.zeros_like(inside)


_rasch_clip.defvjp(_rasch_forward, _rasch_backward)
