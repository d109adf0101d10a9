"""The results of an evaluation as one figure."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxaimc._core.files import replacing
from jaxaimc.studies import style
from jaxaimc.studies.results import Evaluation, Row
from jaxaimc.studies.tables import digital_score, layer_means, short_name
from jaxaimc.units import format_duration


def draw(evaluation: Evaluation) -> Figure:
    """Draw an evaluation: effects, drift, wire resistance, layers; studies without rows are left out.

    Args:
        evaluation: What was measured.

    Returns:
        Figure, independent of any window system.

    Raises:
        ValueError: If the evaluation has none of these.
    """
    summary = evaluation.summary()
    studies: list[tuple[bool, Callable[[Axes], None]]] = [
        (_has(summary, "effect"), lambda axes: _effects(axes, evaluation, summary)),
        (_has(summary, "drift"), lambda axes: _drift(axes, evaluation, summary)),
        (_has(summary, "resistance"), lambda axes: _resistance(axes, evaluation, summary)),
        (bool(evaluation.layers), lambda axes: _layers(axes, evaluation.layers)),
    ]
    panels = [panel for present, panel in studies if present]
    if not panels:
        raise ValueError(
            "Argument `evaluation` must hold rows of effects, drift, resistances or layers, but holds none."
        )
    figure, grid = style.panels(len(panels))
    for letter, panel, axes in zip("abcd", panels, grid, strict=False):
        panel(axes)
        style.entitle(axes, letter)
    examples, chips = (max(row[name] for row in summary) for name in ("examples", "chips"))
    figure.suptitle(
        f"{style.text(evaluation.task)} on analog tiles: {examples:,} test examples, {chips} chips, "
        "bars of one standard deviation",
        fontsize=12,
    )
    return figure


def save(evaluation: Evaluation, path: Path) -> None:
    """Draw an evaluation into a PNG file.

    Args:
        evaluation: What was measured.
        path: The file.

    Raises:
        OSError: If the disk refuses; the file then stays as it was.
    """
    figure = draw(evaluation)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _effects(axes: Axes, evaluation: Evaluation, summary: Sequence[Row]) -> None:
    rows = [row for row in summary if row["study"] == "effect"]
    position = np.arange(len(rows))
    mean = np.array([row["mean"] for row in rows])
    colors = ["0.6" if row["name"] == "digital" else style.BLUE for row in rows]
    axes.barh(position, mean, color=colors, height=0.62)
    for place, row in zip(position, rows, strict=True):
        spread = row["std"] or 0.0
        if spread:
            axes.errorbar(row["mean"], place, xerr=spread, color="black", capsize=3, linewidth=1.2)
        label = f"{row['mean']:.4f}" + (f" ± {spread:.4f}" if spread else "")
        axes.annotate(label, (row["mean"] + spread, place), (5, 0), textcoords="offset points", va="center", fontsize=8)
    low, high = mean.min(), mean.max()
    # The effects differ by little; a bar is read by its end, and the axis says where it starts.
    start = evaluation.chance if low - evaluation.chance < 0.15 else np.floor(20 * low - 1) / 20
    axes.set_xlim(start, start + (high - start) * 1.45)
    axes.set_yticks(position, [style.text(row["name"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"{style.text(evaluation.metric)} (axis starts at {start:g})")
    axes.set_title("Effects, right after programming")


def _drift(axes: Axes, evaluation: Evaluation, summary: Sequence[Row]) -> None:
    rows = [row for row in summary if row["study"] == "drift"]
    for compensated, label, color, marker in (
        (False, "not compensated", style.RED, "s"),
        (True, "drift compensated", style.BLUE, "o"),
    ):
        chosen = [row for row in rows if row["compensated"] == compensated]
        style.line(axes, [row["t"] for row in chosen], chosen, label=label, color=color, marker=marker)
    times = sorted({row["t"] for row in rows})
    axes.set_xscale("symlog" if times[0] == 0 else "log")
    times = style.apart(axes, times)
    axes.set_xticks(times, [format_duration(t) for t in times])
    axes.minorticks_off()
    _frame(axes, evaluation, digital_score([row for row in summary if row["study"] == "effect"]))
    axes.set_xlabel("time since programming")
    axes.set_title("Everything, over time")


def _resistance(axes: Axes, evaluation: Evaluation, summary: Sequence[Row]) -> None:
    rows = [row for row in summary if row["study"] == "resistance"]
    swept = [row for row in rows if row["r"] is not None]
    for name, color, marker in zip(
        dict.fromkeys(row["name"] for row in swept), (style.GREEN, style.BLUE), "so", strict=False
    ):
        chosen = [row for row in swept if row["name"] == name]
        style.line(axes, [row["r"] for row in chosen], chosen, label=name, color=color, marker=marker)
    values = sorted({row["r"] for row in swept})
    positive = [value for value in values if value > 0]
    if positive:
        # Linear up to the smallest positive value, so that the perfect wire has a place on the axis.
        axes.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
        ticks = style.apart(axes, values)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    _frame(axes, evaluation, digital_score(rows))
    axes.set_xlabel(f"wire resistance per segment [ohm] (first {rows[0]['examples']:,} examples)")
    axes.set_title("Wire resistance, right after programming")


def _layers(axes: Axes, layers: Sequence[Row]) -> None:
    means = layer_means(layers)
    names = list(dict.fromkeys(row["name"] for row in layers))
    position = np.arange(len(means))
    for index, name in enumerate(names):
        look: dict[str, Any] = {"color": style.COLOURS[index % 6], "marker": style.MARKERS[index % 6]}
        errors = [means[layer].get(name, np.nan) for layer in means]
        axes.plot(errors, position, markersize=4, linewidth=0.5, label=short_name(name), **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(position, [style.text(name) for name in means], fontsize=max(4, min(8, 160 / len(means))))
    axes.invert_yaxis()
    axes.set_xlabel("root mean square error over root mean square output")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.11), ncols=3, frameon=False)
    axes.grid(alpha=0.25)
    axes.set_title("Output error of each layer")


def _frame(axes: Axes, evaluation: Evaluation, digital: float | None) -> None:
    """Add the lines of the digital network and of guessing, the axis of the metric, and the legend."""
    if digital is not None:
        axes.axhline(digital, color="0.3", linestyle="--", linewidth=1, label="digital")
    axes.axhline(evaluation.chance, color="0.3", linestyle=":", linewidth=1, label="chance")
    axes.set_ylabel(style.text(evaluation.metric))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)


def _has(summary: Sequence[Row], study: str) -> bool:
    return any(row["study"] == study for row in summary)
