"""Sweeps: thousands of designs by a plan, compiled once for each structure, on one machine or on many.

    Plan (base config, axes, chips) --> chunks --executor--> rows --> sweep.parquet

`run` measures every design of a `Plan` on every chip and keeps finished chunks in a folder, where the same call, another
run or another machine goes on.
"""

from jaxaimc.studies.chunks import ResultsError
from jaxaimc.sweeps.axes import Axis, Range, Samples, Together, Values
from jaxaimc.sweeps.folder import DamagedChunkWarning, SweepFolder
from jaxaimc.sweeps.plan import Chunk, Plan
from jaxaimc.sweeps.run import NotFiniteWarning, Shard, SweepProgress, run
from jaxaimc.sweeps.work import compute

__all__ = [
    "Axis",
    "Chunk",
    "DamagedChunkWarning",
    "NotFiniteWarning",
    "Plan",
    "Range",
    "ResultsError",
    "Samples",
    "Shard",
    "SweepFolder",
    "SweepProgress",
    "Together",
    "Values",
    "compute",
    "run",
]
