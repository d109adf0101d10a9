"""Pulse-width modulation: the magnitude of an input is how long its row is driven."""

from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc._core.digits import digits
from jaxaimc.drives.base import Pulses, as_levels, quantise
from jaxaimc.drives.ranges import InputRange, PerVector
from jaxaimc.units import V, ns


@component
class PWM:
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

    bits: int = static(default=8)
    t_lsb: float = 1 * ns
    v_read: float = 0.2 * V
    range: InputRange = PerVector()

    def __post_init__(self) -> None:
        check_integer("PWM", "bits", self.bits, low=2, high=16)

    @property
    def steps(self) -> int:
        """Largest magnitude `K` that the bits can express."""
        return 2 ** (self.bits - 1) - 1

    @property
    def accumulates(self) -> bool:
        """There is one plane."""
        return False

    @property
    def bipolar(self) -> bool:
        """Yes: a negative input is driven with the opposite polarity."""
        return True

    @property
    def digit(self) -> int:
        """All steps."""
        return self.steps

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return one plane of pulses for input vectors `x` of shape (*batch, rows)."""
        k, bound = quantise(x, self.range, self.steps)
        return _pulses(k[..., None, :], bound, self, (self.steps,), (1,))

    def with_range(self, range: InputRange) -> "PWM":
        """Return this drive with another input range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check step, voltage and range.

        Raises:
            ValueError: If one is out of its range.
        """
        _validate_pulse("PWM", self)


@component
class SplitPWM:
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

    bits: int = static(default=8)
    low_bits: int = static(default=3)
    t_lsb: float = 1 * ns
    v_read: float = 0.2 * V
    range: InputRange = PerVector()

    def __post_init__(self) -> None:
        check_integer("SplitPWM", "bits", self.bits, low=3, high=16)
        check_integer("SplitPWM", "low_bits", self.low_bits, low=1, high=self.bits - 2)

    @property
    def steps(self) -> int:
        """Largest magnitude `K` that the bits can express."""
        return 2 ** (self.bits - 1) - 1

    @property
    def accumulates(self) -> bool:
        """Each plane has its own conversion."""
        return False

    @property
    def bipolar(self) -> bool:
        """Yes: a negative input is driven with the opposite polarity."""
        return True

    @property
    def digit(self) -> int:
        """None: the planes have different numbers of steps."""
        return 0

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the low and the high plane of pulses for input vectors `x` of shape (*batch, rows)."""
        k, bound = quantise(x, self.range, self.steps)
        widths = (self.low_bits, self.bits - 1 - self.low_bits)
        planes = jnp.stack(digits(k, widths), axis=-2)
        return _pulses(planes, bound, self, tuple(2**width - 1 for width in widths), (1, 2**self.low_bits))

    def with_range(self, range: InputRange) -> "SplitPWM":
        """Return this drive with another input range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check step, voltage and range.

        Raises:
            ValueError: If one is out of its range.
        """
        _validate_pulse("SplitPWM", self)


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
        scale=bound,
    )


def _validate_pulse(owner: str, drive: PWM | SplitPWM) -> None:
    check_number(owner, "t_lsb", drive.t_lsb, "s", low=0.0, open_low=True)
    check_number(owner, "v_read", drive.v_read, "V", low=0.0, open_low=True)
    drive.range.validate()
