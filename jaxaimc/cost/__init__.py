"""Energy, latency and area of an inference, from the tensors themselves: smooth, and with a source for every number.

    pulses ----> drivers, DACs --.
    devices, wires --------------> supply power --> array
    charges -----> converters --> shift-and-add --> digital unit

`of_tile` is the cost of a matrix, `jaxaimc.nn.cost` that of a network. What tiles are made of is a `Hardware`, each
part of which is a formula with a source, a technology and a range; parts of your own derive from the same bases.
"""

from jaxaimc.cost.converters import SARADC, ConverterCost, FigureOfMeritADC, ZigZagADC
from jaxaimc.cost.counters import CounterCost, Oscillator
from jaxaimc.cost.digital import (
    SRAM,
    AccumulatorCost,
    ArrayCost,
    BufferCost,
    CellArray,
    DigitalCost,
    ShiftAdd,
    VectorUnit,
)
from jaxaimc.cost.hardware import Hardware
from jaxaimc.cost.part import CostPart, Source, Within
from jaxaimc.cost.result import Area, Cost, Energy, added
from jaxaimc.cost.rows import DAC, DACCost, Driver, DriverCost, PulseCost, PulseCounter
from jaxaimc.cost.tile import AssumedCostWarning, InvalidCostWarning, of_tile

__all__ = [
    "DAC",
    "SARADC",
    "SRAM",
    "AccumulatorCost",
    "Area",
    "ArrayCost",
    "AssumedCostWarning",
    "BufferCost",
    "CellArray",
    "ConverterCost",
    "Cost",
    "CostPart",
    "CounterCost",
    "DACCost",
    "DigitalCost",
    "Driver",
    "DriverCost",
    "Energy",
    "FigureOfMeritADC",
    "Hardware",
    "InvalidCostWarning",
    "Oscillator",
    "PulseCost",
    "PulseCounter",
    "ShiftAdd",
    "Source",
    "VectorUnit",
    "Within",
    "ZigZagADC",
    "added",
    "of_tile",
]
