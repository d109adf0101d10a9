"""Programming noise, drift and read noise by the shape of their formula; published devices are sets of coefficients.

`r = target / g_max` throughout. `full_scale` is `g_max` in the unit in which a fit was published: 25 for a fit in uS
to 25 uS. A device of another `g_max` is scaled with it, as the publications do.
"""

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component, static
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.curves import Curve
from jaxaimc.units import ns, uS

# Half the width of a uniform distribution with a standard deviation of one.
_HALF_WIDTH = 3**0.5


@component
class NormalProgramming:
    """Normal spread `sigma = scale (g_max / full_scale) spread(r)` about the target, cut at zero conductance.

    Differentiable along the drawn sample (reparametrised).

    Attributes:
        spread: Standard deviation over the state [unit of the fit]; negative values count as zero.
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        scale: Factor on the spread.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.devices import Polynomial
        >>> two_percent = NormalProgramming(spread=Polynomial(coefficients=(0.0, 0.02)), g_max=25e-6)
        >>> [round(float(s) * 1e6, 3) for s in two_percent.sigma(jnp.array([0.0, 10e-6]))]
        [0.0, 0.2]
    """

    spread: Curve
    g_max: float = 25 * uS
    full_scale: float = 1.0
    scale: float = 1.0

    def sigma(self, target: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the standard deviation [S] of programming to `target` [S]."""
        unit = self.scale * (self.g_max / self.full_scale)
        return unit * jnp.maximum(self.spread(target / self.g_max), 0.0)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]."""
        draw = standard_normal(key, target.shape, target.dtype)
        return jnp.maximum(target + self.sigma(target) * draw, 0.0)

    def validate(self) -> None:
        """Check scales and curve.

        Raises:
            ValueError: If a field is out of its range.
        """
        _check_scales(self)
        self.spread.validate()


@component
class UniformProgramming:
    """As `NormalProgramming`, but uniform with the same standard deviation: within `sqrt(3) sigma` of the target.

    Attributes:
        spread: Standard deviation over the state [unit of the fit]; negative values count as zero.
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        scale: Factor on the spread.
    """

    spread: Curve
    g_max: float = 25 * uS
    full_scale: float = 1.0
    scale: float = 1.0

    def sigma(self, target: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the standard deviation [S] of programming to `target` [S]."""
        unit = self.scale * (self.g_max / self.full_scale)
        return unit * jnp.maximum(self.spread(target / self.g_max), 0.0)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]."""
        draw = jax.random.uniform(key, target.shape, target.dtype, -_HALF_WIDTH, _HALF_WIDTH)
        return jnp.maximum(target + self.sigma(target) * draw, 0.0)

    def validate(self) -> None:
        """Check scales and curve.

        Raises:
            ValueError: If a field is out of its range.
        """
        _check_scales(self)
        self.spread.validate()


@component
class PowerLawDrift:
    """Power law `g (1 + t / t0)^-nu` with a normal exponent per device.

    The exponents belong to the chip: the same key gives the same devices at every time. A drawn exponent below zero
    is a device that drifts upward; the published normals hold a few.

    Attributes:
        mean: Mean exponent over the state [1].
        spread: Standard deviation of the exponent over the state [1].
        t0: Time after programming at which the programmed conductance holds [s].
        g_max: Conductance scale of the fit [S].
        scale: Factor on the exponents.
    """

    mean: Curve
    spread: Curve
    t0: float = 20.0
    g_max: float = 25 * uS
    scale: float = 1.0

    def exponent(self, target: Float[Array, "*cell"]) -> tuple[Float[Array, "*cell"], Float[Array, "*cell"]]:
        """Return mean and standard deviation of the drift exponent for `target` [S]."""
        r = target / self.g_max
        return self.scale * self.mean(r), self.scale * jnp.maximum(self.spread(r), 0.0)

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        mean, spread = self.exponent(target)
        nu = mean + spread * standard_normal(key, target.shape, target.dtype)
        return programmed * jnp.exp(-nu * jnp.log1p(t / self.t0))

    def validate(self) -> None:
        """Check scales, reference time and curves.

        Raises:
            ValueError: If a field is out of its range.
        """
        owner = type(self).__name__
        check_number(owner, "scale", self.scale, low=0.0)
        check_number(owner, "t0", self.t0, "s", low=0.0, open_low=True)
        check_number(owner, "g_max", self.g_max, "S", low=0.0, open_low=True)
        self.mean.validate()
        self.spread.validate()


@component
class FlickerNoise:
    """1/f read noise `sigma = scale a sqrt(ln((t + t_read) / (2 t_read)))` that grows with time since programming.

    The amplitude is `a = g amplitude(r)` where `proportional`, else `a = (g_max / full_scale) amplitude(r)`. The
    formula gives zero up to `t = t_read`, where its logarithm is negative.

    Attributes:
        amplitude: Amplitude over the state; negative values count as zero.
        t_read: Duration of a read [s].
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit; one where the amplitude is proportional, where it could not act.
        scale: Factor on the spread.
        proportional: Whether the amplitude is a fraction of the conductance, or a conductance.
    """

    amplitude: Curve
    t_read: float = 250 * ns
    g_max: float = 25 * uS
    full_scale: float = 1.0
    scale: float = 1.0
    proportional: bool = static(default=True)

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "1 *cell"]:
        """Return the one factor there is, the variance [S^2] itself."""
        amplitude = jnp.maximum(self.amplitude(target / self.g_max), 0.0)
        amplitude = amplitude * (g if self.proportional else self.g_max / self.full_scale)
        span = jnp.log(jnp.maximum((t + self.t_read) / (2 * self.t_read), 1.0))
        return ((self.scale * amplitude) ** 2 * span)[None]

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "1 *pulse"]:
        """Return one: the model has no dependence on the pulse."""
        return jnp.ones((1, *duration.shape), duration.dtype)

    def validate(self) -> None:
        """Check scales, read time and curve.

        Raises:
            ValueError: If a field is out of its range, or `full_scale` is set where it could not act.
        """
        _check_scales(self)
        known = not isinstance(self.full_scale, jax.core.Tracer)
        if self.proportional and known and np.any(np.asarray(self.full_scale) != 1):
            raise ValueError(
                f"Field `full_scale` of {type(self).__name__} must be 1 where `proportional` is true, because a "
                f"fraction of the conductance has no unit to convert, but is {self.full_scale}."
            )
        check_number(type(self).__name__, "t_read", self.t_read, "s", low=0.0, open_low=True)
        self.amplitude.validate()


@component
class NormalReadNoise:
    """Read noise `sigma = scale (g_max / full_scale) spread(g / g_max)`, the same at all times and for all pulses.

    Attributes:
        spread: Standard deviation over the conductance now [unit of the fit]; negative values count as zero.
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        scale: Factor on the spread.
    """

    spread: Curve
    g_max: float = 25 * uS
    full_scale: float = 1.0
    scale: float = 1.0

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "1 *cell"]:
        """Return the one factor there is, the variance [S^2] itself."""
        unit = self.scale * (self.g_max / self.full_scale)
        return ((unit * jnp.maximum(self.spread(g / self.g_max), 0.0)) ** 2)[None]

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "1 *pulse"]:
        """Return one: the noise does not depend on the pulse."""
        return jnp.ones((1, *duration.shape), duration.dtype)

    def validate(self) -> None:
        """Check scales and curve.

        Raises:
            ValueError: If a field is out of its range.
        """
        _check_scales(self)
        self.spread.validate()


def _check_scales(part: NormalProgramming | UniformProgramming | FlickerNoise | NormalReadNoise) -> None:
    owner = type(part).__name__
    check_number(owner, "scale", part.scale, low=0.0)
    check_number(owner, "g_max", part.g_max, "S", low=0.0, open_low=True)
    check_number(owner, "full_scale", part.full_scale, low=0.0, open_low=True)
