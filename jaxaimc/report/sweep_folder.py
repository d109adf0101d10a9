"""Folders of `jaxaimc sweep`, finished or not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc.config import loads
from jaxaimc.report.dataset import Dataset, ReportError, is_better_high
from jaxaimc.report.reading import need_columns, read_record, read_table
from jaxaimc.report.runs import Run, circuit_ground, folded, origin
from jaxaimc.sweeps.plan import Plan
from jaxaimc.sweeps.plan_files import axis_of

_OWN = ("design", "network", "chip")


def read_sweep(path: Path, name: str) -> Run:
    """Read the folder of a sweep, from its chunks where it was interrupted before its table was written.

    Args:
        path: The folder.
        name: What to call it.

    Raises:
        ReportError: If nothing of it is finished, or a file in it cannot be read or lacks columns.
    """
    record = read_record(path)
    facts = record.get("facts", {})
    table, source = _table(path)
    need_columns(source, table, ("chip",))
    measured = tuple(table.columns[table.columns.index("chip") + 1 :])
    fields = tuple(column for column in table.columns if column not in (*measured, "design", "chip"))
    if not measured:
        raise ReportError(
            f"Table {str(source)!r} must have measured columns after `chip`, but ends there: {', '.join(table.columns)}."
        )
    designs = table.select(fields).n_unique() if fields else 1
    title = "Sweep" if not fields else f"Sweep of {', '.join(fields)}"
    dataset = Dataset(
        kind="sweep",
        title=title,
        rows=table,
        fields=fields,
        shown=("design",) if "design" in table.columns else (),
        measured=measured,
        per="chip",
        units=facts.get("units", {}),
        higher=frozenset(column for column in measured if is_better_high(column)),
    )
    networks = ", ".join(network for network in facts.get("measures", {}) if network)
    figures = [("designs", f"{designs:,}"), ("chips of each", f"{dataset.chips:,}"), ("rows", f"{len(table):,}")]
    ground = circuit_ground(facts.get("base"))
    ground["What was assumed"] = [
        *ground.get("What was assumed", []),
        "Swept fields have the values of the table in place of those above.",
        *([f"Chips and reads follow from seed {facts['seed']}."] if "seed" in facts else []),
        *([f"Networks: {networks}."] if networks else []),
    ]
    return Run(
        name=name,
        kind="sweep",
        path=path,
        datasets=(dataset,),
        figures=tuple(figures),
        missing=tuple(_unfinished(facts, table)),
        ground={**ground, "Where it comes from": origin(record)},
        folded=folded(record, facts.get("base"), "Configuration that all designs start from"),
    )


def _table(path: Path) -> tuple[pl.DataFrame, Path]:
    whole = path / "sweep.parquet"
    if whole.exists():
        return read_table(whole), whole
    chunks = sorted((path / "chunks").glob("*.parquet"))
    if not chunks:
        raise ReportError(f"Sweep {str(path)!r} has a record, but none of its chunks is finished.")
    return pl.concat([read_table(chunk) for chunk in chunks], how="diagonal_relaxed").unique(maintain_order=True), chunks[0]


def _unfinished(facts: Mapping[str, Any], table: pl.DataFrame) -> list[str]:
    """Say how much of the plan is there, if not all of it."""
    if not facts:
        return ["There is no record (run.json), so whether the whole plan is there is not known."]
    try:
        base = loads(json.dumps(facts["base"]))
        plan = Plan(base, [axis_of(axis) for axis in facts["axes"]], chips=facts["chips"], seed=facts["seed"])
        planned = len(plan.designs) * plan.chips * max(1, len(facts["measures"]))
    except (ValueError, TypeError, KeyError) as error:
        return [f"Whether the whole plan is there is not known: {error}"]
    if len(table) >= planned:
        return []
    return [
        f"Unfinished: {len(table):,} of {planned:,} planned rows (designs on chips) are there, "
        f"{100 * len(table) / planned:.3g} % of the plan."
    ]
