"""Digital-to-analog conversion by bit planes: groups of input bits are driven one after the other.

All planes have pulses of one duration; a group of several bits is a level of a small DAC, whose full scale is that of
the widest group in every cycle.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_integer
from jaxaimc._core.component import component, leaf, static
from jaxaimc._core.digits import equal_widths
from jaxaimc.drives.base import Drive, Pulses, as_levels, quantise
from jaxaimc.drives.ranges import InputRange, PerVector
from jaxaimc.drives.signs import SignMagnitude, Signs, TwoPasses, TwosComplement, Unsigned
from jaxaimc.units import V, ns


class PlaneDrive(Drive):
    """Base of the drives by planes: each plane is the level of a DAC during one pulse.

    Gradient: straight-through in the rounding, zero for clipped inputs, carried by the most significant plane.
    """

    widths: tuple[int, ...]
    signs: Signs
    t_pulse: float
    range: InputRange

    @property
    def by_input(self) -> bool:
        """Where the range is one for all inputs, and the signs are cut input by input."""
        known = [signs.planes for signs in (SignMagnitude, TwoPasses, TwosComplement, Unsigned)]
        own = type(self.signs).planes in known and type(self).encode is PlaneDrive.encode
        return own and self.range.shared

    @property
    def bipolar(self) -> bool:
        """As the signs."""
        return self.signs.bipolar(accumulated=self.accumulates)

    def lost(self, x: Float[Array, "*batch rows"]) -> Float[Array, ""] | float:
        """Return the share of inputs that the signs cannot express [1]."""
        return self.signs.lost(x)

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the planes of pulses for input vectors `x` of shape (*batch, rows)."""
        steps = 2 ** sum(self.widths) - 1
        k, bound = quantise(x, self.range, steps)
        planes, weight = self.signs.planes(k, self.widths)
        dac = 2 ** max(self.widths) - 1
        full, significance = as_levels((dac,) * len(weight), weight, steps, planes.dtype)
        driven = (planes != 0).astype(planes.dtype)
        return Pulses(
            level=planes / full[:, None],
            duration=driven * self.t_pulse,
            full_scale=jnp.full(full.shape, self.t_pulse * self.v_read, planes.dtype),
            significance=significance,
            x_scale=bound,
            reach=jnp.asarray(self.signs.largest(self.widths), planes.dtype) / full,
            steps=(dac,) * len(weight),
        )


@component
class BitSerial(PlaneDrive):
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

    bits: int = static(default=8, low=1, high=16)
    group: int = static(default=1, low=1, high=16)
    signs: Signs = SignMagnitude()
    accumulates: bool = static(default=False)
    t_pulse: float = leaf(1 * ns, "s", above=0.0)
    v_read: float = leaf(0.2 * V, "V", above=0.0)
    range: InputRange = PerVector()

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each group, least significant first."""
        return equal_widths(self.signs.digit_bits(self.bits), self.group)

    def check(self) -> None:
        """Check that there are bits to drive, and as many as are driven at once.

        Raises:
            ValueError: If the sign takes the only bit, or `group` is more than the bits that are left.
        """
        lowest = 17 - self.signs.digit_bits(16)
        check_integer("BitSerial", "bits", self.bits, low=lowest, high=16)
        check_integer("BitSerial", "group", self.group, low=1, high=self.signs.digit_bits(self.bits))


@component
class BitGroups(PlaneDrive):
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
    t_pulse: float = leaf(1 * ns, "s", above=0.0)
    v_read: float = leaf(0.2 * V, "V", above=0.0)
    range: InputRange = PerVector()

    def check(self) -> None:
        """Check the widths.

        Raises:
            ValueError: If there is no group, one has no bits, or there are more than 16 bits in all.
        """
        if not self.widths or min(self.widths) < 1 or sum(self.widths) > 16:
            raise ValueError(
                f"Field `widths` of BitGroups must hold bits of each group, at least 1 each and 1 to 16 in all, but is "
                f"{self.widths}."
            )


@component
class VoltageDAC(PlaneDrive):
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

    bits: int = static(default=8, low=2, high=16)
    t_pulse: float = leaf(1 * ns, "s", above=0.0)
    v_read: float = leaf(0.2 * V, "V", above=0.0)
    range: InputRange = PerVector()

    @property
    def widths(self) -> tuple[int, ...]:
        """All magnitude bits in one group."""
        return (self.bits - 1,)

    @property
    def signs(self) -> Signs:
        """By polarity."""
        return SignMagnitude()
