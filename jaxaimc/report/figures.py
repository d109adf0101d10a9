"""Figures of a report for papers: PNG or PDF, as wide as a column, in the style of the studies. Needs `matplotlib`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from jaxaimc._core.files import replacing
from jaxaimc.report.dataset import Dataset
from jaxaimc.report.report import Report
from jaxaimc.report.views import MOST_COLOURS, Choice, choose, curves, front, grid, is_log, pair, plane, text
from jaxaimc.studies import style
from jaxaimc.units import format_duration

Format = Literal["png", "pdf"]
# Width of a column of a paper [inch], and letters that can be read at that width [point].
_WIDTH, _POINTS = 3.5, 8
# TrueType, so that letters in a PDF stay letters.
_LOOK: Any = {"font.size": _POINTS, "pdf.fonttype": 42, "axes.linewidth": 0.6, "legend.fontsize": _POINTS - 1}
_PALETTE = "cividis"


def write_figures(report: Report, folder: str | Path, format: Format = "png") -> list[Path]:
    """Write a file for every figure that a report begins with: curves, heat maps and Pareto fronts of its tables.

    Args:
        report: The report.
        folder: The folder; made if needed. Figures of the same names are replaced.
        format: `"png"` (300 dots per inch) or `"pdf"`.

    Returns:
        The files.

    Raises:
        OSError: If the disk refuses; a figure that was there then stays as it was.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for dataset in report.datasets:
        for name, figure in draw(dataset).items():
            path = folder / f"{name}.{format}"
            while path in written:  # tables of the same title and other columns
                path = path.with_stem(f"{path.stem}_")
            with replacing(path) as temporary, matplotlib.rc_context(_LOOK):
                # Without a date, so that the same results give the same file.
                figure.savefig(
                    temporary, dpi=300, format=format, metadata={"CreationDate": None} if format == "pdf" else None
                )
            written.append(path)
    return written


def draw(dataset: Dataset) -> dict[str, Figure]:
    """Draw the figures of a dataset.

    Args:
        dataset: The dataset.

    Returns:
        Figures by name, independent of any window system.
    """
    choice = choose(dataset, dataset.x, dataset.y, dataset.colour)
    found: dict[str, Callable[[Axes], None]] = {
        f"{choice.y}-against-{choice.x}": lambda axes: _curve(axes, dataset, choice)
    }
    two = plane(dataset, choice)
    if two is not None:
        found[f"{choice.y}-by-{two[0]}-and-{two[1]}"] = lambda axes: _grid(axes, dataset, two, choice)
    measured = pair(dataset)
    if measured is not None:
        found[f"front-of-{measured[0]}-and-{measured[1]}"] = lambda axes: _front(axes, dataset, *measured)
    listed = [name for name in {choice.x, *(two or ())} if not dataset.is_number(name)]
    names = max((len(dataset.levels(name)) for name in listed), default=0)
    figures = {}
    for name, panel in found.items():
        tall = 0.0 if "front-of" in name else 0.15 * names
        with matplotlib.rc_context(_LOOK):
            figure = Figure(figsize=(_WIDTH, max(2.5, 0.9 + tall)), layout="constrained")
            axes = figure.subplots()
            panel(axes)
            axes.spines[["top", "right"]].set_visible(False)
        figures[re.sub(r"[^\w.-]+", "_", f"{dataset.title}-{name}").lower()] = figure
    return figures


def _say_held(axes: Axes, held: Mapping[str, Any]) -> None:
    if held:
        listed = ", ".join(f"{name} = {text(value)}" for name, value in held.items())
        axes.set_title(style.text(listed), fontsize=_POINTS - 1)


def _curve(axes: Axes, dataset: Dataset, choice: Choice) -> None:
    _say_held(axes, choice.held)
    found = curves(dataset, choice)
    by_scale = bool(choice.colour) and dataset.is_number(choice.colour) and len(found) > MOST_COLOURS
    is_turned = not dataset.is_number(choice.x)
    places = _places(dataset, choice)
    low, high = _ends(dataset, choice.colour) if by_scale else (0.0, 1.0)
    norm = Normalize(low, high) if by_scale else None
    for number, curve in enumerate(found):
        x = np.array([places.get(value, value) for value in curve.x], float)
        colour = style.COLOURS[number % len(style.COLOURS)] if choice.colour else style.BLUE
        if norm is not None:
            colour, number = matplotlib.colormaps[_PALETTE](norm(float(curve.label))), 0
        shift = (number + number // len(style.COLOURS)) % len(style.MARKERS)
        look: dict[str, Any] = {"color": colour, "marker": style.MARKERS[shift], "markersize": 3.5}
        label = style.text(curve.label) if choice.colour and not by_scale else None
        spread = np.nan_to_num(curve.std)
        if is_turned:
            axes.errorbar(
                curve.mean,
                x,
                xerr=spread if spread.any() else None,
                ls="",
                elinewidth=0.8,
                capsize=2,
                label=label,
                **look,
            )
        elif curve.is_line:
            few = {} if len(x) <= 60 else {"marker": ""}
            axes.plot(x, curve.mean, linewidth=1.2, label=label, **{**look, **few})
            axes.fill_between(x, curve.mean - spread, curve.mean + spread, color=colour, alpha=0.22, lw=0)
        else:
            axes.errorbar(
                x, curve.mean, spread if spread.any() else None, ls="", elinewidth=0.8, capsize=2, label=label, **look
            )
    if norm is not None:
        mappable = ScalarMappable(norm, matplotlib.colormaps[_PALETTE])
        axes.figure.colorbar(mappable, ax=axes, label=style.text(dataset.label(choice.colour)))
    for reference in dataset.references:
        if reference.column == choice.y:
            line = axes.axvline if is_turned else axes.axhline
            line(reference.value, color="0.4", ls="--", lw=0.8, label=style.text(reference.label), zorder=0)
    _scale_x(axes, dataset, choice, is_turned)
    measured = axes.xaxis if is_turned else axes.yaxis
    _scale(measured, dataset, choice.y)
    if axes.get_legend_handles_labels()[0]:
        title = style.text(dataset.label(choice.colour)) if choice.colour else None
        columns = 2 if len(found) > 4 or is_turned else len(found) + len(dataset.references)
        axes.figure.legend(
            title=title, frameon=False, ncols=columns, loc="outside upper center", handlelength=1.4, columnspacing=1
        )


def _scale_x(axes: Axes, dataset: Dataset, choice: Choice, is_turned: bool) -> None:
    """Set up the axis of the swept column."""
    if is_turned:
        names = dataset.levels(choice.x)
        axes.set_yticks(range(len(names)), [style.text(str(name)) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", alpha=0.25, lw=0.5)
        return
    if not is_log(dataset, choice.x):
        axes.set_xlabel(style.text(dataset.label(choice.x)))
        return
    values = [float(value) for value in dataset.levels(choice.x)]
    positive = [value for value in values if value > 0]
    if values[0] == 0:
        # Linear up to the smallest positive value, so that zero has a place on the axis.
        axes.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
    else:
        axes.set_xscale("log")
    axes.set_xlabel(style.text(dataset.label(choice.x)))
    if choice.x in dataset.fields and len(values) <= 16:
        is_long = dataset.units.get(choice.x) == "s" and values[-1] >= 60
        chosen = style.apart(axes, values, least=0.19 if is_long else 0.13)
        axes.set_xticks(chosen, [_short(value, dataset.units.get(choice.x, "")) for value in chosen])
        axes.minorticks_off()


def _scale(axis: Any, dataset: Dataset, name: str, more: str = "") -> None:
    """Set up the axis of a measured column."""
    if is_log(dataset, name):
        axis._set_axes_scale("log")
        axis.set_minor_formatter(NullFormatter())
    elif dataset.units.get(name):
        axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_label_text(style.text(dataset.label(name)) + more)


def _grid(axes: Axes, dataset: Dataset, two: tuple[str, str], choice: Choice) -> None:
    x, y = two
    held = {name: value for name, value in choice.held.items() if name not in two}
    _say_held(axes, held)
    cells = grid(dataset, x, y, choice.y, held)
    if cells is None:
        rows = dataset.designs.select(x, y, choice.y).drop_nulls()
        drawn = axes.scatter(rows[x].to_numpy(), rows[y].to_numpy(), c=rows[choice.y].to_numpy(), s=8, cmap=_PALETTE)
        axes.set(xscale="log" if is_log(dataset, x) else "linear", yscale="log" if is_log(dataset, y) else "linear")
    else:
        drawn = axes.imshow(cells, cmap=_PALETTE, aspect="auto", interpolation="nearest", origin="lower")
        for name, set_ticks in ((x, axes.set_xticks), (y, axes.set_yticks)):
            levels = dataset.levels(name)
            step = -(-len(levels) // 7) if dataset.is_number(name) else 1
            labels = [
                _short(level, dataset.units.get(name, "")) if dataset.is_number(name) else style.text(str(level))
                for level in levels
            ]
            set_ticks(range(0, len(levels), step), labels[::step])
        if not dataset.is_number(y):
            axes.invert_yaxis()
        if not dataset.is_number(x):
            axes.tick_params(axis="x", rotation=30)
            for label in axes.get_xticklabels():
                label.set_horizontalalignment("right")
    axes.set(xlabel=style.text(dataset.label(x)), ylabel=style.text(dataset.label(y)) if dataset.is_number(y) else "")
    axes.figure.colorbar(drawn, ax=axes, label=style.text(dataset.label(choice.y)))


def _front(axes: Axes, dataset: Dataset, x: str, y: str) -> None:
    values = dataset.designs.select(x, y).to_numpy()
    best = front(values, [name in dataset.higher for name in (x, y)])
    axes.plot(*values[~best].T, "o", color="0.6", alpha=0.5, markersize=2.5, label="dominated")
    reached = values[best][np.argsort(values[best][:, 0])]
    where = "pre" if x in dataset.higher else "post"
    axes.step(*reached.T, where=where, color=style.BLUE, linewidth=0.8, linestyle=":")
    axes.plot(*reached.T, "o", color=style.BLUE, markersize=4, label="front")
    for axis, name in ((axes.xaxis, x), (axes.yaxis, y)):
        _scale(axis, dataset, name, f", {'higher' if name in dataset.higher else 'lower'} is better")
    axes.figure.legend(frameon=False, ncols=2, loc="outside upper center")


def _places(dataset: Dataset, choice: Choice) -> dict[Any, int]:
    """Return where names stand on their axis."""
    if dataset.is_number(choice.x):
        return {}
    return {name: place for place, name in enumerate(dataset.levels(choice.x))}


def _ends(dataset: Dataset, name: str) -> tuple[float, float]:
    levels = dataset.levels(name)
    return float(levels[0]), float(levels[-1])


def _short(value: float, unit: str) -> str:
    if unit == "s" and value >= 1:
        return format_duration(value)
    is_plain = not unit or value == 0 or 0.01 <= abs(value) < 1e4
    return text(float(f"{value:.3g}")) if is_plain else EngFormatter(places=None, sep="")(value)
