"""Shapes of published fits: curves over the state of a device, `r = g / g_max`.

A curve holds coefficients in the unit in which they were published; the laws in `jaxaimc.devices.laws` and
`jaxaimc.devices.relaxation` say what the value means. Every curve clamps `r` to the range in which it was fitted.
"""

import abc
from collections.abc import Iterable
from typing import Any, ClassVar

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_less
from jaxaimc._core.component import Component, component, leaf
from jaxaimc.devices.axes import check_increasing, leading_axes, shape_of

# Below this fraction of g_max every published logarithm and power is at its clipped end.
_SMALLEST = 1e-9


class Curve(Component):
    """A function of the state. One of your own derives from this and writes `__call__`."""

    # Axes that a field has in one curve; in a `Timeline` one more, in front. Fields that are not named here have none.
    AXES: ClassVar[dict[str, int]] = {}

    @abc.abstractmethod
    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the value at states `r` [1]; finite for every `r >= 0`."""

    @property
    def end(self) -> Any:
        """Largest state that the fit covers [1], infinite where it holds for all."""
        return 1.0

    def validate(self) -> None:
        """Check the fields, and that none holds more axes than a curve of one time or of several has.

        Raises:
            ValueError: If a field is out of its range, nested too deep, or empty.
        """
        super().validate()
        leading_axes(self)


@component
class Polynomial(Curve):
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

    AXES: ClassVar[dict[str, int]] = {"coefficients": 1}

    coefficients: tuple[float, ...] | Float[Array, "*time coefficient"] | np.ndarray = leaf(array=True)
    low: float = 0.0
    high: float = leaf(1.0, infinite=True)

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the polynomial by Horner's rule."""
        r = jnp.clip(r, self.low, self.high)
        value = jnp.zeros_like(r)
        for coefficient in reversed(_entries(self.coefficients)):
            value = value * r + _like(coefficient, r)
        return value

    @property
    def end(self) -> Any:
        """`high`, or no end where the polynomial is a constant."""
        return self.high if (shape_of(self.coefficients) or (0,))[-1] != 1 else np.inf

    def check(self) -> None:
        """Check that the range is not empty.

        Raises:
            ValueError: If it is.
        """
        check_less("Polynomial", "low", self.low, "high", self.high, "")


@component
class Chebyshev(Curve):
    """`c_0 T_0(x) + c_1 T_1(x) + ...`, where `x` goes from -1 at `low` to 1 at `high`, and `r` is clamped to them.

    A polynomial of high order in a form that single precision can evaluate: of a tenth-order fit in powers of `r` the
    terms are a thousand times larger than their sum and their rounding stays; here each term is at most `|c_k|`.

    Attributes:
        coefficients: Coefficients of the Chebyshev polynomials, the constant first; in a `Timeline` an array of shape
            (time, coefficient).
        low: Smallest state of the fit [1].
        high: Largest state of the fit [1].

    Example:
        >>> import jax.numpy as jnp
        >>> Chebyshev.of_powers((1.0, 0.0, 4.0))(jnp.array([0.0, 0.5, 1.0])).tolist()
        [1.0, 2.0, 5.0]
    """

    AXES: ClassVar[dict[str, int]] = {"coefficients": 1}

    coefficients: tuple[float, ...] | Float[Array, "*time coefficient"] | np.ndarray = leaf(array=True)
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of_powers(cls, coefficients: Any, low: float = 0.0, high: float = 1.0) -> "Chebyshev":
        """Return the curve of a polynomial that was published in powers of `r`, converted in double precision.

        Args:
            coefficients: Coefficients of `r`, the constant first, of one time or of shape (time, coefficient).
            low: Smallest state of the fit [1].
            high: Largest state of the fit [1].
        """

        def convert(powers: np.ndarray) -> np.ndarray:
            series = np.polynomial.Polynomial(powers).convert(domain=[low, high], kind=np.polynomial.Chebyshev)
            return np.pad(series.coef, (0, len(powers) - len(series.coef)))

        powers = np.asarray(coefficients, np.float64)
        return cls(coefficients=np.apply_along_axis(convert, -1, powers), low=low, high=high)

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the sum by Clenshaw's recurrence."""
        r = jnp.clip(r, self.low, self.high)
        x = (2 * r - (self.low + self.high)) / (self.high - self.low)
        first, *others = _entries(self.coefficients)
        after, value = jnp.zeros_like(x), jnp.zeros_like(x)
        for coefficient in reversed(others):
            after, value = value, 2 * x * value - after + _like(coefficient, x)
        return x * value - after + _like(first, x)

    @property
    def end(self) -> Any:
        """`high`."""
        return self.high

    def check(self) -> None:
        """Check that the range is not empty.

        Raises:
            ValueError: If it is.
        """
        check_less("Chebyshev", "low", self.low, "high", self.high, "")


@component
class ClippedLogarithm(Curve):
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

    def check(self) -> None:
        """Check that the clipping range is not empty.

        Raises:
            ValueError: If it is.
        """
        check_less("ClippedLogarithm", "low", self.low, "high", self.high, "")


@component
class ClippedPower(Curve):
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


@component
class Branches(Curve):
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

    @property
    def end(self) -> Any:
        """That of the upper branch."""
        return self.above.end


@component
class Saturating(Curve):
    """`height (1 - exp(-r / width))`, with `r` clamped to `[0, high]`.

    Attributes:
        height: Value for large `r`; in a `Timeline` one per time.
        width: State at which 63 % of it is reached [1]; in a `Timeline` one per time.
        high: Largest state of the fit [1].
    """

    height: float | Float[Array, "*time"] | np.ndarray = leaf(low=0.0, array=True)
    width: float | Float[Array, "*time"] | np.ndarray = leaf(above=0.0, array=True)
    high: float = leaf(1.0, above=0.0)

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the saturating exponential."""
        r = jnp.clip(r, 0.0, self.high)
        return -_like(self.height, r) * jnp.expm1(-r / _like(self.width, r))

    @property
    def end(self) -> Any:
        """`high`."""
        return self.high


@component
class Inverse(Curve):
    """`factor / r`, with `r` clamped to `[low, inf)`.

    Attributes:
        factor: Value at `r = 1`.
        low: Smallest state [1], greater than zero: below it the value stays.
    """

    factor: float
    low: float = leaf(above=0.0)

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the reciprocal."""
        return self.factor / jnp.maximum(r, self.low)

    @property
    def end(self) -> Any:
        """None."""
        return np.inf


@component
class CommonLogarithm(Curve):
    """`factor log10(full_scale r)`, with `r` clamped to `[low, high]`.

    Attributes:
        factor: Factor of the logarithm to base 10.
        full_scale: `g_max` in the unit of the fit.
        low: Smallest state of the fit [1], greater than zero.
        high: Largest state of the fit [1].
    """

    factor: float
    full_scale: float = leaf(above=0.0)
    low: float = leaf(above=0.0)
    high: float = leaf(1.0, infinite=True)

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the logarithm."""
        return self.factor * jnp.log10(self.full_scale * jnp.clip(r, self.low, self.high))

    @property
    def end(self) -> Any:
        """`high`."""
        return self.high

    def check(self) -> None:
        """Check that the range is not empty.

        Raises:
            ValueError: If it is.
        """
        check_less("CommonLogarithm", "low", self.low, "high", self.high, "")


@component
class Tabulated(Curve):
    """Straight lines between measured states, constant outside.

    Attributes:
        states: Measured states [1], increasing, shape (state,).
        values: Values there, shape (state,).
    """

    AXES: ClassVar[dict[str, int]] = {"states": 1, "values": 1}

    states: Float[Array, "*time state"] | np.ndarray = leaf(low=0.0, array=True)
    values: Float[Array, "*time state"] | np.ndarray = leaf(array=True)

    def __call__(self, r: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the interpolated value."""
        return jnp.interp(r, _like(self.states, r), _like(self.values, r))

    @property
    def end(self) -> Any:
        """The last measured state."""
        return self.states if isinstance(self.states, jax.core.Tracer) else np.max(self.states)

    def check(self) -> None:
        """Check that states increase and that there is a value for each.

        Raises:
            ValueError: If they do not, or there is not.
        """
        check_increasing("Tabulated", "states", self.states)
        if np.shape(self.states) != np.shape(self.values):
            raise ValueError(
                f"Field `values` of Tabulated must have the shape of `states`, {np.shape(self.states)}, but has shape "
                f"{np.shape(self.values)}."
            )


def _like(value: Any, r: Array) -> Array:
    """Return a coefficient in the precision of the states it is applied to."""
    return jnp.asarray(value, r.dtype)


def _entries(coefficients: Any) -> list:
    return list(coefficients) if isinstance(coefficients, Iterable) else [coefficients]
