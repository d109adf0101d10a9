"""Folders of `jaxaimc design`."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc.report.dataset import Dataset, ReportError, is_better_high
from jaxaimc.report.reading import need_columns, read_record, read_table
from jaxaimc.report.runs import Run, circuit_ground, folded, origin

_UNITS = {"energy": "J", "latency": "s", "area": "m^2"}


def read_design(path: Path, name: str) -> Run:
    """Read the folder of designs.

    Args:
        path: The folder.
        name: What to call it.

    Raises:
        ReportError: If a file in it cannot be read or lacks columns.
    """
    record = read_record(path)
    history = read_table(path / "history.parquet")
    need_columns(path / "history.parquet", history, ("weight", "step", "total"))
    units = {**_UNITS, **record.get("units", {})}
    measured = tuple(column for column in history.columns if column not in ("weight", "step"))
    higher = frozenset(column for column in measured if is_better_high(column))
    datasets = []
    missing = []
    front = path / "front.parquet"
    if front.exists():
        table = read_table(front)
        need_columns(front, table, ("weight",))
        values = tuple(column for column in table.columns if table.schema[column].is_numeric() and column != "weight")
        others = tuple(column for column in table.columns if column not in (*values, "weight"))
        found = Dataset(kind="design", title="Designs found", rows=table, fields=("weight",), shown=others,
                        measured=values, units=units,
                        higher=frozenset(column for column in values if is_better_high(column)),
                        about=("Scored by the ordinary evaluation, on test examples and fresh chips.",),
                        views=("curve", "front"), x="weight")  # fmt: skip
        datasets.append(found)
    else:
        missing.append("Evaluated figures of the designs are not there (front.parquet): only those of training are.")
    datasets.append(
        Dataset(kind="design", title="Steps", rows=history, fields=("weight", "step"), measured=measured, units=units,
                higher=higher, about=("On training examples, before rounding.",), views=("curve",), x="step",
                colour="weight")
    )  # fmt: skip
    config = _config(path / "design.json")
    ground = circuit_ground(config)
    ground["What was assumed"] = [*ground.get("What was assumed", []), "Parts and values are those of the last design."]
    last = history.group_by("weight", maintain_order=True).last()
    steps = ", ".join(f"{row['step']} at weight {row['weight']:g}" for row in last.iter_rows(named=True))
    return Run(
        name=name,
        kind="design",
        path=path,
        datasets=tuple(datasets),
        figures=(("designs", str(len(last))), ("steps", steps)),
        missing=tuple(missing),
        ground={**ground, "Where it comes from": origin(record)},
        folded={
            **folded(record, None),
            **{f"Design {file.name}": file.read_text(encoding="utf-8") for file in sorted(path.glob("design*.json"))},
        },
    )


def _config(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(f"Config {str(path)!r} is truncated or no JSON.") from error
