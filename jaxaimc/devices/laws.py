"""Programming noise, drift and read noise by the shape of their formula; published devices are sets of coefficients.

`r = target / g_max` throughout. `full_scale` is `g_max` in the unit in which a fit was published: 25 for a fit in uS
to 25 uS. A device of another `g_max` is scaled with it, as the publications do. Each part has its own `g_max`: scale
them all, for the smallest is the window of the device.
"""

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import component, leaf, static
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.axes import check_single
from jaxaimc.devices.base import DriftLaw, ProgrammingNoise, ReadNoise, least
from jaxaimc.devices.curves import Curve
from jaxaimc.units import ns, uS

# Half the width of a uniform distribution with a standard deviation of one.
_HALF_WIDTH = 3**0.5


@component
class NormalProgramming(ProgrammingNoise):
    """Normal deviation `sigma = factor (g_max / full_scale) std(r)` from the target, cut at zero conductance.

    Differentiable along the drawn sample (reparametrised).

    Attributes:
        std: Standard deviation over the state [unit of the fit]; negative values count as zero.
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        factor: Factor on the standard deviation.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.devices import Polynomial
        >>> two_percent = NormalProgramming(std=Polynomial(coefficients=(0.0, 0.02)), g_max=25e-6)
        >>> [round(float(s) * 1e6, 3) for s in two_percent.sigma(jnp.array([0.0, 10e-6]))]
        [0.0, 0.2]
    """

    std: Curve
    g_max: float = leaf(25 * uS, "S", above=0.0)
    full_scale: float = leaf(1.0, above=0.0)
    factor: float = leaf(1.0, low=0.0)

    def sigma(self, target: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the standard deviation [S] of programming to `target` [S]."""
        return _sigma(self, target)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]."""
        draw = standard_normal(key, target.shape, target.dtype)
        return jnp.maximum(target + self.sigma(target) * draw, 0.0)

    @property
    def window(self) -> float | None:
        """`g_max` times the last state of the fit."""
        return least([self.g_max * self.std.end])

    def check(self) -> None:
        """Check that the curve is one of a single time.

        Raises:
            ValueError: If it is not.
        """
        check_single(type(self).__name__, "std", self.std)


@component
class UniformProgramming(ProgrammingNoise):
    """As `NormalProgramming`, but uniform with the same standard deviation: within `sqrt(3) sigma` of the target.

    Attributes:
        std: Standard deviation over the state [unit of the fit]; negative values count as zero.
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        factor: Factor on the standard deviation.
    """

    std: Curve
    g_max: float = leaf(25 * uS, "S", above=0.0)
    full_scale: float = leaf(1.0, above=0.0)
    factor: float = leaf(1.0, low=0.0)

    def sigma(self, target: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the standard deviation [S] of programming to `target` [S]."""
        return _sigma(self, target)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]."""
        draw = jax.random.uniform(key, target.shape, target.dtype, -_HALF_WIDTH, _HALF_WIDTH)
        return jnp.maximum(target + self.sigma(target) * draw, 0.0)

    @property
    def window(self) -> float | None:
        """`g_max` times the last state of the fit."""
        return least([self.g_max * self.std.end])

    def check(self) -> None:
        """Check that the curve is one of a single time.

        Raises:
            ValueError: If it is not.
        """
        check_single("UniformProgramming", "std", self.std)


@component
class PowerLawDrift(DriftLaw):
    """Power law `g (1 + t / t0)^-nu` with a normal exponent per device.

    The exponents belong to the chip: the same key gives the same devices at every time. A drawn exponent below zero
    is a device that drifts upward; the published normals hold a few.

    Attributes:
        mean: Mean exponent over the state [1].
        std: Standard deviation of the exponent over the state [1].
        t0: Time after programming at which the programmed conductance holds [s].
        g_max: Conductance scale of the fit [S].
        factor: Factor on the exponents.
    """

    mean: Curve
    std: Curve
    t0: float = leaf(20.0, "s", above=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0)
    factor: float = leaf(1.0, low=0.0)

    def exponent(self, target: Float[Array, "*cell"]) -> tuple[Float[Array, "*cell"], Float[Array, "*cell"]]:
        """Return mean and standard deviation of the drift exponent for `target` [S]."""
        r = target / self.g_max
        return self.factor * self.mean(r), self.factor * jnp.maximum(self.std(r), 0.0)

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        mean, std = self.exponent(target)
        nu = mean + std * standard_normal(key, target.shape, target.dtype)
        return programmed * jnp.exp(-nu * jnp.log1p(t / self.t0))

    @property
    def window(self) -> float | None:
        """`g_max` times the last state of the fits."""
        return least([self.g_max * self.mean.end, self.g_max * self.std.end])

    def check(self) -> None:
        """Check that both curves are of a single time.

        Raises:
            ValueError: If one is not.
        """
        check_single(type(self).__name__, "mean", self.mean)
        check_single(type(self).__name__, "std", self.std)


@component
class FlickerNoise(ReadNoise):
    """1/f read noise `sigma = factor a sqrt(ln((t + t_read) / (2 t_read)))` that grows with time since programming.

    The amplitude is `a = g amplitude(r)` where `proportional`, else `a = (g_max / full_scale) amplitude(r)`. The
    formula gives zero up to `t = t_read`, where its logarithm is negative.

    Attributes:
        amplitude: Amplitude over the state; negative values count as zero.
        t_read: Duration of a read [s].
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit; one where the amplitude is proportional, where it could not act.
        factor: Factor on the standard deviation.
        proportional: Whether the amplitude is a fraction of the conductance, or a conductance.
    """

    amplitude: Curve
    t_read: float = leaf(250 * ns, "s", above=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0)
    full_scale: float = leaf(1.0, above=0.0)
    factor: float = leaf(1.0, low=0.0)
    proportional: bool = static(default=True)

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "1 *cell"]:
        """Return the one factor there is, the variance [S^2] itself."""
        amplitude = jnp.maximum(self.amplitude(target / self.g_max), 0.0)
        amplitude = amplitude * (g if self.proportional else self.g_max / self.full_scale)
        span = jnp.log(jnp.maximum((t + self.t_read) / (2 * self.t_read), 1.0))
        return ((self.factor * amplitude) ** 2 * span)[None]

    @property
    def terms(self) -> int:
        """One."""
        return 1

    @property
    def window(self) -> float | None:
        """`g_max` times the last state of the fit."""
        return least([self.g_max * self.amplitude.end])

    def check(self) -> None:
        """Check that the curve is one of a single time, and that `full_scale` is left where it could not act.

        Raises:
            ValueError: If one of them is not so.
        """
        check_single(type(self).__name__, "amplitude", self.amplitude)
        known = not isinstance(self.full_scale, jax.core.Tracer)
        if self.proportional and known and np.any(np.asarray(self.full_scale) != 1):
            raise ValueError(
                f"Field `full_scale` of {type(self).__name__} must be 1 where `proportional` is true, because a "
                f"fraction of the conductance has no unit to convert, but is {self.full_scale}."
            )


@component
class NormalReadNoise(ReadNoise):
    """Read noise `sigma = factor (g_max / full_scale) std(g / g_max)`, the same at all times and for all pulses.

    Attributes:
        std: Standard deviation over the conductance now [unit of the fit]; negative values count as zero.
        g_max: Conductance scale of the fit [S].
        full_scale: `g_max` in the unit of the fit.
        factor: Factor on the standard deviation.
    """

    std: Curve
    g_max: float = leaf(25 * uS, "S", above=0.0)
    full_scale: float = leaf(1.0, above=0.0)
    factor: float = leaf(1.0, low=0.0)

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "1 *cell"]:
        """Return the one factor there is, the variance [S^2] itself."""
        return (_sigma(self, g) ** 2)[None]

    @property
    def terms(self) -> int:
        """One."""
        return 1

    @property
    def window(self) -> float | None:
        """`g_max` times the last state of the fit."""
        return least([self.g_max * self.std.end])

    def check(self) -> None:
        """Check that the curve is one of a single time.

        Raises:
            ValueError: If it is not.
        """
        check_single("NormalReadNoise", "std", self.std)


def _sigma(part: NormalProgramming | UniformProgramming | NormalReadNoise, g: Float[Array, "*cell"]) -> Array:
    """Return the standard deviation [S] at a conductance [S]."""
    unit = part.factor * (part.g_max / part.full_scale)
    return unit * jnp.maximum(part.std(g / part.g_max), 0.0)
