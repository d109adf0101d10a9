"""Iterative programming: pulse, read, and pulse again until a device is within its tolerance."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxaimc._core.component import component, leaf, static
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.base import ProgrammingNoise
from jaxaimc.units import uS


class Verification(NamedTuple):
    """What program-and-verify came to, device by device.

    Attributes:
        g: Conductance of every device [S].
        pulses: Pulses that every device took, the first one included.
        accepted: Whether the last read of a device was within its tolerance; the mean of it is the yield.
    """

    g: Float[Array, "*cell"]
    pulses: Int[Array, "*cell"]
    accepted: Bool[Array, "*cell"]


@component
class ProgramAndVerify(ProgrammingNoise):
    """Program, read, correct: each device is pulsed until a read is within tolerance, or the cap is reached.

    After the first pulse a device whose read differs from the target by more than `tolerance + relative_tolerance
    target` gets a correction of `gain` times the difference, scattered by `pulse_std` times its own size. Devices
    are independent and stop one by one. All five numbers describe the programming circuit, so none has a published
    default for the technology beneath it; the yield and the pulses come from `outcome`.

    The gradient is straight-through: with respect to the target it is one (the loop aims at it), with respect to
    everything else zero.

    Attributes:
        first: What the first pulse does.
        tolerance: Accepted deviation of a read [S].
        relative_tolerance: Accepted deviation as a fraction of the target, added to `tolerance` [1].
        gain: Part of a deviation that a pulse corrects on average [1].
        pulse_std: Standard deviation of a correction over its size [1].
        verify_noise: Standard deviation of a verifying read [S].
        max_pulses: Cap on the pulses of a device.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc.devices import PCMProgrammingNoise
        >>> loop = ProgramAndVerify(first=PCMProgrammingNoise(), tolerance=0.2e-6)
        >>> outcome = loop.outcome(jnp.full(10_000, 12e-6), jax.random.key(0))
        >>> bool(outcome.accepted.all()), bool((abs(outcome.g - 12e-6) < 0.2e-6).all())
        (True, True)
    """

    first: ProgrammingNoise
    tolerance: float = leaf(0.5 * uS, "S", low=0.0)
    relative_tolerance: float = leaf(0.0, low=0.0)
    gain: float = leaf(1.0, above=0.0, high=2.0)
    pulse_std: float = leaf(0.3, low=0.0)
    verify_noise: float = leaf(0.0, "S", low=0.0)
    max_pulses: int = static(default=20, low=1, high=10_000)

    @property
    def window(self) -> float | None:
        """That of the first pulse."""
        return self.first.window

    def outcome(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Verification:
        """Program devices and report how it went.

        Args:
            target: Conductances aimed at [S].
            key: Chip key.

        Returns:
            Conductances, pulses and acceptance of every device. Not differentiable; see `program`.
        """
        allowed = self.tolerance + self.relative_tolerance * target
        first_key, read_key, loop_key = jax.random.split(key, 3)

        def read(g: Array, key: Array) -> Array:
            return g + self.verify_noise * standard_normal(key, g.shape, g.dtype) - target

        def unfinished(state: tuple) -> Array:
            _, off, _, count = state
            return (count < self.max_pulses) & jnp.any(jnp.abs(off) > allowed)

        def pulse(state: tuple) -> tuple:
            g, off, pulses, count = state
            scatter_key, verify_key = jax.random.split(jax.random.fold_in(loop_key, count))
            scatter = 1 + self.pulse_std * standard_normal(scatter_key, g.shape, g.dtype)
            active = jnp.abs(off) > allowed
            g = jnp.where(active, jnp.maximum(g - self.gain * off * scatter, 0.0), g)
            off = jnp.where(active, read(g, verify_key), off)
            return g, off, pulses + active, count + 1

        g = self.first.program(target, first_key)
        start = (g, read(g, read_key), jnp.ones(g.shape, jnp.int32), jnp.asarray(1, jnp.int32))
        g, off, pulses, _ = jax.lax.while_loop(unfinished, pulse, start)
        return Verification(g=g, pulses=pulses, accepted=jnp.abs(off) <= allowed)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S]; devices that failed stay where the last pulse left them."""
        # The loop has no reverse derivative: it sees constants only.
        fixed = jax.lax.stop_gradient((self, target))
        return target + jax.lax.stop_gradient(fixed[0].outcome(fixed[1], key).g - target)
