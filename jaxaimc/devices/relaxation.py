"""Curves that move with the time since programming, and the drift law that draws from them.

Resistive and charge-trap memories have no exponent per device: their conductances relax, so that mean and spread at
a state change with time. Published fits and measurements know the marginal distributions at a few times only. Here a
device keeps its place in the distribution of the change (one normal draw per device), so that any time can be asked
for, in any order, with the same chip.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.curves import Curve, check_increasing
from jaxaimc.units import uS


class TimeCurve(Protocol):
    """A function of state and time. One of your own is a component with these members."""

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the value at states `r` [1] and time `t` [s] since programming."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


@component
class NoChange:
    """Zero at every time."""

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return zeros."""
        return jnp.zeros_like(r)

    def validate(self) -> None:
        """Nothing to check."""


@component
class LogTime:
    """`slope ln(t / 1 s) + offset` at every state from `t_first` on; before, it grows linearly from zero.

    Attributes:
        slope: Change per factor e in time.
        offset: Value at one second.
        t_first: First time of the fit [s].
        t_last: Last time at which the law is trusted [s]; later times are clamped to it.
    """

    slope: float
    offset: float = 0.0
    t_first: float = 1.0
    t_last: float = float("inf")

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the value, the same at all states."""
        seconds = jnp.clip(jnp.asarray(t, r.dtype), self.t_first, self.t_last)
        early = jnp.minimum(t / self.t_first, 1.0)
        return jnp.broadcast_to(early * (self.slope * jnp.log(seconds) + self.offset), r.shape).astype(r.dtype)

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ValueError: If slope or offset is not finite, or a time not positive.
        """
        check_number("LogTime", "slope", self.slope)
        check_number("LogTime", "offset", self.offset)
        check_number("LogTime", "t_first", self.t_first, "s", low=0.0, open_low=True)
        check_number("LogTime", "t_last", self.t_last, "s", low=0.0, open_low=True, finite=False)


@component
class Timeline:
    """One curve whose coefficients were fitted at several times.

    Between the times every coefficient is interpolated linearly in `ln(1 + t / t_scale)`: logarithmic in time beyond
    `t_scale`, linear below it. Before the first and after the last time the curve stays as it was there.

    Attributes:
        times: Times of the fits [s], increasing, shape (time,).
        curve: Curve whose array-valued leaves have a leading axis (time,); scalar leaves hold at all times.
        t_scale: Where linear interpolation gives way to logarithmic [s].

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from jaxaimc.devices import Polynomial
        >>> line = Timeline(times=np.array([0.0, 1.0]), curve=Polynomial(coefficients=np.array([[1.0], [3.0]])))
        >>> [float(line(jnp.array(0.5), t)) for t in (0.0, 1.0, 10.0)]
        [1.0, 3.0, 3.0]
    """

    times: Float[Array, " time"] | np.ndarray
    curve: Curve
    t_scale: float = 1.0

    def at(self, t: Float[Array, ""] | float, dtype: jnp.dtype) -> Curve:
        """Return the curve at a time [s], its coefficients in precision `dtype`."""
        if np.shape(self.times)[0] == 1:
            return jax.tree.map(lambda leaf: leaf[0] if jnp.ndim(leaf) else leaf, self.curve)
        knots = jnp.log1p(jnp.asarray(self.times, dtype) / self.t_scale)
        where = jnp.log1p(jnp.asarray(t, dtype) / self.t_scale)
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
        return jax.tree.map(lambda leaf: leaf[0] if jnp.ndim(leaf) else leaf, self.curve)(r)

    def validate(self) -> None:
        """Check times and curve.

        Raises:
            ValueError: If a time is negative or they do not increase, or a field of the curve is out of its range.
        """
        check_number("Timeline", "times", self.times, "s", low=0.0)
        check_number("Timeline", "t_scale", self.t_scale, "s", low=0.0, open_low=True)
        check_increasing("Timeline", "times", self.times)
        self.curve.validate()


@component
class ShiftSinceFirst:
    """What a quantity has gained since the first time of its timeline.

    Attributes:
        total: The quantity.
    """

    total: Timeline

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the difference."""
        return self.total(r, t) - self.total.first(r)

    def validate(self) -> None:
        """Check the timeline.

        Raises:
            ValueError: If one of its fields is out of its range.
        """
        self.total.validate()


@component
class SpreadSinceFirst:
    """Standard deviation that independent changes must have for a total spread to grow as measured.

    `sqrt(total(t)^2 - total(t_first)^2)`, zero where the total has shrunk.

    Attributes:
        total: Total spread, that of the first time included.
    """

    total: Timeline

    def __call__(self, r: Float[Array, "*cell"], t: Float[Array, ""] | float) -> Float[Array, "*cell"]:
        """Return the standard deviation of the change."""
        now, first = jnp.maximum(self.total(r, t), 0.0), jnp.maximum(self.total.first(r), 0.0)
        gained = (now - first) * (now + first)
        # Up to the first time only rounding differs, which a square root would blow up; at zero it has no derivative.
        grown = (gained > 0) & (t > jnp.asarray(self.total.times, r.dtype)[0])
        return jnp.where(grown, jnp.sqrt(jnp.where(grown, gained, 1.0)), 0.0)

    def validate(self) -> None:
        """Check the timeline.

        Raises:
            ValueError: If one of its fields is out of its range.
        """
        self.total.validate()


@component
class Relaxation:
    """Drift by a normal change: `g(t) = max(g_programmed + u (shift(r, t) + spread(r, t) z), 0)`.

    `u = scale g_max / full_scale` turns the unit of the fit into siemens and `r = target / g_max`. The draw `z` belongs
    to the chip: the same key gives the same devices at every time, and a device keeps its rank. The change does not
    depend on the programming error: among 15,961 measured RRAM
    cells after program-and-verify the correlation of the two is 0.05 at most. Differentiable along the drawn sample.

    Attributes:
        shift: Mean of the change [unit of the fit].
        spread: Standard deviation of the change [unit of the fit].
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        scale: Factor on shift and spread.
    """

    shift: TimeCurve = NoChange()
    spread: TimeCurve = NoChange()
    g_max: float = 1 * uS
    full_scale: float = 1.0
    scale: float = 1.0

    def moments(
        self, target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> tuple[Float[Array, "*cell"], Float[Array, "*cell"]]:
        """Return mean and standard deviation [S] of the change at time `t` [s] for `target` [S]."""
        r = target / self.g_max
        unit = self.scale * self.g_max / self.full_scale
        return unit * self.shift(r, t), unit * jnp.maximum(self.spread(r, t), 0.0)

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        mean, spread = self.moments(target, t)
        draw = standard_normal(key, target.shape, target.dtype)
        return jnp.maximum(programmed + mean + spread * draw, 0.0)

    def validate(self) -> None:
        """Check the scales and both curves.

        Raises:
            ValueError: If a field is out of its range.
        """
        check_number("Relaxation", "scale", self.scale, low=0.0)
        check_number("Relaxation", "g_max", self.g_max, "S", low=0.0, open_low=True)
        check_number("Relaxation", "full_scale", self.full_scale, low=0.0, open_low=True)
        self.shift.validate()
        self.spread.validate()
