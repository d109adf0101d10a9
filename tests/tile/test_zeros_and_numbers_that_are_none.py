"""Zeros, empty batches, inputs that are no numbers or cannot be driven: what they do, and what they do to others."""

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, mvm, nn, prepare, program
from jaxaimc._core.checks import ClippedInputWarning
from jaxaimc.adcs import CCO, FullScaleNoise, IdealADC, TileRange, Uniform
from jaxaimc.calibration import LeastError, NothingToCalibrateWarning, Percentile
from jaxaimc.devices import PCM, IdealDevice
from jaxaimc.drives import (
    PWM,
    AbsoluteMaximum,
    BitSerial,
    FixedRange,
    LearnedRange,
    PerVector,
    TwosComplement,
    Unsigned,
)
from jaxaimc.presets import asim
from jaxaimc.wires import NoWires

KEY = jax.random.key(0)
RANGES = [PerVector(), AbsoluteMaximum(), FixedRange(limit=2.0), LearnedRange(limit=2.0)]
name = lambda part: type(part).__name__  # noqa: E731


def noisy(**parts):
    return AnalogConfig(**{"device": PCM(), "wires": NoWires(), "adc": IdealADC(), "rows": 32, "cols": 8, **parts})


def spread(config, w, x, count=200):
    prepared = prepare(config, program(config, w, KEY))
    y = jax.vmap(lambda key: mvm(config, prepared, x, key))(jax.random.split(KEY, count))
    return np.asarray(y).std(axis=0), np.abs(np.asarray(y)).max(axis=0)


@pytest.mark.parametrize("column_scales", [True, False])
def test_c10_a_column_of_zeros_has_no_more_noise_than_its_neighbours(column_scales):
    w = 0.0125 * jax.random.normal(KEY, (32, 4)).at[:, 1].set(0.0)
    _, largest = spread(noisy(column_scales=column_scales), w, jax.random.normal(jax.random.key(1), (32,)))
    assert largest[1] < largest[[0, 2, 3]].max()


def test_c10_a_column_of_zeros_in_another_tile_has_the_scale_of_the_matrix():
    w = (0.0125 * jax.random.normal(KEY, (32, 16))).at[:, 8:].set(0.0)
    programmed = program(noisy(), w, KEY)
    peaks = np.abs(np.asarray(w[:, :8])).max(axis=0)
    np.testing.assert_allclose(programmed.w_scale[0, 0], peaks, rtol=1e-6)
    np.testing.assert_allclose(programmed.w_scale[0, 1], peaks.min(), rtol=1e-6)


def test_c10_a_matrix_of_zeros_reads_as_nothing_and_can_be_trained():
    config = noisy()
    _, largest = spread(config, jnp.zeros((32, 4)), jnp.ones(32), 5)
    assert largest.max() < 1e-12
    ideal = noisy(device=IdealDevice())

    def total(w):
        return jnp.sum(mvm(ideal, prepare(ideal, program(ideal, w, KEY)), jnp.ones(32)))

    np.testing.assert_allclose(jax.grad(total)(jnp.zeros((32, 4))), 1.0, rtol=1e-5)


@pytest.mark.parametrize("input_range", [PerVector(), AbsoluteMaximum()], ids=name)
def test_s8_an_input_of_zeros_reads_as_no_more_than_small_ones(input_range):
    """With the noise of conversions, which is there whatever the input is."""
    config = noisy(drive=PWM(range=input_range), adc=Uniform(bits=6, noise=FullScaleNoise(rms=0.01)))
    w = jax.random.normal(KEY, (32, 8))
    zero, small = (spread(config, w, jnp.full(32, value), 20)[1].max() for value in (0.0, 1e-3))
    assert zero <= small


@pytest.mark.parametrize("input_range", RANGES, ids=name)
def test_n1_a_vector_that_is_no_number_changes_no_other(input_range):
    config = noisy(device=IdealDevice(), drive=PWM(range=input_range), adc=Uniform(bits=8))
    prepared = prepare(config, program(config, jax.random.normal(KEY, (32, 8)), KEY))
    x = jax.random.normal(jax.random.key(1), (4, 32))
    clean, spoiled = (mvm(config, prepared, x.at[2, 5].set(value)) for value in (0.0, jnp.nan))
    np.testing.assert_array_equal(spoiled[np.array([0, 1, 3])], clean[np.array([0, 1, 3])])
    assert np.all(np.isnan(spoiled[2]))
    infinite = mvm(config, prepared, x.at[2, 5].set(jnp.inf))
    np.testing.assert_array_equal(infinite[np.array([0, 1, 3])], clean[np.array([0, 1, 3])])


@pytest.mark.parametrize("input_range", RANGES, ids=name)
@pytest.mark.parametrize("drive", [PWM(), BitSerial(bits=4, signs=TwosComplement())], ids=name)
def test_n2_an_empty_batch_gives_an_empty_result(input_range, drive):
    config = noisy(drive=replace(drive, range=input_range), adc=CCO())
    prepared = prepare(config, program(config, jnp.ones((32, 8)), KEY))
    assert mvm(config, prepared, jnp.zeros((0, 32)), KEY).shape == (0, 8)


def macro(signs, bits=6):
    layer = nnx.Linear(63, 16, rngs=nnx.Rngs(0))
    return layer, nn.convert(layer, asim(rows=63, cols=16, adc_bits=bits, signs=signs), key=KEY)


def error(model, layer, x):
    return float(jnp.sqrt(jnp.mean((model(x) - layer(x)) ** 2) / jnp.mean(layer(x) ** 2)))


@pytest.mark.parametrize("rule", [Percentile(), LeastError(candidates=8)], ids=name)
def test_c7_a_macro_that_counts_keeps_its_range(rule):
    layer, model = macro(TwosComplement())
    x = jax.random.normal(jax.random.key(2), (128, 63))
    calibrated = nn.calibrate(model, x, jax.random.key(3), input_percentile=None, adc_rule=rule)
    assert calibrated.dot_general.config.get_value().adc.range == TileRange()
    assert error(calibrated, layer, x) == error(model, layer, x)
    also_inputs = nn.calibrate(model, x, jax.random.key(3), adc_rule=rule)
    assert error(also_inputs, layer, x) < 1.1 * error(model, layer, x)


def test_c7_an_input_range_that_answers_better_is_kept():
    layer = nnx.Linear(8, 4, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).integers(-7, 8, (64, 8)), jnp.float32)
    model = nn.convert(layer, noisy(device=IdealDevice(), drive=PWM(bits=4, range=FixedRange(limit=7.0))), key=KEY)
    found = nn.calibrate(model, x, KEY, input_percentile=90.0, adc_rule=None)
    assert found.dot_general.config.get_value().drive.range.limit == 7.0


def test_c7_zeros_leave_the_ranges_and_say_so():
    _, model = macro(TwosComplement())
    with pytest.warns(NothingToCalibrateWarning, match="gets nothing but zeros"):
        found = nn.calibrate(model, jnp.zeros((8, 63)), KEY)
    assert found.dot_general.config.get_value() == model.dot_general.config.get_value()
    config = asim(rows=63, cols=16)
    prepared = prepare(config, program(config, jnp.ones((63, 16)), KEY))
    with pytest.warns(NothingToCalibrateWarning, match="All inputs are driven as zero"):
        assert Percentile()(config, prepared, -jnp.ones((4, 63))) == config


@pytest.mark.parametrize(("value", "message"), [(jnp.nan, "1 of 504 are not"), (jnp.inf, "1 of 504 are not")])
def test_c7_inputs_that_are_no_numbers_are_refused_with_their_layer(value, message):
    class Named(nnx.Module):
        def __init__(self):
            self.head = nnx.Linear(63, 4, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.head(x)

    model = nn.convert(Named(), asim(rows=63, cols=16, signs=TwosComplement()), key=KEY)
    with pytest.raises(ValueError, match=f"every layer finite inputs, but in layer 'head' {message}"):
        nn.calibrate(model, jnp.ones((8, 63)).at[1, 2].set(value), KEY)


def test_c8_unsigned_drives_say_what_they_lose():
    config = asim(weight_bits=4, input_bits=4, rows=4, cols=2)
    prepared = prepare(config, program(config, jnp.ones((4, 2)), KEY))
    with pytest.warns(ClippedInputWarning, match="mvm: 25 % of the inputs are negative"):
        mvm(config, prepared, jnp.asarray([[1.0, -2.0, 3.0, 0.0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mvm(config, prepared, jnp.asarray([[1.0, 2.0, 3.0, 0.0]]))
        jax.jit(lambda x: mvm(config, prepared, x))(jnp.asarray([[1.0, -2.0, 3.0, 0.0]]))
        signed = asim(weight_bits=4, input_bits=4, rows=4, cols=2, signs=TwosComplement())
        mvm(signed, prepared, jnp.asarray([[1.0, -2.0, 3.0, 0.0]]))


def test_c8_calibration_names_the_layer():
    _, model = macro(Unsigned())
    with pytest.warns(ClippedInputWarning, match="Layer '': 50 % of the inputs are negative"):
        nn.calibrate(model, jnp.ones((8, 63)).at[::2].set(-1.0), KEY)
