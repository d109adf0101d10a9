"""Gradients of a loss through a whole analog network, and the cheap noise it is trained with."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, component, nn, presets, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import Drive, InputRange, PerVector, Pulses
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import cross_entropy
from jaxaimc.training.noise.outputs import with_mean_field_noise
from jaxaimc.training.noise.weights import AdditiveNoise
from jaxaimc.training.objectives import circuit, digital, distillation, many_chips, objective, weight_noise
from jaxaimc.wires import AlphaBeta, ConjugateGradient, Ladder, Mesh, NoWires
from models.transformer import PatchEmbedding, Transformer

KEY = jax.random.key(11)
STEP = jnp.zeros((), jnp.int32)


@component
class SmoothPulses(Drive):
    """A drive whose pulses are not rounded: what straight-through gradients take for granted.

    Its range is a constant: that of `PerVector` is one under differentiation only, which finite differences would see.
    """

    v_read: float = 0.2
    range: InputRange = PerVector()

    def encode(self, x):
        bound = jnp.full(x.shape[:-1], 8.0, x.dtype)
        level = (x / bound[..., None])[..., None, :]
        one = jnp.ones(1, x.dtype)
        return Pulses(
            level=level,
            duration=jnp.abs(level) * 127e-9,
            full_scale=one * 127e-9 * self.v_read,
            significance=one,
            x_scale=bound,
            reach=one,
            steps=(0,),
            timed=True,
        )


def network(key=KEY):
    rngs = nnx.Rngs(key)
    patches = PatchEmbedding(size=8, patch=4, width=8, mean=0.3, deviation=0.4, rngs=rngs)
    return Transformer(patches, length=4, width=8, layers=1, heads=2, hidden=12, classes=3, rngs=rngs)


def attention(query, key, value, **others):
    """Flax's own takes its softmax in single precision, which finite differences see."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(query.shape[-1])
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)


def batch():
    return jax.random.uniform(KEY, (6, 8, 8)) * 255, jnp.arange(6) % 3


class Perceptron(nnx.Module):
    """Two layers of two shapes: the smallest whole network, for wires that compile slowly in double precision."""

    def __init__(self):
        rngs = nnx.Rngs(KEY)
        self.embed = nnx.Linear(6, 5, rngs=rngs)
        self.head = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, inputs):
        return self.head(jax.nn.gelu(self.embed(inputs)))


def transformer():
    model = network()
    for block in model.blocks:
        block.attention.attention_fn = attention
    return model, *batch()


def perceptron():
    return Perceptron(), jax.random.normal(KEY, (6, 6), jnp.float64), jnp.arange(6) % 3


@pytest.mark.parametrize(
    ("make", "wires"),
    [
        (transformer, Ladder(r=500.0)),
        # A mesh compiles for half a minute in double precision.
        pytest.param(perceptron, Mesh(r_row=50.0, r_col=200.0, method=ConjugateGradient()), marks=pytest.mark.slow),
        (perceptron, AlphaBeta(r_row=50.0, r_col=200.0)),
    ],
    ids=["ladder", "mesh", "surrogate"],
)
def test_loss_gradient_of_the_whole_network_equals_finite_differences(make, wires, x64):
    config = presets.tile_circuit()
    config = replace(config, wires=wires, drive=SmoothPulses(), adc=IdealADC(), rows=16, cols=16)
    model, inputs, targets = make()
    graph, parameters, others = nnx.split(nn.convert(model, config), nnx.Param, ...)
    parameters = jax.tree.map(lambda p: p.astype(jnp.float64), parameters)
    total = objective(cross_entropy, circuit(exact_noise=True))

    def loss(parameters):
        model = nnx.merge(graph, parameters, others, copy=True)
        return total(model, inputs, targets, KEY, STEP).mean()

    digital_loss = objective(cross_entropy, digital)(nnx.merge(graph, parameters, others), inputs, targets, KEY, STEP)
    loss_and_gradient = jax.jit(jax.value_and_grad(loss))
    value, gradient = loss_and_gradient(parameters)
    assert abs(float(value - digital_loss.mean())) > 1e-3  # the wires act
    for number in range(3):
        leaves, structure = jax.tree.flatten(parameters)
        keys = jax.random.split(jax.random.fold_in(KEY, number), len(leaves))
        direction = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        direction = jax.tree.unflatten(structure, direction)
        exact = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction)))
        h = 1e-6
        ahead, behind = (
            loss_and_gradient(jax.tree.map(lambda p, d: p + s * h * d, parameters, direction))[0]  # noqa: B023
            for s in (1, -1)
        )
        np.testing.assert_allclose(exact, (ahead - behind) / (2 * h), rtol=2e-5)


@pytest.mark.slow
def test_quantisers_pass_the_gradient_of_what_they_round():
    inputs, targets = batch()

    def gradient(config):
        graph, parameters, others = nnx.split(nn.convert(network(), config), nnx.Param, ...)

        def loss(parameters):
            model = nnx.merge(graph, parameters, others, copy=True)
            return objective(cross_entropy, circuit())(model, inputs, targets, KEY, STEP).mean()

        return jnp.concatenate([g.ravel() for g in jax.tree.leaves(jax.jit(jax.grad(loss))(parameters))])

    config = replace(presets.tile_circuit(), device=IdealDevice(), wires=Ladder(r=100.0), rows=16, cols=16)
    rounded, smooth = gradient(config), gradient(replace(config, drive=SmoothPulses(), adc=IdealADC()))
    assert float(jnp.linalg.norm(rounded - smooth) / jnp.linalg.norm(smooth)) < 0.1


def test_every_key_is_another_chip_and_the_same_key_the_same():
    inputs, _ = batch()
    model = nn.convert(network(), presets.tile_circuit())
    forward = nnx.jit(lambda model, key: circuit()(model, inputs, key, STEP))
    first, again, other = (forward(model, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 1e-4
    assert all(dot.prepared is None for dot in analog_products(model))


def test_an_ideal_circuit_is_the_digital_network():
    inputs, _ = batch()
    config = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=SmoothPulses())
    model = nn.convert(network(), config)
    expected = digital(model, inputs, KEY, STEP)
    np.testing.assert_allclose(circuit()(model, inputs, KEY, STEP), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.slow
def test_many_chips_share_the_batch():
    inputs, _ = batch()
    model = nn.convert(network(), presets.tile_circuit())
    found = nnx.jit(lambda model: many_chips(circuit(), 3)(model, inputs, KEY, STEP))(model)
    keys = jax.random.split(KEY, 3)
    alone = nnx.jit(lambda model, inputs, key: circuit()(model, inputs, key, STEP))
    wanted = [alone(model, inputs[2 * i : 2 * i + 2], keys[i]) for i in range(3)]
    np.testing.assert_allclose(found, jnp.concatenate(wanted), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="must divide the batch of 6, but is 4"):
        many_chips(circuit(), 4)(model, inputs, KEY, STEP)
    with pytest.raises(ValueError, match="must be at least 1, but is 0"):
        many_chips(circuit(), 0)


def test_a_ramp_starts_from_the_clean_network():
    inputs, _ = batch()
    model = nn.convert(network(), presets.tile_circuit())
    forward = weight_noise(AdditiveNoise(scale=0.1), ramp=lambda step: step / 10)
    clean = digital(model, inputs, KEY, STEP)
    np.testing.assert_allclose(forward(model, inputs, KEY, STEP), clean, rtol=1e-6)
    sizes = [float(jnp.std(forward(model, inputs, KEY, jnp.asarray(step)) - clean)) for step in (1, 10)]
    assert 3 < sizes[1] / sizes[0] < 30


def test_distillation_towards_oneself_costs_nothing_and_errors_are_clear():
    inputs, targets = batch()
    model = network()
    alone = distillation(cross_entropy, digital, model, weight=1.0)(model, inputs, targets, KEY, STEP)
    np.testing.assert_allclose(alone, 0, atol=1e-6)
    half = distillation(cross_entropy, digital, model, weight=0.5)(model, inputs, targets, KEY, STEP)
    np.testing.assert_allclose(half, 0.5 * cross_entropy(model(inputs), targets), rtol=1e-5)
    other = network(jax.random.key(1))
    far = distillation(cross_entropy, digital, other, weight=1.0, temperature=3.0)(model, inputs, targets, KEY, STEP)
    p, q = (jax.nn.softmax(net(inputs) / 3) for net in (other, model))
    np.testing.assert_allclose(far, 9 * jnp.sum(p * jnp.log(p / q), axis=-1), rtol=1e-3, atol=1e-6)
    with pytest.raises(ValueError, match=r"`weight` of distillation must be in \[0, 1\], but is 2"):
        distillation(cross_entropy, digital, model, weight=2.0)
    with pytest.raises(ValueError, match=r"`temperature` of distillation must be in \(0, inf\), but is 0"):
        distillation(cross_entropy, digital, model, temperature=0.0)


@pytest.mark.parametrize("rows", [24, 10])
def test_mean_field_noise_has_the_size_of_the_exact_one(rows):
    """One and three tile rows; random weights and inputs, so that the mean-field sum is near the exact one."""
    config = replace(presets.tile_circuit(), rows=rows, wires=Ladder(r=1.0))
    model = nn.program(nn.convert(nnx.Linear(24, 16, rngs=nnx.Rngs(0)), config), KEY)
    x = jax.random.normal(KEY, (64, 24))
    prepared = next(analog_products(model)).prepared.get_value()
    cheap = with_mean_field_noise(model)
    hook = next(analog_products(cheap)).hooks[0]
    silent = next(analog_products(cheap)).prepared.get_value()
    assert silent.variance.shape[1] == 0
    found = hook.sigma(nn.Call(config, x, model.kernel[...], silent, KEY))

    quiet = replace(config, adc=IdealADC())
    mean = tile.mvm(quiet, silent, x)
    draws = jax.vmap(lambda key: tile.mvm(quiet, prepared, x, key) - mean)(jax.random.split(KEY, 400))
    exact = jnp.sqrt(jnp.mean(jnp.square(draws), axis=0))
    assert abs(float(jnp.sqrt(jnp.mean(found**2)) / jnp.sqrt(jnp.mean(exact**2))) - 1) < 0.03
    assert float(jnp.std(found / exact)) < 0.15

    noisy = jax.vmap(lambda key: nn.with_read_key(cheap, key)(x))(jax.random.split(KEY, 400))
    drawn = jnp.std(noisy, axis=0)
    np.testing.assert_allclose(drawn.mean(), found.mean(), rtol=0.02)


def test_mean_field_noise_of_silent_devices_is_none():
    config = replace(presets.tile_circuit(), device=IdealDevice())
    model = with_mean_field_noise(nn.program(nn.convert(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), config), KEY))
    assert not list(next(analog_products(model)).hooks)
    with pytest.raises(ValueError, match="has no programmed chip"):
        with_mean_field_noise(nn.convert(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), config))
