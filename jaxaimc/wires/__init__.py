"""Wires: line resistance folded into an effective conductance matrix."""

from jaxaimc.wires.base import Effective, NoWires, Placement, Wires
from jaxaimc.wires.ladder import Ladder
from jaxaimc.wires.layouts import InterleavedColumns, InterleavedRows, Layout, Separate
from jaxaimc.wires.mesh import Mesh, OperatingPoint, Reading
from jaxaimc.wires.methods import ConjugateGradient, FixedPoint
from jaxaimc.wires.network import Method, Outcome

__all__ = [
    "ConjugateGradient",
    "Effective",
    "FixedPoint",
    "InterleavedColumns",
    "InterleavedRows",
    "Ladder",
    "Layout",
    "Mesh",
    "Method",
    "NoWires",
    "OperatingPoint",
    "Outcome",
    "Placement",
    "Reading",
    "Separate",
    "Wires",
]
