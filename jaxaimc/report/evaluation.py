"""Folders of `jaxaimc evaluate` and `jaxaimc sensitivity`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from jaxaimc.config.by_rule import configs_in
from jaxaimc.report import acting
from jaxaimc.report.cost_tables import costs
from jaxaimc.report.dataset import Dataset, Reference
from jaxaimc.report.reading import need_columns, read_record, read_table
from jaxaimc.report.runs import Run, circuit_ground, folded, origin
from jaxaimc.studies.results import summarise
from jaxaimc.studies.scenarios import Settings, standard
from jaxaimc.units import format_si

_SCORES = ("study", "name", "sets", "t", "compensated", "r", "random", "examples", "chip", "score")
_LAYERS = ("name", "layer", "chip", "error")
_TITLES = {
    "effect": "Effects, right after programming",
    "drift": "Drift",
    "resistance": "Wire resistance, right after programming",
}
_FIELDS = {"t": "time since programming", "r": "wire resistance", "name": "effect"}
_UNITS = {"time since programming": "s", "wire resistance": "ohm"}


def read_evaluation(path: Path, name: str) -> Run:
    """Read the folder of an evaluation.

    Args:
        path: The folder.
        name: What to call it.

    Raises:
        ReportError: If a file in it cannot be read or lacks columns.
    """
    record = read_record(path)
    scores = read_table(path / "scores.parquet")
    need_columns(path / "scores.parquet", scores, _SCORES)
    metric = str(record.get("metric", "score"))
    datasets = [_study(metric, part) for part in scores.partition_by("study", maintain_order=True)]
    layers = path / "layers.parquet"
    missing = _unfinished(record, scores)
    if layers.exists():
        table = read_table(layers)
        need_columns(layers, table, _LAYERS)
        datasets.append(_layers(table, record))
    else:
        missing.append("Errors of the layers are not there.")
    cost = record.get("cost")
    if isinstance(cost, Mapping):
        datasets += costs(cost, record.get("products", []))
    else:
        missing.append("The record has no cost, so energy, latency and area are not known.")
    return Run(
        name=name,
        kind="evaluation",
        path=path,
        datasets=tuple(datasets),
        figures=tuple(_figures(metric, scores, record)),
        missing=tuple(missing),
        ground=ground(record),
        folded=folded(path, record, record.get("facts", {}).get("config")),
    )


def read_sensitivity(path: Path, name: str) -> Run:
    """Read the folder of a sensitivity study.

    Args:
        path: The folder.
        name: What to call it.

    Raises:
        ReportError: If a file in it cannot be read or lacks columns.
    """
    record = read_record(path)
    datasets = []
    for file, title, fields, about in (
        ("sensitivity.parquet", "Loss of each layer", ("layer", "effect"),
         "Loss of the metric where one layer is on the chip, or not, under each effect."),
        ("exemptions.parquet", "Layers kept digital", ("kept",),
         "Loss of the metric with the most damaging layers kept digital, the last one named."),
    ):  # fmt: skip
        if not (path / file).exists():
            continue
        table = read_table(path / file)
        need_columns(path / file, table, (*fields, "loss", "mean", "layer"))
        shown = tuple(name for name in ("layer", "examples", "chips") if name in table.columns and name not in fields)
        datasets.append(
            Dataset(kind="sensitivity", title=title, rows=table, fields=fields, shown=shown, measured=("loss", "mean"),
                    higher=frozenset({"mean"}), about=(about,), views=("curve", "grid"))
        )  # fmt: skip
    return Run(
        name=name,
        kind="sensitivity",
        path=path,
        datasets=tuple(datasets),
        ground=ground(record),
        folded=folded(path, record, record.get("facts", {}).get("config")),
    )


def ground(record: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what the numbers of an evaluation rest on.

    Args:
        record: Content of `run.json`.
    """
    facts = record.get("facts", {})
    found = circuit_ground(facts.get("config"))
    acts, assumed, left = (found.setdefault(name, []) for name in _GROUND)
    products = record.get("products", [])
    if products:
        acts.append(
            f"{record.get('analog_products', '?')} of {len(products)} products are on {record.get('tiles', '?')} tiles."
        )
    settings = facts.get("settings", {})
    if settings:
        assumed.append(
            f"First {_count(settings.get('examples'))} test examples, {settings.get('chips')} chips, seed "
            f"{settings.get('seed')}; the sweep of resistances on the first {settings.get('sweep_examples')}, layers' "
            f"errors on {settings.get('layer_examples')}."
        )
    assumed += acting.methods(record.get("error_of_wires_method", {}))
    cost = record.get("cost", {})
    assumed += [f"Cost: {note}." for note in cost.get("notes", [])]
    if settings:
        left.append(
            f"There is no drift but in the table {_TITLES['drift']}: all else is read right after programming."
            if settings.get("times")
            else "There is no drift: reads are right after programming."
        )
    left += acting.digital(products)
    if cost.get("digital_macs"):
        left.append(f"Cost leaves out {cost['digital_macs']:,.0f} digital multiplications of an inference.")
    return {**found, "Where it comes from": origin(record)}


_GROUND = ("What acted", "What was assumed", "What was not simulated")


def _study(metric: str, rows: pl.DataFrame) -> Dataset:
    """Return the scores of one study."""
    study = rows["study"][0]
    digital = rows.filter((pl.col("name") == "digital") & ~pl.col("random"))
    # In the studies over a number the digital network is a line, not a point.
    of_number = [column for column in ("t", "r") if rows[column].null_count() < len(rows)]
    if of_number:
        rows = rows.filter(pl.any_horizontal(pl.col(column).is_not_null() for column in of_number))
    paths = _paths(rows) if study not in _TITLES else []
    rows = rows.with_columns(paths)
    if "t" in of_number:
        # Its name says the time once more.
        rows = rows.with_columns(
            compensation=pl.when("compensated").then(pl.lit("compensated")).otherwise(pl.lit("none"))
        )
        fields = ["compensation", *(["name"] if study not in _TITLES else [])]
    else:
        fields = ["name"]
    fields = [*of_number, *fields, *(column.name for column in paths)]
    rows = rows.rename({**{field: _FIELDS[field] for field in fields if field in _FIELDS}, "score": metric})
    references = ()
    if len(digital) and of_number:
        references = (Reference(metric, "digital", float(digital["score"].mean())),)  # type: ignore[arg-type]
    return Dataset(
        kind="evaluation",
        title=_TITLES.get(study, str(study)),
        rows=rows,
        fields=tuple(_FIELDS.get(field, field) for field in fields),
        shown=("examples",),
        measured=(metric,),
        per="chip",
        units=_UNITS,
        higher=frozenset({metric}),
        references=references,
        views=("curve",),
        x=_FIELDS[of_number[0]] if of_number else None,
    )


def _paths(rows: pl.DataFrame) -> list[pl.Series]:
    """Return what each scenario sets, a column per path."""
    sets = [json.loads(text) for text in rows["sets"]]
    return [
        pl.Series(path, [one.get(path) for one in sets], strict=False)
        for path in dict.fromkeys(path for one in sets for path in one)
    ]


def _layers(rows: pl.DataFrame, record: Mapping[str, Any]) -> Dataset:
    examples = record.get("facts", {}).get("settings", {}).get("layer_examples")
    on = f" on {examples} test examples" if examples else ""
    return Dataset(
        kind="evaluation",
        title="Output error of each layer",
        rows=rows.rename({"name": "effect"}),
        fields=("layer", "effect"),
        measured=("error",),
        per="chip",
        about=(f"Root mean square error over root mean square output, with the digital network's inputs{on}.",),
        views=("curve", "grid"),
        x="layer",
        colour="effect",
    )


def _figures(metric: str, scores: pl.DataFrame, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    summary = [row for row in summarise(scores.to_dicts()) if row["study"] == "effect"]
    found = []
    for name in ("digital", "everything"):
        for row in summary:
            if row["name"] == name:
                spread = f" ± {row['std']:.4f}" if row["std"] is not None else ""
                found.append(
                    (f"{metric}, {'digital' if name == 'digital' else 'on the chip'}", f"{row['mean']:.4f}{spread}")
                )
    cost = record.get("cost", {})
    for name, unit in (("energy", "J"), ("latency", "s")):
        if name in cost:
            found.append((f"{name} of an inference", format_si(cost[name], unit, 3)))
    if "area" in cost:
        found.append(("area", f"{1e6 * cost['area']:.3g} mm²"))
    if "tops_per_watt" in cost:
        found.append(("efficiency", f"{cost['tops_per_watt']:.3g} TOPS/W"))
    return found


def _unfinished(record: Mapping[str, Any], scores: pl.DataFrame) -> list[str]:
    """Say how much of an evaluation is there, if not all of it."""
    facts = record.get("facts", {})
    if not facts:
        return ["There is no record (run.json), so what the scores follow from is not known."]
    if not {"config", "settings"} <= set(facts):
        return ["The record names no settings, so whether all scenarios are there is not known."]
    found = scores.select("study", "name", "t", "compensated", "r").n_unique()
    try:
        settings = facts["settings"]
        settings = Settings(
            **{**settings, "times": tuple(settings["times"]), "resistances": tuple(settings["resistances"])}
        )
        planned = len(standard(configs_in(facts["config"]), settings, int(np.iinfo(np.int32).max)))
    except (ValueError, TypeError, KeyError) as error:
        return [f"Whether all scenarios are there is not known: {error}"]
    return [f"Unfinished: {found} of {planned} scenarios are there."] if found < planned else []


def _count(value: Any) -> str:
    return "all" if value is None else f"{value:,}"
