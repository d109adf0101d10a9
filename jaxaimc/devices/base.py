"""What a memory device does, as three exchangeable parts: programming noise, drift, and the noise of a read.

    target --programming--> programmed --drift (any time)--> g now --read noise--> what one read sees

Conductances are in siemens. `target` is what programming aimed at; published fits are functions of it. Two key families
drive the randomness: the *chip* key (programming, drift exponents, stuck cells: drawn once per chip) and *read* keys
(every matrix-vector product).
"""

import abc
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import Component, component
from jaxaimc.units import format_si


class _Measured:
    """What programming, drift and read noise of a device have in common. No kind of parts of its own."""

    @property
    def window(self) -> float | None:
        """Largest conductance that the model was measured for [S], None where it holds for any."""
        return None


class ProgrammingNoise(_Measured, Component):
    """Deviation of programmed conductances from targets. One of your own derives from this and writes `program`."""

    @abc.abstractmethod
    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S], never negative."""

    @property
    def exact(self) -> bool:
        """Whether every device holds its target, to the last bit and for any values of the fields."""
        return False


class DriftLaw(_Measured, Component):
    """Change of programmed conductances with time. One of your own derives from this and writes `drift`."""

    @abc.abstractmethod
    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s] after programming: those programmed at time zero."""

    @property
    def exact(self) -> bool:
        """Whether nothing changes, for any values of the fields."""
        return False


class ReadNoise(_Measured, Component):
    """Gaussian noise of a read, independent between devices and reads. One of your own writes `variance`.

    Its variance is a sum of products, `sum_k weight_k(duration) variance_k(g)` [S^2]. This separation is what lets
    the noise of a whole matrix-vector product be drawn exactly at the output with one matmul per term, whatever the
    duration of each row's pulse.
    """

    @abc.abstractmethod
    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "term *cell"]:
        """Return the conductance-dependent factors at time `t` [s]; an empty first axis means no noise."""

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "term *pulse"]:
        """Return the factors for pulses of the given duration [s]: ones, for noise that does not depend on it."""
        return jnp.ones((self.terms, *duration.shape), duration.dtype)

    @property
    def terms(self) -> int:
        """Number of products, that of `variance`."""
        g = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.eval_shape(lambda g: self.variance(g, g, 0.0), g).shape[0]

    @property
    def small_terms(self) -> int:
        """Number of last products whose conductance factors are small and nearly proportional to the first one: a
        matrix takes each as that factor times their ratio over the whole of a tile row, which saves a matmul. None,
        unless a class says otherwise."""
        return 0


@component
class NoProgrammingNoise(ProgrammingNoise):
    """Devices hold exactly what was asked for."""

    @property
    def exact(self) -> bool:
        """Yes."""
        return True

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return `target`."""
        return target


@component
class NoDrift(DriftLaw):
    """Conductances stay as programmed."""

    @property
    def exact(self) -> bool:
        """Yes."""
        return True

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return `programmed`."""
        return programmed


@component
class NoReadNoise(ReadNoise):
    """Reads return the conductance itself."""

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "term *cell"]:
        """Return an array without terms."""
        return jnp.zeros((0, *g.shape), g.dtype)

    @property
    def terms(self) -> int:
        """Zero."""
        return 0


@component
class SumOfReadNoises(ReadNoise):
    """Two independent read noises at once: their variances add up. Either may be such a sum itself.

    Attributes:
        first: One of them.
        second: The other.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc.devices import NormalReadNoise, independent
        >>> both = SumOfReadNoises(
        ...     first=NormalReadNoise(std=independent(0.03), g_max=100e-6),
        ...     second=NormalReadNoise(std=independent(0.04), g_max=100e-6),
        ... )
        >>> g = jnp.array(5e-5)
        >>> round(float(jnp.sqrt(both.variance(g, g, 0.0).sum())) * 1e6, 3)
        5.0
    """

    first: ReadNoise = NoReadNoise()
    second: ReadNoise = NoReadNoise()

    def variance(
        self, g: Float[Array, "*cell"], target: Float[Array, "*cell"], t: Float[Array, ""] | float
    ) -> Float[Array, "term *cell"]:
        """Return the factors of both [S^2]."""
        return jnp.concatenate([self.first.variance(g, target, t), self.second.variance(g, target, t)])

    def weight(self, duration: Float[Array, "*pulse"]) -> Float[Array, "term *pulse"]:
        """Return the pulse factors of both [1]."""
        return jnp.concatenate([self.first.weight(duration), self.second.weight(duration)])

    @property
    def terms(self) -> int:
        """Those of both."""
        return self.first.terms + self.second.terms

    @property
    def window(self) -> float | None:
        """The smaller of the two."""
        return least([self.first.window, self.second.window])


PARTS = ("programming", "drift", "read_noise")
_NOTHING = {"programming": NoProgrammingNoise(), "drift": NoDrift(), "read_noise": NoReadNoise()}


@component
class Device(Component):
    """A memory device made of its three parts. Any part may be one of your own.

    Attributes:
        programming: Deviation of programmed conductances from their targets.
        drift: Drift with time.
        read_noise: Noise of each read.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc.devices import PCM
        >>> chip, target = jax.random.key(0), jnp.full(1000, 20e-6)
        >>> programmed = PCM().program(target, chip)
        >>> later = PCM().at(programmed, target, 86400.0, chip)
        >>> round(float(later.mean() / programmed.mean()), 2)
        0.66
    """

    programming: ProgrammingNoise = NoProgrammingNoise()
    drift: DriftLaw = NoDrift()
    read_noise: ReadNoise = NoReadNoise()

    def program(self, target: Float[Array, "*cell"], key: Key[Array, "*pair"]) -> Float[Array, "*cell"]:
        """Program the devices of a chip.

        Args:
            target: Conductances aimed at [S].
            key: Chip key, or the pair of keys (programming, drift) into which a chip key splits, where a tile has
                folded its number into each.

        Returns:
            Programmed conductances [S].
        """
        return self.programming.program(target, split(key)[0])

    def at(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, "*pair"],
    ) -> Float[Array, "*cell"]:
        """Let the devices drift to a time.

        Args:
            programmed: What `program` returned [S].
            target: Conductances aimed at [S].
            t: Time since programming [s].
            key: The chip key that `program` got; the device draws its drift from another part of it.

        Returns:
            Conductances at time `t` [S].
        """
        return self.drift.drift(programmed, target, t, split(key)[1])

    def only(self, *parts: str) -> "Device":
        """Return the device with only some of its parts acting.

        Args:
            *parts: Which of `"programming"`, `"drift"` and `"read_noise"` act. Cells that are stuck belong to
                programming.

        Returns:
            The device, the other parts ideal.

        Raises:
            ValueError: If there is no such part.

        Example:
            >>> from jaxaimc.devices import PCM
            >>> quiet = PCM().only("read_noise")
            >>> quiet.exact, quiet.read_noise == PCM().read_noise
            (True, True)
        """
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise ValueError(
                f"Argument `parts` of Device.only must be some of {', '.join(map(repr, PARTS))}, "
                f"but has {unknown[0]!r}."
            )
        return replace(self, **{name: part for name, part in _NOTHING.items() if name not in parts})

    @property
    def exact(self) -> bool:
        """Whether devices hold their targets for ever, to the last bit (a read may still be noisy)."""
        return self.programming.exact and self.drift.exact

    @property
    def window(self) -> float | None:
        """Largest conductance that every part was measured for [S], None where none of them has an end.

        Each part scales with its own `g_max`; where these differ, the smallest counts.
        """
        return least(getattr(self, name).window for name in PARTS)

    def check(self) -> None:
        """Check that the read noise has as many factors of the pulse as of the conductance.

        Raises:
            ValueError: If it has not.
        """
        _check_terms(self.read_noise)


@component
class IdealDevice(Device):
    """A device that holds what was asked for, for ever, and is read without noise."""


def split(key: Key[Array, "*pair"]) -> Key[Array, "2"]:
    """Return the keys of programming and drift of one chip.

    Args:
        key: Chip key, or such a pair already.
    """
    return key if key.ndim else jax.random.split(key)


def least(values: Iterable[Any]) -> float | None:
    """Return the smallest of the values that are known (not traced) and finite, None where there is none."""
    known = [float(np.min(value)) for value in values if value is not None and not isinstance(value, jax.core.Tracer)]
    return min((value for value in known if np.isfinite(value)), default=None)


def check_window(cell: Any, device: Device) -> None:
    """Check that a cell asks for no conductance beyond those that the device was measured for.

    Args:
        cell: Cell with `g_min` and `g_span` [S].
        device: The device.

    Raises:
        ValueError: If it does. The fits end there, and what they would say of a larger conductance nobody measured.
    """
    reach, window = least([cell.g_min + cell.g_span]), device.window
    # The sum of two numbers may be off by a rounding of single precision.
    if reach is None or window is None or reach <= window * (1 + 1e-6):
        return
    name = next(name for name in PARTS if getattr(device, name).window == window)
    part = _name(getattr(device, name))
    raise ValueError(
        f"Field `cell` of AnalogConfig must stay within the window of `device`, but `g_min + g_span` of {_name(cell)} "
        f"is {format_si(reach, 'S')} and `{name}` of {_name(device)}, a {part}, was measured up to "
        f"{format_si(window, 'S')}: write a cell with `g_max={window:.6g}`, or scale the parts of the device with "
        f"`g_max={reach:.6g}` where they have that field."
    )


# Read noises whose number of factors was found to be right; it follows from class and structure.
_COUNTED: set[Any] = set()


def _check_terms(noise: ReadNoise) -> None:
    structure = jax.tree.structure(noise)
    if structure in _COUNTED:
        return
    pulses, devices = (jax.ShapeDtypeStruct((size,), jnp.float32) for size in (5, 3))
    weight = jax.eval_shape(noise.weight, pulses).shape
    variance = jax.eval_shape(lambda g: noise.variance(g, g, 0.0), devices).shape
    if weight[1:] != (5,) or variance[1:] != (3,) or weight[0] != variance[0]:
        raise ValueError(
            f"Field `read_noise` of Device must have one factor in `weight` for each in `variance`, but {_name(noise)} "
            f"returns shape {weight} for 5 pulses, and {variance} for 3 devices: the first axis counts the factors."
        )
    if noise.small_terms and not 0 < noise.small_terms < noise.terms:
        raise ValueError(
            f"Field `read_noise` of Device must have a term that its small ones are nearly proportional to, but "
            f"{_name(noise)} has {noise.terms} terms and says that {noise.small_terms} are small."
        )
    _COUNTED.add(structure)


def _name(part: Any) -> str:
    return type(part).__name__
