"""Power of the supplies against nodal analysis of the whole circuit in NumPy and SciPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from wires import nodal

from jaxaimc.wires import InterleavedColumns, Ladder, Mesh, NoWires, OpenIdle, Placement

ROWS, COLS, STEPS, V = 12, 4, 7, 0.2
SIGNS = (1.0, -1.0)
# Two unused rows behind the block, one before it: even columns are read behind the former, odd ones before the latter.
PLACE = Placement(rows=ROWS + 3, cols=COLS, row_start=1)


def devices(seed=0):
    return 25e-6 * np.random.default_rng(seed).random((2, ROWS, COLS))


def pulses(seed=1):
    return np.random.default_rng(seed).integers(-STEPS, STEPS + 1, (3, ROWS)) / STEPS


def dissipated(nodes, edges):
    """Power in conductances (node or voltage, node or voltage, siemens); nodes are integers, voltages floats."""
    A, f = np.zeros((nodes, nodes)), np.zeros(nodes)
    for a, b, g in edges:
        for p, q in ((a, b), (b, a)):
            if isinstance(p, int):
                A[p, p] += g
                if isinstance(q, int):
                    A[p, q] -= g
                else:
                    f[p] += g * q
    v = np.linalg.solve(A, f)
    at = lambda n: v[n] if isinstance(n, int) else n  # noqa: E731
    return sum(g * (at(a) - at(b)) ** 2 for a, b, g in edges)


def columns(g, drive, connected, r, offset):
    total = 0.0
    for j in range(COLS):
        order, after = (range(ROWS), 2) if j % 2 == 0 else (range(ROWS)[::-1], 1)
        edges = [(place - 1, place, 1 / r) for place in range(1, ROWS)]
        edges += [(ROWS - 1, float(offset), 1 / (r * (0.5 + after) + 20.0))]
        edges += [
            (place, float(sign * drive[i] * V), g[p, i, j])
            for place, i in enumerate(order)
            for p, sign in enumerate(SIGNS)
            if connected[i]
        ]
        total += dissipated(ROWS, edges)
    return total


@pytest.mark.parametrize("idle", ["held", "open"])
def test_columns(idle, x64):
    """Exact for drives that last for the whole pulse: the ADC's own voltage, unused rows and both ends included."""
    g, level, known = devices(), np.sign(pulses()), {"r": 50.0, "adc_segments": 0.5, "r_out": 20.0}
    wires = Ladder(v_idle=0.4, v_adc=0.43, **known) if idle == "held" else OpenIdle(**known)
    found = wires.supply_power(jnp.asarray(g), SIGNS, PLACE, jnp.asarray(level), timed=True, v_read=V)
    all_rows, offset = np.ones(ROWS), 0.43 - 0.4 if idle == "held" else 0.0
    expected = [columns(g, u, all_rows if idle == "held" else u != 0, 50.0, offset) for u in level]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("idle", ["held", "open"])
def test_columns_over_time(idle, x64):
    """Pulses of many lengths: the mean over stretches of time is off by 8 % of what the wires do at most."""
    g, level, known = devices(), pulses(), {"r": 50.0, "adc_segments": 0.5, "r_out": 20.0}
    wires = Ladder(v_idle=0.4, v_adc=0.4, **known) if idle == "held" else OpenIdle(**known)
    found = wires.supply_power(jnp.asarray(g), SIGNS, PLACE, jnp.asarray(level), timed=True, v_read=V)
    all_rows = np.ones(ROWS)
    expected, ideal = [], NoWires().supply_power(jnp.asarray(g), SIGNS, PLACE, jnp.asarray(level), timed=True, v_read=V)
    for u in level:
        at = [np.sign(u) * (np.abs(u) > (step + 0.5) / STEPS) for step in range(STEPS)]
        expected.append(np.mean([columns(g, d, all_rows if idle == "held" else d != 0, 50.0, 0.0) for d in at]))
    off = np.abs(found - np.array(expected)) / (ideal - np.array(expected))
    assert np.max(off) < 0.1, off


def test_no_resistance_is_no_loss(x64):
    g, level = jnp.asarray(devices()), jnp.asarray(pulses())
    ideal = np.einsum("bi,pij->b", np.abs(level), g) * V**2
    for wires in (NoWires(), Ladder(r=0.0, v_adc=0.4), OpenIdle(r=0.0), Mesh(r_row=0.0, r_col=0.0)):
        found = wires.supply_power(g, SIGNS, PLACE, level, timed=True, v_read=V)
        np.testing.assert_allclose(found, ideal, rtol=1e-12, err_msg=type(wires).__name__)
    # Amplitudes: the power goes with the square of the voltage.
    found = NoWires().supply_power(g, SIGNS, PLACE, level, timed=False, v_read=V)
    np.testing.assert_allclose(found, np.einsum("bi,pij->b", level**2, g) * V**2, rtol=1e-12)


@pytest.mark.parametrize(("r_row", "r_col", "worst"), [(0.0, 5.0, 1e-12), (5.0, 0.0, 1e-12), (5.0, 5.0, 0.015)])
def test_mesh(r_row, r_col, worst, x64):
    """Exact for rows or columns alone; with both off by a share of what they do, which is a third of the power."""
    random, size = np.random.default_rng(0), 64
    g, level = 100e-6 * random.random((1, size, size)), random.random((2, size))
    place = Placement(rows=size, cols=size)
    wires = Mesh(r_row=r_row, r_col=r_col, layout=InterleavedColumns())
    found = wires.supply_power(jnp.asarray(g), (1.0,), place, jnp.asarray(level), timed=False, v_read=V)
    _, row, col = nodal.mesh(g[0], level * V, r_row, r_col, r_row, r_col)
    expected = np.einsum("bi,bij->b", level * V, g[0] * (row - col))
    ideal = np.einsum("bi,ij->b", (level * V) ** 2, g[0])
    off = np.abs(found - expected) / (ideal - expected)
    assert np.max(off) < worst, off
    assert np.max(ideal / expected) > 1.15
