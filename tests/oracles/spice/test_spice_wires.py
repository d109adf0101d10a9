"""`wires.Ladder` against the circuit itself: the dense nodal solve and the stored SPICE results."""

import functools

import jax
import nodal
import numpy as np
import pytest
import spice_cases
from hypothesis import given, settings
from hypothesis import strategies as st
from spice_cases import HELD, OPEN, REFERENCE_K, REFERENCE_W, REFERENCE_Y, conductances, one_sided

from jaxaimc.wires import Ladder, NoWires, OpenIdle, Placement

SIGNS = (1.0, -1.0)


def effective(g, *, r=0.15, r_adc=None, v_idle=0.4, v_adc=0.4005, unused_rows=(0, 0), alternate=True):
    """The library's effective tile, float64, from the arguments of the oracles."""
    before, after = unused_rows
    placement = Placement(rows=before + g.shape[1] + after, cols=g.shape[2], row_start=before)
    last = {} if r_adc is None else {"adc_segments": 0.0, "r_out": r_adc}
    with jax.enable_x64(True):
        wires = Ladder(r=r, v_idle=v_idle, v_adc=v_adc, alternate=alternate, **last)
        return jax.tree.map(np.asarray, wires.effective(jax.numpy.asarray(g, "float64"), SIGNS, placement))


def currents(g, drive, *, v_read=0.2, **circuit):
    tile = effective(g, **circuit)
    return v_read * np.asarray(drive) @ tile.matrix + tile.baseline


def charge(g, k, *, steps=127, t_lsb=1e-9, v_read=0.2, **circuit):
    tile = effective(g, **circuit)
    return t_lsb * (v_read * np.asarray(k) @ tile.matrix + steps * tile.baseline)


@functools.cache
def solved(name):
    kind, inputs, _, _ = spice_cases.load(name)
    return currents(**inputs) if kind == "dc" else charge(**inputs)[None]


def relative(actual, expected):
    return np.max(np.abs(actual - expected)) / np.max(np.abs(expected))


@pytest.mark.parametrize("name", HELD)
def test_equals_stored_spice(name):
    results = spice_cases.load(name)[3]
    assert relative(solved(name), results) < 1e-9


@pytest.mark.parametrize("name", HELD)
def test_equals_nodal_solve(name):
    kind, inputs, _, _ = spice_cases.load(name)
    oracle = nodal.column_currents if kind == "dc" else nodal.pwm_charge
    assert relative(solved(name), oracle(**inputs)) < 1e-10


@pytest.mark.parametrize("name", OPEN)
def test_open_idle_cells_equal_stored_transient_runs(x64, name):
    _, inputs, _, results = spice_cases.load(name)
    g, steps, (before, after) = inputs["g"], inputs.get("steps", 127), inputs.get("unused_rows", (0, 0))
    placement = Placement(rows=before + g.shape[1] + after, cols=g.shape[2], row_start=before)
    wires = OpenIdle(r=inputs["r"], steps=steps)
    circuit = wires.effective(jax.numpy.asarray(g), SIGNS, placement).circuit
    found = circuit.charge(jax.numpy.asarray(inputs["k"] / steps), steps=0, timed=True, v_read=0.2)
    assert relative(0.2 * steps * inputs.get("t_lsb", 1e-9) * np.asarray(found), results) < spice_cases.tolerance(name)


def test_reference_case():
    y = charge(one_sided(REFERENCE_W), REFERENCE_K, r=100.0, v_adc=0.4) / (0.2 * 1e-9 * 25e-6 * 127)
    np.testing.assert_allclose(y, REFERENCE_Y, atol=1e-9, rtol=0)


def test_full_size_tile_equals_nodal_solve():
    g = conductances(512, 2, 60)
    drive = np.random.default_rng(61).integers(-1, 2, (5, 512))
    assert relative(currents(g, drive), nodal.column_currents(g, drive)) < 1e-10


CIRCUITS = st.fixed_dictionaries(
    {
        "r": st.one_of(st.just(0.0), st.floats(1e-2, 1e4)),
        "r_adc": st.one_of(st.none(), st.just(0.0), st.floats(1e-2, 1e4)),
        "unused_rows": st.tuples(st.integers(0, 5), st.integers(0, 5)),
        "alternate": st.booleans(),
    }
)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 12),
    cols=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    open_share=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    circuit=CIRCUITS,
)
def test_any_circuit_equals_nodal_solve(rows, cols, seed, open_share, circuit):
    g = conductances(rows, cols, seed, open_share)
    drive = np.concatenate([np.eye(rows), -np.ones((1, rows)), np.zeros((1, rows))])
    expected = nodal.column_currents(g, drive, **circuit)
    full_current = 0.2 * 25e-6  # of one device
    np.testing.assert_allclose(currents(g, drive, **circuit), expected, rtol=1e-10, atol=1e-10 * full_current)


def test_columns_of_a_block_keep_their_end_on_the_tile():
    # A block that starts at an odd tile column: its first column is read at the first row's end.
    g, drive = conductances(6, 3, 62), np.array([1, -1, 1, 0, 1, -1])
    with jax.enable_x64(True):
        placement = Placement(rows=6, cols=8, col_start=3)
        tile = Ladder(r=100.0).effective(jax.numpy.asarray(g, "float64"), SIGNS, placement)
        found = 0.2 * drive @ np.asarray(tile.matrix) + np.asarray(tile.baseline)
    shifted = np.concatenate([np.zeros((2, 6, 1)), g], axis=2)
    assert relative(found, nodal.column_currents(shifted, drive, r=100.0)[1:]) < 1e-10


def test_no_resistance_is_no_wires():
    g = conductances(5, 3, 63, open_share=0.4)
    ideal = NoWires().effective(jax.numpy.asarray(g), SIGNS, Placement(rows=5, cols=3))
    np.testing.assert_allclose(effective(g, r=0.0).matrix, ideal.matrix, rtol=1e-6)
    np.testing.assert_array_equal(effective(g, r=0.0).matrix, g[0] - g[1])


def test_open_tile_gives_nothing():
    tile = effective(np.zeros((2, 4, 3)), r=100.0)
    assert not tile.matrix.any()
    assert not tile.baseline.any()
