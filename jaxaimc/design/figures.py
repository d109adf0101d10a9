"""Figures of designs: how they came about, and the front of several weights. Needs `matplotlib`."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxaimc._core.files import replacing
from jaxaimc.design.front import Front
from jaxaimc.studies import style


def draw(front: Front) -> Figure:
    """Draw designs over their steps, and, where there are several, their front in its first two figures.

    Args:
        front: Result of `pareto`.

    Returns:
        Figure, independent of any window system.
    """
    panels = [_objective, _variables, *([_front] if len(front.points) > 1 and len(front.names) > 1 else [])]
    figure, grid = style.panels(len(panels))
    for letter, panel, axes in zip("abc", panels, grid, strict=False):
        panel(axes, front)
        style.entitle(axes, letter)
    return figure


def save(front: Front, path: Path) -> None:
    """Draw designs into a PNG file.

    Args:
        front: Result of `pareto`.
        path: The file.

    Raises:
        OSError: If the disk refuses; the file then stays as it was.
    """
    figure = draw(front)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _objective(axes: Axes, front: Front) -> None:
    for number, point in enumerate(front.points):
        colour = style.COLOURS[number % len(style.COLOURS)]
        axes.plot(point.smooth.history["total"], color=colour, label=f"weight {point.weight:g}")
    if len(front.points) > 1:
        axes.legend(fontsize=8)
    axes.set_xlabel("step")
    axes.set_ylabel("objective")
    axes.set_title("Objective, with penalties")


def _variables(axes: Axes, front: Front) -> None:
    start = 0
    for number, point in enumerate(front.points):
        for k, one in enumerate(point.smooth.variables):
            column = point.smooth.history[one.name]
            label = style.text(one.name) if number == 0 else None
            scale = abs(one.start) or 1.0
            steps = start + np.arange(len(column))
            axes.plot(steps, column / scale, color=style.COLOURS[k % len(style.COLOURS)], label=label)
        start += len(point.smooth.history["total"]) - 1
    if all(one.start > 0 for one in front.points[0].smooth.variables):
        axes.set_yscale("log")
    axes.legend(fontsize=8)
    axes.set_xlabel("step, one weight after the other" if len(front.points) > 1 else "step")
    axes.set_ylabel("value over that of the start")
    axes.set_title("Variables")


def _front(axes: Axes, front: Front) -> None:
    y, x = front.names[:2]
    for point in front.points:
        colour = "0.6" if point.dominated else style.BLUE
        axes.plot(point.figures[x], point.figures[y], "o", color=colour)
        axes.annotate(
            f"{point.weight:g}", (point.figures[x], point.figures[y]), (4, 4), textcoords="offset points", fontsize=8
        )
    best = sorted(front.best, key=lambda point: point.figures[x])
    axes.plot([point.figures[x] for point in best], [point.figures[y] for point in best], color=style.BLUE, lw=1)
    axes.set_xlabel(style.text(x))
    axes.set_ylabel(style.text(y))
    axes.set_title("Front; numbers are weights, grey points are dominated")
