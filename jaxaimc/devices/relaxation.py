"""Curves that move with the time since programming, and the drift law that draws from them.

Resistive and charge-trap memories have no exponent per device: their conductances relax, so that mean and standard
deviation at a state change with time. Published fits and measurements know the marginal distributions at a few times
only. Here a device keeps its place in the distribution of the change (one normal draw per device), so that any time
can be asked for, in any order, with the same chip.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import Component, component, leaf
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.axes import check_increasing, leading_axes
from jaxaimc.devices.base import DriftLaw, least
from jaxaimc.devices.curves import Curve
from jaxaimc.units import uS


class TimeCurve(Component):
    """A function of state and time. One of your own derives from this and writes `__call__`."""

    @abc.abstractmethod
    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the value at states `r` [1] and time `t` [s] since programming."""

    @property
    def end(self) -> Any:
        """Largest state that the fit covers [1], infinite where it holds for all."""
        return 1.0


@component
class NoChange(TimeCurve):
    """Zero at every time."""

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return zeros."""
        return jnp.zeros_like(r)

    @property
    def end(self) -> Any:
        """None."""
        return np.inf


@component
class LogTime(TimeCurve):
    """`slope ln(t / 1 s) + offset` at every state from `t_first` on; before, it grows linearly from zero.

    Attributes:
        slope: Change per factor e in time.
        offset: Value at one second.
        t_first: First time of the fit [s].
        t_last: Last time at which the law is trusted [s]; later times are clamped to it.
    """

    slope: float
    offset: float = 0.0
    t_first: float = leaf(1.0, "s", above=0.0)
    t_last: float = leaf(float("inf"), "s", above=0.0, infinite=True)

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the value, the same at all states."""
        seconds = jnp.clip(jnp.asarray(t, r.dtype), self.t_first, self.t_last)
        early = jnp.minimum(t / self.t_first, 1.0)
        return jnp.broadcast_to(early * (self.slope * jnp.log(seconds) + self.offset), r.shape).astype(r.dtype)

    @property
    def end(self) -> Any:
        """None: the law is the same for all states."""
        return np.inf


@component
class Timeline(TimeCurve):
    """One curve whose coefficients were fitted at several times.

    Between the times every coefficient is interpolated linearly in `ln(1 + t / t_scale)`: logarithmic in time beyond
    `t_scale`, linear below it, so linear throughout where `t_scale` is infinite. Before the first and after the last
    time the curve stays as it was there.

    Attributes:
        times: Times of the fits [s], increasing, shape (time,).
        curve: Curve whose array-valued leaves have a leading axis (time,); scalar leaves hold at all times.
        t_scale: Where linear interpolation gives way to logarithmic [s]; infinite for nowhere.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from jaxaimc.devices import Polynomial
        >>> curve = Polynomial(coefficients=np.array([[1.0], [3.0]]))
        >>> line = Timeline(times=np.array([0.0, 1.0]), curve=curve, t_scale=float("inf"))
        >>> [float(line(jnp.array(0.5), t)) for t in (0.0, 0.25, 1.0, 10.0)]
        [1.0, 1.5, 3.0, 3.0]
    """

    times: Float[Array, " time"] | np.ndarray = leaf(unit="s", low=0.0, array=True)
    curve: Curve
    t_scale: float = leaf(1.0, "s", above=0.0, infinite=True)

    def at(self, t: Float[Array, ""] | float, dtype: jnp.dtype) -> Curve:
        """Return the curve at a time [s], its coefficients in precision `dtype`."""
        if np.shape(self.times)[0] == 1:
            return self._first()
        knots, where = self._clock(self.times, dtype), self._clock(t, dtype)
        after = jnp.clip(jnp.searchsorted(knots, where), 1, knots.shape[0] - 1)
        part = jnp.clip((where - knots[after - 1]) / (knots[after] - knots[after - 1]), 0.0, 1.0)

        def interpolate(leaf: Any) -> Any:
            if not jnp.ndim(leaf):
                return leaf
            values = jnp.asarray(leaf, dtype)
            return (1 - part) * values[after - 1] + part * values[after]

        return jax.tree.map(interpolate, self.curve)

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the value of the curve at time `t`."""
        return self.at(t, r.dtype)(r)

    def first(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the value of the curve at the first time."""
        return self._first()(r)

    @property
    def end(self) -> Any:
        """That of the curve."""
        return self._first().end

    def check(self) -> None:
        """Check that times increase and that the curve has as many of them.

        Raises:
            ValueError: If they do not, or it has not.
        """
        check_increasing("Timeline", "times", self.times)
        times, shapes = np.shape(self.times), [np.shape(leaf) for leaf in jax.tree.leaves(self.curve)]
        if len(times) != 1 or any(shape[:1] not in ((), times) for shape in shapes):
            given = next((shape for shape in shapes if shape[:1] not in ((), times)), times)
        elif any(shapes) and leading_axes(self.curve) != times:
            given = max(shapes, key=len)
        else:
            return
        raise ValueError(
            f"Field `curve` of Timeline must hold arrays with one entry for each of the {np.size(self.times)} times in "
            f"front, or numbers, but {type(self.curve).__name__} holds shape {given}."
        )

    def _first(self) -> Curve:
        return jax.tree.map(lambda leaf: leaf[0] if jnp.ndim(leaf) else leaf, self.curve)

    def _clock(self, t: Any, dtype: jnp.dtype) -> Array:
        """Return the quantity in which coefficients are interpolated."""
        t = jnp.asarray(t, dtype)
        bounded = jnp.isfinite(self.t_scale)
        return jnp.where(bounded, jnp.log1p(t / jnp.where(bounded, self.t_scale, 1.0)), t)


@component
class ShiftSinceFirst(TimeCurve):
    """What a quantity has gained since the first time of its timeline.

    Attributes:
        total: The quantity.
    """

    total: Timeline

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the difference."""
        return self.total(r, t) - self.total.first(r)

    @property
    def end(self) -> Any:
        """That of the quantity."""
        return self.total.end


@component
class StdSinceFirst(TimeCurve):
    """Standard deviation that independent changes must have for a total one to grow as measured.

    `sqrt(total(t)^2 - total(t_first)^2)`, zero where the total has shrunk.

    Attributes:
        total: Total standard deviation, that of the first time included.
    """

    total: Timeline

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the standard deviation of the change."""
        now, first = jnp.maximum(self.total(r, t), 0.0), jnp.maximum(self.total.first(r), 0.0)
        gained = (now - first) * (now + first)
        # Up to the first time only rounding differs, which a square root would blow up; at zero it has no derivative.
        grown = (gained > 0) & (t > jnp.asarray(self.total.times, r.dtype)[0])
        return jnp.where(grown, jnp.sqrt(jnp.where(grown, gained, 1.0)), 0.0)

    @property
    def end(self) -> Any:
        """That of the total."""
        return self.total.end


@component
class Relaxation(DriftLaw):
    """Drift by a normal change: `g(t) = max(g_programmed + u (shift(r, t) + std(r, t) z), 0)`.

    `u = factor g_max / full_scale` turns the unit of the fit into siemens and `r = target / g_max`. The draw `z`
    belongs to the chip: the same key gives the same devices at every time, and a device keeps its rank. The change
    does not depend on the programming error: among 15,961 measured RRAM cells after program-and-verify the correlation
    of the two is 0.05 at most. Differentiable along the drawn sample.

    Attributes:
        shift: Mean of the change [unit of the fit].
        std: Standard deviation of the change [unit of the fit].
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        factor: Factor on shift and standard deviation.
    """

    shift: TimeCurve = NoChange()
    std: TimeCurve = NoChange()
    g_max: float = leaf(1 * uS, "S", above=0.0)
    full_scale: float = leaf(1.0, above=0.0)
    factor: float = leaf(1.0, low=0.0)

    def moments(
        self, target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> tuple[Float[Array, "*cell"], Float[Array, "*cell"]]:
        """Return mean and standard deviation [S] of the change at time `t` [s] for `target` [S]."""
        r = target / self.g_max
        unit = self.factor * self.g_max / self.full_scale
        return unit * self.shift(r, t), unit * jnp.maximum(self.std(r, t), 0.0)

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        mean, std = self.moments(target, t)
        draw = standard_normal(key, target.shape, target.dtype)
        return jnp.maximum(programmed + mean + std * draw, 0.0)

    @property
    def window(self) -> float | None:
        """`g_max` times the last state of the fits."""
        return least([self.g_max * self.shift.end, self.g_max * self.std.end])
