"""Dense modified nodal analysis of the column ladder in NumPy float64: the second oracle, beside ngspice.

Unknowns are all node voltages and, beside them, the currents of all wire segments. A segment's equation
`v_a - v_b - r i = 0` holds for `r = 0` as well, and a device of 0 S simply adds nothing.
"""

import numpy as np


def _column(g_plus, g_minus, r, r_adc, before, after, at_last):
    """Response of the current into one column's ADC to (plus lines, minus lines, v_adc), shape (2 rows + 1,)."""
    rows = len(g_plus)
    nodes = before + rows + after  # the ADC's own node is known: v_adc
    branches = nodes  # nodes - 1 segments, then the resistor in front of the ADC
    scale = 1e-5  # branch currents are counted in units of `scale` amperes and KCL in siemens / scale: pivots near 1
    a = np.zeros((nodes + branches, nodes + branches))
    b = np.zeros((nodes + branches, 2 * rows + 1))
    for i in range(rows):
        at = before + i
        a[at, at] += (g_plus[i] + g_minus[i]) / scale
        b[at, i] += g_plus[i] / scale
        b[at, rows + i] += g_minus[i] / scale
    for s in range(nodes - 1):
        row = nodes + s
        a[s, row] += 1.0  # the current of segment s leaves node s and enters node s + 1
        a[s + 1, row] -= 1.0
        a[row, s], a[row, s + 1], a[row, row] = 1.0, -1.0, -r * scale
    end = nodes - 1 if at_last else 0
    last = nodes + branches - 1
    a[end, last] += 1.0
    a[last, end], a[last, last] = 1.0, -r_adc * scale
    b[last, 2 * rows] = 1.0
    return scale * np.linalg.solve(a, b)[last]


def column_currents(
    g,
    drive,
    *,
    r=0.15,
    r_adc=None,
    v_read=0.2,
    v_idle=0.4,
    v_adc=0.4005,
    unused_rows=(0, 0),
    alternate=True,
):
    """Current into each column's ADC [A], shape (..., cols), for signs `drive` of shape (..., rows)."""
    g, drive = np.asarray(g, np.float64), np.asarray(drive)
    r_adc = r / 2 if r_adc is None else r_adc
    before, after = unused_rows
    lines = np.concatenate(
        [v_idle + v_read * drive, v_idle - v_read * drive, np.full((*drive.shape[:-1], 1), v_adc)], axis=-1
    )
    at_last = [j % 2 == 0 or not alternate for j in range(g.shape[2])]
    columns = [_column(g[0, :, j], g[1, :, j], r, r_adc, before, after, at_last[j]) for j in range(g.shape[2])]
    return lines @ np.stack(columns, axis=-1)


def pwm_charge(g, k, *, steps=127, t_lsb=1e-9, idle="held", **circuit):
    """Charge into each column's ADC [C], shape (cols,): the currents of all time steps, one by one, summed."""
    k = np.asarray(k)
    drive = np.sign(k) * (np.abs(k) > np.arange(steps)[:, None])
    if idle == "held":
        return t_lsb * column_currents(g, drive, **circuit).sum(axis=0)
    # The devices of idle rows are not there.
    g = np.asarray(g)
    currents = [column_currents(np.where(now[:, None] != 0, g, 0.0), now, **circuit) for now in drive]
    return t_lsb * np.sum(currents, axis=0)
