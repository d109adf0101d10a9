"""Shapes of published fits: curves over the state of a device, `r = g / g_max`.

A curve holds coefficients in the unit in which they were published; the laws in `jaxaimc.devices.laws` and
`jaxaimc.devices.relaxation` say what the value means. Every curve clamps `r` to the range in which it was fitted.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_less, check_number
from jaxaimc._core.component import component

# Below this fraction of g_max every published logarithm and power is at its clipped end.
_SMALLEST = 1e-9


class Curve(Protocol):
    """A function of the state. A curve of your own is a component with these members."""

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the value at states `r` [1]; finite for every `r >= 0`."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


@component
class Polynomial:
    """`c_0 + c_1 r + c_2 r^2 + ...`, with `r` clamped to `[low, high]`.

    Attributes:
        coefficients: Coefficients of `r`, the constant first; in a `Timeline` an array of shape (time, coefficient).
        low: Smallest state of the fit [1].
        high: Largest state of the fit [1].

    Example:
        >>> import jax.numpy as jnp
        >>> Polynomial(coefficients=(1.0, 2.0))(jnp.array([0.0, 0.5, 3.0])).tolist()
        [1.0, 2.0, 3.0]
    """

    coefficients: tuple[float, ...] | Float[Array, "*time coefficient"] | np.ndarray
    low: float = 0.0
    high: float = 1.0

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the polynomial by Horner's rule."""
        r = jnp.clip(r, self.low, self.high)
        value = jnp.zeros_like(r)
        for coefficient in reversed(_entries(self.coefficients)):
            value = value * r + _like(coefficient, r)
        return value

    def validate(self) -> None:
        """Check that the coefficients are finite and the range is not empty.

        Raises:
            ValueError: If they are not, or it is.
        """
        check_number("Polynomial", "coefficients", self.coefficients)
        _check_range("Polynomial", self.low, self.high)


@component
class ClippedLogarithm:
    """`clip(slope ln(r) + offset, low, high)`; finite at `r = 0`.

    Attributes:
        slope: Factor of the natural logarithm.
        offset: Value at `r = 1` before clipping.
        low: Smallest value.
        high: Largest value.
    """

    slope: float
    offset: float
    low: float
    high: float

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the clipped logarithm."""
        log_r = jnp.log(jnp.maximum(r, _SMALLEST))
        return jnp.clip(self.slope * log_r + self.offset, self.low, self.high)

    def validate(self) -> None:
        """Check that the fields are finite and the clipping range is not empty.

        Raises:
            ValueError: If they are not, or it is.
        """
        for name in ("slope", "offset", "low", "high"):
            check_number("ClippedLogarithm", name, getattr(self, name))
        check_less("ClippedLogarithm", "low", self.low, "high", self.high, "")


@component
class ClippedPower:
    """`min(factor r^exponent, high)`; finite at `r = 0` also where the exponent is negative.

    Attributes:
        factor: Value at `r = 1` before clipping.
        exponent: Power of `r`.
        high: Largest value.
    """

    factor: float
    exponent: float
    high: float

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the clipped power."""
        return jnp.minimum(self.factor * jnp.maximum(r, _SMALLEST) ** self.exponent, self.high)

    def validate(self) -> None:
        """Check that the fields are finite.

        Raises:
            ValueError: If one is not.
        """
        for name in ("factor", "exponent", "high"):
            check_number("ClippedPower", name, getattr(self, name))


@component
class Branches:
    """One curve below a state and another one from there on.

    Attributes:
        split: State at which `above` takes over [1].
        below: Curve for `r < split`.
        above: Curve for `r >= split`.
    """

    split: float
    below: Curve
    above: Curve

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the value of the branch that `r` lies on."""
        return jnp.where(r < self.split, self.below(r), self.above(r))

    def validate(self) -> None:
        """Check the split and both curves.

        Raises:
            ValueError: If a field of one is out of its range.
        """
        check_number("Branches", "split", self.split)
        self.below.validate()
        self.above.validate()


@component
class Saturating:
    """`height (1 - exp(-r / width))`, with `r` clamped to `[0, high]`.

    Attributes:
        height: Value for large `r`; in a `Timeline` one per time.
        width: State at which 63 % of it is reached [1]; in a `Timeline` one per time.
        high: Largest state of the fit [1].
    """

    height: float | np.ndarray
    width: float | np.ndarray
    high: float = 1.0

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the saturating exponential."""
        r = jnp.clip(r, 0.0, self.high)
        return -_like(self.height, r) * jnp.expm1(-r / _like(self.width, r))

    def validate(self) -> None:
        """Check that the curve rises.

        Raises:
            ValueError: If `height` is negative, or `width` or `high` not positive.
        """
        check_number("Saturating", "height", self.height, low=0.0)
        check_number("Saturating", "width", self.width, low=0.0, open_low=True)
        check_number("Saturating", "high", self.high, low=0.0, open_low=True)


@component
class Inverse:
    """`factor / r`, with `r` clamped to `[low, inf)`.

    Attributes:
        factor: Value at `r = 1`.
        low: Smallest state [1], greater than zero: below it the value stays.
    """

    factor: float
    low: float

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the reciprocal."""
        return self.factor / jnp.maximum(r, self.low)

    def validate(self) -> None:
        """Check factor and smallest state.

        Raises:
            ValueError: If `factor` is not finite or `low` not positive.
        """
        check_number("Inverse", "factor", self.factor)
        check_number("Inverse", "low", self.low, low=0.0, open_low=True)


@component
class CommonLogarithm:
    """`factor log10(scale r)`, with `r` clamped to `[low, high]`.

    Attributes:
        factor: Factor of the logarithm to base 10.
        scale: What `r` is multiplied with: `g_max` in the unit of the fit.
        low: Smallest state of the fit [1], greater than zero.
        high: Largest state of the fit [1].
    """

    factor: float
    scale: float
    low: float
    high: float = 1.0

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the logarithm."""
        return self.factor * jnp.log10(self.scale * jnp.clip(r, self.low, self.high))

    def validate(self) -> None:
        """Check factor and range.

        Raises:
            ValueError: If `factor` is not finite, `scale` or `low` not positive, or the range empty.
        """
        check_number("CommonLogarithm", "factor", self.factor)
        check_number("CommonLogarithm", "scale", self.scale, low=0.0, open_low=True)
        check_number("CommonLogarithm", "low", self.low, low=0.0, open_low=True)
        check_number("CommonLogarithm", "high", self.high, finite=False)
        check_less("CommonLogarithm", "low", self.low, "high", self.high, "")


@component
class Tabulated:
    """Straight lines between measured states, constant outside.

    Attributes:
        states: Measured states [1], increasing, shape (state,).
        values: Values there, shape (state,).
    """

    states: Float[Array, "*time state"] | np.ndarray
    values: Float[Array, "*time state"] | np.ndarray

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the interpolated value."""
        return jnp.interp(r, _like(self.states, r), _like(self.values, r))

    def validate(self) -> None:
        """Check that states increase and values are finite.

        Raises:
            ValueError: If they do not, or one is not.
        """
        check_number("Tabulated", "states", self.states, low=0.0)
        check_increasing("Tabulated", "states", self.states)
        check_number("Tabulated", "values", self.values)


def _like(value: Any, r: Array) -> Array:
    """Return a coefficient in the precision of the states it is applied to."""
    return jnp.asarray(value, r.dtype)


def _entries(coefficients: Any) -> list:
    return list(coefficients) if isinstance(coefficients, Iterable) else [coefficients]


def _check_range(owner: str, low: float, high: float) -> None:
    check_number(owner, "low", low)
    check_number(owner, "high", high, finite=False)
    check_less(owner, "low", low, "high", high, "")


def check_increasing(owner: str, field: str, value: Array | np.ndarray) -> None:
    """Check that the entries of a field along its last axis increase.

    Args:
        owner: Class that owns the field, for the message.
        field: Name of the field.
        value: Array; tracers pass unchecked.

    Raises:
        ValueError: If one is not greater than the one before.
    """
    if isinstance(value, jax.core.Tracer):
        return
    array = np.asarray(value)
    if array.ndim == 0 or array.shape[-1] == 0 or not np.all(np.diff(array, axis=-1) > 0):
        raise ValueError(f"Field `{field}` of {owner} must hold increasing numbers, but is {array.tolist()}.")
