"""Pictures of a tile's wires: voltage map, profile along a column, error of an output against its position.

Matplotlib is imported when a figure is asked for; install the extra `jaxaimc[app]`. Every function returns a figure,
which the caller saves or shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc.wires import Mesh, OperatingPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMN_COLOURS = ("#0b3c5d", "#328cc1", "#d9853b", "#7a1f3d")


def voltage_map(point: OperatingPoint, v: Float[Array, " rows"] | None = None) -> Figure:
    """Draw the voltages of all row nodes, all column nodes and across all devices of one operating point.

    Args:
        point: From `Mesh.operating_point`.
        v: Voltages of the row drivers [V]; with them the devices' panel shows what is lost of them.

    Returns:
        The figure, three panels with a colour bar each.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    figure, axes = _figure(1, 3, width=11.5, height=3.9)
    across = np.asarray(point.row_voltage) - np.asarray(point.col_voltage)
    panels = [
        ("Row lines", np.asarray(point.row_voltage) * 1e3, "voltage [mV]"),
        ("Column lines", np.asarray(point.col_voltage) * 1e3, "voltage [mV]"),
        ("Across the devices", across * 1e3, "voltage [mV]"),
    ]
    if v is not None:
        # In volts, not as a share of the drive: a row that is hardly driven can lose many times its own voltage.
        panels[2] = ("Lost on the way to the device", 1e3 * (np.asarray(v)[:, None] - across), "voltage [mV]")
    for axis, (title, values, label) in zip(axes.flat, panels, strict=True):
        image = axis.imshow(values, aspect="auto", cmap="viridis", interpolation="nearest")
        axis.set(title=title, xlabel="column (driven on the left)", ylabel="row (sensed below)")
        figure.colorbar(image, ax=axis, label=label)
    return figure


def column_profile(point: OperatingPoint, columns: tuple[int, ...] = (0,)) -> Figure:
    """Draw voltage and collected current along some columns.

    Args:
        point: From `Mesh.operating_point`.
        columns: Which columns, at most four.

    Returns:
        The figure: node voltages above, the current in the wire below.

    Raises:
        ValueError: If there are more than four columns, or one lies outside the array.
        ImportError: If matplotlib is not installed.
    """
    cols = point.col_voltage.shape[1]
    if not 1 <= len(columns) <= len(_COLUMN_COLOURS) or any(not 0 <= j < cols for j in columns):
        raise ValueError(f"Argument `columns` must be one to four integers in [0, {cols - 1}], but is {columns}.")
    figure, axes = _figure(2, 1, width=6.4, height=5.2, sharex=True)
    upper, lower = axes.flat
    for j, colour in zip(columns, _COLUMN_COLOURS, strict=False):
        upper.plot(np.asarray(point.col_voltage)[:, j] * 1e3, color=colour, label=f"column {j}")
        lower.plot(np.cumsum(np.asarray(point.device_current)[:, j]) * 1e6, color=colour, label=f"column {j}")
    upper.set(ylabel="column node [mV]", title="IR drop along a column")
    lower.set(ylabel="current in the wire [uA]", xlabel="row (the sense circuit is on the right)")
    upper.legend(frameon=False)
    return figure


def error_by_position(mesh: Mesh, g: Float[Array, "rows cols"], v: Float[Array, "*batch rows"]) -> Figure:
    """Draw the relative error that the wires cause in each output, against the output's position.

    Args:
        mesh: The wires.
        g: Device conductances [S].
        v: Row voltages [V], one vector or several; several show the mean and the range between the 10th and the 90th
            percentile.

    Returns:
        The figure.

    Raises:
        ValueError: If no output carries a current that an error could be related to.
        ImportError: If matplotlib is not installed.
    """
    vectors = np.asarray(v).reshape(-1, g.shape[0])
    ideal = vectors @ np.asarray(g)
    largest = np.max(np.abs(ideal), initial=0.0)
    if not largest > 0:
        raise ValueError(f"Arguments `g` and `v` must give a current somewhere, but the largest is {largest:g} A.")
    error = 100 * (np.asarray(mesh.read(g, jnp.asarray(vectors)).current) - ideal) / largest
    figure, axes = _figure(1, 1, width=6.4, height=3.6)
    axis = axes.flat[0]
    axis.plot(error.mean(axis=0), color=_COLUMN_COLOURS[0], label="mean" if len(error) > 1 else None)
    if len(error) > 1:
        low, high = np.percentile(error, [10, 90], axis=0)
        axis.fill_between(np.arange(g.shape[1]), low, high, color=_COLUMN_COLOURS[1], alpha=0.35, lw=0, label="10-90 %")
        axis.legend(frameon=False)
    axis.axhline(0, color="0.6", lw=0.8)
    axis.set(xlabel="output column (rows are driven on the left)", ylabel="error [% of the largest output]")
    axis.set_title("Error that the wires cause")
    return figure


def _figure(rows: int, cols: int, *, width: float, height: float, sharex: bool = False) -> tuple[Figure, np.ndarray]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: install `jaxaimc[app]`.") from error
    # Without pyplot no window system is touched and no global state is kept.
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(rows, cols, sharex=sharex))
