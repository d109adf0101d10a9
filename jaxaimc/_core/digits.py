"""Digits of whole numbers with a gradient, for bit slices of weights and bit planes of inputs."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from jaxaimc._core.rounding import trunc_ste


def digits(k: Float[Array, "*shape"], widths: Sequence[int]) -> list[Float[Array, "*shape"]]:
    """Split whole numbers into digits of the given widths.

    Args:
        k: Whole numbers with magnitudes below `2**sum(widths)`; the digits carry the sign.
        widths: Bits of each digit, least significant first.

    Returns:
        One array per digit, least significant first. Their recombination has derivative one, all of it carried by the
        most significant digit.
    """
    found = []
    for width in widths[:-1]:
        rest = trunc_ste(k / 2**width)
        found.append(k - 2**width * rest)
        k = rest
    return [*found, k]


def weights(widths: Sequence[int]) -> tuple[int, ...]:
    """Return what a one in each digit stands for, least significant first."""
    return tuple(2 ** sum(widths[:index]) for index in range(len(widths)))


def equal_widths(bits: int, width: int) -> tuple[int, ...]:
    """Cut a number of bits into digits of one width; the most significant one may be narrower."""
    full, rest = divmod(bits, width)
    return (width,) * full + ((rest,) if rest else ())
