"""Wires: line resistance folded into an effective conductance matrix."""

from jaxaimc.wires.base import Effective, NonlinearWires, NoWires, Placement, Wires
from jaxaimc.wires.ladder import Ladder
from jaxaimc.wires.layouts import InterleavedColumns, InterleavedRows, Layout, Separate
from jaxaimc.wires.mesh import Mesh, OperatingPoint, Reading
from jaxaimc.wires.methods import Automatic, ConjugateGradient, FixedPoint
from jaxaimc.wires.network import ConvergenceError, Method, Outcome, check_residual
from jaxaimc.wires.nonlinear import DeviceIV, MiloIV, NonlinearMesh, PolynomialIV
from jaxaimc.wires.open_idle import Alignment, Centred, Left, OpenIdle, Right, Staggered
from jaxaimc.wires.surrogates import AlphaBeta, StaticFactor

__all__ = [
    "Alignment",
    "AlphaBeta",
    "Automatic",
    "Centred",
    "ConjugateGradient",
    "ConvergenceError",
    "DeviceIV",
    "Effective",
    "FixedPoint",
    "InterleavedColumns",
    "InterleavedRows",
    "Ladder",
    "Layout",
    "Left",
    "Mesh",
    "Method",
    "MiloIV",
    "NoWires",
    "NonlinearMesh",
    "NonlinearWires",
    "OpenIdle",
    "OperatingPoint",
    "Outcome",
    "Placement",
    "PolynomialIV",
    "Reading",
    "Right",
    "Separate",
    "Staggered",
    "StaticFactor",
    "Wires",
    "check_residual",
]
