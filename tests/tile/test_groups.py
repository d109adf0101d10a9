"""Block-diagonal matrices, against separate matrices and against the dense matrix with its zeros."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaimc import AnalogConfig, analog_matmul, charges, drift, mvm, prepare, presets, program
from jaxaimc._core.xla import grouped_product
from jaxaimc.adcs import CCO, IdealADC, Symmetric, Uniform
from jaxaimc.calibration import ColumnCompensation, GlobalCompensation, Percentile
from jaxaimc.cells import BitPlanes
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, BitSerial, FixedRange
from jaxaimc.tile import read as tile_read
from jaxaimc.tile import tile_grid
from jaxaimc.wires import Ladder, NoWires, OpenIdle

KEY = jax.random.key(5)
TILES = ("matrix", "baseline", "variance", "w_scale")
FIXED = PWM(range=FixedRange(limit=3.0))
IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=FIXED, rows=8, cols=6)
CIRCUIT = AnalogConfig(device=IdealDevice(), wires=Ladder(r=100.0), adc=CCO(), drive=FIXED, rows=8, cols=6)
NOISY = replace(presets.tile_circuit(), rows=8, cols=6, drive=FIXED, adc=IdealADC())


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


@settings(max_examples=4)
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


def answer(config, w, x):
    return mvm(config, prepare(config, program(config, w, KEY)), x)


@jax.jit
def both(config, w, x):
    """Answers of the groups, and of a matrix each with its part of the inputs."""
    parts = jnp.moveaxis(x.reshape(*x.shape[:-1], len(w), -1), -2, 0)
    alone = jax.vmap(answer, (None, 0, 0))(config, w, parts)
    return answer(config, w, x), jnp.moveaxis(alone, 0, -2).reshape(*x.shape[:-1], -1)


BIT_PLANES = BitSerial(bits=4, range=FixedRange(limit=3.0))
CONFIGS = {
    "ladder": CIRCUIT,
    "columns share a scale": replace(IDEAL, column_scales=False),
    "bit planes": replace(CIRCUIT, drive=BIT_PLANES, adc=Uniform(bits=5, range=Symmetric(limit=4.0))),
    "planes in one product": replace(IDEAL, cell=BitPlanes(bits=3), drive=BIT_PLANES, adc=CCO()),
    "solved at every read": replace(
        CIRCUIT, wires=OpenIdle(r=100.0), adc=IdealADC(), drive=PWM(bits=3, range=FixedRange(limit=3.0)), rows=4, cols=4
    ),
}


@pytest.mark.parametrize(
    ("name", "sizes"), [*((name, (3, 11, 7)) for name in CONFIGS), ("ladder", (5, 3, 1)), ("bit planes", (5, 3, 1))]
)
def test_groups_are_read_as_separate_matrices(name, sizes):
    w = blocks(*sizes)
    if name == "columns share a scale":
        w = w.at[:, 0, 0].set(9.0)  # the one scale of all groups is that of each
    found, alone = both(CONFIGS[name], w, inputs(w, (2, 2)))
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-5)


@functools.cache
def noisy_chip():
    """Two tile rows and two tile columns for each of three groups."""
    w = blocks(3, 11, 7)
    programmed = program(NOISY, w, KEY)
    return w, inputs(w), programmed, drift(NOISY, programmed, 1e5), prepare(NOISY, programmed)


def test_noisy_devices_of_a_group_act_in_that_group_only():
    w, x, _, drifted, _ = noisy_chip()
    prepared = prepare(NOISY, drifted)
    found = mvm(NOISY, replace(prepared, variance=prepared.variance[:, :0], ratios=prepared.ratios[:, :0]), x)
    for index, part in enumerate(jnp.split(x, 3, axis=-1)):
        own = prepare(NOISY, group_of(drifted, index))
        expected = mvm(NOISY, replace(own, variance=own.variance[:, :0], ratios=own.ratios[:, :0]), part)
        np.testing.assert_allclose(found[:, 7 * index : 7 * index + 7], expected, rtol=1e-5, atol=1e-5)
    # Groups have devices of their own, although their weights are equal.
    equal = program(NOISY, jnp.broadcast_to(w[:1], w.shape), KEY)
    assert float(jnp.max(jnp.abs(equal.g[:2] - equal.g[2:4]))) > 1e-8


def test_cells_that_fill_up_a_tile_are_open_in_every_group():
    _, _, programmed, drifted, _ = noisy_chip()
    assert programmed.g.shape == (6, 2, 1, 2, 6, 4)
    for chip in (programmed, drifted):
        g = np.asarray(chip.g)
        assert not g[1::2, :, :, :, 5:].any()
        assert not g[:, 1, ..., 3:].any()
        assert (g[0::2, 0].max(axis=2) > 0).all()


def test_read_noise_of_groups_has_the_size_that_it_has_in_separate_matrices():
    _, x, _, _, prepared = noisy_chip()

    @jax.jit
    def size(prepared, x):
        draw = jax.vmap(lambda key: mvm(NOISY, prepared, x, key)[0])
        return jnp.std(draw(jax.random.split(KEY, 600)), axis=0)

    alone = [size(group_of(prepared, index), part) for index, part in enumerate(jnp.split(x, 3, axis=-1))]
    np.testing.assert_allclose(size(prepared, x), jnp.concatenate(alone), rtol=0.15)


def test_many_charges_are_read_group_by_group(monkeypatch):
    _, x, _, _, prepared = noisy_chip()
    at_once = mvm(NOISY, prepared, x, KEY)
    monkeypatch.setattr(tile_read, "_MANY_CHARGES", 1)
    tile_read._mvm.clear_cache()
    np.testing.assert_allclose(mvm(NOISY, prepared, x, KEY), at_once, rtol=1e-5, atol=1e-5)
    tile_read._mvm.clear_cache()


def test_one_group_is_the_matrix_bit_for_bit():
    w, x, *_ = noisy_chip()
    x = x[:, :11]
    one, matrix = (prepare(NOISY, program(NOISY, m, KEY)) for m in (w[:1], w[0]))
    assert jax.tree.structure(one) == jax.tree.structure(matrix)
    np.testing.assert_array_equal(mvm(NOISY, one, x, KEY), mvm(NOISY, matrix, x, KEY))


def test_charges_and_ranges_of_groups():
    _, x, _, _, prepared = noisy_chip()
    config = replace(NOISY, adc=Uniform(bits=6))
    found = charges(config, prepared, x)
    assert found.shape == (6, 4, 1, 1, 7)
    for index, part in enumerate(jnp.split(x, 3, axis=-1)):
        expected = charges(config, group_of(prepared, index), part)
        np.testing.assert_allclose(found[2 * index : 2 * index + 2], expected, rtol=1e-5, atol=1e-6)
    chosen = Percentile(percentile=100.0)(config, prepared, x).adc.range.limit
    np.testing.assert_allclose(chosen.ravel(), jnp.max(jnp.abs(found)), rtol=1e-5)


@pytest.mark.parametrize("compensation", [GlobalCompensation(), ColumnCompensation()])
def test_compensation_of_groups(compensation):
    _, _, _, drifted, _ = noisy_chip()
    found = compensation(NOISY, prepare(NOISY, drifted), drifted)
    for index in range(3):
        own = group_of(drifted, index)
        expected = compensation(NOISY, prepare(NOISY, own), own)
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


def test_tile_rows_of_all_groups_draw_their_own_noise():
    _, x, _, _, prepared = noisy_chip()
    same = {n: jnp.tile(getattr(prepared, n)[:2], (3, *[1] * (getattr(prepared, n).ndim - 1))) for n in TILES}
    y = mvm(NOISY, replace(prepared, **same), jnp.tile(x[:, :11], (1, 3)), KEY)
    assert float(jnp.min(jnp.abs(y[:, :7] - y[:, 7:14]))) > 0


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
