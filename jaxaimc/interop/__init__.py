"""From and to other tools: configurations of other simulators, measured chips, exported networks."""

from jaxaimc.interop.aihwkit import from_aihwkit
from jaxaimc.interop.chip_files import read_conductances, write_conductances
from jaxaimc.interop.chips import conductances, with_faults, with_measured
from jaxaimc.interop.crosssim import from_crosssim
from jaxaimc.interop.exported import export_network
from jaxaimc.interop.foreign import ConversionError, Imported, Unmatched

__all__ = [
    "ConversionError",
    "Imported",
    "Unmatched",
    "conductances",
    "export_network",
    "from_aihwkit",
    "from_crosssim",
    "read_conductances",
    "with_faults",
    "with_measured",
    "write_conductances",
]
