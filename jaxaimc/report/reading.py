"""Files of results folders; each refusal names the file, what was found and what is allowed."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc._core.files import without_standard_error
from jaxaimc.report.dataset import ReportError

SUFFIXES = (".parquet", ".csv")


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV table.

    Args:
        path: The file.

    Raises:
        ReportError: If it is truncated, of another format, or has no columns or no rows.
    """
    try:
        with without_standard_error():
            table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        size = path.stat().st_size
        if isinstance(error, pl.exceptions.NoDataError):
            raise ReportError(f"Table {str(path)!r} must have columns and rows, but is empty.") from error
        if path.suffix == ".parquet":
            raise ReportError(f"Table {str(path)!r} is truncated or not Parquet ({size:,} bytes).") from error
        first = str(error).strip().partition("\n")[0]
        raise ReportError(
            f"Table {str(path)!r} must be CSV in UTF-8 with a header and as many entries in every row, but: {first}"
        ) from error
    if not len(table):
        raise ReportError(
            f"Table {str(path)!r} must have rows, but has none (columns: {', '.join(table.columns) or 'none'})."
        )
    return table


def need_columns(path: Path, table: pl.DataFrame, names: tuple[str, ...]) -> None:
    """Refuse a table that lacks columns.

    Raises:
        ReportError: If one is missing.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ReportError(
            f"Table {str(path)!r} must have the columns {', '.join(names)}, but lacks {', '.join(missing)}; it has "
            f"{', '.join(table.columns)}."
        )


def read_record(folder: Path) -> dict[str, Any]:
    """Read `run.json` of a results folder; empty where there is none.

    Raises:
        ReportError: If it is no JSON object, as when it is truncated.
    """
    path = folder / "run.json"
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"Record {str(path)!r} is truncated or no JSON ({path.stat().st_size:,} bytes).") from error
    if not isinstance(record, dict) or not isinstance(record.get("facts", {}), dict):
        raise ReportError(f"Record {str(path)!r} must be a JSON object with an object `facts`, but is another.")
    return record
