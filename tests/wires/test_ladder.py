"""The column ladder against closed forms, a banded nodal solve, and the identities that any such network obeys."""

from dataclasses import replace
from functools import partial

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis.extra.numpy import arrays

from jaxaimc import AnalogConfig, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.wires import Ladder, NoWires, Placement

SIGNS = (1.0, -1.0)

# Reference case of the column ladder: 16 inputs, 4 outputs, 100 ohm, 25/0 uS, 8-bit pulses, ADC at the idle voltage.
REFERENCE_K = [126, 69, -41, -120, -108, -14, 90, 126, 67, -43, -120, -107, -12, 91, 126, 65]
REFERENCE_Y = [-4.476740918, 0.019218464, 4.167680303, 2.249742366]


def conductances(rows, cols, seed=0, low=0.0, high=25e-6):
    return np.random.default_rng(seed).uniform(low, high, (2, rows, cols))


def whole(g):
    return Placement(rows=g.shape[1], cols=g.shape[2])


def solve(ladder, g, placement=None):
    return jax.tree.map(np.asarray, _effective(ladder, jnp.asarray(g), placement or whole(g)))


@partial(jax.jit, static_argnums=2)
def _effective(ladder, g, placement):
    return ladder.effective(g, SIGNS, placement)


def banded(load, r, r_end):
    """Node voltages of one column, far end first, for one volt at the ADC and grounded rows: a nodal matrix solve."""
    n = len(load)
    diagonal = load.copy()
    diagonal[:-1] += 1 / r
    diagonal[1:] += 1 / r
    diagonal[-1] += 1 / r_end
    bands = np.stack([np.r_[0, np.full(n - 1, -1 / r)], diagonal, np.r_[np.full(n - 1, -1 / r), 0]])
    return scipy.linalg.solve_banded((1, 1), bands, np.r_[np.zeros(n - 1), 1 / r_end])


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 5), (7, 1), (40, 6), (512, 3)])
@pytest.mark.parametrize("r", [0.15, 3.0, 100.0])
def test_equals_banded_solve(x64, rows, cols, r):
    g = conductances(rows, cols, seed=rows)
    ladder = Ladder(r=r, adc_segments=0.5, r_out=2.0)
    seen = solve(ladder, g)
    for j in range(cols):
        order = slice(None) if j % 2 == 0 else slice(None, None, -1)
        load = g.sum(axis=0)[order, j]
        share = banded(load, r, r / 2 + 2.0)
        np.testing.assert_allclose(seen.sensitivity[0, order, j], share, rtol=1e-10)
        np.testing.assert_allclose(seen.sensitivity[1], seen.sensitivity[0])
        np.testing.assert_allclose(seen.matrix[order, j], (g[0] - g[1])[order, j] * share, rtol=1e-10)
        # Kirchhoff: what the ADC sees of the idle rows is what they draw from one volt at the ADC.
        np.testing.assert_allclose(seen.baseline[j], (0.4 - 0.4005) * np.sum(load * share), rtol=1e-10)


def test_closed_form_of_the_docstring_recursion(x64):
    """The recursion of the theory: `R_0 = 1/G_0, R_s = (R_(s-1) + r) || 1/G_s`, and the divider ratios."""
    g = conductances(9, 1, seed=4, low=1e-6)
    r, load = 40.0, g.sum(axis=0)[:, 0]
    R, a, b = 1 / load[0], np.ones(9), np.ones(9)
    for s in range(1, 9):
        r1 = R + r
        R = 1 / (1 / r1 + load[s])
        a[s], b[s] = R / r1, R * load[s]
    total = R + r / 2
    H = np.array([b[s] * np.prod(a[s + 1 :]) / (load[s] * total) for s in range(9)])
    seen = solve(Ladder(r=r), g)
    np.testing.assert_allclose(seen.sensitivity[0, :, 0], H, rtol=1e-13)
    np.testing.assert_allclose(seen.baseline[0], (0.4 - 0.4005) / total, rtol=1e-13)


def test_reference_case(x64):
    w = np.round(np.sin(1.3 * np.arange(4) + 0.7 * np.arange(16)[:, None] + 0.2), 3)
    config = AnalogConfig(
        device=IdealDevice(),
        wires=Ladder(r=100.0, v_adc=0.4),
        drive=PWM(range=FixedRange(limit=1.0)),
        adc=IdealADC(),
        rows=16,
        cols=4,
    )
    g = config.cell.encode(jnp.asarray(w))
    programmed = replace(tile.program(config, jnp.asarray(w), jax.random.key(0)), w_scale=jnp.ones((1, 1, 4)))
    programmed = replace(programmed, g=g[None, None])
    y = tile.mvm(config, tile.prepare(config, programmed), jnp.array(REFERENCE_K) / 127)
    np.testing.assert_allclose(y, REFERENCE_Y, atol=1e-9)


def test_uniform_column(x64):
    """All inputs one: 391.42635 of 512 at 0.15 ohm, and tanh(sqrt k) / sqrt k as the number of rows grows."""
    g = np.stack([np.full((512, 1), 25e-6), np.zeros((512, 1))])
    y = solve(Ladder(r=0.15), g).sensitivity[0].sum()
    assert y == pytest.approx(391.42635, abs=1e-5)
    for n, tolerance in ((64, 1e-3), (512, 2e-5), (16384, 2e-8)):
        k = 0.983
        g = np.stack([np.full((n, 1), 25e-6), np.zeros((n, 1))])
        mean = solve(Ladder(r=k / n**2 / 25e-6), g).sensitivity[0].mean()
        assert mean == pytest.approx(np.tanh(np.sqrt(k)) / np.sqrt(k), rel=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_resistance_is_no_wires_bit_for_bit(x64, dtype):
    g = conductances(33, 4).astype(dtype)
    ladder = solve(Ladder(r=0.0), g)
    ideal = jax.tree.map(np.asarray, NoWires().effective(jnp.asarray(g), SIGNS, whole(g)))
    assert ladder.matrix.dtype == dtype
    np.testing.assert_array_equal(ladder.matrix, ideal.matrix)
    np.testing.assert_array_equal(ladder.sensitivity, ideal.sensitivity)


def test_open_cells_and_columns():
    g = conductances(6, 4)
    g[:, 2] = 0.0
    g[:, :, 3] = 0.0
    seen = solve(Ladder(r=100.0), g)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(seen))
    np.testing.assert_array_equal(seen.matrix[2], 0.0)
    np.testing.assert_array_equal(seen.matrix[:, 3], 0.0)
    np.testing.assert_array_equal(seen.sensitivity[:, :, 3], 1.0)
    assert seen.baseline[3] == 0.0


@pytest.mark.parametrize(("row_start", "col_start"), [(0, 0), (3, 0), (10, 1), (5, 4)])
def test_block_in_a_tile_equals_the_tile_with_open_cells_around_it(x64, row_start, col_start):
    rows, cols = 7, 5
    g = conductances(rows, cols, seed=8)
    around = np.zeros((2, 17, 9))
    around[:, row_start : row_start + rows, col_start : col_start + cols] = g
    ladder = Ladder(r=50.0, r_out=3.0)
    block = solve(ladder, g, Placement(rows=17, cols=9, row_start=row_start, col_start=col_start))
    full = solve(ladder, around)
    inside = np.s_[row_start : row_start + rows, col_start : col_start + cols]
    np.testing.assert_allclose(block.matrix, full.matrix[inside], rtol=1e-14)
    np.testing.assert_allclose(block.sensitivity, full.sensitivity[:, *inside], rtol=1e-14)
    np.testing.assert_allclose(block.baseline, full.baseline[inside[1]], rtol=1e-14)


def test_odd_columns_are_read_at_the_other_end(x64):
    g = conductances(12, 2, seed=3)
    g[:, :, 1] = g[:, ::-1, 0]
    seen = solve(Ladder(r=100.0), g)
    np.testing.assert_allclose(seen.matrix[::-1, 1], seen.matrix[:, 0], rtol=1e-14)
    same_end = solve(Ladder(r=100.0, alternate=False), g)
    np.testing.assert_allclose(same_end.matrix[:, 0], seen.matrix[:, 0], rtol=1e-14)
    assert np.max(np.abs(same_end.matrix[:, 1] - seen.matrix[:, 1])) > 1e-3 * np.max(seen.matrix)


def test_single_precision_is_within_its_rounding():
    """512 rows: the worst share is off by 2e-6 (measured) at any drop, also where 2e-5 of a cell's current is left."""
    g = conductances(512, 16, seed=1).astype(np.float32)
    worst = {}
    for r in (0.15, 1.0, 20.0):
        single = solve(Ladder(r=r), g)
        with jax.enable_x64(True):
            double = solve(Ladder(r=r), g.astype(np.float64))
        assert single.matrix.dtype == np.float32
        assert double.matrix.dtype == np.float64
        worst[r] = np.max(np.abs(single.sensitivity / double.sensitivity - 1))
    assert max(worst.values()) < 4e-6, worst


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_leaf_of_another_precision_keeps_the_tile_precision(x64, dtype):
    g = jnp.asarray(conductances(5, 3), jnp.float32)
    seen = Ladder(r=jnp.asarray(2.0, dtype), r_out=jnp.asarray(1.0, dtype)).effective(g, SIGNS, whole(g))
    assert seen.matrix.dtype == jnp.float32
    np.testing.assert_allclose(seen.matrix, Ladder(r=2.0, r_out=1.0).effective(g, SIGNS, whole(g)).matrix, rtol=1e-6)


# Properties of any passive ladder, over random conductances, open cells included.

CELLS = arrays(
    np.float64,
    st.sampled_from([(2, 1, 1), (2, 1, 3), (2, 5, 1), (2, 6, 3)]),
    elements=st.one_of(st.just(0.0), st.floats(1e-9, 1e-3)),
)
RESISTANCE = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))


@given(g=CELLS, r=RESISTANCE)
def test_passive(g, r):
    with jax.enable_x64(True):
        seen = solve(Ladder(r=r), g)
    assert np.all(seen.sensitivity >= 0)
    assert np.all(seen.sensitivity <= 1 + 1e-15)


@given(g=CELLS, r=RESISTANCE)
def test_share_falls_toward_the_far_end(g, r):
    with jax.enable_x64(True):
        share = solve(Ladder(r=r, alternate=False), g).sensitivity[0]
    assert np.all(np.diff(share, axis=0) >= -1e-15)


@given(g=CELLS, r=st.floats(1e-3, 1e5), factor=st.floats(1.0, 100.0))
def test_monotone_in_the_resistance(g, r, factor):
    with jax.enable_x64(True):
        low, high = solve(Ladder(r=r), g), solve(Ladder(r=r * factor), g)
    assert np.all(high.sensitivity <= low.sensitivity * (1 + 1e-13))


@given(g=CELLS, r=st.floats(1e-3, 1e5), factor=st.floats(1e-3, 1e3))
def test_only_the_product_of_resistance_and_conductance_counts(g, r, factor):
    with jax.enable_x64(True):
        one, other = solve(Ladder(r=r), g), solve(Ladder(r=r / factor), g * factor)
    np.testing.assert_allclose(other.sensitivity, one.sensitivity, rtol=1e-12)
    # The difference of a pair may cancel, so its error is that of the devices.
    np.testing.assert_allclose(other.matrix, factor * one.matrix, rtol=1e-12, atol=1e-12 * factor * np.max(g))


@given(g=CELLS, r=st.floats(1e-3, 1e5), extra=st.floats(1e-9, 1e-3), data=st.data())
def test_more_load_takes_from_every_other_cell(g, r, extra, data):
    i = data.draw(st.integers(0, g.shape[1] - 1))
    loaded = g.copy()
    loaded[1, i] += extra
    with jax.enable_x64(True):
        before, after = solve(Ladder(r=r), g).sensitivity[0], solve(Ladder(r=r), loaded).sensitivity[0]
    assert np.all(after <= before * (1 + 1e-13))
