"""Block-diagonal matrices, against separate matrices and against the dense matrix with its zeros."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaimc import AnalogConfig, analog_matmul, charges, drift, mvm, prepare, presets, program
from jaxaimc._core.random import fold_in
from jaxaimc._core.xla import grouped_product
from jaxaimc.adcs import CCO, IdealADC, Symmetric, Uniform
from jaxaimc.calibration import ColumnCompensation, GlobalCompensation, Percentile
from jaxaimc.cells import Differential
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, BitSerial, FixedRange
from jaxaimc.tile import read as tile_read
from jaxaimc.tile import tile_grid
from jaxaimc.wires import Ladder, NonlinearMesh, NoWires

KEY = jax.random.key(5)
FIXED = PWM(range=FixedRange(limit=3.0))
IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=FIXED, rows=8, cols=6)
CIRCUIT = AnalogConfig(device=IdealDevice(), wires=Ladder(r=100.0), adc=CCO(), drive=FIXED, rows=8, cols=6)
NOISY = replace(presets.tile_circuit(), rows=8, cols=6, drive=FIXED)


def blocks(groups, n_in, n_out, dtype=np.float32):
    rng = np.random.default_rng(groups + 10 * n_in + 100 * n_out)
    return jnp.asarray(rng.normal(size=(groups, n_in, n_out)).astype(dtype))


def inputs(w, batch=(4,)):
    n_in = w.shape[0] * w.shape[1]
    return jnp.asarray(np.random.default_rng(n_in).normal(size=(*batch, n_in)), w.dtype)


def group_of(chip, index):
    """Return the devices or the effective matrix of one group, as those of a matrix of its own."""
    per_group = (chip.g if hasattr(chip, "g") else chip.matrix).shape[0] // chip.groups
    rows = lambda a: a[index * per_group : (index + 1) * per_group]  # noqa: E731
    kept = {name: getattr(chip, name) for name in ("key", "t") if hasattr(chip, name)}
    part = jax.tree.map(rows, replace(chip, **{name: jnp.zeros(chip.groups * per_group) for name in kept}))
    sizes = {"n_in": chip.n_in // chip.groups, "n_out": chip.n_out // chip.groups, "groups": 1}
    return replace(part, **kept, **sizes)


@settings(max_examples=8)
@given(st.integers(1, 4), st.integers(1, 19), st.integers(1, 13))
def test_ideal_tiles_give_the_dense_block_diagonal_product(groups, n_in, n_out):
    w = blocks(groups, n_in, n_out)
    x = inputs(w)
    programmed = program(IDEAL, w, KEY)
    assert programmed.g.shape[:2] == tile_grid(IDEAL, groups * n_in, groups * n_out, groups)
    assert (programmed.n_in, programmed.n_out) == (groups * n_in, groups * n_out)
    driven = np.round(np.clip(np.asarray(x) / 3, -1, 1) * 127) / 127 * 3
    expected = driven @ scipy.linalg.block_diag(*np.asarray(w))
    found = mvm(IDEAL, prepare(IDEAL, programmed), x)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(grouped_product(x, w), np.asarray(x) @ scipy.linalg.block_diag(*w), atol=2e-5)


CONFIGS = {
    "ladder": CIRCUIT,
    "columns share a scale": replace(IDEAL, column_scales=False),
    "bit planes in one product": replace(
        CIRCUIT, wires=NoWires(), cell=Differential(), drive=BitSerial(bits=4, range=FixedRange(limit=3.0))
    ),
    "few bits": replace(CIRCUIT, adc=Uniform(bits=5, range=Symmetric(limit=4.0))),
    "solved at every read": replace(CIRCUIT, wires=NonlinearMesh(), adc=IdealADC(), rows=4, cols=4),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("sizes", [(3, 11, 7), (5, 3, 1)])
def test_groups_are_read_as_separate_matrices(name, sizes):
    config = CONFIGS[name]
    w = blocks(*sizes)
    if name == "columns share a scale":
        w = w.at[:, 0, 0].set(9.0)  # the one scale of all groups is that of each
    x = inputs(w, (2, 2))
    found = mvm(config, prepare(config, program(config, w, KEY)), x)
    parts = jnp.split(x, sizes[0], axis=-1)
    alone = [mvm(config, prepare(config, program(config, m, KEY)), v) for m, v in zip(w, parts, strict=True)]
    np.testing.assert_allclose(found, jnp.concatenate(alone, axis=-1), rtol=1e-5, atol=1e-5)


def test_noisy_devices_of_a_group_act_in_that_group_only():
    w = blocks(3, 11, 7)
    x = inputs(w)
    config = replace(NOISY, adc=IdealADC())
    programmed = drift(config, program(config, w, KEY), 1e5)
    prepared = prepare(config, programmed)
    silent = replace(prepared, variance=prepared.variance[:, :0])
    found = mvm(config, silent, x)
    for index, part in enumerate(jnp.split(x, 3, axis=-1)):
        own = prepare(config, group_of(programmed, index))
        expected = mvm(config, replace(own, variance=own.variance[:, :0]), part)
        np.testing.assert_allclose(found[:, 7 * index : 7 * index + 7], expected, rtol=1e-5, atol=1e-5)
    # Groups have devices of their own, although their weights are equal.
    equal = program(config, jnp.broadcast_to(w[:1], w.shape), KEY)
    assert float(jnp.max(jnp.abs(equal.g[:2] - equal.g[2:4]))) > 1e-8


def test_cells_that_fill_up_a_tile_are_open_in_every_group():
    programmed = program(NOISY, blocks(3, 11, 7), KEY)
    assert programmed.g.shape == (6, 2, 1, 2, 6, 4)
    for chip in (programmed, drift(NOISY, programmed, 1e4)):
        g = np.asarray(chip.g)
        assert not g[1::2, :, :, :, 5:].any()
        assert not g[:, 1, ..., 3:].any()
        assert g[0::2, 0].all(axis=(1, 2, 3, 4)).all() or (g[0::2, 0] > 0).mean() > 0.8


def test_read_noise_of_groups_has_the_size_that_it_has_in_separate_matrices():
    w = blocks(3, 11, 2)
    x = inputs(w, (1,))
    config = replace(NOISY, adc=IdealADC())
    programmed = program(config, w, KEY)
    draw = jax.jit(lambda key: mvm(config, prepare(config, programmed), x, key)[0])
    noise = jnp.std(jax.vmap(draw)(jax.random.split(KEY, 600)), axis=0)
    for index, part in enumerate(jnp.split(x, 3, axis=-1)):
        alone = prepare(config, group_of(programmed, index))
        draws = jax.vmap(lambda key: mvm(config, alone, part, key)[0])(jax.random.split(KEY, 600))  # noqa: B023
        np.testing.assert_allclose(noise[2 * index : 2 * index + 2], jnp.std(draws, axis=0), rtol=0.15)


def test_many_charges_are_read_group_by_group(monkeypatch):
    w = blocks(3, 19, 7)
    x = inputs(w, (2, 3))
    prepared = prepare(NOISY, program(NOISY, w, KEY))
    at_once = mvm(NOISY, prepared, x, KEY)
    monkeypatch.setattr(tile_read, "_MANY_CHARGES", 1)
    jax.clear_caches()
    np.testing.assert_allclose(mvm(NOISY, prepared, x, KEY), at_once, rtol=1e-5, atol=1e-5)
    jax.clear_caches()


def test_one_group_is_the_matrix_bit_for_bit():
    w = blocks(1, 19, 7)
    x = inputs(w)
    one, matrix = (prepare(NOISY, program(NOISY, m, KEY)) for m in (w, w[0]))
    assert jax.tree.structure(one) == jax.tree.structure(matrix)
    np.testing.assert_array_equal(mvm(NOISY, one, x, KEY), mvm(NOISY, matrix, x, KEY))


def test_charges_and_ranges_of_groups():
    w = blocks(3, 11, 7)
    x = inputs(w)
    config = replace(CIRCUIT, adc=Uniform(bits=6))
    prepared = prepare(config, program(config, w, KEY))
    found = charges(config, prepared, x)
    assert found.shape == (6, 4, 1, 1, 7)
    for index, part in enumerate(jnp.split(x, 3, axis=-1)):
        expected = charges(config, group_of(prepared, index), part)
        np.testing.assert_allclose(found[2 * index : 2 * index + 2], expected, rtol=1e-5, atol=1e-6)
    chosen = Percentile(percentile=100.0)(config, prepared, x).adc.range.limit
    np.testing.assert_allclose(chosen.ravel(), jnp.max(jnp.abs(found)), rtol=1e-5)


@pytest.mark.parametrize("compensation", [GlobalCompensation(), ColumnCompensation()])
def test_compensation_of_groups(compensation):
    w = blocks(3, 11, 7)
    config = replace(NOISY, adc=IdealADC())
    drifted = drift(config, program(config, w, KEY), 1e6)
    found = compensation(config, prepare(config, drifted), drifted)
    for index in range(3):
        own = group_of(drifted, index)
        expected = compensation(config, prepare(config, own), own)
        np.testing.assert_allclose(group_of(found, index).w_scale, expected.w_scale, rtol=1e-5)


def test_gradients_reach_every_block(x64):
    w = blocks(3, 11, 7, np.float64)
    x = inputs(w)
    config = replace(IDEAL, drive=PWM(bits=16, range=FixedRange(limit=5.0)))
    loss = lambda product: lambda w, x: jnp.sum(jnp.sin(product(w, x)))  # noqa: E731
    found = jax.grad(loss(lambda w, x: analog_matmul(config, w, x, KEY)), (0, 1))(w, x)
    dense = lambda w, x: x @ jax.scipy.linalg.block_diag(*w)  # noqa: E731
    for ours, exact in zip(found, jax.grad(loss(dense), (0, 1))(w, x), strict=True):
        np.testing.assert_allclose(ours, exact, atol=2e-3)


def test_keys_of_tile_rows_differ_between_groups():
    w = jnp.broadcast_to(blocks(1, 4, 2), (2, 4, 2))
    x = jnp.tile(inputs(w[:1]), (1, 2))
    prepared = prepare(NOISY, program(NOISY, w, KEY))
    same = replace(prepared, **{n: jnp.stack([getattr(prepared, n)[0]] * 2) for n in ("matrix", "variance", "w_scale")})
    y = mvm(replace(NOISY, adc=IdealADC()), same, x, fold_in(KEY, 1))
    assert float(jnp.max(jnp.abs(y[:, :2] - y[:, 2:]))) > 1e-4


def test_bad_groups_are_refused():
    w = blocks(3, 4, 2)
    with pytest.raises(
        ValueError, match=r"`w` must have shape \(n_in, n_out\) or \(groups, n_in, n_out\) .* \(3, 0, 2\)"
    ):
        program(IDEAL, w[:, :0], KEY)
    with pytest.raises(ValueError, match=r"`w` must have shape .* but has shape \(1, 3, 4, 2\)"):
        program(IDEAL, w[None], KEY)
    prepared = prepare(IDEAL, program(IDEAL, w, KEY))
    with pytest.raises(ValueError, match=r"`x` must have shape \(..., n_in=12\)"):
        mvm(IDEAL, prepared, jnp.ones((2, 4)))
    with pytest.raises(ValueError, match=r"Argument `w` must be finite"):
        program(IDEAL, w.at[1, 2, 0].set(jnp.nan), KEY)
    with pytest.raises(ValueError, match=r"`prepared` has arrays of shape \(3, 4, 1, 2\), but those of `config`"):
        mvm(replace(IDEAL, rows=2), prepared, jnp.ones((2, 12)))
