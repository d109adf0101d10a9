"""Bit slices: the digits of a quantised weight in devices of their own, read as separate columns.

Slices are ordered from the least significant one. A digit `d` of `b` bits is held as `d / (2**b - 1)` of the window.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf, static
from jaxaimc._core.digits import digits, weights
from jaxaimc._core.rounding import round_ste, settle
from jaxaimc.cells.base import Cell, PairCell, WindowCell, recombine
from jaxaimc.cells.differential import one_sided
from jaxaimc.units import uS


@component
class DifferentialSlices(PairCell):
    """Sign-magnitude slices in one-sided differential pairs.

    `round(w K)` with `K = 2**(bits - 1) - 1` is cut into digits; the pair of each slice holds its digit with the
    weight's sign, so that a zero weight is zero current in every slice (Xiao et al. 2022, arXiv 2109.01262).
    Gradient: straight-through in the rounding, carried by the most significant slice.

    Attributes:
        bits: Weight bits, sign included.
        widths: Bits per slice, least significant first; they add up to `bits - 1`.
        g_min: Conductance of a digit of zero [S].
        g_max: Conductance of a slice's largest digit [S].

    Example:
        >>> import jax.numpy as jnp
        >>> g = DifferentialSlices(bits=8, widths=(2, 2, 2, 1), g_max=3e-6).encode(jnp.ones((1, 1)))
        >>> [round(float(v) * 1e6) for v in g[:, 0, 0, 0]]
        [3, 3, 3, 3]
    """

    bits: int = static(default=8, low=2, high=16)
    widths: tuple[int, ...] = static(default=(2, 2, 2, 1))
    g_min: float = leaf(0.0, "S", low=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0, high=1.0)

    @property
    def significance(self) -> tuple[float, ...]:
        """Share of each slice's largest digit in the largest weight."""
        return _significance(self.widths, self.bits)

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (slice, 2, rows, cols)."""
        parts = _shares(_code(w, self.bits), self.widths)
        return jnp.stack([one_sided(part, self.g_min, self.g_span) for part in parts])

    def check(self) -> None:
        """Check window and widths.

        Raises:
            ValueError: If the window is empty, or the widths do not add up.
        """
        super().check()
        _check_widths(self, self.bits - 1, what="magnitude bits")


@component
class OffsetSlices(WindowCell):
    """Slices of the shifted weight `round(w K) + 2**(bits - 1)`, one device per slice.

    `K = 2**(bits - 1) - 1`, so the code of the most negative number is not used and zero exists. The shift is
    subtracted digitally. Gradient: straight-through in the rounding, carried by the most significant slice.
    Source: Shafiee et al. 2016 (ISAAC, ISCA), biased weights in 2-bit cells.

    Attributes:
        bits: Weight bits.
        widths: Bits per slice, least significant first; they add up to `bits`.
        g_min: Conductance of a digit of zero [S].
        g_max: Conductance of a slice's largest digit [S].
    """

    bits: int = static(default=8, low=2, high=16)
    widths: tuple[int, ...] = static(default=(2, 2, 2, 2))
    g_min: float = leaf(0.0, "S", low=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0, high=1.0)

    @property
    def significance(self) -> tuple[float, ...]:
        """Share of each slice's largest digit in the largest weight."""
        return _significance(self.widths, self.bits)

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (slice, 1, rows, cols)."""
        parts = _shares(_code(w, self.bits) + 2 ** (self.bits - 1), self.widths)
        return (self.g_min + self.g_span * jnp.stack(parts))[:, None]

    def decode(self, q: Float[Array, "*batch slice cols"], drive_sum: Float[Array, "*batch"]) -> Float[Array, "..."]:
        """Shift and add, and subtract what a weight of zero adds: the shift, and `g_min` of every slice."""
        shift = 2 ** (self.bits - 1) / _largest(self.bits)
        zero = shift + self.g_min / self.g_span * sum(self.significance)
        return recombine(q, self.significance) - zero * drive_sum[..., None]

    def check(self) -> None:
        """Check window and widths.

        Raises:
            ValueError: If the window is empty, or the widths do not add up.
        """
        super().check()
        _check_widths(self, self.bits, what="bits")


@component
class BitPlanes(Cell):
    """Two's-complement bit planes, one binary cell per bit, as in an SRAM macro.

    `round(w K)` with `K = 2**(bits - 1) - 1` is stored in two's complement; the top plane counts negative. A cell adds
    `g_max v_read t_pulse` coulombs to its column where its bit is one (the charge of a macro's unit capacitor), and
    nothing where it is zero. Source: Zhang et al. 2024 (ASiM, arXiv 2411.11022). Gradient: straight-through in the
    rounding, carried by the plane below the sign.

    Attributes:
        bits: Weight bits, sign included.
        g_max: Conductance that stands for a one [S].

    Example:
        >>> import jax.numpy as jnp
        >>> g = BitPlanes(bits=4, g_max=1e-6).encode(jnp.array([[-7.0]]) / 7)
        >>> [round(float(bit) * 1e6) for bit in g[:, 0, 0, 0]]
        [1, 0, 0, 1]
    """

    bits: int = static(default=8, low=2, high=16)
    g_max: float = leaf(1 * uS, "S", above=0.0, high=1.0)

    @property
    def g_span(self) -> float:
        """Conductance of a one [S]."""
        return self.g_max

    @property
    def significance(self) -> tuple[float, ...]:
        """Powers of two over the largest weight; negative for the sign plane."""
        low = tuple(2**i / _largest(self.bits) for i in range(self.bits - 1))
        return (*low, -(2 ** (self.bits - 1)) / _largest(self.bits))

    @property
    def exact(self) -> bool:
        """Yes."""
        return True

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (bits, 1, rows, cols)."""
        k = _code(w, self.bits)
        sign = (k < 0).astype(k.dtype)
        planes = digits(k + 2 ** (self.bits - 1) * sign, (1,) * (self.bits - 1))
        return (self.g_max * jnp.stack([*planes, sign]))[:, None]


def _largest(bits: int) -> int:
    """Return the whole number that stands for a weight of one."""
    return 2 ** (bits - 1) - 1


def _code(w: Float[Array, "rows cols"], bits: int) -> Float[Array, "rows cols"]:
    """Return the whole numbers that stand for weights."""
    return round_ste(settle(w * _largest(bits), bits))


def _shares(k: Float[Array, "rows cols"], widths: tuple[int, ...]) -> list[Float[Array, "rows cols"]]:
    """Return the digits of whole numbers, each over the largest of its slice."""
    return [d / (2**b - 1) for d, b in zip(digits(k, widths), widths, strict=True)]


def _significance(widths: tuple[int, ...], bits: int) -> tuple[float, ...]:
    return tuple((2**b - 1) * weight / _largest(bits) for b, weight in zip(widths, weights(widths), strict=True))


def _check_widths(cell: DifferentialSlices | OffsetSlices, needed: int, *, what: str) -> None:
    widths = cell.widths
    if not widths or not all(1 <= width <= 16 for width in widths) or sum(widths) != needed:
        raise ValueError(
            f"Field `widths` of {type(cell).__name__} must hold bits of each slice in [1, 16] that add up to the "
            f"{needed} {what} of a weight of {cell.bits} bits, but is {widths}."
        )
