"""C1: single precision at extreme resistances against the double-precision nodal solve: right, or refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wires import nodal

from jaxaimc.wires import ConvergenceError, Ladder, Mesh, NonlinearMesh, Ohmic, OpenIdle, Placement


def array(n):
    rng = np.random.default_rng(0)
    return rng.uniform(1e-6, 1e-4, (n, n)), rng.uniform(0, 0.2, n)


def exact_currents(mesh, g, v):
    ends = (mesh.r_row + mesh.r_driver, mesh.r_col + mesh.r_sense)
    return nodal.mesh(g, v, mesh.r_row, mesh.r_col, *ends)[0]


def single(*arrays):
    return tuple(jnp.asarray(a, jnp.float32) for a in arrays)


CASES = [{"r_sense": 1e7}, {"r_sense": 1e9}, {"r_driver": 1e6}, {"r_row": 1e4, "r_col": 1e4}]


@pytest.mark.parametrize("fields", CASES, ids=str)
def test_c1_mesh_with_resistive_terminals_or_lines_is_right(fields):
    g, v = array(64)
    mesh = Mesh(**{"r_row": 1.0, "r_col": 1.0, **fields})
    expected = exact_currents(mesh, g, v)
    found = mesh.read(*single(g, v))
    error = np.max(np.abs(found.current - expected)) / np.max(expected)
    assert error < 1e-5
    assert error < float(found.outcome.residual) < 1e-3
    if fields == {"r_sense": 1e7}:
        np.testing.assert_allclose(np.sum(np.asarray(found.current, float)), 6.736602e-07, rtol=2e-6)


@pytest.mark.parametrize(("n", "fields"), [(64, {"r_driver": 1e9, "r_sense": 1e9}), (32, {"r_row": 1e9, "r_col": 1e9})])
def test_c1_mesh_that_single_precision_cannot_solve_is_refused_with_a_remedy(n, fields):
    g, v = array(n)
    mesh = Mesh(**{"r_row": 1.0, "r_col": 1.0, **fields})
    expected = exact_currents(mesh, g, v)
    reading = jax.jit(mesh.read)(*single(g, v))
    error = np.max(np.abs(reading.current - expected)) / np.max(expected)
    assert not bool(reading.outcome.converged)
    assert not error > 10 * float(reading.outcome.residual)
    with pytest.raises(ConvergenceError, match=r"of the largest output .* use double precision \(`jax.enable_x64"):
        mesh.read(*single(g, v))
    with jax.enable_x64(True):  # the remedy
        found = mesh.read(jnp.asarray(g), jnp.asarray(v))
    np.testing.assert_allclose(found.current, expected, rtol=0, atol=1e-5 * np.max(expected))


@pytest.mark.parametrize("solve_up_to", [64, 0], ids=["solves", "elimination"])
def test_c1_effective_matrix_is_right_or_says_by_how_much_not(solve_up_to):
    g, _ = array(24)
    for fields in ({"r_sense": 1e7}, {"r_driver": 1e6}, {"r_driver": 1e9, "r_sense": 1e9}):
        mesh = Mesh(**{"r_row": 1.0, "r_col": 1.0, "solve_up_to": solve_up_to, **fields})
        expected = exact_currents(mesh, g, np.ones(24))
        seen = mesh.effective(single(g)[0][None], (1.0,), Placement(rows=24, cols=24))
        error = np.max(np.abs(np.sum(np.asarray(seen.matrix, float), axis=0) - expected)) / np.max(expected)
        assert error < 2 * float(jnp.max(seen.residual)) + 1e-6
        assert solve_up_to == 0 or "r_driver" in fields or error < 1e-5


def test_c1_ladder_and_gated_columns_keep_their_digits_at_any_resistance():
    g, v = array(24)
    for fields in ({"r_out": 1e9}, {"r": 1e5}, {"r": 1e8}):
        ends = {"r": 1.0, "r_out": 0.0, **fields}
        expected = nodal.mesh(g, v, 0.0, ends["r"], 0.0, ends["r"] / 2 + ends["r_out"])[0]
        place = Placement(rows=24, cols=24)
        plain = {"r": 1.0, "alternate": False, **fields}
        share = Ladder(**plain).effective(single(g)[0][None], (1.0,), place)
        circuit = OpenIdle(**plain).effective(single(g)[0][None], (1.0,), place).circuit
        (drive,) = single(v)
        charge = circuit.charge(drive, steps=0, timed=False, v_read=0.2)
        np.testing.assert_allclose(drive @ share.matrix, expected, rtol=0, atol=1e-5 * np.max(expected))
        if plain["r"] < 1e6:
            np.testing.assert_allclose(charge, expected, rtol=0, atol=1e-5 * np.max(expected))
        else:  # out of single precision's range, and not zero in silence
            assert np.isnan(charge).all()


@pytest.mark.slow
def test_c1_curved_devices_behind_resistive_terminals():
    g, v = array(16)
    for fields in ({"r_sense": 1e7}, {"r_driver": 1e6}):
        wires = NonlinearMesh(mesh=Mesh(**fields), iv=Ohmic())
        expected = exact_currents(wires.mesh, g, v)
        found = wires.read(*single(g, v))
        np.testing.assert_allclose(found.current, expected, rtol=0, atol=1e-5 * np.max(expected))
