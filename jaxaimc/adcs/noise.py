"""Noise of a conversion: Gaussian, added before the quantiser, drawn anew for every conversion."""

from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component, leaf


class ConversionNoise(Component):
    """Base of all noises of a conversion. One of your own needs `sigma`."""

    @property
    def noisy(self) -> bool:
        """Whether there is any."""
        return True

    @abstractmethod
    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return the standard deviation [fully driven cells].

        Args:
            q: Charges, clipped to the range.
            low: Low end of the range.
            high: High end of the range.
            step: Charge of one step of the converter.
        """


@component
class NoNoise(ConversionNoise):
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


@component
class ChargeNoise(ConversionNoise):
    """The same charge noise whatever the range.

    Attributes:
        rms: Standard deviation [fully driven cells].
    """

    rms: float = leaf(low=0.0)

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return `rms`."""
        return self.rms


@component
class StepNoise(ConversionNoise):
    """Noise given in steps of the converter.

    Attributes:
        rms: Standard deviation [least significant bits].
    """

    rms: float = leaf(low=0.0)

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return `rms` steps."""
        return self.rms * step


@component
class FullScaleNoise(ConversionNoise):
    """Noise given as a share of the range: the fixed part of `MacroNoise` by itself, at half the cost.

    Attributes:
        rms: Standard deviation [share of full scale]; 0.001 is 0.1 %.
    """

    rms: float = leaf(low=0.0)

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return `rms` of the range."""
        return self.rms * (high - low)


@component
class MacroNoise(ConversionNoise):
    """Noise of a charge-domain macro, a fixed part and one that shrinks with the signal.

    `sigma = (high - low) sqrt(fixed^2 + signal^2 / (q - low + 1))`, the two parts being independent. Source: Zhang et
    al. 2024 (ASiM, arXiv 2411.11022).

    Attributes:
        fixed: Standard deviation of the fixed part [share of full scale]; 0.001 is 0.1 %.
        signal: Standard deviation of the signal-dependent part at no signal [share of full scale].
    """

    fixed: float = leaf(low=0.0)
    signal: float = leaf(0.0, low=0.0)

    def sigma(
        self, q: Float[Array, "*out"], low: Array | float, high: Array | float, step: Array
    ) -> Float[Array, "..."] | float:
        """Return the standard deviation of both parts."""
        variance = self.fixed**2 + self.signal**2 / (q - low + 1)
        # The square root has no derivative at zero, where both parts are.
        some = variance > 0
        return (high - low) * jnp.where(some, jnp.sqrt(jnp.where(some, variance, 1.0)), 0.0)
