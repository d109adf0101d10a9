"""Folders of `jaxaimc sweep`, finished or not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc.report import acting
from jaxaimc.report.dataset import Dataset, ReportError, is_better_high
from jaxaimc.report.reading import need_columns, read_record, read_table
from jaxaimc.report.runs import Run, circuit_ground, folded, origin

# What measures say of themselves, above which their figures are in doubt.
_DOUBTFUL = {
    "cost_outside": (0.0, "costs leave ranges in which their sources vouch for them"),
    "residual": (1e-3, "wires were not solved to a thousandth of the largest output"),
}


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
            f"Table {str(source)!r} must have measured columns after `chip`, but ends there: "
            f"{', '.join(table.columns)}."
        )
    designs = table.select(fields).n_unique() if fields else 1
    title = "Sweep" if not fields else f"Sweep of {', '.join(fields)}"
    metrics = dict.fromkeys(one["metric"] for one in facts.get("measures", {}).values() if "metric" in one)
    dataset = Dataset(
        kind="sweep",
        title=title,
        rows=table,
        fields=fields,
        shown=("design",) if "design" in table.columns else (),
        measured=measured,
        per="chip",
        units=facts.get("units", {}),
        about=(f"score is {', '.join(metrics)}.",) if metrics else (),
        higher=frozenset(column for column in measured if is_better_high(column)),
    )
    figures = [("designs", f"{designs:,}"), ("chips of each", f"{dataset.chips:,}"), ("rows", f"{len(table):,}")]
    ground = circuit_ground(facts.get("base"))
    ground["What was assumed"] = [
        *ground.get("What was assumed", []),
        "Swept fields have the values of the table in place of those above.",
        *([f"Chips and reads follow from seed {facts['seed']}."] if "seed" in facts else []),
        *_measures(facts.get("measures", {})),
    ]
    if any(one.get("t", 0.0) is None for one in facts.get("measures", {}).values()):
        ground.setdefault("What was not simulated", []).append("There is no drift: reads are right after programming.")
    return Run(
        name=name,
        kind="sweep",
        path=path,
        datasets=(dataset,),
        figures=tuple(figures),
        missing=(*_unfinished(facts, table), *_doubts(table)),
        ground={**ground, "Where it comes from": origin(record)},
        folded=folded(path, record, facts.get("base"), "Configuration that all designs start from"),
    )


def _table(path: Path) -> tuple[pl.DataFrame, Path]:
    whole = path / "sweep.parquet"
    if whole.exists():
        return read_table(whole), whole
    chunks = sorted((path / "chunks").glob("*.parquet"))
    if not chunks:
        raise ReportError(f"Sweep {str(path)!r} has a record, but none of its chunks is finished.")
    return pl.concat([read_table(chunk) for chunk in chunks], how="diagonal_relaxed").unique(
        maintain_order=True
    ), chunks[0]


def _unfinished(facts: Mapping[str, Any], table: pl.DataFrame) -> list[str]:
    """Say how much of the plan is there, if not all of it."""
    if not facts:
        return ["There is no record (run.json), so whether the whole plan is there is not known."]
    if not {"designs", "chips"} <= set(facts):
        return ["The record does not say how many designs were planned, so whether all are there is not known."]
    planned = facts["designs"] * facts["chips"] * max(1, len(facts.get("measures", {})))
    if len(table) >= planned:
        return []
    return [
        f"Unfinished: {len(table):,} of {planned:,} planned rows (designs on chips) are there, "
        f"{100 * len(table) / planned:.3g} % of the plan."
    ]


def _doubts(table: pl.DataFrame) -> list[str]:
    """Say how many rows are in doubt by what their measure says itself."""
    found = []
    for column, (most, meaning) in _DOUBTFUL.items():
        bad = int((table[column] > most).sum()) if column in table.columns else 0
        if bad:
            found.append(f"In {bad:,} of {len(table):,} rows {meaning} ({column} above {most:g}).")
    return found


def _measures(measures: Mapping[str, Any]) -> list[str]:
    """Say what was measured, by network: what its measure's figures follow from, but for arrays and their digests."""
    found = []
    for network, facts in measures.items():
        plain = {
            name: value
            for name, value in facts.items()
            if name != "measure"
            and not isinstance(value, (Mapping, list))
            and not re.fullmatch("[0-9a-f]{64}", str(value))
        }
        listed = ", ".join(f"{name} = {'none' if value is None else value}" for name, value in plain.items())
        what = f"{network}: {facts.get('measure', 'measured')}" if network else str(facts.get("measure", "Measured"))
        found.append(what + (f" with {listed}." if listed else "."))
        hardware = facts.get("hardware")
        if isinstance(hardware, Mapping):
            found.append(f"Cost of parts{acting.inside(hardware)}.")
    return found
