"""Matrices of any size on analog tiles: program devices, let them drift, fold the wires in, multiply.

    w --cell--> target conductances --device--> programmed (+ drift) --wires--> effective matrix --.
    x --drive--> pulses ---------------------------------------------------------------------------> charge --adc--> y

Axis names used throughout the library:
    batch: any leading axes of the inputs; n_in, n_out: rows and columns of a matrix; tile_row, tile_col: its tiles;
    group: blocks along the diagonal of a matrix, none beside them;
    rows, cols: input lines and output columns of one tile; slice: columns of different significance per output;
    polarity: devices of a cell that drive a column with different sign; plane: input pulses that are read one after the
    other; conversion: planes, or one where their charges are added before it; term: factors of the read noise's
    variance.
"""

from jaxaimc.tile.activity import activity_profile
from jaxaimc.tile.charges import charges
from jaxaimc.tile.convolve import Window, charges_per_vector, convolve, slides
from jaxaimc.tile.footprint import Footprint, footprint
from jaxaimc.tile.measured import with_conductances, with_stuck_devices
from jaxaimc.tile.prepare import prepare
from jaxaimc.tile.program import as_programmed, drift, program
from jaxaimc.tile.read import analog_matmul, mvm, reads_are_random
from jaxaimc.tile.saturation import saturation
from jaxaimc.tile.state import Prepared, Programmed, tile_grid

__all__ = [
    "Footprint",
    "Prepared",
    "Programmed",
    "Window",
    "activity_profile",
    "analog_matmul",
    "as_programmed",
    "charges",
    "charges_per_vector",
    "convolve",
    "drift",
    "footprint",
    "mvm",
    "prepare",
    "program",
    "reads_are_random",
    "saturation",
    "slides",
    "tile_grid",
    "with_conductances",
    "with_stuck_devices",
]
