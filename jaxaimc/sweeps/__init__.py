"""Sweeps: thousands of designs by a plan, compiled once for each structure, on one machine or on many.

    Plan (base config, axes, chips) --> chunks --executor--> rows --> sweep.parquet

`run` takes a `Measure` of every design of a `Plan` on every chip and keeps finished chunks in a folder, where the same
call goes on after an interruption, and other runs and machines beside it.
"""

from jaxaimc.studies.chunks import ResultsError
from jaxaimc.sweeps.axes import Axis, Range, Samples, Together, Values
from jaxaimc.sweeps.compiled import evaluate_designs
from jaxaimc.sweeps.folder import DamagedChunkWarning, SweepFolder
from jaxaimc.sweeps.layer import LayerError
from jaxaimc.sweeps.measure import DesignWarning, Function, Measure
from jaxaimc.sweeps.merge import merge
from jaxaimc.sweeps.network import NetworkScore
from jaxaimc.sweeps.plan import Chunk, Plan
from jaxaimc.sweeps.plan_files import read_axes
from jaxaimc.sweeps.run import SweepProgress, run
from jaxaimc.sweeps.summary import means, pareto
from jaxaimc.sweeps.texts import axes_of
from jaxaimc.sweeps.work import compute

__all__ = [
    "Axis",
    "Chunk",
    "DamagedChunkWarning",
    "DesignWarning",
    "Function",
    "LayerError",
    "Measure",
    "NetworkScore",
    "Plan",
    "Range",
    "ResultsError",
    "Samples",
    "SweepFolder",
    "SweepProgress",
    "Together",
    "Values",
    "axes_of",
    "compute",
    "evaluate_designs",
    "means",
    "merge",
    "pareto",
    "read_axes",
    "run",
]
