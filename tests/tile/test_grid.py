"""Matrices of any size on many tiles, against a hand-written loop over blocks."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, drift, mvm, prepare, program
from jaxaimc._core.random import fold_in
from jaxaimc.adcs import CCO, IdealADC, Readout, Symmetric, Uniform
from jaxaimc.calibration import compensate_drift
from jaxaimc.cells import Differential
from jaxaimc.devices import Device, IdealDevice, PCMDrift, PCMPulseNoise
from jaxaimc.drives import PWM, FixedRange, SplitPWM
from jaxaimc.tile import tile_grid
from jaxaimc.wires import Ladder, NoWires, Placement

KEY = jax.random.key(3)
IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), rows=8, cols=6)
CIRCUIT = AnalogConfig(device=IdealDevice(), wires=Ladder(r=100.0), adc=CCO(), rows=8, cols=6)
SHAPES = [(8, 6), (3, 2), (8, 7), (9, 6), (17, 13), (1, 1), (24, 1), (1, 20)]


def weights(n_in, n_out, dtype=float):
    return jnp.asarray(np.random.default_rng(n_in + 100 * n_out).normal(size=(n_in, n_out)).astype(dtype))


def inputs(n_in, batch=(4,), dtype=float):
    return jnp.asarray(np.random.default_rng(n_in).normal(size=(*batch, n_in)).astype(dtype))


def chip(config, w, key=KEY):
    return prepare(config, program(config, w, key))


@pytest.mark.parametrize("shape", SHAPES)
def test_ideal_matrix_is_the_product_of_quantised_inputs(x64, shape):
    w, x = weights(*shape), inputs(shape[0])
    peak = np.max(np.abs(x), axis=-1, keepdims=True)
    y = mvm(IDEAL, chip(IDEAL, w), x)
    np.testing.assert_allclose(y, np.round(x / peak * 127) / 127 * peak @ w, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("n_in", "n_out", "grid"), [(1, 1, (1, 1)), (512, 512, (1, 1)), (513, 512, (2, 1)), (1500, 1025, (3, 3))]
)
def test_grid(n_in, n_out, grid):
    assert tile_grid(AnalogConfig(), n_in, n_out) == grid


@jax.jit
def by_hand(config, w, x):
    """The same matrix block by block: rows and columns split evenly, partial sums digitised and added."""
    n_in, n_out = w.shape
    tile_rows = -(-n_in // config.rows)
    rows = -(-n_in // tile_rows)
    cols = -(-n_out // -(-n_out // config.cols))
    total = jnp.zeros((len(x), n_out))
    pulses = config.drive.encode(x)
    span, signs = config.cell.g_span, config.cell.signs
    for i in range(0, n_in, rows):
        for j in range(0, n_out, cols):
            block = w[i : i + rows, j : j + cols]
            scale = jnp.max(jnp.abs(block), axis=0)
            # Where the full blocks sit; a short last block leaves the rows below open.
            place = Placement(config.rows, config.cols, row_start=(config.rows - rows) // 2)
            seen = config.wires.effective(config.cell.encode(block / scale)[0], signs, place)
            q = pulses.level[..., i : i + rows] @ seen.matrix / span + seen.baseline / (span * config.drive.v_read)
            known = Readout(unit_charge=(pulses.full_scale * span)[:, None, None], rows=rows, tile_rows=config.rows)
            codes = config.adc.convert(q[..., None, :], known)[..., 0, :]
            part = jnp.einsum("...pc,p->...c", codes, pulses.significance)
            total = total.at[:, j : j + cols].add(part * scale)
    return total * pulses.x_scale[:, None]


@pytest.mark.parametrize(
    ("shape", "drive"), [((17, 13), PWM()), ((11, 2), PWM()), ((17, 13), SplitPWM(range=FixedRange(limit=1.5)))]
)
def test_partial_sums_each_through_their_own_converter(x64, shape, drive):
    config = replace(CIRCUIT, drive=drive, cell=Differential(g_min=0.2e-6))
    w, x = weights(*shape), inputs(shape[0])
    expected = by_hand(config, w, x)
    np.testing.assert_allclose(mvm(config, chip(config, w), x), expected, rtol=1e-10, atol=1e-10)
    assert np.max(np.abs(expected - x @ w)) > 1e-3  # the circuit and its counters do something


def test_saturation_is_that_of_each_partial_sum(x64):
    """Two tile rows that saturate in opposite directions: their digital sum is zero, whatever the analog one is."""
    config = replace(IDEAL, adc=Uniform(bits=8, range=Symmetric(limit=2.0)), drive=PWM(range=FixedRange(limit=1.0)))
    w = jnp.concatenate([jnp.ones((8, 1)), -0.5 * jnp.ones((8, 1))])
    y = mvm(config, chip(config, w), jnp.ones(16))
    np.testing.assert_allclose(y, 2.0 * 1.0 - 2.0 * 0.5, rtol=1e-12)


def test_one_tile_matrix_is_a_tile(x64):
    w, x = weights(8, 6), inputs(8)
    np.testing.assert_allclose(mvm(CIRCUIT, chip(CIRCUIT, w), x), by_hand(CIRCUIT, w, x), rtol=1e-12)


def test_filling_cells_are_open():
    """Even where devices have a smallest conductance, programming noise and drift, the filling carries nothing."""
    config = replace(AnalogConfig(rows=8, cols=6), cell=Differential(g_min=1e-6))
    programmed = program(config, weights(11, 9, np.float32), KEY)
    drifted = drift(config, programmed, 1e4)
    for tiles in (programmed, drifted):
        assert tiles.g.shape == (2, 2, 1, 2, 6, 5)
        np.testing.assert_array_equal(tiles.g[1, :, ..., 5, :], 0.0)
        np.testing.assert_array_equal(tiles.g[:, 1, ..., 4:], 0.0)
        assert np.mean(tiles.g[0, 0] > 0) > 0.95


def test_every_tile_has_its_own_draws():
    config = AnalogConfig(rows=4, cols=4)
    g = program(config, jnp.ones((8, 8)), KEY).g
    assert len(np.unique(np.asarray(g[:, :, 0, 0]))) == 64


def test_each_tile_row_reads_with_its_own_noise():
    """Two tile rows with the same weights and opposite inputs cancel; their noises do not."""
    config = replace(IDEAL, device=Device(read_noise=PCMPulseNoise()))
    prepared = chip(config, jnp.ones((16, 3)))
    x = jnp.concatenate([jnp.ones(8), -jnp.ones(8)])
    assert np.min(np.abs(mvm(config, prepared, x, KEY))) > 1e-3


def test_keys_per_vector_make_the_batch_split_irrelevant():
    config = AnalogConfig(rows=8, cols=6, adc=IdealADC(), drive=SplitPWM())
    prepared = chip(config, weights(17, 7, np.float32))
    x, keys = inputs(17, (6,), np.float32), jax.random.split(KEY, 6)
    whole = mvm(config, prepared, x, keys)
    parts = jnp.concatenate([mvm(config, prepared, x[i : i + 2], keys[i : i + 2]) for i in (0, 2, 4)])
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(mvm(config, prepared, x, keys), whole)
    assert not np.any(mvm(config, prepared, x, jax.random.split(jax.random.key(9), 6)) == whole)


def test_gradient_reaches_every_weight_and_input(x64):
    """Through splitting, padding and summing: the gradient of the ideal matrix is the matrix."""
    config = replace(IDEAL, drive=PWM(range=FixedRange(limit=10.0)))
    w, x = weights(11, 8), inputs(11, ())

    def run(w, x):
        return mvm(config, chip(config, w), x)

    by_w, by_x = jax.jacobian(run, (0, 1))(w, x)
    np.testing.assert_allclose(by_x, w.T, rtol=1e-10, atol=1e-12)
    k = np.round(np.asarray(x) / 10 * 127) / 127 * 10
    np.testing.assert_allclose(by_w, np.einsum("jl,i->jil", np.eye(8), k), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("t", [1.0, 86400.0, 3.15e7])
def test_compensation_restores_the_scale(x64, t):
    """Exponents that do not depend on the weight are a common loss, which compensation takes out."""
    device = Device(drift=PCMDrift(g_max=1.0))  # every target far below g_max: both exponents at their clip
    config = replace(IDEAL, device=device, rows=64, cols=32)
    w, x = weights(150, 40), inputs(150)
    programmed = program(config, w, KEY)
    fresh = prepare(config, programmed)
    drifted = prepare(config, drift(config, programmed, t))
    restored = compensate_drift(config, drifted, fresh)
    ideal = mvm(config, fresh, x)

    def slope(y):
        return np.sum(y * ideal) / np.sum(ideal**2)

    # 6,000 log-normal factors of exponent 0.1 +- 0.045; their weighted mean is good to a few per cent.
    expected = np.exp(-0.1 * np.log1p(t / 20) + (0.045 * np.log1p(t / 20)) ** 2 / 2)
    assert slope(mvm(config, drifted, x)) == pytest.approx(expected, rel=0.06)
    assert slope(mvm(config, restored, x)) == pytest.approx(1.0, rel=0.06)


def test_compensation_of_a_uniform_loss_is_exact_per_tile(x64):
    config = replace(IDEAL, device=IdealDevice())
    w, x = weights(17, 13), inputs(17)
    fresh = chip(config, w)
    loss = jnp.linspace(0.4, 0.9, 3)[:, None] * jnp.repeat(jnp.array([1.0, 0.5, 0.7]), 5)[:13]
    worn = replace(fresh, matrix=fresh.matrix * loss[:, None, None, :])
    restored = compensate_drift(config, worn, fresh)
    np.testing.assert_allclose(mvm(config, restored, x), mvm(config, fresh, x), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(restored.w_scale * loss, fresh.w_scale, rtol=1e-12)


def test_compensation_of_an_open_tile_is_finite():
    config = replace(IDEAL, device=IdealDevice())
    fresh = chip(config, jnp.zeros((9, 7)))
    restored = compensate_drift(config, fresh, fresh)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(restored))


def test_fold_in_is_that_of_jax_for_every_key():
    keys = jax.random.split(KEY, (2, 3))
    folded = fold_in(keys, 5)
    data = jax.random.key_data
    np.testing.assert_array_equal(data(folded[1, 2]), data(jax.random.fold_in(keys[1, 2], 5)))
    np.testing.assert_array_equal(data(fold_in(KEY, 5)), data(jax.random.fold_in(KEY, 5)))


def test_bad_arguments():
    config = AnalogConfig(rows=8, cols=6)
    put = partial(program, config)
    prepared = chip(config, weights(10, 7, np.float32))
    x = inputs(10, (3,), np.float32)
    for call, message in (
        (lambda: put(jnp.ones(3), KEY), r"Argument `w` must have shape \(n_in, n_out\) .* has shape \(3,\)"),
        (lambda: put(jnp.full((9, 2), jnp.nan), KEY), "Argument `w` must be finite, but 18 of 18 entries are not"),
        (lambda: put(jnp.ones((9, 2)), 0), "Argument `key` must be a typed key"),
        (lambda: put(jnp.ones((9, 2)), jax.random.split(KEY)), r"must be a single key, shape \(\)"),
        (
            lambda: mvm(config, prepared, x[:, :9], KEY),
            r"must have shape \(\.\.\., n_in=10\), but has shape \(3, 9\)",
        ),
        (lambda: mvm(config, prepared, x), "Argument `key` must be a read key .* but is None"),
        (lambda: mvm(config, prepared, x, jax.random.split(KEY, 4)), r"shape that leads \(3,\), but has \(4,\)"),
        (lambda: mvm(config, prepared, x, 0), "Argument `key` must be a typed key"),
        (
            lambda: drift(config, program(config, jnp.ones((9, 2)), KEY), -1.0),
            r"Argument `t` must be a time in \[0, inf\) s, but is -1",
        ),
        (
            lambda: prepare(replace(config, wires=Ladder(r=-1.0)), program(config, jnp.ones((9, 2)), KEY)),
            r"`r` of Ladder must be in \[0, 1e\+09\] ohm, but is -1 ohm",
        ),
        (
            lambda: mvm(replace(config, adc=CCO(f_adc=-1.0)), prepared, x, KEY),
            r"`f_adc` of CCO must be in \(0, inf\) Hz, but is -1 Hz",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
