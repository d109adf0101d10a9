"""Published systems as configs. Each names its paper and every value that it takes from it."""

from jaxaimc.presets.asim import asim, collapsed_asim
from jaxaimc.presets.crosssim_sonos import crosssim_sonos
from jaxaimc.presets.isaac import isaac
from jaxaimc.presets.prime import prime
from jaxaimc.presets.standard_aimc import standard_aimc
from jaxaimc.presets.tile_circuit import tile_circuit

__all__ = [
    "asim",
    "collapsed_asim",
    "crosssim_sonos",
    "isaac",
    "prime",
    "standard_aimc",
    "tile_circuit",
]
