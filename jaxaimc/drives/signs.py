"""How a drive expresses the sign of its inputs.

Each scheme cuts whole numbers `k` in `[-steps, steps]` into planes of digits with a weight for every plane.
"""

from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component
from jaxaimc._core.digits import digits, weights


class Signs(Protocol):
    """What every scheme offers."""

    def digit_bits(self, bits: int) -> int:
        """Return how many of an input's bits are cut into digits."""
        ...

    def bipolar(self, *, accumulated: bool) -> bool:
        """Return whether a single device can give negative charges, planes being converted each or `accumulated`."""
        ...

    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return the digits of each plane, and what a one in each plane stands for."""
        ...


@component
class SignMagnitude:
    """Sign and magnitude: rows with negative inputs are driven with the opposite polarity."""

    def digit_bits(self, bits: int) -> int:
        """Return the magnitude bits."""
        return bits - 1

    def bipolar(self, *, accumulated: bool) -> bool:
        """Yes."""
        return True

    def planes(
        self, k: Float[Array, "*batch rows"], widths: tuple[int, ...]
    ) -> tuple[Float[Array, "*batch plane rows"], tuple[int, ...]]:
        """Return signed digits, least significant first."""
        return jnp.stack(digits(k, widths), axis=-2), weights(widths)


@component
class TwoPasses:
    """Sign and magnitude: positive inputs first, then negative ones, subtracted digitally; twice the planes."""

    def digit_bits(self, bits: int) -> int:
        """Return the magnitude bits."""
        return bits - 1

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


@component
class TwosComplement:
    """Two's complement: the sign bit is a plane of its own with a negative weight."""

    def digit_bits(self, bits: int) -> int:
        """Return the bits below the sign bit."""
        return bits - 1

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


@component
class Unsigned:
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
