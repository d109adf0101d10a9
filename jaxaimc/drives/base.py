"""What every drive is: how digital inputs become pulses on the input lines."""

from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component, static
from jaxaimc._core.rounding import round_ste, settle
from jaxaimc.drives.ranges import InputRange


@component
class Pulses:
    """Input pulses of a batch of vectors.

    Attributes:
        level: Pulse of each plane as a fraction of that plane's full scale, in `[-1, 1]`, shape (*batch, plane, rows).
        duration: How long each row is driven [s], shape (*batch, plane, rows).
        full_scale: Charge of a full-scale pulse per unit conductance [V s], shape (plane,).
        significance: Weight of each plane's full scale in the recombined result, shape (plane,).
        x_scale: Input value that stands for a level of one, shape (*batch,).
        reach: Largest level that each plane can have, shape (plane,): one, less for a group of bits that is narrower
            than the DAC.
        steps: Whole steps of a full-scale pulse in each plane: levels are multiples of one over it; 0 if they are not.
        timed: Whether a level is the share of time for which its row is driven at full read voltage; otherwise it is
            the voltage of the whole pulse, as a share of the read voltage.
    """

    level: Float[Array, "*batch plane rows"]
    duration: Float[Array, "*batch plane rows"]
    full_scale: Float[Array, " plane"]
    significance: Float[Array, " plane"]
    x_scale: Float[Array, "*batch"]
    reach: Float[Array, " plane"]
    steps: tuple[int, ...] = static()
    timed: bool = static(default=False)


class Drive(Component):
    """Base of all drives. A drive of your own derives from it, and needs a field `v_read` and `encode`.

    A drive quantises the input vector and turns it into one or more *planes* of pulses, which are read one after the
    other and recombined with their significance. A drive with an input range keeps it in a field `range`.

    Attributes:
        v_read: Read voltage across a driven device [V].
    """

    v_read: float

    @property
    def accumulates(self) -> bool:
        """Whether the planes' charges are added, each with its significance, before one conversion for all.

        The gains that add them are such that an input of one has the charge of one full-scale pulse, that of the plane
        with the largest where they differ: as much as if all of it were driven at once.
        """
        return False

    @property
    def by_input(self) -> bool:
        """Whether the pulses of an input depend on that input alone, none for zero, and all inputs have one scale.

        A convolution can then be read without a vector for each of its windows.
        """
        return False

    @property
    def bipolar(self) -> bool:
        """Whether a single device can give negative charges: by polarity, or as accumulating planes are subtracted."""
        return True

    @abstractmethod
    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the pulses of input vectors `x` (any unit)."""

    def lost(self, x: Float[Array, "*batch rows"]) -> Float[Array, ""] | float:
        """Return the share of inputs that this drive cannot express and drives as zero [1].

        Args:
            x: Input vectors.
        """
        return 0.0


def quantise(
    x: Float[Array, "*batch rows"], input_range: InputRange, steps: int
) -> tuple[Float[Array, "*batch rows"], Float[Array, "*batch"]]:
    """Return whole numbers in `[-steps, steps]` and the input value that stands for `steps`."""
    normalised, bound = input_range.normalise(x)
    return round_ste(settle(normalised * steps, steps.bit_length())), bound


def as_levels(largest: tuple[int, ...], weight: tuple[int, ...], steps: int, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Return the largest count of each plane, and the significance of that count in a result of one.

    Args:
        largest: Largest count of each plane.
        weight: What one count of each plane stands for.
        steps: Number that stands for an input of one.
        dtype: Type of the result.
    """
    full = jnp.asarray(largest, dtype)
    return full, full * jnp.asarray(weight, dtype) / steps
