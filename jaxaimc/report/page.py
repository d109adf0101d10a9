"""The report as one HTML page that opens from a file, years later and without a network: all it needs is in it."""

import json
import math
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc._core.files import replacing
from jaxaimc.report.dataset import Dataset, std
from jaxaimc.report.report import Report
from jaxaimc.report.runs import Run
from jaxaimc.report.views import MOST_COLOURS, MOST_HELD, MOST_JOINED, choose, companions, is_log, pair, plane
from jaxaimc.studies.style import COLOURS

_SCRIPTS = ("page.js", "table.js", "plot.js", "curve.js", "grid.js", "front.js")
# Nothing may be fetched, whatever a name in the results holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
_TEXT = "utf-8"
# Of single chips; a browser holds more, but slowly.
_MOST_ROWS = 100_000


def write_page(report: Report, path: str | Path, title: str = "Results") -> None:
    """Write a report as one HTML file.

    Args:
        report: The report.
        path: The file; a file that is there is replaced once the new one is complete.
        title: Heading of the page.

    Raises:
        OSError: If the disk refuses; the file then stays as it was.
    """
    content = page(report, title)
    with replacing(Path(path)) as temporary:
        temporary.write_text(content, encoding=_TEXT)


def page(report: Report, title: str = "Results") -> str:
    """Return a report as an HTML page.

    Args:
        report: The report.
        title: Heading of the page.

    Returns:
        The page; 5 MB of it are plotly.js.

    Raises:
        ImportError: If plotly is not installed.
    """
    names = [f"t{number}" for number in range(len(report.datasets))]
    links = [("#runs", "Summary"), *((f"#{name}", one.title) for name, one in zip(names, report.datasets, strict=True))]
    links.append(("#ground", "What the numbers rest on"))
    made = f"jaxaimc {version('jaxaimc')}, {datetime.now(UTC).isoformat(timespec='minutes')}"
    data = {
        "colours": list(COLOURS),
        "mostColours": MOST_COLOURS,
        "mostHeld": MOST_HELD,
        "mostJoined": MOST_JOINED,
        "datasets": [_dataset(one) for one in report.datasets],
    }
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>",
        f"<style>{_asset('page.css')}</style></head><body>",
        f"<header><h1>{escape(title)}</h1><p>{escape(made)}</p></header>",
        f"<nav aria-label='Contents'><ul>{''.join(_link(*link) for link in links)}</ul></nav><main>",
        "<noscript><p class='missing'>Tables and figures need JavaScript, which is switched off.</p></noscript>",
        f"<section id='runs'><h2>Summary</h2>{''.join(map(_summary, report.runs))}</section>",
        *(_section(name, one) for name, one in zip(names, report.datasets, strict=True)),
        f"<section id='ground'><h2>What the numbers rest on</h2>{''.join(map(_ground, report.runs))}</section></main>",
        f'<script type="application/json" id="data">{_json(data)}</script>',
        f"<script>{_plotly()}</script>",
        *(f"<script>{_asset(name)}</script>" for name in _SCRIPTS),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError("The report needs plotly: pip install 'jaxaimc[app]'.") from error
    return get_plotlyjs()


def _link(target: str, label: str) -> str:
    return f'<li><a href="{target}">{escape(label)}</a></li>'


def _summary(run: Run) -> str:
    figures = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in run.figures)
    missing = "".join(f"<p class='missing'>{escape(line)}</p>" for line in run.missing)
    return f"<h3>{escape(run.name)} <small>{run.kind}</small></h3><dl class='figures'>{figures}</dl>{missing}"


def _section(name: str, dataset: Dataset) -> str:
    lines = [*dataset.about, *dataset.problems()]
    if dataset.chips > 1 and not _holds_rows(dataset):
        lines.append(f"The {len(dataset.rows):,} rows of single {dataset.per}s are too many for this page.")
    about = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<section id="{name}" class="dataset"><h2>{escape(dataset.title)}</h2>{about}</section>'


def _ground(run: Run) -> str:
    parts = [
        f"<h4>{escape(heading)}</h4><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
        for heading, lines in run.ground.items()
        if lines
    ]
    folded = [
        f"<details><summary>{escape(heading)}</summary><pre tabindex='0'>{escape(content)}</pre></details>"
        for heading, content in run.folded.items()
    ]
    return f"<h3>{escape(run.name)}</h3>{''.join(parts)}{''.join(folded)}"


def _dataset(dataset: Dataset) -> dict[str, Any]:
    """Return a dataset as the page's scripts take it: columns of its designs, and of its rows where they are more."""
    choice = choose(dataset, dataset.x, dataset.y, dataset.colour)
    designs = dataset.designs
    columns = [_column(dataset, name, designs) for name in dataset.columns]
    names = [*dataset.columns, *([dataset.per] if dataset.per else [])]
    return {
        "title": dataset.title,
        "columns": columns,
        "per": dataset.per,
        "chips": dataset.chips,
        "ofChips": f"of {dataset.chips} {dataset.per}s"
        if dataset.is_even
        else f"of up to {dataset.chips} {dataset.per}s",
        "rows": [
            {"label": dataset.label(name), "number": dataset.is_number(name), "values": _values(dataset.rows[name])}
            for name in names
        ]
        if dataset.chips > 1 and _holds_rows(dataset)
        else [],
        "references": [[one.column, one.label, _value(one.value)] for one in dataset.references],
        "curve": {
            "x": choice.x,
            "y": choice.y,
            "colour": choice.colour,
            "held": {k: _value(v) for k, v in choice.held.items()},
        },
        "grid": plane(dataset, choice),
        "front": pair(dataset),
    }


def _holds_rows(dataset: Dataset) -> bool:
    """Return whether the page has the rows of single chips too, beside those of designs."""
    return len(dataset.rows) <= _MOST_ROWS


def _column(dataset: Dataset, name: str, designs: pl.DataFrame) -> dict[str, Any]:
    role = "measured" if name in dataset.measured else "field" if name in dataset.fields else "shown"
    found: dict[str, Any] = {
        "name": name,
        "label": dataset.label(name),
        "unit": dataset.units.get(name, ""),
        "role": role,
        "number": dataset.is_number(name),
        "values": _values(designs[name]),
    }
    if role != "shown":
        found["log"] = is_log(dataset, name)
    if role == "field":
        found["with"] = list(companions(dataset, name))
    if role == "measured":
        found["higher"] = name in dataset.higher
        if dataset.chips > 1 and (designs[std(name)] > 0).any():
            found["std"] = _values(designs[std(name)])
    return found


def _values(column: pl.Series) -> list[Any]:
    """Return a column as JSON values; numbers that JSON does not have are texts."""
    return [_value(value) for value in column.to_list()]


def _value(value: Any) -> float | str | None:
    if value is None or type(value) in (int, str):
        return value
    if not isinstance(value, float):
        return str(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _json(data: Any) -> str:
    # Within a script element only "<" can end it, or begin what hides its end.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (files("jaxaimc.report") / "assets" / name).read_text(encoding=_TEXT)
