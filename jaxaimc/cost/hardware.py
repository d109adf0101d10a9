"""All parts of a cost model together."""

import dataclasses

from jaxaimc._core.component import Component, component, leaf, static
from jaxaimc.cost.converters import ConverterCost, ZigZagADC
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
from jaxaimc.cost.part import CostPart, describe_source
from jaxaimc.cost.rows import DAC, DACCost, Driver, DriverCost, PulseCost, PulseCounter


@component
class Hardware(Component):
    """What tiles and their surroundings are made of, for energy, latency and area.

    Every part is a formula with a source; nothing is scaled from one technology to another. Defaults are of 14 to 45
    nm, as `sources` says.

    Attributes:
        adc: Converters with a resolution.
        counter: Converters that count a charge, such as `jaxaimc.adcs.CCO`.
        dac: What drives rows with amplitudes of more than one bit.
        pulse: What drives rows with timed pulses.
        driver: What charges row lines.
        array: Area of devices.
        accumulator: What adds conversions.
        buffer: What holds inputs and outputs.
        digital: What scales and adds the results of tiles.
        default_bits: Resolution that is reckoned with where a converter has none [bit], such as `IdealADC`.
        columns_per_converter: Columns of a tile that share a converter; None for as many as the tile's own converter
            serves (`jaxaimc.adcs.ColumnMux`), or one.
        pipelined: Whether a tile drives a vector while the charges of the one before are converted and its results
            scaled: a vector then takes the longest of the three.

    Example:
        >>> from jaxaimc.units import V
        >>> hardware = Hardware(adc=ZigZagADC(v_dd=0.8 * V))
        >>> hardware.adc.basis, hardware.digital.basis
        ('own values', 'fitted')
    """

    adc: ConverterCost = ZigZagADC()
    counter: CounterCost = Oscillator()
    dac: DACCost = DAC()
    pulse: PulseCost = PulseCounter()
    driver: DriverCost = Driver()
    array: ArrayCost = CellArray()
    accumulator: AccumulatorCost = ShiftAdd()
    buffer: BufferCost = SRAM()
    digital: DigitalCost = VectorUnit()
    default_bits: float = leaf(8.0, "bit", above=0.0)
    columns_per_converter: int | None = static(default=None, low=1, high=65536)
    pipelined: bool = static(default=False)

    def parts(self) -> dict[str, CostPart]:
        """Return the parts by field."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # pyright: ignore
        return {name: value for name, value in values.items() if isinstance(value, CostPart)}

    def sources(self) -> list[str]:
        """Return a line on each part: its basis, node and citation."""
        return [f"{name}: {describe_source(part)}" for name, part in self.parts().items()]
