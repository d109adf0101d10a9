"""Meshes against ngspice, live: linear, with gated devices, with a curve."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import spice
from jaxaimc.spice import mesh_dc
from jaxaimc.wires import Mesh, NonlinearMesh, OpenIdle, Placement, PolynomialIV

pytestmark = [
    pytest.mark.spice,
    pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed"),
]


def example(rows=5, cols=4):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1e-3, (rows, cols)) * (rng.random((rows, cols)) < 0.8), rng.uniform(-0.3, 0.3, rows)


def column_currents(results, cols):
    return np.array([results[f"current_{j}"][0] for j in range(cols)])


@pytest.mark.parametrize(("r_row", "r_col"), [(3.0, 5.0), (0.0, 5.0), (3.0, 0.0)])
def test_linear_mesh(x64, r_row, r_col):
    g, v = example()
    mesh = Mesh(r_row=r_row, r_col=r_col, r_driver=2.0, r_sense=4.0, row_lead=0.5)
    ends = {"r_row_end": 0.5 * r_row + 2.0, "r_col_end": r_col + 4.0}
    results = spice.run(mesh_dc(g, v, r_row=r_row, r_col=r_col, **ends, nodes=True))
    point = mesh.operating_point(jnp.asarray(g), jnp.asarray(v))
    scale = np.max(np.abs(column_currents(results, 4)))
    np.testing.assert_allclose(point.device_current.sum(0), column_currents(results, 4), rtol=0, atol=1e-9 * scale)
    for i, j in np.ndindex(g.shape):
        np.testing.assert_allclose(point.row_voltage[i, j], results[f"row_{i}_{j}"][0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(point.col_voltage[i, j], results[f"col_{i}_{j}"][0], rtol=0, atol=1e-9)


def test_open_idle_columns_step_by_step(x64):
    g, _ = example()
    k, steps = np.array([3, -1, 0, 2, 4]), 4
    wires = OpenIdle(r=50.0, steps=steps, alternate=False)
    circuit = wires.effective(jnp.asarray(g)[None], (1.0,), Placement(rows=5, cols=4)).circuit
    total = np.zeros(4)
    for t in range(steps):
        on = np.abs(k) > t
        netlist = mesh_dc(
            g, np.sign(k) * 0.2, r_row=0.0, r_col=50.0, r_col_end=25.0, connected=np.broadcast_to(on[:, None], g.shape)
        )
        total += column_currents(spice.run(netlist), 4) / steps / 0.2
    charge = circuit.charge(jnp.asarray(k / steps), steps=steps, timed=True, v_read=0.2)
    np.testing.assert_allclose(charge, total, rtol=1e-9)


def test_devices_with_a_curve(x64):
    g, v = example()
    wires = NonlinearMesh(mesh=Mesh(r_row=30.0, r_col=50.0), iv=PolynomialIV(c3=3.0))
    netlist = mesh_dc(g, v, r_row=30.0, r_col=50.0, curve="{g}*({v}+3.0*{v}*{v}*{v})")
    expected = column_currents(spice.run(netlist), 4)
    found = wires.read(jnp.asarray(g), jnp.asarray(v)).current
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.max(np.abs(expected)))
