"""What drives the rows: converters from digital to analog, generators of timed pulses, and drivers of the lines."""

from abc import abstractmethod
from typing import ClassVar

import jax.numpy as jnp

from jaxaimc._core.component import component, leaf
from jaxaimc.cost.converters import Scalar
from jaxaimc.cost.part import CostPart, Source
from jaxaimc.units import V, fJ, ns


class DACCost(CostPart):
    """Base of the converters of amplitudes. One of your own needs `energy` and `area`."""

    @abstractmethod
    def energy(self, bits: Scalar) -> Scalar:
        """Return the energy of a pulse of `bits` bits [J]. A single bit needs none: its driver is a switch."""

    @abstractmethod
    def area(self, bits: Scalar) -> Scalar:
        """Return the area of a row's converter [m^2]."""


@component
class DAC(DACCost):
    """The converter of ZigZag-IMC, 28 nm: `c_bit b v_dd^2` for a pulse, 50 fF a bit; its area is that of the driver.

    Attributes:
        c_bit: Capacitance of a bit [F].
        v_dd: Supply voltage [V].
    """

    source: ClassVar[Source] = Source(
        citation="ZigZag-IMC: Houshmand et al. 2023, arXiv 2305.18335",
        node=28e-9,
        basis="fitted",
    )

    c_bit: float = leaf(50e-15, "F", low=0.0)
    v_dd: float = leaf(0.9 * V, "V", above=0.0)

    def energy(self, bits: Scalar) -> Scalar:
        """Return the energy of a pulse [J]."""
        return self.c_bit * bits * self.v_dd**2

    def area(self, bits: Scalar) -> Scalar:
        """Return zero [m^2]."""
        return jnp.zeros(())


class PulseCost(CostPart):
    """Base of the generators of timed pulses. One of your own needs `energy` and `area`."""

    @abstractmethod
    def energy(self, pulses: Scalar, steps: Scalar) -> Scalar:
        """Return the energy of pulses on one or more rows [J].

        Args:
            pulses: Number of pulses.
            steps: Steps of the clock for which rows are on, all pulses together.
        """

    @abstractmethod
    def area(self) -> Scalar:
        """Return the area of a row's generator [m^2]."""


@component
class PulseCounter(PulseCost):
    """A counter in every row that runs while the row is on: two bits switch in a step on average.

    Attributes:
        e_step: Energy of a step, flip-flops and clock [J].
        e_pulse: Energy of loading the counter and of both edges [J].
        size: Area of a row's generator [m^2].
    """

    source: ClassVar[Source] = Source(
        citation="own estimate: some 2 fJ for a flip-flop and its clock at 14 to 28 nm", node=28e-9, basis="assumed"
    )

    e_step: float = leaf(4 * fJ, "J", low=0.0)
    e_pulse: float = leaf(20 * fJ, "J", low=0.0)
    size: float = leaf(30e-12, "m^2", low=0.0)

    def energy(self, pulses: Scalar, steps: Scalar) -> Scalar:
        """Return the energy of pulses [J]."""
        return self.e_pulse * pulses + self.e_step * steps

    def area(self) -> Scalar:
        """Return the area of a row's generator [m^2]."""
        return self.size


class DriverCost(CostPart):
    """Base of the drivers of row lines. One of your own needs all five methods."""

    @abstractmethod
    def energy(self, pulses: Scalar, square: Scalar, cells: Scalar, v_read: Scalar) -> Scalar:
        """Return what charging row lines takes [J].

        Args:
            pulses: Number of pulses, all rows together.
            square: Sum of their squares of voltage over the read voltage [1].
            cells: Cells of a row.
            v_read: Read voltage [V].
        """

    @abstractmethod
    def lost(self, supply: Scalar) -> Scalar:
        """Return what is lost on the way from the chip's supply to the read voltage [J].

        Args:
            supply: Energy that arrives in the array [J].
        """

    @abstractmethod
    def settling(self) -> Scalar:
        """Return the time that lines take to settle, added to every pulse [s]."""

    @abstractmethod
    def area(self) -> Scalar:
        """Return the area of a row's driver [m^2]."""


@component
class Driver(DriverCost):
    """Lines and gates charged once for a pulse: `cells (c_wire V^2 + c_gate v_dd^2)`, and a regulator.

    Attributes:
        c_wire: Capacitance of the line along a cell [F]: 0.2 fF/um of a usual wire, 0.5 um of a cell.
        c_gate: Capacitance of a cell's gate [F].
        v_dd: Voltage of the gates [V].
        efficiency: Share of the supply's energy that reaches the array [1]. One, as here, is a lossless regulator; a
            linear one has the read voltage over the supply's.
        t_settle: Settling of the lines [s].
        size: Area of a row's driver [m^2].
    """

    source: ClassVar[Source] = Source(
        citation="C V^2 of wires (0.2 fF/um) and gates; cell pitch, settling, area and lossless regulator assumed",
        node=28e-9,
        basis="assumed",
    )

    c_wire: float = leaf(0.1e-15, "F", low=0.0)
    c_gate: float = leaf(0.1e-15, "F", low=0.0)
    v_dd: float = leaf(0.9 * V, "V", above=0.0)
    efficiency: float = leaf(1.0, above=0.0, high=1.0)
    t_settle: float = leaf(1 * ns, "s", low=0.0)
    size: float = leaf(10e-12, "m^2", low=0.0)

    def energy(self, pulses: Scalar, square: Scalar, cells: Scalar, v_read: Scalar) -> Scalar:
        """Return what charging row lines takes [J]."""
        return cells * (self.c_wire * v_read**2 * square + self.c_gate * self.v_dd**2 * pulses)

    def lost(self, supply: Scalar) -> Scalar:
        """Return what the regulator loses [J]."""
        return supply * (1 / self.efficiency - 1)

    def settling(self) -> Scalar:
        """Return the settling time [s]."""
        return self.t_settle

    def area(self) -> Scalar:
        """Return the area of a row's driver [m^2]."""
        return self.size
