"""What a memory device does, as three exchangeable parts: programming noise, drift, and the noise of a read.

Conductances are in siemens. `target` is what programming aimed at; published fits are functions of it. Two key
families drive the randomness: *chip* keys (programming, drift exponents: drawn once per chip) and *read* keys
(every matrix-vector product).
"""

from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import component


class ProgrammingNoise(Protocol):
    """Spread of programmed conductances about their targets."""

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S], never negative."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


class DriftLaw(Protocol):
    """Change of programmed conductances with time."""

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s] after programming."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


class ReadNoise(Protocol):
    """Gaussian noise of a read, independent between devices and reads.

    Its variance is a sum of products, `sum_k weight_k(duration) variance_k(g)` [S^2]. This separation is what lets
    the noise of a whole matrix-vector product be drawn exactly at the output with one matmul, whatever the
    duration of each row's pulse.
    """

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "term *cell"]:
        """Return the conductance-dependent factors at time `t` [s]; an empty first axis means no noise."""
        ...

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "term *pulse"]:
        """Return the factors for pulses of the given duration [s]."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


@component
class NoProgrammingNoise:
    """Devices hold exactly what was asked for."""

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return `target`."""
        return target

    def validate(self) -> None:
        """Nothing to check."""


@component
class NoDrift:
    """Conductances stay as programmed."""

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return `programmed`."""
        return programmed

    def validate(self) -> None:
        """Nothing to check."""


@component
class NoReadNoise:
    """Reads return the conductance itself."""

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "term *cell"]:
        """Return an array without terms."""
        return jnp.zeros((0, *g.shape), g.dtype)

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "term *pulse"]:
        """Return an array without terms."""
        return jnp.zeros((0, *duration.shape), duration.dtype)

    def validate(self) -> None:
        """Nothing to check."""


@component
class Device:
    """A memory device made of its three parts. Any part may be one of your own.

    Attributes:
        programming: Spread of programmed conductances.
        drift: Drift with time.
        read_noise: Noise of each read.
    """

    programming: ProgrammingNoise = NoProgrammingNoise()
    drift: DriftLaw = NoDrift()
    read_noise: ReadNoise = NoReadNoise()

    def validate(self) -> None:
        """Check the parts.

        Raises:
            ValueError: If a field of a part is out of its range.
        """
        self.programming.validate()
        self.drift.validate()
        self.read_noise.validate()


@component
class IdealDevice(Device):
    """A device that holds what was asked for, for ever, and is read without noise."""
