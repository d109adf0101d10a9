"""Cells: how a normalised weight becomes the conductances of one or more devices."""

from jaxaimc.cells.base import Cell, PairCell, WindowCell, WrappedCell, off_conductance
from jaxaimc.cells.differential import Differential, TwoSided
from jaxaimc.cells.offset import Offset, UnitColumn
from jaxaimc.cells.pairs import Pairs
from jaxaimc.cells.slices import BitPlanes, DifferentialSlices, OffsetSlices
from jaxaimc.cells.states import Quantised

__all__ = [
    "BitPlanes",
    "Cell",
    "Differential",
    "DifferentialSlices",
    "Offset",
    "OffsetSlices",
    "PairCell",
    "Pairs",
    "Quantised",
    "TwoSided",
    "UnitColumn",
    "WindowCell",
    "WrappedCell",
    "off_conductance",
]
