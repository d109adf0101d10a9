"""Converters from analog to digital: energy and delay of a conversion, area of a converter.

Published models differ by a factor of a hundred at 8 bits, 0.07 to 36 pJ: choose by what the converter is to be.
"""

from abc import abstractmethod
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc.cost.part import CostPart, Source, Within
from jaxaimc.units import V, fJ, ns, pJ

Scalar = Float[Array, ""] | float


class ConverterCost(CostPart):
    """Base of all converters with a resolution. Your own needs `energy`, `delay` and `area`, smooth in `bits`."""

    @abstractmethod
    def energy(self, bits: Scalar) -> Scalar:
        """Return the energy of a conversion [J].

        Args:
            bits: Resolution, any real number [bit].
        """

    @abstractmethod
    def delay(self, bits: Scalar, rows: Scalar) -> Scalar:
        """Return the time that a conversion takes [s].

        Args:
            bits: Resolution [bit].
            rows: Rows of the tile.
        """

    @abstractmethod
    def area(self, bits: Scalar) -> Scalar:
        """Return the area of a converter [m^2].

        Args:
            bits: Resolution [bit].
        """


@component
class ZigZagADC(ConverterCost):
    """The converter of ZigZag-IMC, 28 nm: what modern successive-approximation converters need at best.

        energy = (c_bit b + c_noise 4^b) v_dd^2
        delay  = b (t_row rows + t_fixed)
        area   = 10^(area_0 + area_bit b) 2^b um^2

    The first term is logic and comparator, the second noise-limited (Murmann 2021, IEEE TVLSI 29, 3). Coefficients are
    those of the released code of ZigZag-IMC (Houshmand et al. 2023, arXiv 2305.18335), which was validated on published
    macros; it has another law of area from 12 bits on.

    Attributes:
        c_bit: Capacitance of a bit's decision [F].
        c_noise: Capacitance of a step of noise-limited resolution [F].
        v_dd: Supply voltage [V].
        t_row: Settling per bit that a row of the tile adds, by its load on the column [s].
        t_fixed: Time of a bit without rows [s].
        area_0: Logarithm to base ten of the area at zero bits, in um^2.
        area_bit: What a bit adds to that logarithm, besides the factor of two.

    Example:
        >>> adc = ZigZagADC()
        >>> [round(float(adc.energy(bits)) * 1e15, 3) for bits in (4.0, 8.0)]
        [324.207, 701.084]
    """

    source: ClassVar[Source] = Source(
        citation="ZigZag-IMC: Houshmand et al. 2023, arXiv 2305.18335, and its released code",
        node=28e-9,
        basis="fitted",
        valid=(Within("bits", 1.0, 12.0),),
    )

    c_bit: float = leaf(100e-15, "F", low=0.0)
    c_noise: float = leaf(1e-18, "F", low=0.0)
    v_dd: float = leaf(0.9 * V, "V", above=0.0)
    t_row: float = leaf(0.00653 * ns, "s", low=0.0)
    t_fixed: float = leaf(0.640 * ns, "s", low=0.0)
    area_0: float = leaf(1.206)
    area_bit: float = leaf(-0.0369)

    def energy(self, bits: Scalar) -> Scalar:
        """Return the energy of a conversion [J]."""
        return (self.c_bit * bits + self.c_noise * 4.0**bits) * self.v_dd**2

    def delay(self, bits: Scalar, rows: Scalar) -> Scalar:
        """Return the time of a conversion [s]."""
        return bits * (self.t_row * rows + self.t_fixed)

    def area(self, bits: Scalar) -> Scalar:
        """Return the area of a converter [m^2]."""
        return 10.0 ** (self.area_0 + self.area_bit * bits) * 2.0**bits * 1e-12


@component
class SARADC(ConverterCost):
    """The successive-approximation converter of ISAAC, 32 nm: one that was built for speed, and its divider scaled.

    At 8 bits the converter of Kull et al. 2013 (ISSCC, 1.2 GS/s) as ISAAC has it (Shafiee et al. 2016: 16 mW and
    0.0096 mm^2 for eight): 1.67 pJ, 1200 um^2. Other resolutions follow the analysis of capacitive dividers by Saberi
    et al. 2011 (IEEE TCAS-I 58, 1736), a part that grows with the bits and one with the number of capacitors:
    `a b + c 2^b`, fitted here to the values for 4 to 8 bits that the component library of CiMLoop lists for this
    converter, within 1 %.

    Attributes:
        e_bit: Energy of a bit's decision [J].
        e_unit: Energy of a unit capacitor [J].
        t_bit: Time of a bit's decision [s].
        area_bit: Area of a bit's logic [m^2].
        area_unit: Area of a unit capacitor [m^2].

    Example:
        >>> round(float(SARADC().energy(8.0)) * 1e12, 2)
        1.67
    """

    source: ClassVar[Source] = Source(
        citation="Kull et al. 2013 (ISSCC) as in Shafiee et al. 2016 (ISCA), scaled by Saberi et al. 2011",
        node=32e-9,
        basis="fitted",
        valid=(Within("bits", 4.0, 10.0),),
    )

    e_bit: float = leaf(0.1959 * pJ, "J", low=0.0)
    e_unit: float = leaf(0.40 * fJ, "J", low=0.0)
    t_bit: float = leaf(1 / 1.2 / 8 * ns, "s", above=0.0)
    area_bit: float = leaf(81.7e-12, "m^2", low=0.0)
    area_unit: float = leaf(2.134e-12, "m^2", low=0.0)

    def energy(self, bits: Scalar) -> Scalar:
        """Return the energy of a conversion [J]."""
        return self.e_bit * bits + self.e_unit * 2.0**bits

    def delay(self, bits: Scalar, rows: Scalar) -> Scalar:
        """Return the time of a conversion, whatever the tile [s]."""
        return self.t_bit * bits

    def area(self, bits: Scalar) -> Scalar:
        """Return the area of a converter [m^2]."""
        return self.area_bit * bits + self.area_unit * 2.0**bits


@component
class FigureOfMeritADC(ConverterCost):
    """Any converter by the two figures of merit of the converter survey.

        energy = fom_walden 2^b + 10^((6.02 b + 1.76 - fom_schreier) / 10) / 2

    The Walden figure governs low resolutions, the Schreier figure [dB] the noise-limited ones; both in one sum, so that
    it is smooth (Murmann's survey takes the larger one). Defaults are typical of good converters in the survey
    (B. Murmann, "ADC Performance Survey 1997-2024"), 10 fJ and 170 dB; give those of your own converter. `bits` are
    effective ones.

    Attributes:
        fom_walden: Energy per step [J].
        fom_schreier: Schreier figure of merit [dB].
        rate: Conversions per second [Hz].
        size: Area of a converter [m^2].
    """

    source: ClassVar[Source] = Source(
        citation="figures of merit after B. Murmann, ADC Performance Survey; rate and area assumed",
        node=None,
        basis="assumed",
        valid=(Within("bits", 4.0, 16.0),),
    )

    fom_walden: float = leaf(10 * fJ, "J", low=0.0)
    fom_schreier: float = leaf(170.0, "dB", low=100.0, high=200.0)
    rate: float = leaf(100e6, "Hz", above=0.0)
    size: float = leaf(2000e-12, "m^2", low=0.0)

    def energy(self, bits: Scalar) -> Scalar:
        """Return the energy of a conversion [J]."""
        return self.fom_walden * 2.0**bits + 10.0 ** ((6.02 * bits + 1.76 - self.fom_schreier) / 10) / 2

    def delay(self, bits: Scalar, rows: Scalar) -> Scalar:
        """Return the time of a conversion [s]."""
        return 1 / jnp.asarray(self.rate)

    def area(self, bits: Scalar) -> Scalar:
        """Return the area of a converter [m^2]."""
        return self.size
