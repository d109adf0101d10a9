"""Colours, markers and axes that the figures of all studies share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that stay apart for the colour-blind (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (SKY, GREEN, ORANGE, PURPLE, BLUE, RED)
MARKERS = "osD^vP"


def text(name: str) -> str:
    """Return a name as Matplotlib prints it unchanged: a dollar sign would begin a formula."""
    return name.replace("$", r"\$")


def panels(number: int) -> tuple[Figure, list[Axes]]:
    """Make a figure without any window system, with panels side by side in at most two columns.

    Args:
        number: How many panels.

    Returns:
        The figure and its panels; one too many, where the number is odd, is not shown.
    """
    columns = min(number, 2)
    rows = -(-number // columns)
    figure = Figure(figsize=(6.4 * columns, 4.4 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in axes[number:]:
        unused.set_visible(False)
    return figure, axes[:number]


def entitle(axes: Axes, letter: str) -> None:
    """Put a letter before the title of a panel, and take its box away."""
    axes.set_title(f"({letter}) {axes.get_title()}", loc="left", fontsize=11, fontweight="bold")
    axes.set_title("")
    axes.spines[["top", "right"]].set_visible(False)


def line(axes: Axes, x: Sequence[float], rows: Sequence[dict[str, Any]], **style: Any) -> None:
    """Draw the means of summary rows with bars of one standard deviation."""
    mean = np.array([row["mean"] for row in rows])
    spread = np.array([row["std"] or 0.0 for row in rows])
    axes.errorbar(x, mean, spread, capsize=3, markersize=5, linewidth=1.5, **style)


def apart(axes: Axes, values: Sequence[float], least: float = 0.07) -> list[float]:
    """Return the first value and those that follow at a readable distance on the x axis."""
    axes.autoscale_view()
    chosen: list[float] = []
    place = axes.transData + axes.transAxes.inverted()
    for value in values:
        if not chosen or place.transform((value, 0))[0] - place.transform((chosen[-1], 0))[0] >= least:
            chosen.append(value)
    return chosen
