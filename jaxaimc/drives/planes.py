"""Digital-to-analog conversion by bit planes: groups of input bits are driven one after the other.

All planes have pulses of one duration; a group of several bits is a level of a small DAC, whose full scale is that of
the widest group in every cycle.
"""

from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.component import component, static
from jaxaimc._core.digits import equal_widths
from jaxaimc.drives.base import Pulses, as_levels, quantise
from jaxaimc.drives.ranges import InputRange, PerVector
from jaxaimc.drives.signs import SignMagnitude, Signs
from jaxaimc.units import V, ns


@component
class BitSerial:
    """Inputs driven in groups of equally many bits, one bit after the other by default.

    `k = round(clip(x / bound, -1, 1) K)`, with `K = 2**n - 1` for the `n` bits that are cut into groups (the sign bit
    is not one of them). Each plane has its own conversion and is shifted and added digitally, or all planes' charges
    are added with their significance and converted once (analog accumulation). The bit-wise variant of pulse-width
    modulation is this drive with pulses of one step. Gradient: straight-through in the rounding, zero for clipped
    inputs, carried by the most significant plane.

    Attributes:
        bits: Input bits, sign included if there is one.
        group: Bits driven at once; the most significant group may be narrower.
        signs: How negative inputs are driven.
        accumulates: Whether the planes are added before one conversion for all.
        t_pulse: Duration of a pulse [s].
        v_read: Voltage of a full-scale pulse [V].
        range: Input range.

    Example:
        >>> import jax.numpy as jnp
        >>> pulses = BitSerial(bits=4).encode(jnp.array([7.0, -5.0]))
        >>> pulses.level.tolist()
        [[1.0, -1.0], [1.0, 0.0], [1.0, -1.0]]
    """

    bits: int = static(default=8)
    group: int = static(default=1)
    signs: Signs = SignMagnitude()
    accumulates: bool = static(default=False)
    t_pulse: float = 1 * ns
    v_read: float = 0.2 * V
    range: InputRange = PerVector()

    def __post_init__(self) -> None:
        check_integer("BitSerial", "bits", self.bits, low=2, high=16)
        check_integer("BitSerial", "group", self.group, low=1, high=16)

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each group, least significant first."""
        return equal_widths(self.signs.digit_bits(self.bits), self.group)

    @property
    def bipolar(self) -> bool:
        """As the signs."""
        return self.signs.bipolar(accumulated=self.accumulates)

    @property
    def digit(self) -> int:
        """Largest level of the DAC."""
        return 2 ** max(self.widths) - 1

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the planes of pulses for input vectors `x` of shape (*batch, rows)."""
        return _encode(x, self)

    def with_range(self, range: InputRange) -> "BitSerial":
        """Return this drive with another input range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check pulse, voltage and range.

        Raises:
            ValueError: If one is out of its range, or `group` is more than the bits there are to drive.
        """
        _validate("BitSerial", self)
        check_integer("BitSerial", "group", self.group, low=1, high=self.signs.digit_bits(self.bits))


@component
class BitGroups:
    """Inputs driven in groups of any widths. Otherwise as `BitSerial`.

    Attributes:
        widths: Bits of each group, least significant first; a sign bit is not among them.
        signs: How negative inputs are driven.
        accumulates: Whether the planes are added before one conversion for all.
        t_pulse: Duration of a pulse [s].
        v_read: Voltage of a full-scale pulse [V].
        range: Input range.

    Example:
        >>> import jax.numpy as jnp
        >>> drive = BitGroups(widths=(3, 2))
        >>> [[round(7 * float(level)) for level in plane] for plane in drive.encode(jnp.array([31.0, -9.0])).level]
        [[7, -1], [3, -1]]
    """

    widths: tuple[int, ...] = static(default=(4, 3))
    signs: Signs = SignMagnitude()
    accumulates: bool = static(default=False)
    t_pulse: float = 1 * ns
    v_read: float = 0.2 * V
    range: InputRange = PerVector()

    def __post_init__(self) -> None:
        # Lists and arrays (from a config file) are not hashable, which static fields must be.
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
        if not self.widths or min(self.widths) < 1 or sum(self.widths) > 16:
            raise ValueError(
                f"Field `widths` of BitGroups must hold bits of each group, at least 1 each and 1 to 16 in all, but is "
                f"{self.widths}."
            )

    @property
    def bipolar(self) -> bool:
        """As the signs."""
        return self.signs.bipolar(accumulated=self.accumulates)

    @property
    def digit(self) -> int:
        """Largest level of the DAC."""
        return 2 ** max(self.widths) - 1

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the planes of pulses for input vectors `x` of shape (*batch, rows)."""
        return _encode(x, self)

    def with_range(self, range: InputRange) -> "BitGroups":
        """Return this drive with another input range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check pulse, voltage and range.

        Raises:
            ValueError: If one is out of its range.
        """
        _validate("BitGroups", self)


@component
class VoltageDAC:
    """Inputs driven at once as levels of a DAC, all pulses of the same duration.

    Attributes:
        bits: Input bits, sign included; a negative input is driven with the opposite polarity.
        t_pulse: Duration of a pulse [s].
        v_read: Voltage of a full-scale pulse [V].
        range: Input range.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(3 * float(level)) for level in VoltageDAC(bits=3).encode(jnp.array([1.0, -0.7, 0.0])).level[0]]
        [3, -2, 0]
    """

    bits: int = static(default=8)
    t_pulse: float = 1 * ns
    v_read: float = 0.2 * V
    range: InputRange = PerVector()

    def __post_init__(self) -> None:
        check_integer("VoltageDAC", "bits", self.bits, low=2, high=16)

    @property
    def widths(self) -> tuple[int, ...]:
        """All magnitude bits in one group."""
        return (self.bits - 1,)

    @property
    def signs(self) -> Signs:
        """By polarity."""
        return SignMagnitude()

    @property
    def accumulates(self) -> bool:
        """There is one plane."""
        return False

    @property
    def bipolar(self) -> bool:
        """As the signs."""
        return self.signs.bipolar(accumulated=self.accumulates)

    @property
    def digit(self) -> int:
        """Largest level of the DAC."""
        return 2 ** max(self.widths) - 1

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return one plane of pulses for input vectors `x` of shape (*batch, rows)."""
        return _encode(x, self)

    def with_range(self, range: InputRange) -> "VoltageDAC":
        """Return this drive with another input range."""
        return replace(self, range=range)

    def validate(self) -> None:
        """Check pulse, voltage and range.

        Raises:
            ValueError: If one is out of its range.
        """
        _validate("VoltageDAC", self)


def _encode(x: Float[Array, "*batch rows"], drive: BitSerial | BitGroups | VoltageDAC) -> Pulses:
    steps = 2 ** sum(drive.widths) - 1
    k, bound = quantise(x, drive.range, steps)
    planes, weight = drive.signs.planes(k, drive.widths)
    largest = (drive.digit,) * len(weight)
    full, significance = as_levels(largest, weight, steps, planes.dtype)
    driven = (planes != 0).astype(planes.dtype)
    return Pulses(
        level=planes / full[:, None],
        duration=driven * drive.t_pulse,
        full_scale=jnp.full(full.shape, drive.t_pulse * drive.v_read, planes.dtype),
        significance=significance,
        scale=bound,
    )


def _validate(owner: str, drive: BitSerial | BitGroups | VoltageDAC) -> None:
    check_number(owner, "t_pulse", drive.t_pulse, "s", low=0.0, open_low=True)
    check_number(owner, "v_read", drive.v_read, "V", low=0.0, open_low=True)
    drive.range.validate()
