"""Does a gradient find better hardware than a search without one, and is it worth training weights along?

Run it with `python -m experiments.design_by_gradient`.

The embedded vision transformer, 20 matrices, is put on tiles of phase-change memory, and fields of the tiles are chosen
for `loss + 0.5 log(energy)`:

1. `tile`: conductance, read voltage, pulse time and oscillator of one tile for all layers, 4 variables; `layers`:
   resolution and range of the converters and conductance of every layer by itself, 60 variables. Design by gradient
   (Adam) is held against random search, Optuna's TPE and a grid, which all try the given start first. A seed is 256
   images and chips: the searches compare designs on one chip, the gradient has a new one in every step. It is also run
   on the chip of the searches, from the given start and from a random one. Value and gradient count as three network
   evaluations; processor time is measured, without compilation. The design that every method would give at some
   moments, the best so far of a search and the last of the gradient, is evaluated again on chips and images that no
   method has seen.
2. `wires`: the width of wires against the area of the tiles, with IR drop: a front by gradient against a grid of wire
   resistances, and with the conductance chosen along.
3. `together`: weights and hardware trained together, against either alone, by the same number of steps.

Every result is a file in the output folder; the same command goes on with what is missing. With `--evaluate N` the
designs that the gradient found with the first N seeds, for one tile and for a tile for each layer, are evaluated once
more by `jaxaimc evaluate --config`, a process of its own.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Many processes side by side, and a processor time that means something: one thread each, on the CPU.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 --xla_backend_optimization_level=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
PROBLEMS = ("tile", "layers", "wires", "together")
# Those whose designs are held against searches.
SEARCHED = PROBLEMS[:2]


@dataclasses.dataclass(frozen=True)
class Job:
    """A part of the experiment that a process computes.

    Args:
        problem: One of `PROBLEMS`.
        variant: Variant of the wires; empty for the others.
        seed: The seed.
    """

    problem: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its file."""
        return "-".join([self.problem, *([self.variant.replace(" ", "_")] if self.variant else []), str(self.seed)])


def jobs(problems: Sequence[str], seeds: int, joint_seeds: int) -> list[Job]:
    """Return all jobs, the longest first."""
    from experiments import _design_wires as wires

    found = [Job(problem, "", seed) for problem in ("layers", "tile") if problem in problems for seed in range(seeds)]
    if "together" in problems:
        found = [*(Job("together", "", seed) for seed in range(joint_seeds)), *found]
    if "wires" in problems:
        found += [Job("wires", variant, 0) for variant in wires.VARIANTS]
    return found


def compute(job: Job, settings: Any, folder: Path) -> float:
    """Compute a job into its files, and return how long it took [s]; what is there already is kept.

    Args:
        job: The job.
        settings: How much.
        folder: Folder of the files.
    """
    import warnings

    from experiments import _design_problems as problems
    from experiments import _design_searches as searches
    from experiments import _design_together as together
    from experiments import _design_wires as wires
    from jaxaimc.cost import AssumedCostWarning

    warnings.simplefilter("ignore", AssumedCostWarning)  # the report says so
    begun = time.monotonic()
    if job.problem == "wires":
        keep(folder, job.name, settings, lambda: wires.compute(job.variant, settings, job.seed))
    elif job.problem == "together":
        modes = [mode for mode in together.MODES if read(folder, f"{job.name}-{mode}", settings) is None]
        for mode, found in together.compute(modes, job.seed, settings) if modes else ():
            keep(folder, f"{job.name}-{mode}", settings, lambda found=found: found)
    else:
        missing = [method for method in searches.METHODS if read(folder, _of_method(job, method), settings) is None]
        evaluator = (
            searches.Evaluator(problems.PROBLEMS[job.problem](settings), job.seed, settings) if missing else None
        )
        for method in missing:
            assert evaluator is not None
            trials = searches.search(method, evaluator)
            searches.check_incumbents(method, trials, evaluator)
            found = {"trials": [dataclasses.asdict(trial) for trial in trials], "compilation": evaluator.compilation}
            keep(folder, _of_method(job, method), settings, lambda found=found: found)
    return time.monotonic() - begun


def _of_method(job: Job, method: str) -> str:
    return f"{job.name}-{method.replace(', ', '-').replace(' ', '_')}"


def keep(folder: Path, name: str, settings: Any, make: Callable[[], dict[str, Any]]) -> None:
    """Write a result into its file, unless it is there."""
    from jaxaimc._core.files import replacing

    if read(folder, name, settings) is not None:
        return
    content = {"settings": dataclasses.asdict(settings), "result": make()}
    with replacing(folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read(folder: Path, name: str, settings: Any) -> dict[str, Any] | None:
    """Return a result, None where there is none yet.

    Raises:
        ValueError: If it was computed with other settings, or the file is damaged.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["settings"] == json.loads(json.dumps(dataclasses.asdict(settings)))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"File {str(path)!r} holds no result, or is damaged; delete it to compute it anew.") from error
    if not same:
        raise ValueError(f"File {str(path)!r} was computed with other settings; name another output folder.")
    return content["result"]


def run_all(todo: Sequence[Job], settings: Any, folder: Path, workers: int) -> None:
    """Compute jobs in processes of their own and say when each is done."""
    os.environ.update(_ENVIRONMENT)  # processes are spawned, so that they begin with it
    context = multiprocessing.get_context("spawn")
    # A process per job: compiled programs of one are of no use to the others.
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        running = {pool.submit(compute, job, settings, folder): job for job in todo}
        try:
            for done in concurrent.futures.as_completed(running):
                print(f"{running[done].name:28} {done.result():6.0f} s", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main() -> None:
    """Compute what is missing, print the tables and draw the figure."""
    from experiments import _design_problems as settings_of

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/design_by_gradient"))
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the searches")
    parser.add_argument("--joint-seeds", type=int, default=3, help="seeds of weights and hardware together")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--quick", action="store_true", help="a few evaluations, to see that it runs")
    parser.add_argument("--evaluate", type=int, default=0, help="designs to run `jaxaimc evaluate` on")
    parser.add_argument("--no-report", action="store_true", help="compute only, without tables and figure")
    arguments = parser.parse_args()
    settings = settings_of.QUICK if arguments.quick else settings_of.FULL
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    todo = jobs(arguments.problems, arguments.seeds, arguments.joint_seeds)
    run_all(todo, settings, folder, arguments.jobs)
    if arguments.evaluate:
        from experiments import _design_check as check

        for name in (one for one in SEARCHED if one in arguments.problems):
            for seed in range(min(arguments.evaluate, arguments.seeds)):
                check.compare(name, folder, seed, settings, keep, read)
    if not arguments.no_report:
        from experiments import _design_report as report

        report.write(folder, settings, read, arguments.problems, arguments.seeds, arguments.joint_seeds)


if __name__ == "__main__":
    main()
