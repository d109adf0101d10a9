import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_task
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.adcs import IdealADC, Symmetric, Uniform
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import checkpoints, weights, with_scales
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import fit
from jaxaimc.training.chips import on_fresh_chips
from jaxaimc.training.limits.ranges import (
    TrainedInputRange,
    TrainedOutputRange,
    learn_input_ranges,
    learn_output_ranges,
)
from jaxaimc.training.noise.outputs import OutputNoise, with_output_noise
from jaxaimc.training.objectives import circuit, objective
from jaxaimc.wires import NoWires

KEY = jax.random.key(3)
IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(bits=12))
TASK = tiny_task.task()


def test_the_range_moves_by_the_published_rule():
    """One layer with a weight of one: the loss gradient at the inputs is the one put in at the output."""
    layer = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = jnp.ones((1, 1))
    model = nn.convert(layer, IDEAL, KEY)
    next(analog_products(model)).hooks = nnx.List([TrainedInputRange(2.0)])
    x = jnp.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0])[:, None]
    g = jnp.array([0.5, -0.7, 9.0, 9.0, -9.0, -0.3, 0.2, -0.1])[:, None]

    def total(model, g):
        return jnp.sum(model(x) * g)

    scales = nnx.grad(total, argnums=nnx.DiffState(0, nn.DigitalParam))(model, g)
    # At or beyond +2 the negative ones count (-0.3, -0.1), at or beyond -2 the positive ones (0.5), with a minus.
    np.testing.assert_allclose(jax.tree.leaves(scales)[0], 2.0 * (-0.3 - 0.1 - 0.5), rtol=1e-5)
    inside = nn.convert(layer, IDEAL, KEY)
    next(analog_products(inside)).hooks = nnx.List([TrainedInputRange(5.0, decay=0.01)])
    scales = nnx.grad(total, argnums=nnx.DiffState(0, nn.DigitalParam))(inside, g)
    np.testing.assert_allclose(jax.tree.leaves(scales)[0], 0.05, rtol=1e-5)


def layer(*hooks):
    model = nn.convert(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), IDEAL, KEY)
    for dot in analog_products(model):
        dot.hooks = nnx.List(list(hooks))
    return model


def test_inputs_are_clipped_to_the_range_and_driven_at_full_scale():
    x = jax.random.normal(KEY, (50, 4))
    plain = layer()
    np.testing.assert_allclose(layer(TrainedInputRange(0.7))(x), plain(jnp.clip(x, -0.7, 0.7)), atol=2e-3)
    # A range far wider than the inputs leaves few steps for them.
    coarse = layer(TrainedInputRange(100.0))(x)
    assert float(jnp.std(coarse - plain(x))) > 20 * float(jnp.std(layer(TrainedInputRange(4.0))(x) - plain(x)))


def test_outputs_saturate_at_the_learned_charge():
    saturating = dataclasses.replace(IDEAL, adc=Uniform(bits=12.0, range=Symmetric(limit=50.0)))
    model = nn.convert(nnx.Linear(4, 1, use_bias=False, rngs=nnx.Rngs(0)), saturating, KEY)
    model = learn_output_ranges(model, 0.5)
    x = jnp.array([[1.0, 1.0, 1.0, 1.0]]) * jnp.sign(model.kernel[...][:, 0])
    peak = jnp.max(jnp.abs(model.kernel[...]))
    np.testing.assert_allclose(model(x)[0, 0], 0.5 * peak, rtol=1e-3)

    def total(limit):
        changed = nnx.clone(model)
        for dot in analog_products(changed):
            dot.hooks[0].limit.set_value(limit)
        return changed(x)[0, 0]

    np.testing.assert_allclose(jax.grad(total)(jnp.array(0.5)), peak, rtol=1e-3)


def test_learned_ranges_start_at_three_deviations():
    model = nn.convert(TASK.build(jax.random.key(0)), IDEAL)
    model.eval()
    x = jnp.asarray(TASK.split("train").inputs[:200])
    ranges = {dot.path: float(dot.hooks[0].limit[...]) for dot in analog_products(learn_input_ranges(model, [x, x]))}
    np.testing.assert_allclose(ranges["hidden"], 3 * np.sqrt(np.mean(np.square(x))), rtol=1e-5)
    hidden = jax.nn.relu(model.norm(nnx.view(model, analog_mode="digital").hidden(x)))
    np.testing.assert_allclose(ranges["head"], 3 * np.sqrt(np.mean(np.square(hidden))), rtol=1e-5)


def test_fit_trains_the_ranges_and_a_checkpoint_stays_digital(tmp_path):
    start = learn_input_ranges(nn.convert(TASK.build(jax.random.key(0)), IDEAL), [jnp.ones((8, 3))], deviations=0.1)
    before = {dot.path: float(dot.hooks[0].limit[...]) for dot in analog_products(start)}
    recipe = dataclasses.replace(TASK.recipe, epochs=2)
    report = fit(
        TASK, recipe, model=start, objective=objective(TASK.loss, circuit()), optimizer=optax.adam(1e-2),
        directory=tmp_path,
    )  # fmt: skip
    after = {dot.path: float(dot.hooks[0].limit[...]) for dot in analog_products(report.model)}
    # A tenth of the inputs' size clips nearly everything: the ranges have to grow.
    assert all(after[path] > 2 * before[path] for path in before)
    assert report.losses[-1] < report.losses[0]
    assert {dot.path: float(dot.hooks[0].limit[...]) for dot in analog_products(start)} == before
    plain = TASK.build(jax.random.key(0))
    nnx.update(plain, checkpoints.load(report.checkpoint, weights(plain)))
    assert mean_score(TASK, plain, TASK.split("test")) == report.score
    filled = with_scales(start, tmp_path / "scales.safetensors")
    assert {dot.path: float(dot.hooks[0].limit[...]) for dot in analog_products(filled)} == after
    with pytest.raises(checkpoints.CheckpointError, match="does not fit"):
        with_scales(nn.convert(plain, IDEAL), tmp_path / "scales.safetensors")


def test_output_noise_is_relative_to_the_outputs():
    model = layer()
    x = jax.random.normal(KEY, (4000, 4))
    clean = model(x)
    noisy = nn.with_read_key(with_output_noise(model, 0.1), jax.random.key(8))(x)
    wanted = 0.1 * float(jnp.sqrt(jnp.mean(jnp.square(clean - model.bias[...]))))
    np.testing.assert_allclose(float(jnp.std(noisy - clean)), wanted, rtol=0.03)
    with pytest.raises(ValueError, match="needs a read key"):
        with_output_noise(model, 0.1)(x)


@pytest.mark.slow
def test_the_standard_model_trains_with_its_learned_ranges():
    untrained = nn.convert(TASK.build(jax.random.key(0)), presets.standard_aimc())
    start = learn_input_ranges(untrained, [jnp.asarray(TASK.split("train").inputs[:100])])
    report = fit(
        TASK, TASK.recipe, model=start, objective=objective(TASK.loss, circuit()), scorer=on_fresh_chips(chips=2)
    )
    assert report.losses[-1] < 0.6 * report.losses[0]
    assert report.score > 0.9 > on_fresh_chips(chips=2)(TASK, start, TASK.split("test")) + 0.2
    before, after = (
        [float(dot.hooks[0].limit[...]) for dot in analog_products(model)] for model in (start, report.model)
    )
    assert all(abs(new / old - 1) > 0.01 for old, new in zip(before, after, strict=True))


def test_bad_ranges_are_refused():
    model = nn.convert(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), IDEAL)
    with pytest.raises(ValueError, match="Field `limit` of LearnedRange must be in"):
        TrainedInputRange(0.0)
    with pytest.raises(ValueError, match="Field `decay` of LearnedRange must be in"):
        TrainedInputRange(1.0, decay=-1.0)
    with pytest.raises(ValueError, match="Field `limit` of TrainedOutputRange must be in"):
        TrainedOutputRange(-1.0)
    with pytest.raises(ValueError, match="Field `scale` of OutputNoise must be in"):
        OutputNoise(-1.0)
    with pytest.raises(ValueError, match="must have a field `range` in its `adc`, but IdealADC has none"):
        learn_output_ranges(model, 1.0)
    with pytest.raises(ValueError, match="must match an analog layer, but 'nothing' matches none of"):
        learn_input_ranges(model, [jnp.ones((1, 4))], pattern="nothing")
    with pytest.raises(ValueError, match="must hold at least one batch"):
        learn_input_ranges(model, [])
