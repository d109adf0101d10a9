"""Phase-change memory: the published statistical models, as coefficients of the laws in `jaxaimc.devices.laws`.

`r = target / g_max` throughout. Sources: Nandakumar et al. 2019 (ICECS), Joshi et al. 2020 (Nature Communications
11, 2473) for programming, drift and 1/f noise; Luquin et al. 2025 (arXiv 2506.00004) for reads of nanoseconds.
"""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc.devices.base import Device, DriftLaw, ProgrammingNoise, ReadNoise
from jaxaimc.devices.curves import ClippedLogarithm, ClippedPower, Curve, Polynomial
from jaxaimc.devices.laws import FlickerNoise, NormalProgramming, PowerLawDrift
from jaxaimc.units import ns, uS, us


@component
class PCMProgrammingNoise(NormalProgramming):
    """Normal with `sigma = factor (g_max / 25 uS) (0.26348 + 1.9650 r - 1.1731 r^2) uS`, cut at zero conductance.

    Source: Nandakumar et al. 2019; Joshi et al. 2020. Beyond `r = 1` sigma stays. Differentiable along the drawn
    sample (reparametrised).

    Attributes:
        std: The polynomial [uS for 25 uS].
        g_max: Conductance scale of the fit [S].
        full_scale: The published `g_max` in uS.
        factor: Factor on the published standard deviation.
    """

    std: Curve = Polynomial(coefficients=(0.26348, 1.9650, -1.1731))
    full_scale: float = leaf(25.0, above=0.0)


@component
class PCMJoshiProgrammingNoise(NormalProgramming):
    """Normal with `sigma = -0.00178767 g^2 + 0.07585724 g + 0.28638599` in uS, cut at zero conductance.

    Source: Joshi et al. 2020, the fit to programming alone, `g` from 0 to 25 uS; beyond, sigma stays.

    Attributes:
        std: The polynomial in `r = g / 25 uS` [uS for 25 uS].
        g_max: Conductance scale of the fit [S].
        full_scale: The published `g_max` in uS.
        factor: Factor on the published standard deviation.
    """

    std: Curve = Polynomial(coefficients=(0.28638599, 0.07585724 * 25, -0.00178767 * 25**2))
    full_scale: float = leaf(25.0, above=0.0)


@component
class PCMDrift(PowerLawDrift):
    """Power law `g (1 + t / t0)^-nu` with a normal exponent per device.

    Mean `clip(-0.0155 ln r + 0.0244, 0.049, 0.1)`, standard deviation `clip(-0.0125 ln r - 0.0059, 0.008, 0.045)`.
    Source: Joshi et al. 2020. The exponents belong to the chip: the same key gives the same devices at every time.

    Attributes:
        mean: Mean exponent over the state [1].
        std: Standard deviation of the exponent over the state [1].
        t0: Time after programming at which the programmed conductance holds [s].
        g_max: Conductance scale of the fit [S].
        factor: Factor on the exponents.
    """

    mean: Curve = ClippedLogarithm(slope=-0.0155, offset=0.0244, low=0.049, high=0.1)
    std: Curve = ClippedLogarithm(slope=-0.0125, offset=-0.0059, low=0.008, high=0.045)


@component
class PCMFlickerNoise(FlickerNoise):
    """1/f read noise `sigma = factor g Q sqrt(ln((t + t_read) / (2 t_read)))`, `Q = min(0.0088 / r^0.65, 0.2)`.

    Source: Nandakumar et al. 2019; Joshi et al. 2020. It grows with the time since programming and is zero before
    `t_read`.

    Attributes:
        amplitude: `Q` over the state [1].
        t_read: Duration of a read [s].
        g_max: Conductance scale of the fit [S].
        full_scale: One; the amplitude is proportional and has no unit.
        factor: Factor on the published standard deviation.
        proportional: True, `Q` is a fraction of the conductance.
    """

    amplitude: Curve = ClippedPower(factor=0.0088, exponent=-0.65, high=0.2)


@component
class PCMPulseNoise(ReadNoise):
    """Read noise of nanosecond pulses, `sigma = factor (slope(L) g + offset(L))` with `L = log10(pulse / 1 ns)`.

    Source: Luquin et al. 2025 (arXiv 2506.00004), fourth-order polynomials in `L`, offset in uS; pulses are clamped
    to the fit's 1 ns to 1 us. Each row's own duration counts. The ratio `rho = slope / offset` moves by 3 % over that
    range, so `(1 + rho g)^2` is interpolated linearly in `rho` between two nodes: two products instead of three, and
    the variance is within 1e-4 of the published one for any pulse and any `g` to 25 uS, where the fit ends. The first
    product has the middle of the nodes; the second, what other pulses add, is at most 2.7 % of it.

    Attributes:
        factor: Factor on the published standard deviation.
    """

    factor: float = leaf(1.0, low=0.0)

    # Chebyshev nodes of slope / offset [1/uS] over its range 0.2190 (1 ns) to 0.2261 (about 0.4 us).
    _NODES: ClassVar[tuple[float, float]] = (0.22002, 0.22502)

    def sigma(self, g: Float[Array, "*#cell"], duration: Float[Array, "*#cell"] | float) -> Float[Array, "..."]:
        """Return the published standard deviation [S] of one read of `g` [S] by a pulse of `duration` [s]."""
        slope, offset = self._fit(jnp.asarray(duration))
        return self.factor * (slope * g + offset * uS)

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "2 *cell"]:
        """Return the two conductance factors [S^2]: the mean of those of the nodes, and their difference."""
        low, high = ((1 + node * (g / uS)) ** 2 * (self.factor * uS) ** 2 for node in self._NODES)
        return jnp.stack([(low + high) / 2, high - low])

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "2 *pulse"]:
        """Return the two pulse factors [1]: `offset^2`, and how far the pulse is from the middle of the nodes."""
        low, high = self._NODES
        slope, offset = self._fit(duration)
        toward_high = (slope - low * offset) * offset / (high - low)
        return jnp.stack([offset**2, toward_high - offset**2 / 2])

    @staticmethod
    def _fit(duration: Float[Array, "*pulse"]) -> tuple[Float[Array, "*pulse"], Float[Array, "*pulse"]]:
        """Return slope [1] and offset [uS] of the published fit."""
        L = jnp.log10(jnp.clip(duration, 1 * ns, 1 * us) / ns)
        slope = (((2.1926e-4 * L - 1.87352e-3) * L + 6.55714e-3) * L - 1.46159e-2) * L + 2.578764e-2
        offset = (((1.11906167e-3 * L - 9.08576764e-3) * L + 3.07015063e-2) * L - 6.77079241e-2) * L + 0.117763144
        return slope, offset

    @property
    def terms(self) -> int:
        """Two."""
        return 2

    @property
    def small_terms(self) -> int:
        """One."""
        return 1

    @property
    def window(self) -> float | None:
        """25 uS."""
        return 25 * uS


@component
class PCM(Device):
    """Phase-change memory (g_max 25 uS): programming noise, drift, and a read noise of choice.

    Attributes:
        programming: Deviation of programmed conductances from their targets.
        drift: Drift with time.
        read_noise: `PCMPulseNoise` for reads of nanoseconds, `PCMFlickerNoise` for the 1/f noise since programming.
    """

    programming: ProgrammingNoise = PCMProgrammingNoise()
    drift: DriftLaw = PCMDrift()
    read_noise: ReadNoise = PCMPulseNoise()


@component
class PCMJoshi(Device):
    """Phase-change memory with the programming noise that Joshi et al. 2020 fitted to programming alone.

    Attributes:
        programming: Deviation of programmed conductances from their targets.
        drift: Drift with time.
        read_noise: The 1/f noise since programming.
    """

    programming: ProgrammingNoise = PCMJoshiProgrammingNoise()
    drift: DriftLaw = PCMDrift()
    read_noise: ReadNoise = PCMFlickerNoise()
