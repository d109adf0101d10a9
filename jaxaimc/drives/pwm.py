"""Pulse-width modulation: the magnitude of an input is how long its row is driven."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer
from jaxaimc._core.component import component, leaf, static
from jaxaimc._core.digits import digits
from jaxaimc.drives.base import Drive, Pulses, as_levels, quantise
from jaxaimc.drives.ranges import InputRange, PerVector
from jaxaimc.units import V, ns


class _PulseWidth(Drive):
    """Base of the drives by pulse width: a negative input is driven with the opposite polarity."""

    bits: int
    t_lsb: float
    range: InputRange

    @property
    def by_input(self) -> bool:
        """Where the range is one for all inputs."""
        return self.range.shared and type(self).encode in (PWM.encode, SplitPWM.encode)

    @property
    def steps(self) -> int:
        """Largest magnitude `K` that the bits can express."""
        return 2 ** (self.bits - 1) - 1


@component
class PWM(_PulseWidth):
    """Conventional pulse-width modulation: sign and magnitude, row `i` driven for `|k_i|` steps.

    `k_i = round(clip(x_i / bound, -1, 1) K)` with `K = 2**(bits - 1) - 1`, 127 ns at the defaults (Luquin et al.
    2025, arXiv 2506.00004). Gradient: straight-through in the rounding, zero for clipped inputs.

    Attributes:
        bits: Input bits, sign included.
        t_lsb: Duration of one step [s].
        v_read: Read voltage across a driven device [V].
        range: Input range.

    Example:
        >>> import jax.numpy as jnp
        >>> pulses = PWM(bits=4).encode(jnp.array([1.0, -0.5, 0.1]))
        >>> [int(k) for k in jnp.round(7 * pulses.level[0])]
        [7, -4, 1]
    """

    bits: int = static(default=8, low=2, high=16)
    t_lsb: float = leaf(1 * ns, "s", above=0.0)
    v_read: float = leaf(0.2 * V, "V", above=0.0)
    range: InputRange = PerVector()

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return one plane of pulses for input vectors `x` of shape (*batch, rows)."""
        k, bound = quantise(x, self.range, self.steps)
        return _pulses(k[..., None, :], bound, self, (self.steps,), (1,))


@component
class SplitPWM(_PulseWidth):
    """Split pulse-width modulation: the low bits and the rest as two short pulses, two conversions, recombined.

    The magnitude `|k| = k_low + 2**low_bits k_high` is driven as two planes of at most `2**low_bits - 1` and
    `2**(bits - 1 - low_bits) - 1` steps: 7 + 15 instead of 127 at the defaults (Luquin et al. 2025). Gradient:
    straight-through, carried by the high plane.

    Attributes:
        bits: Input bits, sign included.
        low_bits: Bits in the low plane, at least 1 and at most `bits - 2`.
        t_lsb: Duration of one step [s].
        v_read: Read voltage across a driven device [V].
        range: Input range.
    """

    bits: int = static(default=8, low=3, high=16)
    low_bits: int = static(default=3)
    t_lsb: float = leaf(1 * ns, "s", above=0.0)
    v_read: float = leaf(0.2 * V, "V", above=0.0)
    range: InputRange = PerVector()

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the low and the high plane of pulses for input vectors `x` of shape (*batch, rows)."""
        k, bound = quantise(x, self.range, self.steps)
        widths = (self.low_bits, self.bits - 1 - self.low_bits)
        planes = jnp.stack(digits(k, widths), axis=-2)
        return _pulses(planes, bound, self, tuple(2**width - 1 for width in widths), (1, 2**self.low_bits))

    def check(self) -> None:
        """Check that both planes have bits.

        Raises:
            ValueError: If one has none.
        """
        check_integer("SplitPWM", "low_bits", self.low_bits, low=1, high=self.bits - 2)


def _pulses(
    planes: Float[Array, "*batch plane rows"],
    bound: Float[Array, "*batch"],
    drive: PWM | SplitPWM,
    largest: tuple[int, ...],
    weight: tuple[int, ...],
) -> Pulses:
    """Express planes of step counts as fractions of each plane's largest count."""
    full, significance = as_levels(largest, weight, drive.steps, planes.dtype)
    return Pulses(
        level=planes / full[:, None],
        duration=jnp.abs(planes) * drive.t_lsb,
        full_scale=full * drive.t_lsb * drive.v_read,
        significance=significance,
        x_scale=bound,
        reach=jnp.ones_like(full),
        steps=largest,
        timed=True,
    )
