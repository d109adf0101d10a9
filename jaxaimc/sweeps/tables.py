"""The results of a sweep as text tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
from rich import box
from rich.table import Table
from rich.text import Text

from jaxaimc._core.checks import SIZES
from jaxaimc.cost.result import format_mm2
from jaxaimc.sweeps.plan import Plan
from jaxaimc.sweeps.summary import Way, means, pareto
from jaxaimc.units import format_si

if TYPE_CHECKING:
    from jaxaimc.tasks import Task

_ROWS = 10
_COSTS = {"energy": "J", "latency": "s", "area": "m^2"}


def best_table(table: pl.DataFrame, plan: Plan, task: "Task") -> Table:
    """Make the table of the best designs of one network, or with costs of those that no other dominates.

    Args:
        table: Rows of `run` for one network, measured by `NetworkScore`.
        plan: The plan.
        task: The network's task.

    Returns:
        At most ten rows: design, swept values, means over chips.
    """
    measured = [name for name in ("score", "loss", *_COSTS) if name in table.columns]
    rows = means(table, measured)
    way = better(rows, task.chance)
    if "energy" in rows.columns:
        chosen = pareto(rows, {"energy": "low", "score": way})
        title = (
            f"{task.name}: {len(chosen):,} of {len(rows):,} designs that no other dominates in {task.metric} and energy"
        )
        shown = (
            chosen[sorted({round(i * (len(chosen) - 1) / (_ROWS - 1)) for i in range(_ROWS)})]
            if len(chosen)
            else chosen
        )
    else:
        chosen = rows.filter(pl.col("score").is_finite())
        shown = chosen.sort(["score", "loss"], descending=[way == "high", False], maintain_order=True).head(_ROWS)
        title = f"{task.name}: best of {len(rows):,} designs"
    built = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("design", *plan.paths, task.metric, *measured[1:]):
        built.add_column(Text(name), justify="right")
    for row in shown.iter_rows(named=True):
        built.add_row(
            *map(Text, [str(row["design"]), *_settings(row, plan), _score(row), *_figures(row, measured[1:])])
        )
    if plan.chips > 1:
        built.caption = Text(f"means of {plan.chips} chips, ± standard deviation over chips", justify="left")
    return built


def better(rows: pl.DataFrame, chance: float) -> Way:
    """Return which way the score is better: away from that of guessing, where the loss is lowest.

    Args:
        rows: Means over chips.
        chance: Score of guessing.
    """
    finite = rows.filter(pl.col("loss").is_finite() & pl.col("score").is_finite())
    if finite.is_empty():
        return "high"
    return "high" if finite.sort("loss")["score"][0] >= chance else "low"


def _settings(row: Mapping[str, Any], plan: Plan) -> list[str]:
    return [
        format_si(row[path], column.unit)
        if column.unit in SIZES
        else f"{row[path]:.4g} {column.unit}".rstrip()
        if column.continuous
        else str(row[path])
        for path, column in plan.paths.items()
    ]


def _score(row: Mapping[str, Any]) -> str:
    spread = row["std score"]
    return f"{row['score']:.4f}" + ("" if spread is None else f" ± {spread:.4f}")


def _figures(row: Mapping[str, Any], names: list[str]) -> list[str]:
    return [
        f"{row[name]:.4f}"
        if name == "loss"
        else format_mm2(row[name])
        if name == "area"
        else format_si(row[name], _COSTS[name])
        for name in names
    ]
