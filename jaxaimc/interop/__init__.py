"""From and to other tools: configurations of other simulators, measured chips, exported networks."""

from jaxaimc.interop.aihwkit import from_aihwkit
from jaxaimc.interop.crosssim import from_crosssim
from jaxaimc.interop.foreign import ConversionError, Imported, Unmatched

__all__ = [
    "ConversionError",
    "Imported",
    "Unmatched",
    "from_aihwkit",
    "from_crosssim",
]
