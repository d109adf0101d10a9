"""Non-linear devices in the mesh: SciPy's root finder on the nodal equations, the linear limit, gradients, tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.optimize import root

from jaxaimc.wires import (
    AlphaBeta,
    ConvergenceError,
    InterleavedColumns,
    Mesh,
    MiloIV,
    NonlinearMesh,
    Placement,
    PolynomialIV,
    StaticFactor,
)

ROWS, COLS, R_ROW, R_COL = 3, 2, 40.0, 60.0


def oracle(current, g, v):
    """Column currents from the nodal equations, resistors written as conductances."""

    def balance(x):
        u, w = x.reshape(2, ROWS, COLS)
        i = current(g, u - w)
        left = np.concatenate([np.asarray(v)[:, None], u[:, :-1]], axis=1)
        row = (left - u) / R_ROW - i
        row[:, :-1] -= (u[:, :-1] - u[:, 1:]) / R_ROW
        below = np.concatenate([w[1:], np.zeros((1, COLS))])
        col = i - (w - below) / R_COL
        col[1:] += (w[:-1] - w[1:]) / R_COL
        return np.concatenate([row.ravel(), col.ravel()]) * 1e4

    start = np.stack([np.broadcast_to(np.asarray(v)[:, None], (ROWS, COLS)), np.zeros((ROWS, COLS))])
    found = root(balance, start.ravel(), tol=1e-14)
    return found.x.reshape(2, ROWS, COLS)[1, -1] / R_COL


def example():
    rng = np.random.default_rng(0)
    return rng.uniform(5e-5, 2e-4, (ROWS, COLS)), rng.uniform(-0.5, 0.5, ROWS)


@pytest.mark.parametrize("iv", [PolynomialIV(c2=0.7, c3=3.0), MiloIV()], ids=["polynomial", "milo"])
def test_against_the_nodal_equations(x64, iv):
    g, v = example()
    wires = NonlinearMesh(mesh=Mesh(r_row=R_ROW, r_col=R_COL), iv=iv)
    found = wires.read(jnp.asarray(g), jnp.asarray(v))
    expected = oracle(lambda g, e: np.asarray(iv.current(jnp.asarray(g), jnp.asarray(e))), g, v)
    assert bool(found.outcome.converged)
    np.testing.assert_allclose(found.current, expected, rtol=1e-8)


def test_milo_curve_is_rising_odd_and_open_at_zero():
    g, v = jnp.array([0.0, 1e-6, 5e-5, 1e-4, 2.25e-4])[:, None], jnp.linspace(-0.5, 0.5, 21)
    i = MiloIV().current(*jnp.broadcast_arrays(g, v))
    assert bool(jnp.all(i[0] == 0))
    assert bool(jnp.all(jnp.diff(i[1:], axis=1) > 0))
    np.testing.assert_allclose(i, -i[:, ::-1], rtol=1e-5, atol=1e-11)


def test_linear_curve_is_the_linear_mesh(x64):
    g, v = example()
    mesh = Mesh(r_row=R_ROW, r_col=R_COL)
    found = NonlinearMesh(mesh=mesh, iv=PolynomialIV()).read(jnp.asarray(g), jnp.asarray(v))
    np.testing.assert_allclose(found.current, mesh.read(jnp.asarray(g), jnp.asarray(v)).current, rtol=1e-9)


@pytest.mark.slow
def test_gradients_against_finite_differences(x64):
    g, v = example()

    @jax.jit
    def f(g, v, r_row, r_col, c2, c3):
        wires = NonlinearMesh(mesh=Mesh(r_row=r_row, r_col=r_col), iv=PolynomialIV(c2=c2, c3=c3))
        return jnp.sum(jnp.sin(1e4 * wires.read(g * 1e-4, v).current))

    arguments = tuple(map(jnp.asarray, (g * 1e4, v, R_ROW, R_COL, 0.7, 3.0)))
    check_grads(f, arguments, 1, ["fwd", "rev"], atol=1e-6, rtol=1e-6, eps=1e-5)


@pytest.mark.slow
def test_charge_of_a_tile_and_an_unfinished_solve(x64):
    g, v = example()
    pair = jnp.stack([jnp.asarray(g), jnp.asarray(g[::-1])])
    wires = NonlinearMesh(mesh=Mesh(r_row=R_ROW, r_col=R_COL), iv=PolynomialIV(c3=3.0))
    place = Placement(rows=ROWS, cols=COLS)
    circuit = wires.effective(pair, (1.0, -1.0), place).circuit
    amplitudes = {"steps": 0, "timed": False, "v_read": 0.5}
    level = jnp.asarray(v / 0.5)
    expected = wires.read(pair[0], 0.5 * level).current - wires.read(pair[1], 0.5 * level).current
    np.testing.assert_allclose(circuit.charge(level, **amplitudes) * 0.5, expected, rtol=1e-9)
    hasty = NonlinearMesh(mesh=wires.mesh, iv=wires.iv, max_iterations=1)
    stopped = jax.jit(hasty.read)(pair[0], 0.5 * level)
    assert not bool(stopped.outcome.converged)
    assert np.isnan(hasty.effective(pair, (1.0, -1.0), place).circuit.charge(level, **amplitudes)).all()
    with pytest.raises(ConvergenceError, match=r"NonlinearMesh did not converge: residual .* after 1 iterations"):
        hasty.read(pair[0], 0.5 * level)


def test_bad_signs_are_refused():
    with pytest.raises(ValueError, match="Field `signs` of NonlinearMesh"):
        NonlinearMesh(signs=(1.0,)).effective(jnp.ones((2, 2, 2)), (1.0, -1.0), Placement(rows=2, cols=2))


@pytest.mark.parametrize(("rows", "expected"), [(64, 63.8493), (256, 246.6768), (512, 446.5216)])
def test_static_factor_reference(x64, rows, expected):
    wires = StaticFactor()
    circuit = wires.effective(jnp.full((1, rows, 1), 25e-6), (1.0,), Placement(rows=rows, cols=1)).circuit
    charge = circuit.charge(jnp.ones(rows), steps=127, timed=True, v_read=0.2)
    np.testing.assert_allclose(charge[0] / 25e-6, expected, rtol=2e-6)


def test_alpha_beta_on_interleaved_columns():
    # Differential cells, 64 x 64 outputs' worth of one array: the stand-in is within 2 % where ignoring wires is not.
    rng = np.random.default_rng(1)
    w = rng.uniform(-1, 1, (64, 16))
    g = jnp.asarray(np.stack([np.maximum(w, 0), np.maximum(-w, 0)]) * 25e-6, jnp.float32)
    place = Placement(rows=64, cols=16)
    fields = {"r_row": 2.0, "r_col": 2.0, "layout": InterleavedColumns()}
    exact = Mesh(**fields).effective(g, (1.0, -1.0), place).matrix
    close = AlphaBeta(**fields).effective(g, (1.0, -1.0), place).matrix
    error = lambda m: float(jnp.max(jnp.abs(m - exact)) / jnp.max(jnp.abs(exact)))  # noqa: E731
    assert error(close) < 0.02
    assert error(g[0] - g[1]) > 5 * error(close)
