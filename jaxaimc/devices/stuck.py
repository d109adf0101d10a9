"""Stuck devices: cells that hold one conductance whatever is asked for, at every time.

Programming draws which devices are stuck; retention must know them again, and all it sees are conductances. So a
stuck device is one that holds the stuck conductance to the last bit, and healthy devices that would end there by
chance (a conductance cut at zero does) are moved by the smallest step that arithmetic on any accelerator keeps.
"""

from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component
from jaxaimc.devices.base import Device, DriftLaw, ProgrammingNoise
from jaxaimc.units import uS

D = TypeVar("D", bound=Device)

# What a healthy device at zero is moved to [S]: nothing electrically, and far from a subnormal number.
_NEARLY_ZERO = 1e-30


@component
class StuckProgramming:
    """Programming of an array of which a part is stuck.

    Attributes:
        healthy: Programming of the other devices.
        on: Fraction stuck at `g_on` [1].
        off: Fraction stuck at `g_off` [1].
        g_on: Conductance of a device that is stuck on [S].
        g_off: Conductance of a device that is stuck off [S].
    """

    healthy: ProgrammingNoise
    on: float = 0.0
    off: float = 0.0
    g_on: float = 25 * uS
    g_off: float = 0.0

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]."""
        healthy_key, stuck_key = jax.random.split(key)
        g = self.healthy.program(target, healthy_key)
        g_on, g_off = jnp.asarray(self.g_on, g.dtype), jnp.asarray(self.g_off, g.dtype)
        fixed = jax.lax.stop_gradient(g)
        aside = jnp.where(fixed > 0, jnp.nextafter(fixed, jnp.inf), _NEARLY_ZERO)
        g = g + jnp.where((fixed == g_on) | (fixed == g_off), aside - fixed, 0.0)
        draw = jax.random.uniform(stuck_key, g.shape, g.dtype)
        return jnp.where(draw < self.on, g_on, jnp.where(draw < self.on + self.off, g_off, g))

    def validate(self) -> None:
        """Check fractions and conductances.

        Raises:
            ValueError: If a fraction is outside [0, 1], both are more than one together, or a conductance is negative.
        """
        check_number("StuckProgramming", "on", self.on, low=0.0, high=1.0)
        check_number("StuckProgramming", "off", self.off, low=0.0, high=1.0)
        check_number("StuckProgramming", "on + off", self.on + self.off, low=0.0, high=1.0)
        check_number("StuckProgramming", "g_on", self.g_on, "S", low=0.0)
        check_number("StuckProgramming", "g_off", self.g_off, "S", low=0.0)
        self.healthy.validate()


@component
class StuckRetention:
    """Drift of the devices that are not stuck.

    Attributes:
        healthy: Drift of the other devices.
        g_on: Conductance of a device that is stuck on [S].
        g_off: Conductance of a device that is stuck off [S].
    """

    healthy: DriftLaw
    g_on: float = 25 * uS
    g_off: float = 0.0

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        return jnp.where(self.stuck(programmed), programmed, self.healthy.drift(programmed, target, t, key))

    def stuck(self, programmed: Float[Array, "*cell"]) -> Bool[Array, "*cell"]:
        """Return which devices are stuck."""
        dtype = programmed.dtype
        return (programmed == jnp.asarray(self.g_on, dtype)) | (programmed == jnp.asarray(self.g_off, dtype))

    def validate(self) -> None:
        """Check the conductances.

        Raises:
            ValueError: If one is negative.
        """
        check_number("StuckRetention", "g_on", self.g_on, "S", low=0.0)
        check_number("StuckRetention", "g_off", self.g_off, "S", low=0.0)
        self.healthy.validate()


def with_stuck(device: D, *, on: float = 0.0, off: float = 0.0, g_on: float = 25 * uS, g_off: float = 0.0) -> D:
    """Return a device of which a part is stuck.

    Args:
        device: What the other devices do.
        on: Fraction stuck at `g_on` [1].
        off: Fraction stuck at `g_off` [1].
        g_on: Conductance of a device that is stuck on [S].
        g_off: Conductance of a device that is stuck off [S].

    Returns:
        The device with wrapped programming and retention. The noise of a read acts on stuck devices too.

    Raises:
        ValueError: If a fraction is outside [0, 1] or a conductance negative.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc.devices import IdealDevice
        >>> device = with_stuck(IdealDevice(), off=0.1)
        >>> g = device.programming.program(jnp.full(10_000, 10e-6), jax.random.key(0))
        >>> 0.09 < float((g == 0).mean()) < 0.11
        True
    """
    programming = StuckProgramming(healthy=device.programming, on=on, off=off, g_on=g_on, g_off=g_off)
    retention = StuckRetention(healthy=device.drift, g_on=g_on, g_off=g_off)
    stuck = replace(device, programming=programming, drift=retention)
    stuck.validate()
    return stuck
