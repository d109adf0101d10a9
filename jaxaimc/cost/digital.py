"""What is digital around a tile: shift-and-add, buffers, and the vector unit; and the area of the array itself."""

from abc import abstractmethod
from typing import ClassVar

from jaxaimc._core.component import component, leaf
from jaxaimc.cost.converters import Scalar
from jaxaimc.cost.part import CostPart, Source
from jaxaimc.units import pJ


class ArrayCost(CostPart):
    """Base of arrays of devices. One of your own needs `area`; what an array dissipates follows from its tensors."""

    @abstractmethod
    def area(self, devices: Scalar) -> Scalar:
        """Return the area of an array [m^2].

        Args:
            devices: Its devices, used or not.
        """


@component
class CellArray(ArrayCost):
    """An array with cells of one transistor and one device.

    Attributes:
        cell: Area of a device with its transistor [m^2]: some 60 squares of the feature size at 28 nm.
    """

    source: ClassVar[Source] = Source(
        citation="assumed: 60 F^2 at 28 nm, between published embedded RRAM and PCM cells", node=28e-9, basis="assumed"
    )

    cell: float = leaf(0.05e-12, "m^2", above=0.0)

    def area(self, devices: Scalar) -> Scalar:
        """Return the area of an array [m^2]."""
        return self.cell * devices


class AccumulatorCost(CostPart):
    """Base of what adds digitised planes and slices with their significance. One of your own needs both methods."""

    @abstractmethod
    def energy(self, conversions: Scalar) -> Scalar:
        """Return the energy of adding conversions up [J]."""

    @abstractmethod
    def area(self, converters: Scalar) -> Scalar:
        """Return the area of the adders of a tile with so many converters [m^2]."""


@component
class ShiftAdd(AccumulatorCost):
    """The 16-bit shift-and-add of ISAAC, 32 nm: 0.2 mW for four that serve eight converters of 1.2 GS/s.

    Attributes:
        e_add: Energy of a conversion's addition [J].
        size: Area for each converter [m^2]: four of 60 um^2 for eight converters.
    """

    source: ClassVar[Source] = Source(citation="Shafiee et al. 2016 (ISCA), ISAAC, table 1", node=32e-9, basis="fitted")

    e_add: float = leaf(0.2e-3 / 9.6e9, "J", low=0.0)
    size: float = leaf(30e-12, "m^2", low=0.0)

    def energy(self, conversions: Scalar) -> Scalar:
        """Return the energy of adding conversions up [J]."""
        return self.e_add * conversions

    def area(self, converters: Scalar) -> Scalar:
        """Return the area of the adders of a tile [m^2]."""
        return self.size * converters


class BufferCost(CostPart):
    """Base of the buffers of inputs and outputs. One of your own needs both methods."""

    @abstractmethod
    def energy(self, inputs: Scalar, outputs: Scalar) -> Scalar:
        """Return the energy of reading inputs and writing outputs [J]."""

    @abstractmethod
    def area(self, inputs: Scalar, outputs: Scalar) -> Scalar:
        """Return the area of buffers that hold so many inputs and outputs [m^2]."""


@component
class SRAM(BufferCost):
    """Static memory of 8 KB, 45 nm: 5 pJ for a word of 32 bits.

    Attributes:
        e_bit: Energy of reading or writing a bit [J].
        input_bits: Bits of an input.
        output_bits: Bits of an output.
        bit: Area of a bit [m^2]: a cell of 0.346 um^2 (45 nm) at an array efficiency of one half.
    """

    source: ClassVar[Source] = Source(
        citation="Horowitz 2014 (ISSCC), 8 KB cache at 45 nm and 0.9 V; area assumed from a 6T cell",
        node=45e-9,
        basis="fitted",
    )

    e_bit: float = leaf(5 / 32 * pJ, "J", low=0.0)
    input_bits: float = leaf(8.0, "bit", above=0.0)
    output_bits: float = leaf(8.0, "bit", above=0.0)
    bit: float = leaf(0.7e-12, "m^2", low=0.0)

    def energy(self, inputs: Scalar, outputs: Scalar) -> Scalar:
        """Return the energy of reading inputs and writing outputs [J]."""
        return self.e_bit * (self.input_bits * inputs + self.output_bits * outputs)

    def area(self, inputs: Scalar, outputs: Scalar) -> Scalar:
        """Return the area of buffers [m^2]."""
        return self.bit * (self.input_bits * inputs + self.output_bits * outputs)


class DigitalCost(CostPart):
    """Base of the vector unit that scales and adds partial sums. One of your own needs all three methods."""

    @abstractmethod
    def energy(self, results: Scalar) -> Scalar:
        """Return the energy of scaling and adding results of tiles [J]."""

    @abstractmethod
    def delay(self, results: Scalar) -> Scalar:
        """Return the time that the results of one tile take [s]."""

    @abstractmethod
    def area(self) -> Scalar:
        """Return the area of a tile's unit [m^2]."""


@component
class VectorUnit(DigitalCost):
    """A half-precision multiplication and addition for every result of a tile, 45 nm.

    Attributes:
        e_result: Energy of a result [J]: 1.1 pJ for the multiplication and 0.4 pJ for the addition.
        lanes: Results at once.
        clock: Results of a lane in a second [Hz].
        lane: Area of a lane [m^2]: 1640 and 1360 um^2.
    """

    source: ClassVar[Source] = Source(
        citation="Horowitz 2014 (ISSCC), half-precision arithmetic at 45 nm and 0.9 V; lanes and clock assumed",
        node=45e-9,
        basis="fitted",
    )

    e_result: float = leaf(1.5 * pJ, "J", low=0.0)
    lanes: float = leaf(16.0, above=0.0)
    clock: float = leaf(1e9, "Hz", above=0.0)
    lane: float = leaf(3000e-12, "m^2", low=0.0)

    def energy(self, results: Scalar) -> Scalar:
        """Return the energy of results [J]."""
        return self.e_result * results

    def delay(self, results: Scalar) -> Scalar:
        """Return the time that the results of one tile take [s]."""
        return results / (self.lanes * self.clock)

    def area(self) -> Scalar:
        """Return the area of a tile's unit [m^2]."""
        return self.lane * self.lanes
