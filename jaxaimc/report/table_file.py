"""Any Parquet or CSV table with named columns."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from jaxaimc._core.checks import shown
from jaxaimc.config.errors import nearest
from jaxaimc.report.dataset import Dataset, ReportError, is_better_high
from jaxaimc.report.reading import read_table
from jaxaimc.report.runs import Run

# Names that say that a column was measured, whatever its values are.
_MEASURED = ("error", "loss", "energy", "latency", "area", "time", "throughput", "power", "mean")
_REPETITIONS = ("chip", "seed", "repetition", "trial")


def read_file(path: Path, name: str, measured: Sequence[str] = ()) -> Run:
    """Read a table, and tell what was swept in it from what was measured.

    Measured are floating-point columns whose name says so (score, error, energy ...) or whose values hardly repeat;
    all others were swept. A column `chip`, `seed`, `repetition` or `trial` tells repetitions apart.

    Args:
        path: The file.
        name: What to call it.
        measured: The measured columns, where these rules would err.

    Raises:
        ReportError: If it cannot be read, or has no numbers that were measured.
    """
    table = read_table(path)
    # Lists and the like are shown as they are written.
    nested = [column for column, kind in table.schema.items() if kind.is_nested() or kind == pl.Object]
    table = table.with_columns(
        pl.Series(column, [str(value) for value in table[column].to_list()]) for column in nested
    )
    for column in measured:
        if column not in table.columns or not table.schema[column].is_numeric():
            numbers = [other for other, kind in table.schema.items() if kind.is_numeric()]
            raise ReportError(
                f"Argument `measured` must name columns of numbers of {str(path)!r}, {', '.join(numbers) or 'none'}, "
                f"but has {shown(column)}{nearest(column, numbers)}."
            )
    per = next((column for column in _REPETITIONS if column in table.columns and column not in measured), None)
    chosen = tuple(measured) or tuple(
        column for column in table.columns if column != per and _is_measured(table[column])
    )
    if not chosen:
        raise ReportError(
            f"Table {str(path)!r} must have a measured column, but all of {', '.join(table.columns)} repeat their "
            "values or are no floating-point numbers; say which by --measured."
        )
    fields = tuple(column for column in table.columns if column not in chosen and column not in (per, "design"))
    how = "as --measured says" if measured else "as names and values suggest; --measured says otherwise"
    return Run(
        name=name,
        kind="table",
        path=path,
        datasets=(
            Dataset(
                kind="table",
                title=f"Table of {', '.join(chosen)}",
                rows=table,
                fields=fields,
                shown=("design",) if "design" in table.columns and "design" not in chosen else (),
                measured=chosen,
                per=per,
                higher=frozenset(column for column in chosen if is_better_high(column)),
            ),
        ),
        figures=(("rows", f"{len(table):,}"),),
        missing=("A table has no record, so what its numbers rest on is not known.",),
        ground={
            "How the columns were read": [
                f"Measured: {', '.join(chosen)} ({how}).",
                f"Swept: {', '.join(fields) or 'none'}.",
                f"Repetitions: {'none' if per is None else f'by {per}'}.",
            ],
            "Where it comes from": [f"File: {path.name}"],
        },
    )


def _is_measured(column: pl.Series) -> bool:
    if not column.dtype.is_float():
        return False
    if is_better_high(column.name) or any(word in column.name.lower() for word in _MEASURED):
        return True
    return "." not in column.name and column.n_unique() > len(column) / 2
