"""The designs that the gradient found, evaluated once more by `jaxaimc evaluate`, a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import _design_problems as problems
from jaxaimc import AnalogConfig, design
from jaxaimc.config import dumps
from jaxaimc.design.space import Space


def compare(name: str, folder: Path, seed: int, settings: problems.Settings, keep: Callable, read: Callable) -> None:
    """Write the figures of a design by `jaxaimc.design.evaluate` and by `jaxaimc evaluate` beside each other.

    Args:
        name: Name of the problem.
        folder: Folder of the results.
        seed: Which design.
        settings: How much.
        keep: Writes a result, see `design_by_gradient`.
        read: Reads a result.
    """
    found = read(folder, f"{name}-{seed}-gradient", settings)
    if found is None:
        return
    problem = problems.PROBLEMS[name](settings)
    config: Any = Space.of(problem.config, problem.variables).configs(found["trials"][-1]["values"])
    of_seed = f"evaluated-{name}-{seed}"
    keep(folder, of_seed, settings, lambda: _both(config, folder / of_seed, seed, settings))


def _both(config: Any, folder: Path, seed: int, settings: problems.Settings) -> dict[str, Any]:
    here = design.evaluate(
        problems.task(), problems.network(), config, problems.evaluated(settings.examples), chips=settings.chips,
        seed=seed,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    if isinstance(config, AnalogConfig):
        (folder / "design.json").write_text(dumps(config), encoding="utf-8")
    else:
        design.save_configs(folder / "design.json", config)
    command = ["evaluate", "--config", folder / "design.json", "--output", folder, "--examples", settings.examples,
               "--chips", settings.chips, "--seed", seed, "--times", "--resistances",
               "--layer-examples", "1"]  # fmt: skip
    run = [sys.executable, "-c", "from jaxaimc.cli import main; main()", *map(str, command)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    import polars

    [table] = folder.glob("*/scores.parquet")
    row = polars.read_parquet(table).filter((polars.col("study") == "effect") & (polars.col("name") == "everything"))
    facts = json.loads((table.parent / "run.json").read_text(encoding="utf-8"))
    return {"here": here.figures(), "chips": here.scores.tolist(), "there": row["score"].to_list(),
            "cost": facts.get("cost")}  # fmt: skip
