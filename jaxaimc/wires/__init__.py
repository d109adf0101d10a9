"""Wires: line resistance folded into an effective conductance matrix, or a circuit that is solved at every read."""

from jaxaimc.wires.base import Circuit, Linear, NoWires, Placement, Solved, Wires
from jaxaimc.wires.crossbar import Crossbar, DeviceIV, Method, Solution, Solver, Sources
from jaxaimc.wires.curves import MiloIV, Ohmic, PolynomialIV
from jaxaimc.wires.ladder import Ladder
from jaxaimc.wires.layouts import InterleavedColumns, InterleavedRows, Layout, Separate
from jaxaimc.wires.mesh import Mesh, OperatingPoint, Reading
from jaxaimc.wires.methods import Automatic, ConjugateGradient, FixedPoint
from jaxaimc.wires.nonlinear import NonlinearMesh
from jaxaimc.wires.open_idle import Blocks, EveryStep, IdleMethod, MeanField, OpenIdle
from jaxaimc.wires.outcome import ConvergenceError, SolveOutcome, check_residual
from jaxaimc.wires.surrogates import AlphaBeta, StaticFactor
from jaxaimc.wires.timing import Alignment, Centred, Left, Right, Staggered

__all__ = [
    "Alignment",
    "AlphaBeta",
    "Automatic",
    "Blocks",
    "Centred",
    "Circuit",
    "ConjugateGradient",
    "ConvergenceError",
    "Crossbar",
    "DeviceIV",
    "EveryStep",
    "FixedPoint",
    "IdleMethod",
    "InterleavedColumns",
    "InterleavedRows",
    "Ladder",
    "Layout",
    "Left",
    "Linear",
    "MeanField",
    "Mesh",
    "Method",
    "MiloIV",
    "NoWires",
    "NonlinearMesh",
    "Ohmic",
    "OpenIdle",
    "OperatingPoint",
    "Placement",
    "PolynomialIV",
    "Reading",
    "Right",
    "Separate",
    "Solution",
    "SolveOutcome",
    "Solved",
    "Solver",
    "Sources",
    "Staggered",
    "StaticFactor",
    "Wires",
    "check_residual",
]
