"""Folders of `jaxaimc design`."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc.report.cost_tables import UNITS
from jaxaimc.report.dataset import Dataset, Reference, ReportError, is_better_high
from jaxaimc.report.reading import need_columns, read_record, read_table
from jaxaimc.report.runs import Run, circuit_ground, folded, origin


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
    units = {**UNITS, **record.get("units", {})}
    measured = tuple(column for column in history.columns if column not in ("weight", "step"))
    higher = frozenset(column for column in measured if is_better_high(column))
    datasets = []
    missing = []
    if (path / "front.parquet").exists():
        datasets.append(_found(path / "front.parquet", str(record.get("metric", "score")), units))
    else:
        missing.append("Evaluated figures of the designs are not there (front.parquet): only those of training are.")
    datasets.append(
        Dataset(kind="design", title="Steps", rows=history, fields=("weight", "step"), measured=measured, units=units,
                higher=higher, about=("On training examples, before rounding.",), views=("curve",), x="step",
                y="total", colour="weight")
    )  # fmt: skip
    config, of_layers, digital = _config(path)
    ground = circuit_ground(config)
    ground["What was assumed"] = [
        *ground.get("What was assumed", []),
        f"Parts and values are those of the last design{of_layers}.",
        *_how_much(path / "settings.json"),
        "Which values of the costs are assumed is not in this record; jaxaimc evaluate with the design says it.",
    ]
    ground.setdefault("What was not simulated", []).extend(digital)
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
            **folded(path, record, None),
            **{
                f"Design {file.name}": file.read_text(encoding="utf-8")
                for file in sorted([*path.glob("design*.json"), *path.glob("layers*.json")])
            },
        },
    )


def _found(path: Path, metric: str, units: dict[str, str]) -> Dataset:
    """Return the designs as the ordinary evaluation scored them; what it scored at the start is to compare with."""
    table = read_table(path)
    need_columns(path, table, ("design", "weight", "dominated"))
    measured = [column for column in table.columns if column not in ("design", "weight", "dominated")]
    start = table.filter(pl.col("weight").is_null()).to_dicts()[:1]
    return Dataset(
        kind="design",
        title="Designs found",
        rows=table.filter(pl.col("weight").is_not_null()),
        fields=("weight",),
        shown=("design",),
        # What was scored before what was varied.
        measured=tuple(sorted(measured, key=lambda name: name not in ("loss", metric, *UNITS))),
        units=units,
        higher=frozenset(column for column in measured if column == metric or is_better_high(column)),
        about=("Scored by the ordinary evaluation, on test examples and fresh chips, after rounding.",),
        references=tuple(Reference(name, "start", row[name]) for row in start for name in measured),
        views=("curve", "front"),
        x="weight",
        y="loss" if "loss" in measured else None,
    )


def _config(path: Path) -> tuple[Any, str, list[str]]:
    """Return the last design's config, which layers have it where there are several, and which stay digital."""
    by_rule = _json_of(path / "layers.json")
    if not isinstance(by_rule, dict):
        return _json_of(path / "design.json"), "", []
    digital = [f"Layers {rule} stay digital." for rule, config in by_rule.items() if config is None]
    first = next((rule for rule, config in by_rule.items() if config is not None), None)
    if first is None:
        return None, "", digital
    return by_rule[first], f" for the layers {first}, the first of {len(by_rule)} rules", digital


def _json_of(path: Path) -> Any:
    """Return the content of a JSON file, None where there is none."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(f"File {str(path)!r} is truncated or no JSON ({path.stat().st_size:,} bytes).") from error


def _how_much(path: Path) -> list[str]:
    """Say on how many examples and chips designs were found and scored, where the settings were kept."""
    settings = _json_of(path)
    if not isinstance(settings, dict):
        return []
    count = {name: settings.get(name, "?") for name in ("train_examples", "chips", "examples", "fresh_chips", "seed")}
    return [
        f"Found on the first {count['train_examples']} training examples, {count['chips']} chips in a step; scored on "
        f"the first {count['examples']} test examples with {count['fresh_chips']} chips; seed {count['seed']}."
    ]
