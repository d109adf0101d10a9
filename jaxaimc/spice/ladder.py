"""Netlists of the column ladder: differential cells on resistive columns, idle cells held at the idle voltage or open.

This is the tile-circuit model (Luquin et al. 2025, arXiv 2506.00004). An output column is one wire. Neighbouring rows
are joined by a segment `r`; the ADC is an ideal source `v_adc` behind `r_adc`, after the last row for even columns and
before the first row for odd ones (unless `alternate` is off). Both devices of cell (i, j) always hang on the wire, and
their far ends are the two drive lines of the row:

    line plus_i  --[g+_ij]--.
                            node (i, j) --[r]-- node (i+1, j) -- ... --[r]-- node (rows-1, j) --[r_adc]-- (v_adc)
    line minus_i --[g-_ij]--'

A positive row puts its lines at `v_idle + v_read` and `v_idle - v_read`, a negative row swaps them, an idle row holds
both at `v_idle`. Unused rows outside the tile have no device; they add one segment each between tile and ADC.

With open idle cells each device hangs on its node through a transistor, here a switch that the row's gate line opens
when the pulse ends, so that only the rows that are driven load the wire.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from jaxaimc.spice.ngspice import control

# A transistor far better than any: its resistance is nothing beside a device's, what it leaks nothing beside a current.
_TRANSISTOR = ".model transistor sw vt=0.5 vh=0 ron=1e-4 roff=1e18"


def _require(holds: bool | np.bool_, argument: str, allowed: str, value: object) -> None:
    if not holds:
        raise ValueError(f"Argument `{argument}` must be {allowed}, but is {value}.")


def _check_circuit(g: np.ndarray, volts: dict[str, float], ohms: dict[str, float], unused_rows: Sequence[int]) -> None:
    if g.ndim != 3 or g.shape[0] != 2 or 0 in g.shape:
        raise ValueError(f"Argument `g` must have shape (2, rows, cols) with no empty axis, but has shape {g.shape}.")
    good = np.isfinite(g) & (g >= 0)
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(f"Argument `g` must be in [0, inf) S everywhere, but is {g[where]} S at {where}.")
    for name, value in volts.items():
        _require(np.isfinite(value), name, "a finite voltage [V]", f"{value} V")
    for name, value in ohms.items():
        _require(np.isfinite(value) and value >= 0, name, "in [0, inf) ohm", f"{value} ohm")
    allowed = "two integers >= 0, the unused rows (before the first, after the last)"
    whole = all(isinstance(n, (int, np.integer)) and n >= 0 for n in unused_rows)
    _require(len(unused_rows) == 2 and whole, "unused_rows", allowed, unused_rows)


def _check_integer_rows(name: str, value: np.ndarray, rows: int, bound: int) -> None:
    if value.ndim != 2 or value.shape[0] == 0 or value.shape[1] != rows:
        raise ValueError(
            f"Argument `{name}` must have shape (rows={rows},), or with one leading axis, but has shape {value.shape}."
        )
    outside = ~np.isin(value, np.arange(-bound, bound + 1))
    if outside.any():
        raise ValueError(f"Argument `{name}` must hold integers in [-{bound}, {bound}], but holds {value[outside][0]}.")


def _number(value: float) -> str:
    """Shortest decimal text that gives the same float64 back."""
    return repr(float(value))


def _column(
    g: Float[np.ndarray, "2 rows"],
    j: int,
    r: float,
    r_adc: float,
    v_adc: float,
    unused_rows: Sequence[int],
    at_first: bool,
    transistors: bool,
) -> Iterable[str]:
    """Elements of one column; places count along the wire, unused rows included."""
    before, after = unused_rows
    rows = g.shape[1]
    places = range(before + rows + after)
    end = places[0] if at_first else places[-1]

    def node(place: int) -> str:
        # Without resistance two nodes are one node: they get one name, so that no element of zero ohm is needed.
        if r_adc == 0 and (r == 0 or place == end):
            return f"adc{j}"
        return f"wire{j}" if r == 0 else f"wire{j}_{place}"

    yield f"* column {j}, read {'before the first' if at_first else 'after the last'} row"
    yield f"vadc{j} adc{j} 0 dc {_number(v_adc)}"
    if r_adc > 0:
        yield f"radc{j} {node(end)} adc{j} {_number(r_adc)}"
    if r > 0:
        for a, b in pairwise(places):
            yield f"rwire{j}_{a} {node(a)} {node(b)} {_number(r)}"
    for i in range(rows):
        for line, device in zip(("plus", "minus"), g[:, i], strict=True):
            if device > 0:
                wire = node(before + i)
                inner = f"{line}{j}_{i}" if transistors else wire
                yield f"r{line}{j}_{i} {line}{i} {inner} {_number(1 / device)}"
                if transistors:
                    yield f"s{line}{j}_{i} {inner} {wire} gate{i} 0 transistor"


def _columns(
    g: np.ndarray,
    r: float,
    r_adc: float,
    v_adc: float,
    unused_rows: Sequence[int],
    alternate: bool,
    transistors: bool = False,
) -> Iterable[str]:
    for j in range(g.shape[2]):
        at_first = alternate and j % 2 == 1
        yield from _column(g[:, :, j], j, r, r_adc, v_adc, unused_rows, at_first, transistors)


def _pulse(level: float, idle: float, ends: float | None, edge: float) -> str:
    """Waveform of a line that leaves `level` for `idle` in a ramp around the time `ends`, or never."""
    if ends is None:
        return f"dc {_number(level)}"
    before, after = _number(ends - edge / 2), _number(ends + edge / 2)
    return f"pwl(0 {_number(level)} {before} {_number(level)} {after} {_number(idle)})"


def _drivers(k: list[int], steps: int, t_lsb: float, edge: float, v_idle: float, v_read: float) -> Iterable[str]:
    """Lines of rows whose idle cells are held: a pulse ends where its lines return to the idle voltage."""
    for i, pulse in enumerate(k):
        for name, polarity in (("plus", 1), ("minus", -1)):
            level = v_idle + polarity * np.sign(pulse) * v_read
            yield f"v{name}{i} {name}{i} 0 {_pulse(level, v_idle, _end(pulse, steps, t_lsb), edge)}"


def _gated_drivers(k: list[int], steps: int, t_lsb: float, edge: float, v_idle: float, v_read: float) -> Iterable[str]:
    """Lines of rows whose idle cells are open: they stay, and a pulse ends where the gate opens the transistors."""
    for i, pulse in enumerate(k):
        for name, polarity in (("plus", 1), ("minus", -1)):
            yield f"v{name}{i} {name}{i} 0 dc {_number(v_idle + polarity * np.sign(pulse) * v_read)}"
        yield f"vgate{i} gate{i} 0 {_pulse(float(pulse != 0), 0.0, _end(pulse, steps, t_lsb), edge)}"


def _end(pulse: int, steps: int, t_lsb: float) -> float | None:
    """Time at which a pulse ends [s]; a full one ends together with the read and needs no edge."""
    return None if abs(pulse) in (0, steps) else abs(pulse) * t_lsb


def ladder_dc(
    g: Float[np.ndarray, "2 rows cols"],
    drive: Int[np.ndarray, "*inputs rows"],
    *,
    r: float = 0.15,
    r_adc: float | None = None,
    v_read: float = 0.2,
    v_idle: float = 0.4,
    v_adc: float = 0.4005,
    unused_rows: Sequence[int] = (0, 0),
    alternate: bool = True,
) -> str:
    """Netlist of the operating points of a tile of column ladders, one for each vector of input signs.

    Args:
        g: Conductances of the devices, `g[0]` the plus and `g[1]` the minus device of each cell [S]. A device of
            0 S is left out.
        drive: Sign of each row's drive, -1, 0 (idle) or 1; one vector of shape (rows,) or several, (inputs, rows).
        r: Resistance of the wire segment between neighbouring rows [ohm]; at 0 the column is one node.
        r_adc: Resistance between the last node and the ADC [ohm]; `None` stands for half a segment, `r / 2`.
        v_read: Read voltage, the distance of a driven line from `v_idle` [V].
        v_idle: Voltage of both lines of an idle row [V].
        v_adc: Voltage at the input of the ADC [V].
        unused_rows: Rows without devices before the first and after the last row of the tile.
        alternate: Whether odd columns are read before the first row; if not, all are read after the last.

    Returns:
        Netlist text. For each input vector it prints `current_0`, `current_1`, ...: the current into the ADC of each
        column [A].

    Raises:
        ValueError: If an argument has a wrong shape or a value outside its range.

    Example:
        >>> import numpy as np
        >>> netlist = ladder_dc(np.full((2, 3, 1), [[[25e-6]], [[0.0]]]), np.array([1, 0, -1]), r=10.0)
        >>> print(*netlist.splitlines()[8:16], sep="\\n")
        * column 0, read after the last row
        vadc0 adc0 0 dc 0.4005
        radc0 wire0_2 adc0 5.0
        rwire0_0 wire0_0 wire0_1 10.0
        rwire0_1 wire0_1 wire0_2 10.0
        rplus0_0 plus0 wire0_0 40000.0
        rplus0_1 plus1 wire0_1 40000.0
        rplus0_2 plus2 wire0_2 40000.0
    """
    g, drive = np.asarray(g, np.float64), np.atleast_2d(drive)
    r_adc = r / 2 if r_adc is None else r_adc
    volts = {"v_read": v_read, "v_idle": v_idle, "v_adc": v_adc}
    _check_circuit(g, volts, {"r": r, "r_adc": r_adc}, unused_rows)
    _, rows, cols = g.shape
    _check_integer_rows("drive", drive, rows, 1)

    lines = [f"* Column ladder, {rows} rows x {cols} columns: operating points", "* row drivers"]
    for i, sign in enumerate(drive[0]):
        for name, polarity in (("plus", 1), ("minus", -1)):
            lines.append(f"v{name}{i} {name}{i} 0 dc {_number(v_idle + polarity * sign * v_read)}")
    lines += _columns(g, r, r_adc, v_adc, unused_rows, alternate)

    commands, previous = [], drive[0]
    for signs in drive:
        for i in np.flatnonzero(signs != previous):
            for name, polarity in (("plus", 1), ("minus", -1)):
                commands.append(f"alter v{name}{i} dc = {_number(v_idle + polarity * signs[i] * v_read)}")
        previous = signs
        commands.append("op")
        for j in range(cols):
            commands += [f"let current_{j} = i(vadc{j})", f"print current_{j}"]
    return "\n".join([*lines, *control(commands), ""])


def ladder_pwm(
    g: Float[np.ndarray, "2 rows cols"],
    k: Int[np.ndarray, " rows"],
    *,
    steps: int = 127,
    t_lsb: float = 1e-9,
    edge: float | None = None,
    r: float = 0.15,
    r_adc: float | None = None,
    v_read: float = 0.2,
    v_idle: float = 0.4,
    v_adc: float = 0.4005,
    unused_rows: Sequence[int] = (0, 0),
    alternate: bool = True,
    idle: Literal["held", "open"] = "held",
) -> str:
    """Netlist of one pulse-width modulated read of a tile of column ladders, followed through time.

    All pulses start together at time 0; row i is driven for `|k_i|` steps with the sign of `k_i` and idle for the rest
    of the `steps` steps. The falling edges are linear ramps of width `edge`, each centred on its nominal time. The
    network is resistive, so the current is linear in the drive and the area of a centred ramp is that of an ideal
    step, whatever its width. ngspice puts a time point on every corner, and the trapezoidal sum over its points is
    then exact for the piecewise linear current. The tests bound what remains, for any width that is allowed, by 1e-10
    of the largest charge.

    With open idle cells the gate lines have these edges and a switch opens somewhere within, which costs up to half an
    edge of its row's charge: hence the short edges by default, with which the tests bound it by 1e-6 of the largest.

    Args:
        g: Conductances of the devices, `g[0]` the plus and `g[1]` the minus device of each cell [S]. A device of
            0 S is left out.
        k: Signed pulse length of each row, in steps, `|k_i| <= steps`.
        steps: Number of steps of the whole read (127 for 8 bits: sign and magnitude).
        t_lsb: Duration of one step [s].
        edge: Width of a falling edge [s], in [t_lsb / 1e6, t_lsb]; `None` stands for `t_lsb / 1000`, with open idle
            cells `t_lsb / 1e6`.
        r: Resistance of the wire segment between neighbouring rows [ohm]; at 0 the column is one node.
        r_adc: Resistance between the last node and the ADC [ohm]; `None` stands for half a segment, `r / 2`.
        v_read: Read voltage, the distance of a driven line from `v_idle` [V].
        v_idle: Voltage of both lines of an idle row [V].
        v_adc: Voltage at the input of the ADC [V].
        unused_rows: Rows without devices before the first and after the last row of the tile.
        alternate: Whether odd columns are read before the first row; if not, all are read after the last.
        idle: Whether idle cells are `"held"` at the idle voltage or `"open"`.

    Returns:
        Netlist text. It prints `charge_0`, `charge_1`, ...: the charge that flowed into the ADC of each column from
        time 0 to `steps * t_lsb` [C].

    Raises:
        ValueError: If an argument has a wrong shape or a value outside its range.

    Example:
        >>> import numpy as np
        >>> netlist = ladder_pwm(np.full((2, 2, 1), 25e-6), np.array([64, -127]))
        >>> print(*netlist.splitlines()[2:6], sep="\\n")
        vplus0 plus0 0 pwl(0 0.6000000000000001 6.39995e-08 0.6000000000000001 6.40005e-08 0.4)
        vminus0 minus0 0 pwl(0 0.2 6.39995e-08 0.2 6.40005e-08 0.4)
        vplus1 plus1 0 dc 0.2
        vminus1 minus1 0 dc 0.6000000000000001
    """
    g, k = np.asarray(g, np.float64), np.asarray(k)
    r_adc = r / 2 if r_adc is None else r_adc
    edge = t_lsb * (1e-3 if idle == "held" else 1e-6) if edge is None else edge
    volts = {"v_read": v_read, "v_idle": v_idle, "v_adc": v_adc}
    _check_circuit(g, volts, {"r": r, "r_adc": r_adc}, unused_rows)
    _, rows, cols = g.shape
    _require(idle in ("held", "open"), "idle", "'held' or 'open'", repr(idle))
    _require(isinstance(steps, (int, np.integer)) and steps >= 1, "steps", "an integer >= 1", steps)
    _require(np.isfinite(t_lsb) and t_lsb > 0, "t_lsb", "in (0, inf) s", f"{t_lsb} s")
    # Corners closer than the resolution of time in float64 would merge and move the edge.
    _require(1e-6 * t_lsb <= edge <= t_lsb, "edge", f"in [t_lsb / 1e6, t_lsb = {t_lsb}] s", f"{edge} s")
    if k.ndim != 1:
        raise ValueError(f"Argument `k` must have shape (rows={rows},), but has shape {k.shape}.")
    _check_integer_rows("k", k[None], rows, steps)

    opened = idle == "open"
    lines = [f"* Column ladder, {rows} rows x {cols} columns: pulse-width modulated read", "* row drivers"]
    lines += (_gated_drivers if opened else _drivers)(k.tolist(), steps, t_lsb, edge, v_idle, v_read)
    lines += [_TRANSISTOR] if opened else []
    lines += _columns(g, r, r_adc, v_adc, unused_rows, alternate, opened)

    duration = _number(steps * t_lsb)
    commands = [f"tran {_number(t_lsb)} {duration} 0 {_number(t_lsb)}"]
    for j in range(cols):
        commands.append(f"let running_{j} = integ(i(vadc{j}))")
        commands += [f"let charge_{j} = running_{j}[length(running_{j})-1]", f"print charge_{j}"]
    return "\n".join([*lines, *control(commands), ""])
