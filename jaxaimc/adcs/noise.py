"""Noise of a conversion: Gaussian, added before the quantiser, drawn anew for every conversion."""

from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component


class ConversionNoise(Protocol):
    """What every noise of a conversion offers."""

    @property
    def noisy(self) -> bool:
        """Whether there is any."""
        ...

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return the standard deviation [fully driven cells] at charges `q` clipped to the range `low, high`."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


class _Noisy:
    @property
    def noisy(self) -> bool:
        """Yes."""
        return True


@component
class NoNoise:
    """None."""

    @property
    def noisy(self) -> bool:
        """No."""
        return False

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return zero."""
        return 0.0

    def validate(self) -> None:
        """Nothing to check."""


@component
class ChargeNoise(_Noisy):
    """The same charge noise whatever the range.

    Attributes:
        rms: Standard deviation [fully driven cells].
    """

    rms: float

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return `rms`."""
        return self.rms

    def validate(self) -> None:
        """Check the noise.

        Raises:
            ValueError: If `rms` is negative.
        """
        check_number("ChargeNoise", "rms", self.rms, low=0.0)


@component
class StepNoise(_Noisy):
    """Noise given in steps of the converter.

    Attributes:
        rms: Standard deviation [least significant bits].
    """

    rms: float

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return `rms` steps."""
        return self.rms * step

    def validate(self) -> None:
        """Check the noise.

        Raises:
            ValueError: If `rms` is negative.
        """
        check_number("StepNoise", "rms", self.rms, low=0.0)


@component
class FullScaleNoise(_Noisy):
    """Noise given as a share of the range: the fixed part of `MacroNoise` by itself, at half the cost.

    Attributes:
        rms: Standard deviation [share of full scale]; 0.001 is 0.1 %.
    """

    rms: float

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return `rms` of the range."""
        return self.rms * (high - low)

    def validate(self) -> None:
        """Check the noise.

        Raises:
            ValueError: If `rms` is negative.
        """
        check_number("FullScaleNoise", "rms", self.rms, low=0.0)


@component
class MacroNoise(_Noisy):
    """Noise of a charge-domain macro, a fixed part and one that shrinks with the signal.

    `sigma = (high - low) sqrt(fixed^2 + signal^2 / (q - low + 1))`, the two parts being independent. Source: Zhang et
    al. 2024 (ASiM, arXiv 2411.11022).

    Attributes:
        fixed: Standard deviation of the fixed part [share of full scale]; 0.001 is 0.1 %.
        signal: Standard deviation of the signal-dependent part at no signal [share of full scale].
    """

    fixed: float
    signal: float = 0.0

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return the standard deviation of both parts."""
        variance = self.fixed**2 + self.signal**2 / (q - low + 1)
        # The square root has no derivative at zero, where both parts are.
        some = variance > 0
        return (high - low) * jnp.where(some, jnp.sqrt(jnp.where(some, variance, 1.0)), 0.0)

    def validate(self) -> None:
        """Check both parts.

        Raises:
            ValueError: If one is negative.
        """
        check_number("MacroNoise", "fixed", self.fixed, low=0.0)
        check_number("MacroNoise", "signal", self.signal, low=0.0)
