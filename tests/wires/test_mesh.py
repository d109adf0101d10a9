"""Mesh: reference values, the sparse nodal oracle, limits, properties, gradients, precision."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads
from tiers import mostly_slow
from wires import nodal

from jaxaimc import AnalogConfig, tile
from jaxaimc.devices import IdealDevice
from jaxaimc.wires import (
    Automatic,
    ConjugateGradient,
    ConvergenceError,
    FixedPoint,
    InterleavedColumns,
    InterleavedRows,
    Mesh,
    Placement,
    Separate,
)
from jaxaimc.wires.elimination import transfer_matrix

METHODS = [ConjugateGradient(), FixedPoint(max_iterations=2000), Automatic()]
IDS = ["cg", "fixed_point", "automatic"]


def transfer(mesh, g):
    return transfer_matrix(mesh.crossbar(g))


def rows_and_columns(n_rows, n_cols):
    i, j = np.ogrid[:n_rows, :n_cols]
    return 1 / (1000.0 * (1 + ((7 * i + 13 * j) % 17))), 0.1 * (1 + np.arange(n_rows) % 5)


CASES_2X2 = {
    1.0: [2.1992122832179112e-5, 1.999230294687769e-5],
    10.0: [2.1921482302433027e-5, 1.9923293681518424e-5],
    100.0: [2.1239346401580727e-5, 1.9258398276994746e-5],
}


@pytest.mark.parametrize("method", METHODS, ids=IDS)
@pytest.mark.parametrize("r", CASES_2X2)
def test_two_by_two(x64, method, r):
    g = jnp.array([[1e-4, 5e-5], [2e-5, 1e-4]])
    found = Mesh(r_row=r, r_col=r, method=method).read(g, jnp.array([0.2, 0.1]))
    np.testing.assert_allclose(found.current, CASES_2X2[r], rtol=1e-9)
    assert bool(found.outcome.converged)


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_four_by_three(x64, method):
    g = jnp.linspace(1e-6, 1e-4, 12).reshape(4, 3)
    found = Mesh(r_row=5.0, r_col=5.0, method=method).read(g, jnp.array([0.1, 0.2, 0.0, 0.3]))
    expected = [3.0235104504251364e-5, 3.558681694220029e-5, 4.094381954418784e-5]
    np.testing.assert_allclose(found.current, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("v", "expected"),
    [
        ([0, 1, 2, 3, 4], [0.060570196651101416, 0.059327610716747844, 0.05634873882925334, 0.05335235457510154]),
        ([3, 2, -1, 2, 3], [0.15274675287437675, 0.10872370543516569, 0.08719952841122902, 0.07446608444256336]),
    ],
)
def test_five_by_four_with_low_resistances(x64, v, expected):
    g = 1 / (10.0 * (4 * jnp.arange(5.0)[:, None] + jnp.arange(4.0) + 1))
    mesh, v = Mesh(r_row=1.0, r_col=2.0), jnp.asarray(v, float)
    np.testing.assert_allclose(mesh.read(g, v).current, expected, rtol=1e-9)
    np.testing.assert_allclose(v @ transfer(mesh, g), expected, rtol=1e-9)
    if v[0] == 0:
        assert bool(jnp.all(mesh.operating_point(g, v).device_current[0] < 0))


def test_larger_reference_arrays(x64):
    g, v = rows_and_columns(32, 24)
    current = Mesh(r_row=1.0, r_col=2.0).read(jnp.asarray(g), jnp.asarray(v)).current
    np.testing.assert_allclose([current.sum(), current[0]], [0.0378526235425911, 0.00132782344025274], rtol=1e-9)
    g, v = rows_and_columns(64, 64)
    current = Mesh(r_row=1.0, r_col=1.0).read(jnp.asarray(g), jnp.asarray(v)).current
    expected = [0.159580215330452, 0.00291668200414909, 0.00244793035708612]
    np.testing.assert_allclose([current.sum(), current[0], current[63]], expected, rtol=1e-9)


CIRCUITS = {
    "one_device": ((1, 1), {}),
    "one_row": ((1, 7), {}),
    "one_column": ((9, 1), {}),
    "wide": ((5, 8), {"r_driver": 20.0, "r_sense": 7.0}),
    "tall": ((8, 5), {"r_row_terminal": 3.0, "r_col_terminal": 2.0, "row_lead": 0.5, "col_lead": 4.0}),
    "no_row_resistance": ((8, 5), {"r_row": 0.0}),
    "no_column_resistance": ((8, 5), {"r_col": 0.0}),
    "terminals_only": ((8, 5), {"r_row": 0.0, "r_col": 0.0, "r_driver": 50.0, "r_sense": 30.0}),
    "no_resistance": ((8, 5), {"r_row": 0.0, "r_col": 0.0}),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case in ("wide", "tall") else pytest.mark.slow) for case in CIRCUITS],
)
def test_against_the_sparse_nodal_solve(x64, case):
    shape, fields = CIRCUITS[case]
    rng = np.random.default_rng(1)
    g = rng.uniform(0, 1e-3, shape) * (rng.random(shape) < 0.7)  # open devices among them
    v = rng.uniform(-0.3, 0.3, (3, shape[0]))
    mesh = Mesh(**{"r_row": 3.0, "r_col": 5.0, **fields})
    ends = (
        mesh.r_row * mesh.row_lead + mesh.r_driver + mesh.r_row_terminal,
        mesh.r_col * mesh.col_lead + mesh.r_sense + mesh.r_col_terminal,
    )
    current, row, col = nodal.mesh(g, v, mesh.r_row, mesh.r_col, *ends)
    scale = np.max(np.abs(current))
    found = mesh.read(jnp.asarray(g), jnp.asarray(v))
    np.testing.assert_allclose(found.current, current, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(v @ transfer(mesh, jnp.asarray(g)), current, rtol=0, atol=1e-11 * scale)
    point = mesh.operating_point(jnp.asarray(g), jnp.asarray(v[0]))
    np.testing.assert_allclose(point.row_voltage, row[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(point.col_voltage, col[0], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_elimination_of_odd_sizes_and_many_blocks(x64):
    g = jnp.asarray(np.random.default_rng(2).uniform(0, 1e-4, (37, 20)))
    mesh = Mesh(r_row=2.0, r_col=3.0, solve_up_to=100)
    exact = mesh.read(g, jnp.eye(37)).current
    np.testing.assert_allclose(transfer(mesh, g), exact, rtol=0, atol=1e-10 * float(jnp.max(exact)))


@pytest.mark.parametrize(
    "shape", [(5, 9), *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((9, 5), (1, 4), (4, 1)))]
)
def test_solves_and_elimination_give_one_effective_matrix(x64, shape):
    rng = np.random.default_rng(4)
    g = jnp.asarray(rng.uniform(0, 1e-3, (2, *shape)) * (rng.random((2, *shape)) < 0.8))
    circuit = {"r_row": 20.0, "r_col": 50.0, "r_driver": 7.0, "r_sense": 3.0, "row_lead": 0.5, "col_lead": 2.0}
    placement = Placement(rows=12, cols=12, row_start=2, col_start=1)
    solved, eliminated = (Mesh(**circuit, solve_up_to=n).effective(g, (1.0, -1.0), placement).matrix for n in (64, 0))
    np.testing.assert_allclose(solved, eliminated, rtol=0, atol=1e-10 * np.max(np.abs(eliminated)))


def test_many_vectors_use_the_matrix_and_agree(x64):
    g, _ = rows_and_columns(12, 10)
    v = jax.random.normal(jax.random.key(0), (2, 3, 12))
    solved = Mesh(solve_up_to=6).read(jnp.asarray(g), v)
    folded = Mesh(solve_up_to=5).read(jnp.asarray(g), v)
    assert folded.current.shape == (2, 3, 10)
    np.testing.assert_allclose(folded.current, solved.current, rtol=1e-9, atol=1e-13)
    assert bool(jnp.all(folded.outcome.converged))


STRUCTURES = {
    "uniform": lambda rng, n: rng.uniform(0.1e-6, 25e-6, (n, n)),
    "checkerboard": lambda rng, n: np.where((np.arange(n)[:, None] + np.arange(n)) % 2, 25e-6, 0.1e-6),
    "half_empty": lambda rng, n: np.where(np.arange(n)[:, None] < n // 2, 25e-6, 0.0) * np.ones(n),
    "hot_corner": lambda rng, n: np.where((np.arange(n)[:, None] < n // 8) & (np.arange(n) >= 7 * n // 8), 1e-4, 1e-7),
    "bimodal": lambda rng, n: np.where(rng.random((n, n)) < 0.1, 1e-4, 1e-6),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_single_precision_on_structured_arrays(structure):
    n = 96
    rng = np.random.default_rng(3)
    g, v = STRUCTURES[structure](rng, n), rng.uniform(-0.2, 0.2, n)
    mesh = Mesh(r_row=5.0, r_col=5.0)
    current, _, _ = nodal.mesh(g, v, 5.0, 5.0, 5.0, 5.0)
    found = mesh.read(jnp.asarray(g, jnp.float32), jnp.asarray(v, jnp.float32))
    scale = np.max(np.abs(current))
    assert bool(found.outcome.converged)
    np.testing.assert_allclose(found.current, current, rtol=0, atol=2e-5 * scale)


@pytest.mark.slow
def test_512_in_single_precision():
    # Certified by the double-precision solve, whose own residual is 1e-11; mean drop two thirds.
    rng = np.random.default_rng(4)
    g, v = rng.uniform(0.1e-6, 25e-6, (512, 512)), rng.uniform(0, 0.2, 512)
    found = Mesh().read(jnp.asarray(g, jnp.float32), jnp.asarray(v, jnp.float32))
    with jax.enable_x64(True):
        exact = Mesh().read(jnp.asarray(g), jnp.asarray(v))
        assert bool(exact.outcome.converged)
    np.testing.assert_allclose(found.current, exact.current, rtol=0, atol=2e-5 * float(np.max(exact.current)))
    assert bool(found.outcome.converged)


@pytest.mark.slow
def test_512_against_the_sparse_nodal_solve(x64):
    rng = np.random.default_rng(5)
    g, v = rng.uniform(0.1e-6, 25e-6, (512, 512)), rng.uniform(0, 0.2, 512)
    current, _, _ = nodal.mesh(g, v, 1.0, 1.0, 1.0, 1.0)
    np.testing.assert_allclose(Mesh().read(jnp.asarray(g), jnp.asarray(v)).current, current, rtol=1e-9)


def random_array(seed, shape=(6, 5)):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0, 1e-3, shape) * (rng.random(shape) < 0.8)
    return jnp.asarray(g), jnp.asarray(rng.uniform(-0.3, 0.3, shape[0])), rng.uniform(0, 30, 4)


def circuit(r):
    return Mesh(r_row=r[0], r_col=r[1], r_driver=r[2], r_sense=r[3])


@jax.jit
def read(r, g, v):
    return circuit(r).read(g, v).current


@pytest.mark.slow
@given(st.integers(0, 10_000))
def test_reciprocity(seed):
    with jax.enable_x64(True):
        g, _, r = random_array(seed)
        # Turning the array around swaps drivers and sense terminals: row 0 column 0 becomes the far corner.
        turned = read(jnp.asarray([r[1], r[0], r[3], r[2]]), g[::-1, ::-1].T, jnp.eye(5)[2])
        np.testing.assert_allclose(turned[::-1], read(jnp.asarray(r), g, jnp.eye(6))[:, 2], rtol=1e-8, atol=1e-16)


@given(st.integers(0, 10_000))
def test_superposition_scale_invariance_and_passivity(seed):
    with jax.enable_x64(True):
        g, v, r = random_array(seed)
        r = jnp.asarray(r)
        current = read(r, g, v)
        parts = read(r, g, jnp.eye(6))
        np.testing.assert_allclose(v @ parts, current, rtol=0, atol=1e-9 * 3e-4)
        # Only the products of resistance and conductance matter, up to the unit of the current.
        np.testing.assert_allclose(read(100 * r, g / 100, v) * 100, current, rtol=0, atol=1e-9 * 3e-4)
        # The network delivers no more than it would without wires, and no current against the drive.
        assert bool(jnp.all(parts >= -1e-15))
        assert bool(jnp.all(parts.sum(0) <= g.sum(0) + 1e-15))


@given(st.integers(0, 10_000))
def test_more_wire_resistance_never_adds_current(seed):
    with jax.enable_x64(True):
        g, _, r = random_array(seed)
        ones = jnp.ones(6)
        for k in range(4):
            more = np.array(r)
            more[k] += 5.0
            # With all rows at one voltage the column currents add up to a driving-point current: monotone (Rayleigh).
            assert read(jnp.asarray(more), g, ones).sum() <= read(jnp.asarray(r), g, ones).sum() + 1e-15


def loss(mesh, g, v, folded):
    current = jnp.einsum("br,rc->bc", v, transfer(mesh, g)) if folded else mesh.read(g, v).current
    return jnp.sum(jnp.sin(3e3 * current + jnp.arange(current.size).reshape(current.shape)))


@pytest.mark.parametrize(
    "folded", [pytest.param(False, id="solve"), pytest.param(True, id="matrix", marks=pytest.mark.slow)]
)
def test_gradients_against_finite_differences(x64, folded):
    rng = np.random.default_rng(6)
    g = jnp.asarray(rng.uniform(0, 1e-3, (4, 3)) * (rng.random((4, 3)) < 0.8))
    v = jnp.asarray(rng.uniform(-0.3, 0.3, (2, 4)))
    mesh = Mesh(
        r_row=3.0, r_col=5.0, r_driver=7.0, r_sense=2.0, r_row_terminal=1.0, r_col_terminal=4.0,
        method=ConjugateGradient(tolerance=1e-13),
    )  # fmt: skip
    names = ("r_row", "r_col", "row_lead", "col_lead", "r_driver", "r_sense", "r_row_terminal", "r_col_terminal")

    @jax.jit
    def f(g_scaled, v, *values):
        return loss(replace(mesh, **dict(zip(names, values, strict=True))), g_scaled * 1e-3, v, folded)

    values = tuple(jnp.asarray(getattr(mesh, n)) for n in names)
    # Conductances inside their range: at zero the difference quotient would leave it.
    check_grads(f, (g * 1e3 + 0.1, v, *values), order=1, modes=["fwd", "rev"], atol=1e-6, rtol=1e-6, eps=1e-5)


def test_gradient_at_open_devices_and_without_resistance(x64):
    g = jnp.zeros((3, 2)).at[0, 0].set(1e-4)
    v = jnp.array([0.2, -0.1, 0.3])
    f = jax.jit(lambda g, r: jnp.sum(Mesh(r_row=r, r_col=2 * r).read(g, v).current * jnp.array([1.0, 2.0])))
    for r in (0.0, 10.0):
        dg, dr = jax.grad(f, (0, 1))(g, r)
        h = 1e-9
        for i, j in np.ndindex(3, 2):
            step = (f(g.at[i, j].add(h), r) - f(g, r)) / h
            np.testing.assert_allclose(dg[i, j], step, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(dr, (f(g, r + 1e-4) - f(g, r)) / 1e-4, rtol=1e-5)


def test_an_unfinished_solve_says_so():
    g, v = rows_and_columns(64, 64)
    g, v = jnp.asarray(g, jnp.float32), jnp.asarray(v, jnp.float32)
    for method in (ConjugateGradient(max_iterations=1), FixedPoint(max_iterations=50)):
        outcome = jax.jit(Mesh(r_row=10.0, r_col=10.0, method=method).read)(g, v).outcome
        assert not bool(outcome.converged)
        assert float(outcome.residual) > 1e-4
    with pytest.raises(ConvergenceError, match="Mesh did not converge: residual"):
        Mesh(r_row=10.0, r_col=10.0, method=ConjugateGradient(max_iterations=1)).read(g, v)
    # More vectors than are solved one by one: the matrix cannot be certified by a solve that does not converge.
    hasty = Mesh(r_row=1e4, r_col=1e4, method=ConjugateGradient(max_iterations=1), solve_up_to=0)
    with pytest.raises(ConvergenceError, match="wires of Mesh miss their own check"):
        hasty.read(g[:8, :8], v[:8])


@pytest.mark.parametrize(("r", "chosen"), [(0.0, FixedPoint()), (1e-3, FixedPoint()), (1.0, ConjugateGradient())])
def test_the_method_is_chosen_by_the_size_of_the_drop(r, chosen):
    g, v = (jnp.asarray(a, jnp.float32) for a in rows_and_columns(32, 24))
    reading = Mesh(r_row=r, r_col=r).read(g, v)
    wanted, other = (
        Mesh(r_row=r, r_col=r, method=method).read(g, v)
        for method in (chosen, ConjugateGradient() if chosen == FixedPoint() else FixedPoint())
    )
    # Two compiled programs of one calculation: the sums differ in their last bits.
    np.testing.assert_array_max_ulp(reading.current, wanted.current, maxulp=4)
    assert int(reading.outcome.iterations) == int(wanted.outcome.iterations) != int(other.outcome.iterations)


def test_a_tile_whose_wires_miss_their_check_is_refused():
    wires = Mesh(r_row=3e4, r_col=3e4, method=ConjugateGradient(max_iterations=1))
    config = AnalogConfig(device=IdealDevice(), wires=wires, rows=32, cols=32)
    w = jax.random.normal(jax.random.key(0), (32, 8))
    programmed = tile.program(config, w, jax.random.key(1))
    with pytest.raises(ConvergenceError, match=r"wires of the matrix miss their own check by .* allowed is 0.001"):
        tile.prepare(config, programmed)
    assert float(jnp.max(jax.jit(tile.prepare)(config, programmed).residual)) > 1e-3


@pytest.mark.parametrize("field", ["r_row", "r_col", "r_driver", "r_sense", "r_row_terminal", "r_col_terminal"])
def test_bad_resistances_are_refused(field):
    with pytest.raises(ValueError, match=rf"Field `{field}` of Mesh must be in \[0, 1e\+09\] ohm, but is -1 ohm"):
        Mesh(**{field: -1.0}).validate()


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match=r"Argument `v` must have shape \(..., rows=3\), but has shape \(4,\)"):
        Mesh().read(jnp.ones((3, 2)), jnp.ones(4))
    with pytest.raises(ValueError, match="solve_up_to"):
        Mesh(solve_up_to=-1)
    with pytest.raises(ValueError, match="max_iterations"):
        ConjugateGradient(max_iterations=0)
    with pytest.raises(ValueError, match="tolerance"):
        Mesh(method=FixedPoint(tolerance=0.0)).validate()


LAYOUTS = [Separate(), InterleavedColumns(), InterleavedRows()]


@pytest.mark.parametrize(
    "layout", mostly_slow(LAYOUTS, lambda layout: layout != LAYOUTS[1]), ids=lambda x: type(x).__name__
)
def test_layouts_of_differential_cells(x64, layout):
    # Unused rows and columns of the tile lengthen the leads; the circuit is built here by hand, layout by layout.
    rng = np.random.default_rng(7)
    g, v = rng.uniform(0, 1e-3, (2, 8, 5)), rng.uniform(-0.2, 0.2, 8)
    placement = Placement(rows=11, cols=9, row_start=1, col_start=3)
    mesh = Mesh(r_row=2.0, r_col=3.0, layout=layout)
    seen = mesh.effective(jnp.asarray(g), (1.0, -1.0), placement)
    if isinstance(layout, Separate):
        plus, minus = (nodal.mesh(g[p], v, 2.0, 3.0, 2.0 * 4, 3.0 * 3)[0] for p in (0, 1))
        expected = plus - minus
    elif isinstance(layout, InterleavedColumns):
        array = np.stack([g[0], g[1]], axis=-1).reshape(8, 10)
        current = nodal.mesh(array, v, 2.0, 3.0, 2.0 * 7, 3.0 * 3)[0]
        expected = current[0::2] - current[1::2]
    else:
        array = np.stack([g[0], g[1]], axis=1).reshape(16, 5)
        expected = nodal.mesh(array, np.stack([v, -v], axis=1).ravel(), 2.0, 3.0, 2.0 * 4, 3.0 * 5)[0]
    np.testing.assert_allclose(v @ seen.matrix, expected, rtol=0, atol=1e-9 * np.max(np.abs(expected)))
    assert float(jnp.max(seen.residual)) < 1e-9
    drives = layout.drive(jnp.asarray(v), (1.0, -1.0))
    currents = jnp.stack(
        [
            d @ transfer_matrix(mesh.crossbar(a, 2 * layout.pitch(2)[0], 3 * layout.pitch(2)[1]))
            for d, a in zip(drives, layout.arrange(jnp.asarray(g)), strict=True)
        ]
    )
    np.testing.assert_allclose(layout.combine(currents, (1.0, -1.0)), expected, rtol=0, atol=1e-9 * 1e-3)
    np.testing.assert_array_equal(layout.restore(layout.arrange(jnp.asarray(g)), 2), g)


@pytest.mark.slow
def test_sensitivity_is_the_derivative_of_the_effective_weight_to_first_order(x64):
    g = jnp.asarray(np.random.default_rng(8).uniform(1e-5, 1e-4, (8, 5)))

    @jax.jit
    def error(r):
        mesh = Mesh(r_row=r, r_col=2 * r)
        own = jnp.einsum("ijij->ij", jax.jacobian(lambda x: transfer_matrix(mesh.crossbar(x)))(g))
        return jnp.max(jnp.abs(mesh.effective(g[None], (1.0,), Placement(rows=8, cols=5)).sensitivity[0] - own))

    np.testing.assert_allclose(error(0.2) / error(0.1), 4.0, rtol=0.05)
