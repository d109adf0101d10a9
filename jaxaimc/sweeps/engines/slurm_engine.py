"""Sweeps as arrays of Slurm jobs through submitit, https://github.com/facebookincubator/submitit.

Calls that are submitted together become one array of jobs, each of which makes several calls, one after the other, so
that Python starts and JAX compiles once for many. A job writes each result to the folder as it is found; a job that
is preempted or runs out of its time goes on with the first call that has no result.
"""

import contextlib
import difflib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

from jaxaimc.sweeps.engines.arrays import ArrayExecutor, InProcess
from jaxaimc.sweeps.engines.calls import Engine, cloudpickle, missing_extra

_CLUSTERS = ("slurm", "local", "debug")
# Slurm allows an array of 1001 jobs unless its administrator says otherwise.
_MOST_JOBS = 1000
# Between two looks at the results of Slurm jobs [s].
PAUSE = 2.0


@contextlib.contextmanager
def slurm(
    folder: str | Path,
    *,
    cluster: Literal["slurm", "local", "debug"] = "slurm",
    partition: str | None = None,
    minutes: int = 60,
    memory: float | None = None,
    cpus: int = 1,
    gpus: int = 0,
    array_parallelism: int | None = None,
    jobs: int | None = None,
    **more: Any,
) -> Iterator[Executor]:
    """Compute in Slurm jobs, or, to try the same out, in processes of this machine or in this process.

    When the context is left by an error or an interruption, its jobs are cancelled.

    Args:
        folder: For the jobs' scripts, logs and results, made when it is needed; on a file system that all nodes share.
        cluster: "slurm"; "local" for processes of this machine; "debug" for this process, call by call.
        partition: Slurm's partition; its default by default.
        minutes: Time limit of a job [min]. A job that reaches it is queued again and goes on, up to three times.
        memory: Memory of a job [GB]; Slurm's default by default.
        cpus: Cores of a job.
        gpus: GPUs of a job.
        array_parallelism: How many jobs run at a time at most; with "local" as many as their cores allow by default.
        jobs: Into how many jobs an array is divided at most; 64 by default, with "local" as many as run at a time.
        **more: Further options of sbatch as submitit names them, such as account="physics", qos="long",
            constraint="a100" or setup=["module load cuda"], the lines that come before the command.

    Yields:
        The executor.

    Raises:
        ValueError: If an argument is out of range or unknown, or there is no Slurm here.
        ImportError: If submitit is not installed.

    Example:
        >>> with slurm("jobs", partition="gpu", gpus=1, minutes=30) as executor:  # doctest: +SKIP
        ...     table = run(plan, measure, "sweep", executor=executor)
    """
    _check(cluster, minutes=minutes, cpus=cpus, memory=memory, array_parallelism=array_parallelism, jobs=jobs)
    if gpus < 0:
        raise ValueError(f"Argument `gpus` must be at least 0, but is {gpus}.")
    try:
        import submitit
    except ImportError as error:
        raise missing_extra("submitit", error) from None
    cloudpickle()
    _check_options(more)
    folder = Path(folder).absolute()
    shared = {"name": "jaxaimc", "timeout_min": minutes, "cpus_per_task": cpus, "gpus_per_node": gpus, "mem_gb": memory}
    own = {"partition": partition, "array_parallelism": array_parallelism, **more}

    def submitter() -> submitit.AutoExecutor:
        made = submitit.AutoExecutor(folder=folder, cluster=cluster)
        made.update_parameters(
            **{name: value for name, value in shared.items() if value},
            **{f"slurm_{name}": value for name, value in own.items() if value is not None},
        )
        return made

    executor: Engine
    if cluster == "debug":
        executor = InProcess(submitter)
    elif cluster == "local":
        # submitit starts local jobs at once, all of them. Jobs would all see the same GPUs, so that one has them.
        most = array_parallelism or (1 if gpus else max(1, (os.cpu_count() or 1) // cpus))
        environment = {"PJRT_NPROC": str(cpus), "OMP_NUM_THREADS": str(cpus)}
        executor = ArrayExecutor(submitter, folder, jobs or most, at_once=most, pause=0.1, environment=environment)
    else:
        executor = ArrayExecutor(submitter, folder, jobs or 64, at_once=None, pause=PAUSE, environment={})
    with executor.ended():
        yield executor


def _check(cluster: str, *, memory: float | None, **counts: int | None) -> None:
    if cluster not in _CLUSTERS:
        raise ValueError(f"Argument `cluster` must be 'slurm', 'local' or 'debug', but is {cluster!r}.")
    if cluster == "slurm" and shutil.which("srun") is None:
        raise ValueError(
            "Argument `cluster` is 'slurm', but there is no command `srun` here: start this on a machine from which "
            "Slurm jobs are submitted, or choose 'local'."
        )
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"Argument `{name}` must be at least 1, but is {value}.")
    if (counts["jobs"] or 1) > _MOST_JOBS:
        raise ValueError(f"Argument `jobs` must be at most {_MOST_JOBS}, but is {counts['jobs']}.")
    if memory is not None and not memory > 0:
        raise ValueError(f"Argument `memory` must be above 0 GB, but is {memory}.")


def _check_options(more: dict[str, Any]) -> None:
    from submitit import SlurmExecutor

    known = sorted(SlurmExecutor._valid_parameters())
    for name in more:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ValueError(
                f"submitit knows no option {name!r} of Slurm"
                + (f"; the nearest is {near[0]!r}." if near else f": {', '.join(known)}.")
            )
