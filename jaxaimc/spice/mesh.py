"""Netlists of crossbars with resistive rows and columns: linear devices, gated devices, devices with a curve.

    (v_i) --[row lead]-- row(i, 0) --[r_row]-- row(i, 1) -- ...
                            |
                       device (i, j)
                            |
    col(i, j) --[r_col]-- col(i + 1, j) -- ... --[col lead]-- (0 V, sensed)

Segments of zero ohm are sources of zero volts, devices of zero siemens are left out, and an open (gated) device
likewise. A device with a curve is a current source that ngspice evaluates from the voltage between its nodes.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from jaxaimc.spice.ngspice import control


def mesh_dc(
    g: Float[np.ndarray, "rows cols"],
    v: Float[np.ndarray, " rows"],
    *,
    r_row: float,
    r_col: float,
    r_row_end: float | None = None,
    r_col_end: float | None = None,
    connected: Bool[np.ndarray, "rows cols"] | None = None,
    curve: str = "{g}*{v}",
    nodes: bool = False,
) -> str:
    """Netlist of the operating point of one crossbar for one vector of row voltages.

    Args:
        g: Device conductances [S].
        v: Voltage of each row's driver [V], against the sense terminals.
        r_row: Segment of a row line [ohm].
        r_col: Segment of a column line [ohm].
        r_row_end: From a driver to its row's first node, everything in series [ohm]; one segment by default.
        r_col_end: From a column's last node to its sense terminal, everything in series [ohm]; one segment by default.
        connected: Which devices are connected; all by default. Gated circuits are one netlist per time step.
        curve: Device current as an ngspice expression of `{g}` and `{v}`; resistors where it is the default.
        nodes: Whether to print every node voltage as well, `row_i_j` and `col_i_j`.

    Returns:
        Netlist text that prints `current_0`, `current_1`, ...: the current out of each column [A].

    Raises:
        ValueError: If an argument has a wrong shape or a value outside its range.

    Example:
        >>> import numpy as np
        >>> print(*mesh_dc(np.array([[1e-3]]), np.array([0.2]), r_row=1.0, r_col=0.0).splitlines()[1:6], sep="\\n")
        vdrive0 drive0 0 dc 0.2
        rlead0 drive0 row0_0 1.0
        vsense0 sense0 0 dc 0
        vtail0 col0_0 sense0 dc 0
        rdevice0_0 row0_0 col0_0 1000.0
    """
    g, v = np.asarray(g, np.float64), np.asarray(v, np.float64)
    if g.ndim != 2 or 0 in g.shape:
        raise ValueError(f"Argument `g` must have shape (rows, cols) with no empty axis, but has shape {g.shape}.")
    rows, cols = g.shape
    if v.shape != (rows,):
        raise ValueError(f"Argument `v` must have shape (rows={rows},), but has shape {v.shape}.")
    if not np.all(np.isfinite(g) & (g >= 0)):
        raise ValueError(f"Argument `g` must be in [0, inf) S everywhere, but is {np.min(g)} S somewhere.")
    ohms = {
        "r_row": r_row,
        "r_col": r_col,
        "r_row_end": r_row if r_row_end is None else r_row_end,
        "r_col_end": r_col if r_col_end is None else r_col_end,
    }
    for name, value in ohms.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"Argument `{name}` must be in [0, inf) ohm, but is {value} ohm.")
    on = np.ones(g.shape, bool) if connected is None else np.asarray(connected, bool)

    lines = [f"* Crossbar, {rows} rows x {cols} columns: operating point"]
    for i in range(rows):
        lines.append(f"vdrive{i} drive{i} 0 dc {float(v[i])!r}")
        lines.append(_segment(f"lead{i}", f"drive{i}", f"row{i}_0", ohms["r_row_end"]))
        lines += [_segment(f"row{i}_{j}", f"row{i}_{j}", f"row{i}_{j + 1}", r_row) for j in range(cols - 1)]
    for j in range(cols):
        lines.append(f"vsense{j} sense{j} 0 dc 0")
        lines.append(_segment(f"tail{j}", f"col{rows - 1}_{j}", f"sense{j}", ohms["r_col_end"]))
        lines += [_segment(f"col{i}_{j}", f"col{i}_{j}", f"col{i + 1}_{j}", r_col) for i in range(rows - 1)]
    for i, j in np.argwhere(on & (g > 0)):
        a, b = f"row{i}_{j}", f"col{i}_{j}"
        if curve == "{g}*{v}":
            lines.append(f"rdevice{i}_{j} {a} {b} {float(1 / g[i, j])!r}")
        else:
            current = curve.format(g=repr(float(g[i, j])), v=f"v({a},{b})")
            lines.append(f"bdevice{i}_{j} {a} {b} i={current}")
    printed = [(f"current_{j}", f"i(vsense{j})") for j in range(cols)]
    if nodes:
        printed += [
            (f"{x}_{i}_{j}", f"v({x}{i}_{j})") for x in ("row", "col") for i in range(rows) for j in range(cols)
        ]
    return "\n".join([*lines, *control(["op", *_prints(printed)]), ""])


def _segment(name: str, a: str, b: str, ohms: float) -> str:
    return f"v{name} {a} {b} dc 0" if ohms == 0 else f"r{name} {a} {b} {float(ohms)!r}"


def _prints(results: Sequence[tuple[str, str]]) -> list[str]:
    return [command for name, value in results for command in (f"let {name} = {value}", f"print {name}")]
