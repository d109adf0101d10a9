"""What can be done once chips are programmed: calibration, fine-tuning of the digital rest, scores on new chips."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_task
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.nn.chip import without_chip
from jaxaimc.nn.columns import calibrate_columns, with_column_correction
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import fit
from jaxaimc.training.chips import digital_parts, fresh_chips, on_fresh_chips
from jaxaimc.training.objectives import circuit, objective, programmed_chip
from jaxaimc.wires import Ladder

KEY = jax.random.key(2)
TASK = tiny_task.task()
# Wires and offset current that ruin a column's gain and offset.
BAD_WIRES = dataclasses.replace(presets.tile_circuit(), wires=Ladder(r=300.0, v_adc=0.41))


@pytest.fixture(scope="module")
def trained():
    return fit(TASK, dataclasses.replace(TASK.recipe, epochs=2)).model


def test_calibration_undoes_gain_and_offset_of_every_column():
    config = AnalogConfig(device=IdealDevice(), adc=IdealADC(), wires=Ladder(r=0.0, v_adc=0.4), drive=PWM(bits=14))
    layer = nnx.Linear(5, 3, rngs=nnx.Rngs(0))
    chip = nn.program(nn.convert(layer, config), KEY)
    dot = next(analog_products(chip))
    prepared = dot.prepared.get_value()
    gains, offsets = jnp.array([0.3, 1.7, -0.5]), jnp.array([0.2, -4.0, 0.0])
    dot.prepared.set_value(dataclasses.replace(prepared, w_scale=prepared.w_scale * gains))
    dot.hooks = nnx.List([Shift(offsets)])
    x = jax.random.normal(KEY, (200, 5))
    assert float(jnp.abs(chip(x) - layer(x)).max()) > 1
    fixed = calibrate_columns(chip, [x[:100], x[100:]], KEY)
    np.testing.assert_allclose(fixed(x), layer(x), atol=5e-3)
    correction = next(analog_products(fixed)).hooks[-1]
    np.testing.assert_allclose(correction.gain[...], 1 / gains, rtol=1e-2)
    assert len(next(analog_products(chip)).hooks) == 1
    # Gains alone are the least-squares fit through the origin.
    through_origin = next(analog_products(calibrate_columns(chip, [x], KEY, offsets=False))).hooks[-1]
    answers, ideal = chip(x) - layer.bias[...], layer(x) - layer.bias[...]
    wanted = jnp.sum(answers * ideal, axis=0) / jnp.sum(answers**2, axis=0)
    np.testing.assert_allclose(through_origin.gain[...], wanted, rtol=1e-3)
    np.testing.assert_array_equal(through_origin.offset[...], 0)


class Shift(nn.Hook):
    def __init__(self, offsets):
        self.offsets = nnx.Variable(offsets)

    def after(self, call, outputs):
        return outputs + self.offsets[...]


def test_a_column_without_answers_keeps_its_gain():
    layer = nnx.Linear(5, 3, rngs=nnx.Rngs(0))
    layer.kernel[...] = layer.kernel[...].at[:, 1].set(0.0)
    config = AnalogConfig(device=IdealDevice(), adc=IdealADC())
    chip = calibrate_columns(nn.program(nn.convert(layer, config), KEY), [jax.random.normal(KEY, (50, 5))], KEY)
    correction = next(analog_products(chip)).hooks[-1]
    assert correction.gain[...][1] == 1
    assert np.isfinite(correction.gain[...]).all()


@pytest.mark.slow
def test_calibration_brings_back_the_score_on_every_fresh_chip(trained):
    test = TASK.split("test")
    model = nn.convert(trained, BAD_WIRES)
    references = [jnp.asarray(TASK.split("train").inputs[:200])]
    plain = fresh_chips(TASK, model, test, chips=3)
    calibrated = fresh_chips(TASK, model, test, chips=3, finish=lambda c, k: calibrate_columns(c, references, k))
    assert plain.max() < 0.8
    assert calibrated.min() > 0.9
    # An example has its own read noise, so that batches do not show.
    np.testing.assert_array_equal(plain, fresh_chips(TASK, model, test, chips=3, batch=37))
    assert not np.array_equal(plain, fresh_chips(TASK, model, test, chips=3, seed=1))
    assert on_fresh_chips(chips=3)(TASK, model, test) == pytest.approx(plain.mean())
    assert all(dot.prepared is None for dot in analog_products(model))


def test_fine_tuning_around_a_chip_leaves_its_kernels_and_conductances(trained):
    chip = with_column_correction(nn.program(nn.convert(trained, BAD_WIRES), KEY))
    test = TASK.split("test")

    def score(model):
        read = nn.with_read_key(model, KEY)
        read.eval()
        return mean_score(TASK, read, test)

    before = score(chip)
    report = fit(
        TASK,
        dataclasses.replace(TASK.recipe, epochs=2, learning_rate=2e-2),
        model=chip,
        objective=objective(TASK.loss, programmed_chip),
        trainable=digital_parts(chip),
        scorer=lambda task, model, split: score(model),
    )
    assert report.score > max(0.9, before + 0.1)
    for name in ("hidden", "head"):
        old, new = getattr(chip, name), getattr(report.model, name)
        np.testing.assert_array_equal(old.kernel[...], new.kernel[...])
        assert not np.array_equal(old.bias[...], new.bias[...])
        assert not np.array_equal(new.dot_general.hooks[0].gain[...], 1)
        chex.assert_trees_all_equal(old.dot_general.programmed.get_value(), new.dot_general.programmed.get_value())


def test_training_through_the_circuit_learns_what_plain_training_does_not(trained):
    recipe = dataclasses.replace(TASK.recipe, epochs=3, learning_rate=5e-3)
    model = nn.convert(trained, BAD_WIRES)
    plain = fresh_chips(TASK, model, TASK.split("test"), chips=3)
    report = fit(
        TASK, recipe, model=model, objective=objective(TASK.loss, circuit()), optimizer=optax.adam(5e-3),
        scorer=on_fresh_chips(chips=3),
    )  # fmt: skip
    assert report.score > plain.mean() + 0.1


def test_taking_the_chip_off_keeps_the_corrections():
    chip = with_column_correction(nn.program(nn.convert(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), AnalogConfig()), KEY))
    bare = without_chip(chip)
    assert next(analog_products(bare)).prepared is None
    assert len(next(analog_products(bare)).hooks) == 1
    assert next(analog_products(chip)).prepared is not None


def test_bad_calls_are_refused(trained):
    model = nn.convert(trained, BAD_WIRES)
    broken = nnx.clone(model)
    broken.head.bias[...] = broken.head.bias[...].at[0].set(np.nan)
    with pytest.raises(FloatingPointError, match="outputs for example 0 on chip 0 are not finite"):
        fresh_chips(TASK, broken, TASK.split("test"), chips=1)
    with pytest.raises(ValueError, match="has no programmed chip"):
        calibrate_columns(model, [], KEY)
    with pytest.raises(ValueError, match="has no programmed chip"):
        with_column_correction(model)
    with pytest.raises(ValueError, match="must hold at least one batch"):
        calibrate_columns(nn.program(model, KEY), [], KEY)
    with pytest.raises(ValueError, match="must be at least 1, but are 0 and 250"):
        fresh_chips(TASK, model, TASK.split("test"), chips=0)
