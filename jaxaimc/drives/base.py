"""The protocol of drives: how digital inputs become pulses on the input lines."""

from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.rounding import round_ste
from jaxaimc.drives.ranges import InputRange


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
    """What every drive offers. A drive of your own is a component with these members.

    A drive quantises the input vector and turns it into one or more *planes* of pulses, which are read one after the
    other and recombined with their significance.
    """

    @property
    def v_read(self) -> float:
        """Read voltage across a driven device [V]."""
        ...

    @property
    def range(self) -> InputRange:
        """Input range."""
        ...

    @property
    def accumulates(self) -> bool:
        """Whether the planes' charges are added, each with its significance, before one conversion for all.

        The gains that add them are such that an input of one has the charge of one full-scale pulse, that of the plane
        with the largest where they differ: as much as if all of it were driven at once.
        """
        ...

    @property
    def bipolar(self) -> bool:
        """Whether a single device can give negative charges: by polarity, or as accumulating planes are subtracted."""
        ...

    @property
    def digit(self) -> int:
        """Largest magnitude of a plane in whole steps: levels are whole multiples of one over it; 0 if they are not."""
        ...

    def encode(self, x: Float[Array, "*batch rows"]) -> Pulses:
        """Return the pulses of input vectors `x` (any unit)."""
        ...

    def with_range(self, range: InputRange) -> "Drive":
        """Return this drive with another input range."""
        ...

    def validate(self) -> None:
        """Check the numeric fields.

        Raises:
            ValueError: If a field is out of its range.
        """
        ...


def quantise(
    x: Float[Array, "*batch rows"], input_range: InputRange, steps: int
) -> tuple[Float[Array, "*batch rows"], Float[Array, "*batch"]]:
    """Return whole numbers in `[-steps, steps]` and the input value that stands for `steps`."""
    normalised, bound = input_range.normalise(x)
    return round_ste(normalised * steps), bound


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
