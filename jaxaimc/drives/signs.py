"""How a drive expresses the sign of its inputs.

Each scheme cuts whole numbers `k` in `[-steps, steps]` into planes of digits with a weight for every plane.
"""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import Component, component
from jaxaimc._core.digits import digits, weights


class Signs(Component):
    """Base of all schemes. One of your own needs `planes`; unless it says otherwise, the sign is one of the bits."""

    def digit_bits(self, bits: int) -> int:
        """Return how many of an input's bits are cut into digits."""
        return bits - 1

    def bipolar(self, *, accumulated: bool) -> bool:
        """Return whether a single device can give negative charges, planes being converted each or `accumulated`."""
        return True

    @abstractmethod
    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return the digits of each plane, and what a one in each plane stands for."""

    def largest(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest digit of each plane, of groups of bits of these widths."""
        return tuple(2**width - 1 for width in widths)

    def lost(self, x: Float[Array, "*batch rows"]) -> Float[Array, ""] | float:
        """Return the share of inputs that cannot be expressed and are driven as zero [1]."""
        return 0.0


@component
class SignMagnitude(Signs):
    """Sign and magnitude: rows with negative inputs are driven with the opposite polarity."""

    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return signed digits, least significant first."""
        return jnp.stack(digits(k, widths), axis=-2), weights(widths)


@component
class TwoPasses(Signs):
    """Sign and magnitude: positive inputs first, then negative ones, subtracted digitally; twice the planes."""

    def bipolar(self, *, accumulated: bool) -> bool:
        """Where the passes are subtracted before the conversion."""
        return accumulated

    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return the planes of the positive inputs, then those of the negative ones, whose weight is negative."""
        signed = jnp.stack(digits(k, widths), axis=-2)
        planes = jnp.concatenate([jnp.maximum(signed, 0), jnp.maximum(-signed, 0)], axis=-2)
        positive = weights(widths)
        return planes, (*positive, *(-weight for weight in positive))

    def largest(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of both passes."""
        return super().largest(widths) * 2


@component
class TwosComplement(Signs):
    """Two's complement: the sign bit is a plane of its own with a negative weight."""

    def bipolar(self, *, accumulated: bool) -> bool:
        """Where the sign's plane is subtracted before the conversion."""
        return accumulated

    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return the planes below the sign bit, least significant first, and the sign plane."""
        top = 2 ** sum(widths)
        sign = (k < 0).astype(k.dtype)
        return jnp.stack([*digits(k + top * sign, widths), sign], axis=-2), (*weights(widths), -top)

    def largest(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of the groups, and one for the sign."""
        return (*super().largest(widths), 1)


@component
class Unsigned(Signs):
    """No sign: negative inputs are driven as zero. For inputs behind a rectifier, or pixels."""

    def digit_bits(self, bits: int) -> int:
        """Return all bits."""
        return bits

    def bipolar(self, *, accumulated: bool) -> bool:
        """No."""
        return False

    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return the digits, least significant first."""
        return jnp.stack(digits(jnp.where(k < 0, 0, k), widths), axis=-2), weights(widths)

    def lost(self, x: Float[Array, "*batch rows"]) -> Float[Array, ""] | float:
        """Return the share of negative inputs [1]."""
        return _share_of_negatives(x)


@jax.jit
def _share_of_negatives(x: Float[Array, "*batch rows"]) -> Float[Array, ""]:
    # Asked at every eager product: one program instead of three operations.
    return jnp.sum(x < 0) / max(x.size, 1)
