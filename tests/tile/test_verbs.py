"""The verbs on one tile: what each keeps, keys, batches, precisions, and what they refuse."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, analog_matmul, tile
from jaxaimc.adcs import CCO, IdealADC
from jaxaimc.cells import Differential
from jaxaimc.devices import (
    Device,
    IdealDevice,
    NoProgrammingNoise,
    PCMDrift,
    PCMFlickerNoise,
    PCMProgrammingNoise,
    PCMPulseNoise,
)
from jaxaimc.drives import PWM, FixedRange, SplitPWM
from jaxaimc.wires import Ladder, NoWires

RNG = np.random.default_rng(5)
W = RNG.normal(size=(6, 4)).astype(np.float32)
X = RNG.normal(size=(3, 6)).astype(np.float32)
KEY = jax.random.key(7)

IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), rows=6, cols=4)
FULL = AnalogConfig(rows=16, cols=4, adc=CCO(f_adc=100e9))
READ_NOISE_ONLY = replace(IDEAL, device=Device(read_noise=PCMPulseNoise()))

# One compilation per shape and structure; without it every test compiles every operation by itself.
program, drift, prepare, mvm, matmul = map(jax.jit, (tile.program, tile.drift, tile.prepare, tile.mvm, analog_matmul))


def chip(config, w=W, key=KEY):
    return prepare(config, program(config, jnp.asarray(w), key))


def quantised(x, bits=8):
    peak = np.max(np.abs(x), axis=-1, keepdims=True)
    k = 2 ** (bits - 1) - 1
    return np.round(x / peak * k) / k * peak


@pytest.mark.parametrize("column_scales", [True, False])
def test_ideal_tile_is_the_product_of_quantised_inputs(x64, column_scales):
    w, x = W.astype(float), X.astype(float)
    y = matmul(replace(IDEAL, column_scales=column_scales), jnp.asarray(w), jnp.asarray(x), KEY)
    np.testing.assert_allclose(y, quantised(x) @ w, rtol=1e-12)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (2, 3, 6), (0, 6)])
def test_any_leading_axes(shape):
    x = jnp.asarray(RNG.normal(size=shape).astype(np.float32))
    y = matmul(FULL, jnp.asarray(W), x, KEY)
    assert y.shape == (*shape[:-1], 4)
    assert y.dtype == jnp.float32


def test_scales():
    programmed = program(IDEAL, jnp.asarray(W), KEY)
    np.testing.assert_allclose(programmed.w_scale[0, 0], np.max(np.abs(W), axis=0))
    shared = program(replace(IDEAL, column_scales=False), jnp.asarray(W), KEY)
    np.testing.assert_allclose(shared.w_scale, np.max(np.abs(W)))
    np.testing.assert_allclose(programmed.g.max(axis=(0, 1, 2, 3, 4)), 25e-6, rtol=1e-6)


@pytest.mark.parametrize("column_scales", [True, False])
def test_zero_weights_and_zero_columns(column_scales):
    w = W.copy()
    w[:, 1] = 0.0
    config = replace(IDEAL, column_scales=column_scales)
    y = matmul(config, jnp.asarray(w), jnp.asarray(X), KEY)
    np.testing.assert_array_equal(y[:, 1], 0.0)
    np.testing.assert_array_equal(matmul(config, jnp.zeros((6, 4)), jnp.asarray(X), KEY), 0.0)


def test_output_scales_with_weights_and_inputs():
    """The digital scales carry the units: a tile does not see the size of either, powers of two change no bit."""
    base = matmul(FULL, jnp.asarray(W), jnp.asarray(X), KEY)
    np.testing.assert_array_equal(matmul(FULL, jnp.asarray(1024 * W), jnp.asarray(X), KEY), 1024 * base)
    np.testing.assert_array_equal(matmul(FULL, jnp.asarray(W), jnp.asarray(X / 64), KEY), base / 64)


def test_program_keeps_every_device():
    config = replace(FULL, cell=Differential(g_min=0.1e-6))
    programmed = program(config, jnp.asarray(W), KEY)
    normal = W / np.abs(W).max(axis=0)
    target = 0.1e-6 + (25e-6 - 0.1e-6) * np.stack([np.maximum(normal, 0), np.maximum(-normal, 0)])
    np.testing.assert_allclose(programmed.g_target[0, 0, 0], target, rtol=1e-5)
    np.testing.assert_array_equal(programmed.g, programmed.g_programmed)
    assert programmed.t == 0.0
    # Every device has its own error, the idle one of each pair included.
    assert np.all(np.abs(programmed.g - programmed.g_target) > 0)


def test_drift_counts_from_programming():
    programmed = program(FULL, jnp.asarray(W), KEY)
    direct = drift(FULL, programmed, 1e5)
    by_way = drift(FULL, drift(FULL, programmed, 60.0), 1e5)
    chex.assert_trees_all_equal(by_way, direct)
    assert direct.t == 1e5
    assert jnp.mean(direct.g) < 0.8 * jnp.mean(programmed.g)
    back = drift(FULL, direct, 0.0)
    np.testing.assert_array_equal(back.g, programmed.g)


def test_drift_sets_the_time_of_the_flicker_noise():
    config = replace(READ_NOISE_ONLY, device=Device(read_noise=PCMFlickerNoise()))
    programmed = program(config, jnp.asarray(W), KEY)
    assert not np.any(prepare(config, programmed).variance)
    hour, year = (prepare(config, drift(config, programmed, t)).variance for t in (3600.0, 3.15e7))
    expected = np.log((3.15e7 + 250e-9) / 500e-9) / np.log((3600 + 250e-9) / 500e-9)
    np.testing.assert_allclose(year[hour > 0] / hour[hour > 0], expected, rtol=1e-4)


def test_baseline_is_the_offset_voltage_over_the_column(x64):
    """An idle vector is digitised as what 0.5 mV drives through the column for the whole window."""
    wires = Ladder(r=0.0, v_idle=0.4, v_adc=0.4005)
    config = replace(IDEAL, wires=wires, cell=Differential(g_min=1e-6), drive=PWM(range=FixedRange(limit=1.0)))
    w = jnp.asarray(W.astype(float))
    programmed = program(config, w, KEY)
    idle = mvm(config, prepare(config, programmed), jnp.zeros(6))
    charge = -0.5e-3 * 127e-9 * programmed.g.sum(axis=(0, 1, 2, 3, 4))
    unit = 0.2 * 127e-9 * (25e-6 - 1e-6)
    np.testing.assert_allclose(idle, charge / unit * programmed.w_scale[0, 0], rtol=1e-9)


def test_split_shares_the_baseline_in_proportion_to_its_window(x64):
    """Two windows digitise an idle vector together as one window of the same length does."""
    limit = FixedRange(limit=1.0)
    one, two = (replace(IDEAL, wires=Ladder(r=5.0), drive=drive(range=limit)) for drive in (PWM, SplitPWM))
    w = jnp.asarray(W.astype(float))
    y = mvm(two, chip(two, w), jnp.zeros(6))
    assert np.all(y != 0)
    np.testing.assert_allclose(y, mvm(one, chip(one, w), jnp.zeros(6)), rtol=1e-12)


def test_every_plane_has_its_own_conversion(x64):
    """Split pulses through a coarse counter equal a hand-written loop over the two conversions."""
    config = replace(IDEAL, drive=SplitPWM(range=FixedRange(limit=1.0)), adc=CCO(), column_scales=False)
    w = jnp.asarray(W.astype(float) / np.max(np.abs(W)))
    k = np.array([127, -100, 9, -7, 64, 0])
    total = np.zeros(4)
    for digit, weight in ((np.sign(k) * (np.abs(k) % 8), 1), (np.sign(k) * (np.abs(k) // 8), 8)):
        charge = 0.2 * 1e-9 * 25e-6 * digit @ np.asarray(w)
        total += weight * np.trunc(charge * 6.24e9 / 100e-6)
    y = mvm(config, chip(config, w), jnp.asarray(k / 127))
    np.testing.assert_allclose(y, total * (100e-6 / 6.24e9) / (0.2 * 127e-9 * 25e-6), rtol=1e-9)


def test_block_sits_in_the_middle_of_its_tile(x64):
    """Six rows on a tile of sixteen: five open rows on either side are wire on the way to the ADC."""
    config = replace(IDEAL, wires=Ladder(r=100.0), rows=16)
    by_hand = replace(config, rows=6, wires=Ladder(r=100.0, adc_segments=5.5))
    w = jnp.asarray(W.astype(float))
    np.testing.assert_allclose(chip(config, w).matrix, chip(by_hand, w).matrix, rtol=1e-12)


# Keys, batches, transforms.


@pytest.mark.parametrize("config", [FULL, replace(FULL, drive=SplitPWM())])
def test_same_key_same_result(config):
    w, x = jnp.asarray(W), jnp.asarray(X)
    first = matmul(config, w, x, KEY, t=100.0)
    np.testing.assert_array_equal(matmul(config, w, x, KEY, t=100.0), first)
    assert not np.any(matmul(config, w, x, jax.random.key(8), t=100.0) == first)


def test_chip_and_read_keys_are_independent():
    """The chip depends on the chip key only, the noise of a read on the read key only."""
    x = jnp.asarray(X)
    prepared = chip(READ_NOISE_ONLY)
    reads = [mvm(READ_NOISE_ONLY, prepared, x, jax.random.key(i)) for i in (1, 2)]
    assert not np.any(reads[0] == reads[1])
    jax.tree.map(np.testing.assert_array_equal, chip(READ_NOISE_ONLY, key=jax.random.key(1)), prepared)


def test_keys_per_vector_make_the_batch_split_irrelevant():
    """The draws are the same bit for bit; a product of another batch size may round differently in its last bit."""
    config = replace(FULL, adc=IdealADC(), drive=SplitPWM())
    prepared = chip(config)
    x = jnp.asarray(RNG.normal(size=(12, 6)).astype(np.float32))
    keys = jax.random.split(KEY, 12)
    whole = mvm(config, prepared, x, keys)
    for size in (5, 12):
        parts = [mvm(config, prepared, x[i : i + size], keys[i : i + size]) for i in range(0, 12, size)]
        np.testing.assert_allclose(jnp.concatenate(parts), whole, rtol=2e-6, atol=1e-6)
    alone = jnp.stack([mvm(config, prepared, x[i], keys[i]) for i in range(12)])
    np.testing.assert_allclose(alone, whole, rtol=2e-6, atol=1e-6)
    folded = mvm(config, prepared, x.reshape(3, 4, 6), keys.reshape(3, 4))
    np.testing.assert_allclose(folded.reshape(12, 4), whole, rtol=2e-6, atol=1e-6)
    leading = mvm(config, prepared, x.reshape(3, 4, 6), keys[:3])
    np.testing.assert_allclose(leading[1], mvm(config, prepared, x[4:8], keys[1]), rtol=2e-6, atol=1e-6)


def test_single_and_double_precision_agree():
    config = replace(FULL, device=IdealDevice(), adc=IdealADC())
    single = matmul(config, jnp.asarray(W), jnp.asarray(X), KEY)
    with jax.enable_x64(True):
        double = matmul(config, jnp.asarray(W.astype(float)), jnp.asarray(X.astype(float)), KEY)
    assert (single.dtype, double.dtype) == (jnp.float32, jnp.float64)
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_other_number_types_are_computed_in_single_precision(dtype):
    w = jnp.asarray(np.round(4 * W), dtype)
    programmed = program(IDEAL, w, KEY)
    assert programmed.g.dtype == jnp.float32
    np.testing.assert_array_equal(programmed.g, program(IDEAL, w.astype(jnp.float32), KEY).g)


def test_double_precision_leaves_keep_a_single_precision_tile_running(x64):
    """A sweep built with NumPy in double precision must not break the scan of a float32 tile."""
    config = replace(FULL, wires=Ladder(r=jnp.asarray(1.0)), device=IdealDevice(), adc=IdealADC())
    y = matmul(config, jnp.asarray(W), jnp.asarray(X), KEY)
    plain = matmul(replace(config, wires=Ladder(r=1.0)), jnp.asarray(W), jnp.asarray(X), KEY)
    assert y.dtype == plain.dtype == jnp.float32
    np.testing.assert_allclose(y, plain, rtol=1e-5)


# What the verbs refuse.


def test_bad_weights():
    for w, message in (
        (np.ones(6), r"Argument `w` must have shape \(n_in, n_out\) or .*with no empty axis, but has shape \(6,\)"),
        (np.ones((0, 4)), r"no empty axis, but has shape \(0, 4\)"),
        (
            np.full((2, 2), np.nan),
            r"Argument `w` must be finite, but 4 of 4 entries are not, .* nan at \(0, 0\)",
        ),
        (np.ones((2, 2)) * 1j, "Argument `w` must hold real numbers, but has dtype complex"),
    ):
        with pytest.raises(ValueError, match=message):
            tile.program(FULL, w, KEY)
        with pytest.raises(ValueError, match=message):
            analog_matmul(FULL, w, jnp.ones(6), KEY)


@pytest.mark.parametrize("x", [np.ones(5), np.ones((6, 3)), np.ones(()), np.ones((2, 7))])
def test_bad_inputs(x):
    with pytest.raises(ValueError, match=r"Argument `x` must have shape \(\.\.\., n_in=6\), but has shape"):
        tile.mvm(FULL, chip(FULL), x, KEY)


def test_bad_read_keys():
    prepared, x = chip(FULL), jnp.asarray(X)
    with pytest.raises(ValueError, match=r"`key` must be a read key .* but is None"):
        tile.mvm(FULL, prepared, x)
    for shape in ((2,), (3, 1), (3, 1, 4), (4,)):
        keys = jax.random.split(KEY, shape)
        with pytest.raises(ValueError, match=r"must be one key or have a shape that leads \(3,\), but has "):
            tile.mvm(FULL, prepared, x, keys)
    with pytest.raises(ValueError, match=r"Argument `key` must be a typed key .* but is dtype uint32"):
        tile.mvm(FULL, prepared, x, jax.random.key_data(KEY))
    np.testing.assert_array_equal(tile.mvm(IDEAL, chip(IDEAL), x).shape, (3, 4))


def test_bad_chip_keys():
    for key in (0, jax.random.key_data(KEY), None):
        with pytest.raises(ValueError, match="Argument `key` must be a typed key"):
            tile.program(FULL, jnp.asarray(W), key)
        with pytest.raises(ValueError, match="Argument `key` must be a typed key"):
            analog_matmul(FULL, jnp.asarray(W), jnp.asarray(X), key)
    with pytest.raises(ValueError, match=r"must be a single key, shape \(\), but has shape \(2,\)"):
        tile.program(FULL, jnp.asarray(W), jax.random.split(KEY))


@pytest.mark.parametrize("t", [-1.0, np.nan, np.inf])
def test_bad_times(t):
    programmed = tile.program(FULL, jnp.asarray(W), KEY)
    with pytest.raises(ValueError, match=r"Argument `t` must be a time in \[0, inf\) s"):
        tile.drift(FULL, programmed, t)
    with pytest.raises(ValueError, match=r"Argument `t` must be a time in \[0, inf\) s"):
        analog_matmul(FULL, jnp.asarray(W), jnp.asarray(X), KEY, t=t)


BAD_FIELDS = [
    (replace(FULL, wires=Ladder(r=-0.15)), r"`r` of Ladder must be in \[0, 1e\+09\] ohm, but is -150 mohm"),
    (replace(FULL, wires=Ladder(v_adc=np.nan)), r"`v_adc` of Ladder must be in \[-100, 100\] V, but is nan V"),
    (replace(FULL, cell=Differential(g_min=25e-6)), "`g_min` of Differential must be less than `g_max`"),
    (replace(FULL, drive=PWM(v_read=0.0)), r"`v_read` of PWM must be in \(0, inf\) V, but is 0 V"),
    (replace(FULL, adc=CCO(i_ref=0.0)), r"`i_ref` of CCO must be in \(0, inf\) A, but is 0 A"),
    (
        replace(FULL, device=Device(programming=PCMProgrammingNoise(factor=-1.0))),
        r"`factor` of PCMProgrammingNoise must be in \[0, inf\), but is -1\.",
    ),
]


@pytest.mark.parametrize(("config", "message"), BAD_FIELDS)
def test_bad_fields_are_refused_by_every_verb(config, message):
    """A config may change between the verbs, as in a sweep of the ADC over one chip, so each of them looks."""
    programmed = tile.program(FULL, jnp.asarray(W), KEY)
    prepared = tile.prepare(FULL, programmed)
    for call in (
        lambda: tile.program(config, jnp.asarray(W), KEY),
        lambda: tile.drift(config, programmed, 1.0),
        lambda: tile.prepare(config, programmed),
        lambda: tile.mvm(config, prepared, jnp.asarray(X), KEY),
        lambda: analog_matmul(config, jnp.asarray(W), jnp.asarray(X), KEY),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("field", ["rows", "cols"])
@pytest.mark.parametrize("value", [0, 512.0, 65537, True])
def test_bad_tile_sizes(field, value):
    with pytest.raises(ValueError, match=rf"`{field}` of AnalogConfig must be an integer in \[1, 65536\], but is"):
        AnalogConfig(**{field: value})


def test_parts_of_ones_own_make_a_config():
    """A device of parts that no preset combines: exact programming, drift, and half the read noise."""
    device = Device(programming=NoProgrammingNoise(), drift=PCMDrift(), read_noise=PCMFlickerNoise(factor=0.5))
    y = matmul(replace(FULL, device=device), jnp.asarray(W), jnp.asarray(X), KEY, t=1e3)
    assert np.all(np.isfinite(y))
