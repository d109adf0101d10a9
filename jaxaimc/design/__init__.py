"""Design by gradient: fields of configs chosen by minimising an objective, of a network on analog chips or of your own.

    variables --bijections--> configs --chips, vmapped--> objective + penalties --gradient--> optimiser

`minimise` is the loop, `NetworkObjective` the loss of a network through the circuit and what an inference costs,
`rounded` makes whole numbers of resolutions, `evaluate` says what a design is worth by the ordinary evaluation, and
`pareto` finds designs for a sequence of weights.
"""

from jaxaimc.config.by_rule import load_configs, save_configs
from jaxaimc.design.constraints import Constraint
from jaxaimc.design.exact import Evaluated, evaluate
from jaxaimc.design.front import Front, Point, pareto
from jaxaimc.design.minimise import DesignDivergedError, DesignProgress, minimise
from jaxaimc.design.network import NetworkObjective, layer_configs, log_area, log_energy, log_latency
from jaxaimc.design.result import Design
from jaxaimc.design.rounding import rounded
from jaxaimc.design.variables import BoundVariable, Variable

__all__ = [
    "BoundVariable",
    "Constraint",
    "Design",
    "DesignDivergedError",
    "DesignProgress",
    "Evaluated",
    "Front",
    "NetworkObjective",
    "Point",
    "Variable",
    "evaluate",
    "layer_configs",
    "load_configs",
    "log_area",
    "log_energy",
    "log_latency",
    "minimise",
    "pareto",
    "rounded",
    "save_configs",
]
