"""Engines that compute the chunks of a sweep elsewhere, behind the interface of `concurrent.futures.Executor`.

`dask` and `slurm` are context managers that yield an executor. Neither is an engine of this library's own: Dask and
Slurm schedule, restart and balance, and the sweep sees futures.
"""

from jaxaimc.sweeps.engines.dask_engine import dask
from jaxaimc.sweeps.engines.slurm_engine import slurm

__all__ = ["dask", "slurm"]
