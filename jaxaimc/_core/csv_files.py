"""Tables in CSV files that users bring: every refusal names the file and the line."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float


def read_rows(
    path: str | Path,
    what: str,
    columns: Sequence[str],
    *,
    others: bool = False,
    renamed: Mapping[str, str] | None = None,
) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a CSV file with a header.

    Spreadsheets put a byte-order mark before the text and spaces around names; both are passed over.

    Args:
        path: File in UTF-8.
        what: What to call the file in messages, such as "Data file".
        columns: Columns that it must have.
        others: Whether it may have other columns.
        renamed: Columns that are read under another name, by their name in the file.

    Returns:
        Line number and entries by column of every row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no UTF-8 text, columns are missing, unknown or repeated, or a row has too few, too many or
            too long entries.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {what[:1].lower()}{what[1:]} {str(path)!r}.")
    source = f"{what} {str(path)!r}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            try:
                names = [(renamed or {}).get(name.strip(), name.strip()) for name in next(reader, [])]
                _check_names(source, names, columns, others=others)
                return [(reader.line_num, _row(source, reader.line_num, names, row)) for row in reader if row]
            except csv.Error as error:
                raise ValueError(
                    f"{source}, line {reader.line_num}: {error}; a quotation mark may lack its other half."
                ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} must be text in UTF-8, but is not from byte {error.start} on.") from error


def read_numbers(
    path: str | Path,
    what: str,
    columns: Sequence[str],
    *,
    others: bool = False,
    renamed: Mapping[str, str] | None = None,
) -> Float[np.ndarray, "rows columns"]:
    """Read columns of numbers; see `read_rows`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `read_rows`, and if an entry is no finite number.
    """
    found = []
    for line, row in read_rows(path, what, columns, others=others, renamed=renamed):
        for name in columns:
            if not _is_number(row[name]):
                raise ValueError(
                    f"{what} {str(path)!r}, line {line}: column {name} must be a finite number, but is {row[name]!r}."
                )
        found.append([float(row[name]) for name in columns])
    return np.array(found, np.float64).reshape(-1, len(columns))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_names(source: str, names: list[str], columns: Sequence[str], *, others: bool) -> None:
    known = set(columns) <= set(names) if others else set(columns) == set(names)
    if not known or len(set(names)) != len(names):
        wanted = ", ".join(columns) + ("" if others else " and no others")
        raise ValueError(f"{source} must have the columns {wanted}, each once, but has {', '.join(names) or 'none'}.")


def _row(source: str, line: int, names: list[str], row: list[str]) -> dict[str, str]:
    if len(row) != len(names):
        raise ValueError(f"{source}, line {line}, must have {len(names)} entries, but has {len(row)}.")
    return dict(zip(names, row, strict=True))
