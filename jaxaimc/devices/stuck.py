"""Stuck devices: cells that hold one conductance whatever is asked for, at every time.

Which devices are stuck is a mask drawn from the chip key, at programming and again at any later time: the same key
gives the same mask, so that nothing has to be read off the conductances.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component, leaf
from jaxaimc.devices.base import PARTS, Device, split
from jaxaimc.units import uS

# Folded into the key of programming for the mask; a number that no split of a key reaches, "stuc" in ASCII.
_MASK = 0x73747563


@component
class StuckDevice(Device):
    """A device of which some are stuck. The fractions of stuck devices have no gradient.

    Attributes:
        programming: How the other devices deviate from their targets.
        drift: How the other devices drift.
        read_noise: Noise of each read; it acts on stuck devices too.
        on: Fraction stuck at `g_on` [1].
        off: Fraction stuck at `g_off` [1].
        g_on: Conductance of a device that is stuck on [S].
        g_off: Conductance of a device that is stuck off [S].
    """

    on: float = leaf(0.0, low=0.0, high=1.0)
    off: float = leaf(0.0, low=0.0, high=1.0)
    g_on: float = leaf(25 * uS, "S", low=0.0)
    g_off: float = leaf(0.0, "S", low=0.0)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, "*pair"]) -> Float[Array, "*cell"]:
        """Program the devices of a chip; those that are stuck hold what they hold. See `Device.program`."""
        return self._hold(super().program(target, key), key)

    def at(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, "*pair"],
    ) -> Float[Array, "*cell"]:
        """Let the devices drift to a time; those that are stuck do not. See `Device.at`."""
        return self._hold(super().at(programmed, target, t, key), key)

    def only(self, *parts: str) -> Device:
        """Return the device with only some of its parts acting; stuck ones belong to programming. See `Device.only`."""
        kept = super().only(*parts)
        if "programming" in parts:
            return kept
        return Device(**{name: getattr(kept, name) for name in PARTS})

    @property
    def exact(self) -> bool:
        """False."""
        return False

    def check(self) -> None:
        """Check that the fractions are not more than all devices together.

        Raises:
            ValueError: If they are.
        """
        super().check()
        check_number(type(self).__name__, "on + off", self.on + self.off, low=0.0, high=1.0)

    def _hold(self, g: Float[Array, "*cell"], key: Key[Array, "*pair"]) -> Float[Array, "*cell"]:
        """Return the conductances with the stuck ones put in."""
        draw = jax.random.uniform(jax.random.fold_in(split(key)[0], _MASK), g.shape, g.dtype)
        g_on, g_off = jnp.asarray(self.g_on, g.dtype), jnp.asarray(self.g_off, g.dtype)
        return jnp.where(draw < self.on, g_on, jnp.where(draw < self.on + self.off, g_off, g))


def with_stuck(
    device: Device, *, on: float = 0.0, off: float = 0.0, g_on: float = 25 * uS, g_off: float = 0.0
) -> StuckDevice:
    """Return a device of which a part is stuck.

    Args:
        device: What the other devices do; of a `StuckDevice` the fractions and conductances are replaced.
        on: Fraction stuck at `g_on` [1].
        off: Fraction stuck at `g_off` [1].
        g_on: Conductance of a device that is stuck on [S].
        g_off: Conductance of a device that is stuck off [S].

    Returns:
        The device with stuck ones among them. The noise of a read acts on stuck devices too.

    Raises:
        ValueError: If a fraction is outside [0, 1], a conductance negative, or `device` programs or drifts by methods
            of its own instead of by its parts.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc.devices import IdealDevice
        >>> device = with_stuck(IdealDevice(), off=0.1)
        >>> g = device.program(jnp.full(10_000, 10e-6), jax.random.key(0))
        >>> 0.09 < float((g == 0).mean()) < 0.11
        True
    """
    if isinstance(device, StuckDevice):
        stuck = replace(device, on=on, off=off, g_on=g_on, g_off=g_off)
    elif any(getattr(type(device), name) is not getattr(Device, name) for name in ("program", "at", "only")):
        raise ValueError(
            f"Argument `device` must program and drift by its parts, but {type(device).__name__} has methods of its "
            f"own: derive a class from StuckDevice and {type(device).__name__}, in this order."
        )
    else:
        parts = {name: getattr(device, name) for name in PARTS}
        stuck = StuckDevice(**parts, on=on, off=off, g_on=g_on, g_off=g_off)
    stuck.validate()
    return stuck
