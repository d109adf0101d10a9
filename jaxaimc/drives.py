"""Drives: how digital inputs become pulses on the input lines.

A drive quantises the input vector and turns it into one or more *planes* of pulses. The planes are read one after
the other, each through its own conversion, and recombined digitally with their significance.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._checks import check_integer, check_number
from jaxaimc._component import component, static
from jaxaimc._straight_through import clip, floor_ste, round_ste
from jaxaimc.units import V, ns


class Pulses(NamedTuple):
    """Input pulses of a batch of vectors.

    Attributes:
        level: Pulse of each plane as a fraction of that plane's full scale, in `[-1, 1]`, shape (*batch, plane, rows).
        duration: How long each row is driven [s], shape (*batch, plane, rows).
        full_scale: Charge of a full-scale pulse per unit conductance [V s], shape (plane,).
        significance: Weight of each plane's full scale in the recombined result, shape (plane,).
        scale: Input value that stands for a level of one, shape (*batch,).
    """

    level: Float[Array, "*batch plane rows"]
    duration: Float[Array, "*batch plane rows"]
    full_scale: Float[Array, " plane"]
    significance: Float[Array, " plane"]
    scale: Float[Array, "*batch"]


class Drive(Protocol):
    """What every drive offers. A drive of your own is a component with these members."""

    @property
    def v_read(self) -> float:
        """Read voltage across a driven device [V]."""
        ...

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the pulses of input vectors `x` (any unit)."""
        ...

    def validate(self) -> None:
        """Check the numeric fields.

        Raises:
            ValueError: If a field is out of its range.
        """
        ...


class InputRange(Protocol):
    """The input value that is driven at full scale."""

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return the full-scale input of each vector, greater than zero."""
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


@component
class PerVector:
    """Each vector is scaled by its own largest magnitude; the scale is constant under differentiation."""

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return `max_i |x_i|`, one where a vector is zero."""
        peak = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1))
        return jnp.where(peak > 0, peak, 1.0)

    def validate(self) -> None:
        """Nothing to check."""


@component
class FixedRange:
    """One range for all vectors; larger inputs are clipped.

    Attributes:
        limit: Input value driven at full scale (the input's unit), greater than zero; differentiable.
    """

    limit: float

    def bound(self, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch"]:
        """Return `limit` for every vector."""
        return jnp.broadcast_to(jnp.asarray(self.limit, x.dtype), x.shape[:-1])

    def validate(self) -> None:
        """Check the range.

        Raises:
            ValueError: If `limit` is not greater than zero.
        """
        check_number("FixedRange", "limit", self.limit, low=0.0, open_low=True)


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

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return one plane of pulses for input vectors `x` of shape (*batch, rows)."""
        k, bound = _quantise(x, self.range, self.steps)
        return _pulses(k[..., None, :], bound, self, (self.steps,), (1,))

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
    straight-through, carried by the high plane (by the low plane where `k = 0`).

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

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the low and the high plane of pulses for input vectors `x` of shape (*batch, rows)."""
        k, bound = _quantise(x, self.range, self.steps)
        base = 2**self.low_bits
        # A sign times a straight-through floor of the magnitude; |.| of an integer-valued k costs no accuracy.
        high = jnp.sign(k) * floor_ste(jnp.abs(k) / base)
        planes = jnp.stack([k - base * high, high], axis=-2)
        return _pulses(planes, bound, self, (base - 1, 2 ** (self.bits - 1 - self.low_bits) - 1), (1, base))

    def validate(self) -> None:
        """Check step, voltage and range.

        Raises:
            ValueError: If one is out of its range.
        """
        _validate_pulse("SplitPWM", self)


def _quantise(
    x: Float[Array, "*batch rows"], input_range: InputRange, steps: int
) -> tuple[Float[Array, "*batch rows"], Float[Array, "*batch"]]:
    bound = input_range.bound(x)
    return round_ste(clip(x / bound[..., None], -1.0, 1.0) * steps), bound


def _pulses(
    planes: Float[Array, "*batch plane rows"],
    bound: Float[Array, "*batch"],
    drive: PWM | SplitPWM,
    full: tuple[int, ...],
    weight: tuple[int, ...],
) -> Pulses:
    """Express planes of step counts as fractions of each plane's largest count `full`."""
    dtype = planes.dtype
    largest = jnp.asarray(full, dtype)
    return Pulses(
        level=planes / largest[:, None],
        duration=jnp.abs(planes) * drive.t_lsb,
        full_scale=largest * drive.t_lsb * drive.v_read,
        significance=largest * jnp.asarray(weight, dtype) / drive.steps,
        scale=bound,
    )


def _validate_pulse(owner: str, drive: PWM | SplitPWM) -> None:
    check_number(owner, "t_lsb", drive.t_lsb, "s", low=0.0, open_low=True)
    check_number(owner, "v_read", drive.v_read, "V", low=0.0, open_low=True)
    drive.range.validate()
