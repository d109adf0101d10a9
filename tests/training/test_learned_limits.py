from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_task
from flax import nnx

from jaxaimc import nn, presets
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import with_scales
from jaxaimc.training import fit
from jaxaimc.training.chips import on_fresh_chips
from jaxaimc.training.limits.learned import clipped, learn_weight_limits, with_clipped_weights
from jaxaimc.training.objectives import circuit, digital, objective

KEY = jax.random.key(4)
STEP = jnp.zeros((), jnp.int32)


class Network(nnx.Module):
    """A layer with two output axes and a plain one."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.LinearGeneral(6, (2, 5), rngs=rngs)
        self.last = nnx.Linear(10, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(jax.nn.gelu(self.first(x)).reshape(len(x), 10))


def limited(**arguments):
    return learn_weight_limits(nn.convert(Network(), presets.tile_circuit()), **arguments)


def limits(model):
    return {dot.path: dot.hooks[-1].limit[...] for dot in analog_products(model) if dot.hooks}


@pytest.mark.parametrize("per_column", [False, True])
def test_limits_start_at_deviations_and_clip(per_column):
    model = limited(deviations=1.2, per_column=per_column)
    found = limits(model)
    assert {path: limit.shape for path, limit in found.items()} == (
        {"first": (10,), "last": (3,)} if per_column else {"first": (), "last": ()}
    )
    inside = with_clipped_weights(model)
    for layer in ("first", "last"):
        kernel = np.asarray(getattr(model, layer).kernel[...])
        np.testing.assert_allclose(found[layer], 1.2 * kernel.std(), rtol=1e-5)
        bound = 1.2 * kernel.std()
        np.testing.assert_allclose(getattr(inside, layer).kernel[...], np.clip(kernel, -bound, bound), rtol=1e-5)
        assert np.abs(kernel).max() > bound  # the model itself keeps its weights


@pytest.mark.parametrize("per_column", [False, True])
def test_gradients_are_those_of_clipped_weights(per_column):
    model = limited(deviations=1.0, per_column=per_column)
    x, cotangent = jax.random.normal(KEY, (7, 6)), jax.random.normal(jax.random.key(9), (7, 3))

    def gradients(model, forward):
        graph, trained, others = nnx.split(model, nnx.Any(nnx.Param, nn.DigitalParam), ...)
        loss = lambda t: jnp.vdot(forward(nnx.merge(graph, t, others, copy=True), x, KEY, STEP), cotangent)  # noqa: E731
        return nnx.merge(graph, jax.grad(loss)(trained), others, copy=True)

    found = gradients(model, clipped(digital))
    at_clipped = gradients(with_clipped_weights(model), digital)
    for dot in analog_products(model):
        kernel, limit = dot.host.kernel(getattr(model, dot.path)), limits(model)[dot.path]
        by_weight = dot.host.kernel(getattr(at_clipped, dot.path))
        beyond = jnp.abs(kernel) > limit
        by_kernel = dot.host.kernel(getattr(found, dot.path))
        np.testing.assert_allclose(by_kernel, jnp.where(beyond, 0, by_weight), rtol=1e-4, atol=1e-5)
        expected = jnp.sum(jnp.where(beyond, jnp.sign(kernel) * by_weight, 0), axis=0 if per_column else None)
        np.testing.assert_allclose(limits(found)[dot.path], expected, rtol=1e-4, atol=1e-5)


def test_the_circuit_finds_the_limit_of_an_outlier():
    """One weight a hundred times too large drowns its column in noise; training brings the limit down."""
    config = replace(presets.tile_circuit(), column_scales=False)
    layer = nnx.Linear(16, 8, rngs=nnx.Rngs(1))
    target = layer.kernel[...]
    layer.kernel[...] = target.at[0, 0].set(20.0)
    model = learn_weight_limits(nn.convert(layer, config), deviations=8.0)
    start = float(limits(model)[""])
    forward = clipped(circuit())
    graph, scale, others = nnx.split(model, nn.DigitalParam, ...)
    optimizer = optax.adam(0.3)

    @jax.jit
    def step(scale, state, key):
        x = jax.random.normal(jax.random.fold_in(key, 1), (64, 16))

        def loss(scale):
            y = forward(nnx.merge(graph, scale, others, copy=True), x, key, STEP)
            return jnp.mean(jnp.square(y - x @ target))

        value, gradient = jax.value_and_grad(loss)(scale)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(scale, updates), state, value

    state, losses = optimizer.init(scale), []
    for number in range(60):
        scale, state, value = step(scale, state, jax.random.fold_in(KEY, number))
        losses.append(float(value))
    end = float(limits(nnx.merge(graph, scale, others))[""])
    assert end < start / 3
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 5


@pytest.mark.slow
def test_fit_trains_the_limits_and_keeps_them(tmp_path):
    task = tiny_task.task()
    start = learn_weight_limits(nn.convert(task.build(jax.random.key(0)), presets.tile_circuit()), deviations=1.5)

    def on_clipped(task, model, split):
        return on_fresh_chips(chips=2)(task, with_clipped_weights(model), split)

    total = objective(task.loss, clipped(circuit()))
    report = fit(task, task.recipe, model=start, objective=total, scorer=on_clipped, directory=tmp_path)
    assert report.losses[-1] < 0.6 * report.losses[0]
    before, after = limits(start), limits(report.model)
    assert set(before) == {"hidden", "head"}
    assert all(abs(float(after[path] / before[path]) - 1) > 0.01 for path in before)
    restored = limits(with_scales(start, tmp_path / "scales.safetensors"))
    assert all(float(restored[path]) == float(after[path]) for path in before)


def test_refusals():
    with pytest.raises(ValueError, match="`deviations`"):
        limited(deviations=0.0)
    with pytest.raises(ValueError, match="must match an analog layer"):
        limited(pattern="middle")
    with pytest.raises(ValueError, match="has no layer with a learned limit"):
        with_clipped_weights(nn.convert(Network(), presets.tile_circuit()))
    assert set(limits(limited(pattern="last"))) == {"last"}
