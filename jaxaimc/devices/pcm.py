"""Phase-change memory: the published statistical models, each a part of `PCM`.

`r = target / g_max` throughout. Sources: Nandakumar et al. 2019 (ICECS), Joshi et al. 2020 (Nature Communications
11, 2473) for programming, drift and 1/f noise; Luquin et al. 2025 (arXiv 2506.00004) for reads of nanoseconds.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._checks import check_number
from jaxaimc._component import component
from jaxaimc.devices.base import Device, DriftLaw, ProgrammingNoise, ReadNoise
from jaxaimc.units import ns, uS, us

# Below this fraction of g_max the logarithms and powers of the fits are at their clipped ends.
_SMALLEST = 1e-9


@component
class PCMProgrammingNoise:
    """Normal spread `sigma = scale (g_max / 25 uS) (0.26348 + 1.9650 r - 1.1731 r^2) uS`, cut at zero conductance.

    Source: Nandakumar et al. 2019; Joshi et al. 2020. Differentiable along the drawn sample (reparametrised).

    Attributes:
        scale: Factor on the published spread.
        g_max: Conductance scale of the fit [S].
    """

    scale: float = 1.0
    g_max: float = 25 * uS

    def sigma(self, target: Float[Array, "*cell"]) -> Float[Array, "*cell"]:
        """Return the standard deviation [S] of programming to `target` [S]."""
        r = target / self.g_max
        return self.scale * (self.g_max / 25) * jnp.maximum(0.26348 + 1.9650 * r - 1.1731 * r**2, 0.0)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]."""
        draw = jax.random.normal(key, target.shape, target.dtype)
        return jnp.maximum(target + self.sigma(target) * draw, 0.0)

    def validate(self) -> None:
        """Check scale and fit range.

        Raises:
            ValueError: If `scale` is negative or `g_max` not positive.
        """
        check_number("PCMProgrammingNoise", "scale", self.scale, low=0.0)
        check_number("PCMProgrammingNoise", "g_max", self.g_max, "S", low=0.0, open_low=True)


@component
class PCMDrift:
    """Power law `g (1 + t / t0)^-nu` with a normal exponent per device.

    Mean `clip(-0.0155 ln r + 0.0244, 0.049, 0.1)`, standard deviation `clip(-0.0125 ln r - 0.0059, 0.008, 0.045)`.
    Source: Joshi et al. 2020. The exponents belong to the chip: the same key gives the same devices at every time.

    Attributes:
        scale: Factor on the exponents.
        t0: Time after programming at which the programmed conductance holds [s].
        g_max: Conductance scale of the fit [S].
    """

    scale: float = 1.0
    t0: float = 20.0
    g_max: float = 25 * uS

    def exponent(self, target: Float[Array, "*cell"]) -> tuple[Float[Array, "*cell"], Float[Array, "*cell"]]:
        """Return mean and standard deviation of the drift exponent for `target` [S]."""
        log_r = jnp.log(jnp.maximum(target / self.g_max, _SMALLEST))
        mean = jnp.clip(-0.0155 * log_r + 0.0244, 0.049, 0.1)
        spread = jnp.clip(-0.0125 * log_r - 0.0059, 0.008, 0.045)
        return self.scale * mean, self.scale * spread

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        mean, spread = self.exponent(target)
        nu = mean + spread * jax.random.normal(key, target.shape, target.dtype)
        return programmed * jnp.exp(-nu * jnp.log1p(t / self.t0))

    def validate(self) -> None:
        """Check scale, reference time and fit range.

        Raises:
            ValueError: If one is out of its range.
        """
        check_number("PCMDrift", "scale", self.scale, low=0.0)
        check_number("PCMDrift", "t0", self.t0, "s", low=0.0, open_low=True)
        check_number("PCMDrift", "g_max", self.g_max, "S", low=0.0, open_low=True)


@component
class PCMFlickerNoise:
    """1/f read noise `sigma = scale g Q sqrt(ln((t + t_read) / (2 t_read)))`, `Q = min(0.0088 / r^0.65, 0.2)`.

    Source: Nandakumar et al. 2019; Joshi et al. 2020. It grows with the time since programming and is zero before
    `t_read`.

    Attributes:
        scale: Factor on the published spread.
        t_read: Duration of a read [s].
        g_max: Conductance scale of the fit [S].
    """

    scale: float = 1.0
    t_read: float = 250 * ns
    g_max: float = 25 * uS

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "1 *cell"]:
        """Return the one factor there is, the variance [S^2] itself."""
        r = jnp.maximum(target / self.g_max, _SMALLEST)
        q = jnp.minimum(0.0088 / r**0.65, 0.2)
        span = jnp.log(jnp.maximum((t + self.t_read) / (2 * self.t_read), 1.0))
        return ((self.scale * g * q) ** 2 * span)[None]

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "1 *pulse"]:
        """Return one: the model has no dependence on the pulse."""
        return jnp.ones((1, *duration.shape), duration.dtype)

    def validate(self) -> None:
        """Check scale, read time and fit range.

        Raises:
            ValueError: If one is out of its range.
        """
        check_number("PCMFlickerNoise", "scale", self.scale, low=0.0)
        check_number("PCMFlickerNoise", "t_read", self.t_read, "s", low=0.0, open_low=True)
        check_number("PCMFlickerNoise", "g_max", self.g_max, "S", low=0.0, open_low=True)


@component
class PCMPulseNoise:
    """Read noise of nanosecond pulses, `sigma = scale (slope(L) g + offset(L))` with `L = log10(pulse / 1 ns)`.

    Source: Luquin et al. 2025 (arXiv 2506.00004), fourth-order polynomials in `L`, offset in uS; pulses are clamped
    to the fit's 1 ns to 1 us. Each row's own duration counts. The ratio `rho = slope / offset` moves by 3 % over that
    range, so `(1 + rho g)^2` is interpolated linearly in `rho` between two nodes: two products instead of three, and
    the variance is within 1e-4 of the published one for any pulse and any `g` to 25 uS.

    Attributes:
        scale: Factor on the published spread.
    """

    scale: float = 1.0

    # Chebyshev nodes of slope / offset [1/uS] over its range 0.2190 (1 ns) to 0.2261 (about 0.4 us).
    _NODES: ClassVar[tuple[float, float]] = (0.22002, 0.22502)

    def sigma(self, g: Float[Array, "*cell"], duration: Float[Array, "*cell"] | float) -> Float[Array, "*cell"]:
        """Return the published standard deviation [S] of one read of `g` [S] by a pulse of `duration` [s]."""
        slope, offset = self._fit(jnp.asarray(duration))
        return self.scale * (slope * g + offset * uS)

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "2 *cell"]:
        """Return the two conductance factors [S^2]."""
        low, high = self._NODES
        g_uS = g / uS
        return jnp.stack([(1 + low * g_uS) ** 2, (1 + high * g_uS) ** 2]) * (self.scale * uS) ** 2

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "2 *pulse"]:
        """Return the two pulse factors [1]; they add up to `offset^2`."""
        low, high = self._NODES
        slope, offset = self._fit(duration)
        toward_high = (slope - low * offset) * offset / (high - low)
        return jnp.stack([offset**2 - toward_high, toward_high])

    @staticmethod
    def _fit(duration: Float[Array, "*pulse"]) -> tuple[Float[Array, "*pulse"], Float[Array, "*pulse"]]:
        """Return slope [1] and offset [uS] of the published fit."""
        L = jnp.log10(jnp.clip(duration, 1 * ns, 1 * us) / ns)
        slope = (((2.1926e-4 * L - 1.87352e-3) * L + 6.55714e-3) * L - 1.46159e-2) * L + 2.578764e-2
        offset = (((1.11906167e-3 * L - 9.08576764e-3) * L + 3.07015063e-2) * L - 6.77079241e-2) * L + 0.117763144
        return slope, offset

    def validate(self) -> None:
        """Check the scale.

        Raises:
            ValueError: If `scale` is negative.
        """
        check_number("PCMPulseNoise", "scale", self.scale, low=0.0)


@component
class PCM(Device):
    """Phase-change memory (g_max 25 uS): programming noise, drift, and a read noise of choice.

    Attributes:
        programming: Spread of programmed conductances.
        retention: Drift with time.
        read_noise: `PCMPulseNoise` for reads of nanoseconds, `PCMFlickerNoise` for the 1/f noise since programming.
    """

    programming: ProgrammingNoise = PCMProgrammingNoise()
    retention: DriftLaw = PCMDrift()
    read_noise: ReadNoise = PCMPulseNoise()
