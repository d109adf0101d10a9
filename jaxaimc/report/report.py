"""A report: runs that were read, and their tables, put together where they are alike."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jaxaimc._core.checks import shown
from jaxaimc.config.errors import nearest
from jaxaimc.report.dataset import Dataset, ReportError, joined
from jaxaimc.report.design_folder import read_design
from jaxaimc.report.evaluation import read_evaluation, read_sensitivity
from jaxaimc.report.runs import Run, kind_of, names_of
from jaxaimc.report.sweep_folder import read_sweep
from jaxaimc.report.table_file import read_file

_READERS = {"evaluation": read_evaluation, "sensitivity": read_sensitivity, "design": read_design, "sweep": read_sweep}


@dataclasses.dataclass(frozen=True)
class Report:
    """What is reported.

    Attributes:
        runs: The runs.
        datasets: Their tables; those of one kind and with the same columns are one, told apart by a field `run`.
    """

    runs: tuple[Run, ...]
    datasets: tuple[Dataset, ...]


def read(
    paths: Sequence[str | Path],
    *,
    x: str | None = None,
    y: str | None = None,
    colour: str | None = None,
    measured: Sequence[str] = (),
    higher: Sequence[str] = (),
) -> Report:
    """Read results.

    Args:
        paths: Folders of `jaxaimc evaluate`, `sensitivity`, `design` and `sweep`, and Parquet or CSV files.
        x: Column on the horizontal axis at first, in the tables that have it; chosen by default.
        y: Measured column at first, in the tables that have it.
        colour: Field told apart by colour at first, in the tables that have it.
        measured: Measured columns of the Parquet and CSV files, where names and values do not tell them.
        higher: Further measured columns of which more is better.

    Returns:
        The runs and their tables.

    Raises:
        ReportError: If a path holds no results, or they are damaged, lack columns or are empty, or a column is named
            that no table has.
    """
    if not paths:
        raise ReportError("Argument `folders` must name at least one results folder or table, but is empty.")
    places = [Path(path) for path in paths]
    runs = []
    for place, name in zip(places, names_of(places), strict=True):
        kind = kind_of(place)
        runs.append(read_file(place, name, measured) if kind == "table" else _READERS[kind](place, name))
    if measured and all(run.kind != "table" for run in runs):
        raise ReportError("Argument `measured` is for Parquet and CSV files, but only results folders are given.")
    datasets = joined([(run.name, dataset) for run in runs for dataset in run.datasets])
    for argument, name in (("x", x), ("y", y), ("colour", colour), *(("higher", name) for name in higher)):
        if name is not None:
            _check_column(argument, name, datasets)
    return Report(tuple(runs), tuple(_with(dataset, x, y, colour, higher) for dataset in datasets))


def _columns(argument: str, dataset: Dataset) -> tuple[str, ...]:
    if argument == "x":
        return (*dataset.fields, *dataset.measured)
    return dataset.fields if argument == "colour" else dataset.measured


def _check_column(argument: str, name: str, datasets: Sequence[Dataset]) -> None:
    known = dict.fromkeys(column for dataset in datasets for column in _columns(argument, dataset))
    if name not in known:
        raise ReportError(
            f"Argument `{argument}` must be a column of these results, {', '.join(known) or 'none'}, but is "
            f"{shown(name)}{nearest(name, known)}."
        )


def _with(dataset: Dataset, x: str | None, y: str | None, colour: str | None, higher: Sequence[str]) -> Dataset:
    chosen = {
        argument: name
        for argument, name in (("x", x), ("y", y), ("colour", colour))
        if name is not None and name in _columns(argument, dataset)
    }
    more = dataset.higher | {name for name in higher if name in dataset.measured}
    return dataclasses.replace(dataset, higher=more, **chosen)
