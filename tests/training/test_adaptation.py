"""Pretrained networks on tiles: inputs rescaled against weights, and low-rank adapters trained beside a fixed chip."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_task
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.adcs import IdealADC, Uniform
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.nn.hosts import ConvHost
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import checkpoints, restore_model, save_model
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import fit
from jaxaimc.training.adaptation import AdapterParam, rescale, with_adapters
from jaxaimc.training.noise.weights import MultiplicativeNoise, with_weight_noise
from jaxaimc.training.objectives import circuit, objective, programmed_chip
from jaxaimc.wires import Ladder, NoWires

KEY = jax.random.key(2)
IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(bits=14))
TASK = tiny_task.task()
# Inputs of which two are far larger than the others, as those of large language models.
SPREAD = jnp.where(jnp.arange(12) < 2, 40.0, jnp.linspace(0.2, 1.0, 12))
X = SPREAD * jax.random.normal(jax.random.key(1), (64, 12))


class Net(nnx.Module):
    """Two layers behind one normalisation, and one that is not."""

    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(12, rngs=rngs)
        self.norm.scale[...] = SPREAD
        self.norm.bias[...] = 0.3 * SPREAD
        self.query = nnx.Linear(12, 6, rngs=rngs)
        self.value = nnx.LinearGeneral(12, (3, 2), rngs=rngs)
        self.head = nnx.Linear(6, 4, rngs=rngs)

    def __call__(self, x):
        y = self.norm(x)
        return self.head(jnp.tanh(self.query(y)) * self.value(y).reshape(-1, 6))


BEHIND_THE_NORM = {"norm": ("query", "value")}


def scale_of(model, path):
    return np.array(next(dot for dot in analog_products(model) if dot.path == path).host.scale)


def test_scales_are_those_of_the_equation():
    layer = nnx.Linear(12, 5, rngs=nnx.Rngs(0))
    peaks, weights = np.abs(X).max(0), np.abs(layer.kernel[...]).max(1)
    for strength in (0.0, 0.3, 1.0):
        found = scale_of(rescale(nn.convert(layer, IDEAL), X, strength=strength), "")
        wanted = peaks**strength / weights ** (1 - strength)
        np.testing.assert_allclose(found / found[0], wanted / wanted[0], rtol=1e-5)
        # The largest input stays, so that a range that fitted it still does.
        np.testing.assert_allclose((peaks / found).max(), peaks.max(), rtol=1e-5)
    np.testing.assert_allclose(peaks / found, peaks.max(), rtol=1e-5)


def test_the_digital_network_stays_to_the_bit_and_the_tiles_hold_the_scaled_weights():
    network = Net(nnx.Rngs(0))
    model = rescale(nn.convert(network, IDEAL), X)
    np.testing.assert_array_equal(nnx.view(model, analog_mode="digital")(X), network(X))
    np.testing.assert_array_equal(nn.to_digital(model)(X), network(X))
    chip = nn.program(model, KEY)
    close = {"rtol": 1e-3, "atol": 0.1}  # of outputs up to 70, the pulses having 14 bits
    np.testing.assert_allclose(chip(X), network(X), **close)
    x = jnp.eye(12)
    dot = next(dot for dot in analog_products(chip) if dot.path == "query")
    held = dot.read(x, dot.host.kernel(chip.query))
    np.testing.assert_allclose(held, network.query.kernel[...] * scale_of(model, "query")[:, None], atol=1e-3)


def test_a_normalisation_takes_the_scales_over():
    network = Net(nnx.Rngs(0))
    model = rescale(nn.convert(network, IDEAL), X, norms=BEHIND_THE_NORM)
    assert not np.allclose(model.norm.scale[...], network.norm.scale[...])
    np.testing.assert_allclose(nnx.view(model, analog_mode="digital")(X), network(X), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(nn.program(model, KEY)(X), network(X), rtol=1e-3, atol=0.1)
    # What goes into the tiles is as even as if each layer were scaled by itself.
    peaks = np.abs(model.norm(X)).max(0)
    assert peaks.max() / peaks.min() < 0.3 * np.abs(network.norm(X)).max() / np.abs(network.norm(X)).max(0).min()
    np.testing.assert_array_equal(network.norm.scale[...], SPREAD)


def test_rescaling_repairs_what_large_inputs_do_and_goes_with_ranges_and_adapters():
    layer = nnx.Linear(12, 5, use_bias=False, rngs=nnx.Rngs(3))
    layer.kernel[...] = layer.kernel[...] / SPREAD[:, None]  # all inputs count alike
    coarse = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=Uniform(bits=12), drive=PWM(bits=5))
    errors = []
    plain = nn.convert(layer, coarse)
    for model in (plain, rescale(plain, X)):
        chip = with_adapters(nn.calibrate(nn.program(model, KEY), X, KEY), 1, KEY)
        assert chip.dot_general.config.get_value().drive.range.limit < 200
        errors.append(float(jnp.std(nn.with_read_key(chip, KEY)(X) - layer(X))))
    assert errors[1] < 0.4 * errors[0]


def test_rescaled_layers_go_through_noise_training_and_storage(tmp_path):
    layer = nnx.Linear(12, 5, rngs=nnx.Rngs(0))
    model = rescale(nn.convert(layer, IDEAL), X)
    noisy = with_weight_noise(model, [MultiplicativeNoise(scale=0.0)], KEY)
    np.testing.assert_allclose(noisy.kernel[...], layer.kernel[...], rtol=1e-6)

    def loss(model, forward):
        return jnp.mean(forward(model, X, KEY, jnp.array(0)) ** 2)

    found = nnx.grad(lambda model: loss(model, circuit(exact_noise=True)))(model).kernel[...]
    wanted = nnx.grad(lambda model: loss(model, circuit(exact_noise=True)))(nn.convert(layer, IDEAL)).kernel[...]
    np.testing.assert_allclose(found, wanted, rtol=0.02, atol=0.02 * float(jnp.abs(wanted).max()))
    chip = nn.program(model, KEY)
    save_model(tmp_path / "chip.safetensors", chip)
    np.testing.assert_array_equal(restore_model(tmp_path / "chip.safetensors", model)(X), chip(X))
    with pytest.raises(checkpoints.CheckpointError, match=r"does not fit: .*scale"):
        restore_model(tmp_path / "chip.safetensors", nn.convert(layer, IDEAL))
    other = restore_model(tmp_path / "chip.safetensors", rescale(nn.convert(layer, IDEAL), X, strength=0.9))
    # The chip's matrix differs too, but the scales are why.
    for refused in (lambda: other(X), lambda: nn.with_read_key(other, KEY)):
        with pytest.raises(ValueError, match="Layer '' has the chip of a model that was rescaled otherwise"):
            refused()


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_are_rescaled_in_parts_as_in_one(groups):
    layer = nnx.Conv(4, 6, (3, 3), feature_group_count=groups, rngs=nnx.Rngs(0))
    x = jnp.array([20.0, 1.0, 2.0, 0.5]) * jax.random.normal(KEY, (4, 5, 6, 4))
    for most in (2**24, 300):
        model = nn.convert(layer, [nn.Rule(".*", IDEAL, host=ConvHost(most_elements=most))])
        model = rescale(model, x, strength=1.0)
        # Places of the window at the edge of the image see the zeros around it, and need not see the largest input.
        scale = scale_of(model, "").reshape(groups, 9, 4 // groups)
        np.testing.assert_allclose(
            scale[:, 4].ravel() / scale.max(), np.abs(x).max((0, 1, 2)) / np.abs(x).max(), rtol=1e-5
        )
        chip = with_adapters(nn.program(model, KEY), 2, KEY)
        np.testing.assert_allclose(chip(x), layer(x), atol=0.02)


def test_inputs_and_rows_that_say_nothing_keep_their_scale():
    layer = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    layer.kernel[...] = layer.kernel[...].at[1].set(0.0)
    x = jnp.array([[1.0, 2.0, 0.0, 30.0]])
    model = rescale(nn.convert(layer, IDEAL), x)
    scale = scale_of(model, "")
    np.testing.assert_array_equal(scale[1:3], 1.0)
    assert scale[0] != 1
    np.testing.assert_allclose(nn.program(model, KEY)(x), layer(x), atol=5e-3)
    np.testing.assert_array_equal(scale_of(rescale(nn.convert(layer, IDEAL), 0 * x), ""), 1.0)


def test_bad_rescalings_are_refused():
    model = nn.convert(Net(nnx.Rngs(0)), IDEAL)
    for arguments, message in [
        ({"strength": 1.5}, "`strength` of rescale must"),
        ({"pattern": "key"}, "'key' matches none of: head, query, value"),
        ({"norms": {"norms": ["query"]}}, "that have a `scale`, but 'norms' is none"),
        ({"norms": {"query": ["value"]}}, "that have a `scale`, but 'query' is none"),
        ({"norms": {"norm": ["key"]}}, "behind 'norm', but names key; rescaled are head, query, value"),
        ({"norms": {"norm": []}}, "behind 'norm', but names none"),
        ({"norms": {"norm": ["query", "query"]}}, "but names one more often"),
        ({"norms": {"norm": ["head"]}}, "of the 6 inputs of their layers, but 'norm' has 12 features"),
        ({"norms": {"norm": ["query"]}}, "must name all layers that a normalisation feeds, but .* outputs change by"),
    ]:
        with pytest.raises(ValueError, match=message):
            rescale(model, X, **arguments)
    with pytest.raises(ValueError, match=r"finite inputs, but those of '(query|value)' are not"):
        rescale(model, X.at[3, 4].set(jnp.nan))
    with pytest.raises(ValueError, match=r"must give every layer inputs, but '(query|value)' gets none"):
        rescale(model, X[:0])
    with pytest.raises(ValueError, match="is on a chip that was programmed with the weights as they are"):
        rescale(nn.program(model, KEY), X)
    with pytest.raises(ValueError, match="layer 'left' was not called"):
        rescale(nn.convert(HalfCalled(nnx.Rngs(0)), IDEAL), X)


class HalfCalled(nnx.Module):
    def __init__(self, rngs):
        self.left, self.right = nnx.Linear(12, 2, rngs=rngs), nnx.Linear(12, 2, rngs=rngs)

    def __call__(self, x):
        return self.right(x)


# Wires that take most of what the rows at their end give, and devices that drift and are noisy.
WORN = dataclasses.replace(presets.tile_circuit(), wires=Ladder(r=300.0, v_adc=0.41))


@pytest.fixture(scope="module")
def trained():
    return fit(TASK, dataclasses.replace(TASK.recipe, epochs=1)).model


def test_an_adapter_adds_its_product_and_at_first_nothing():
    layer = nnx.Linear(12, 5, rngs=nnx.Rngs(0))
    chip = nn.program(nn.convert(layer, IDEAL), KEY)
    adapted = with_adapters(chip, 2, KEY, alpha=4.0)
    np.testing.assert_array_equal(adapted(X), chip(X))
    hook = adapted.dot_general.hooks[-1]
    hook.b[...] = jax.random.normal(KEY, (2, 5))
    wanted = np.asarray(chip(X)) + 2.0 * np.asarray(X) @ np.asarray(hook.a[...]) @ np.asarray(hook.b[...])
    np.testing.assert_allclose(adapted(X), wanted, rtol=1e-4, atol=1e-4)
    assert with_adapters(chip, 9, KEY).dot_general.hooks[-1].a[...].shape == (12, 5)


@pytest.mark.parametrize(
    "forward", [programmed_chip, pytest.param(circuit(), marks=pytest.mark.slow)], ids=["one chip", "any chip"]
)
def test_trained_adapters_lower_the_loss_and_change_nothing_else(trained, forward):
    chip = nn.convert(trained, WORN)
    if forward is programmed_chip:
        chip = nn.drift(nn.program(chip, KEY), 86_400.0)
    model = with_adapters(chip, 3, KEY)
    report = fit(
        TASK,
        dataclasses.replace(TASK.recipe, epochs=2, learning_rate=2e-2),
        model=model,
        objective=objective(TASK.loss, forward),
        trainable=AdapterParam,
        scorer=lambda task, trained, split: mean_score(task, on_a_chip(trained), split),
    )
    before = mean_score(TASK, on_a_chip(model), TASK.split("test"))
    assert report.losses[-1] < 0.7 * report.losses[0]
    assert report.score > before + 0.1
    for name in ("hidden", "head"):
        old, new = getattr(model, name), getattr(report.model, name)
        chex.assert_trees_all_equal(nnx.state(old, nnx.Param), nnx.state(new, nnx.Param))
        chex.assert_trees_all_equal(nnx.state(old, nn.Conductance), nnx.state(new, nn.Conductance))
        chex.assert_trees_all_equal(nnx.state(old, nn.EffectiveMatrix), nnx.state(new, nn.EffectiveMatrix))
        assert (new.dot_general.hooks[0].b[...] != 0).any()


def on_a_chip(model):
    programmed = all(dot.prepared is not None for dot in analog_products(model))
    read = nn.with_read_key(model if programmed else nn.program(model, jax.random.key(9)), KEY)
    read.eval()
    return read


def test_bad_adapters_are_refused():
    model = nn.convert(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), IDEAL)
    with pytest.raises(ValueError, match="`rank` of with_adapters must"):
        with_adapters(model, 0, KEY)
    with pytest.raises(ValueError, match="`alpha` of with_adapters must"):
        with_adapters(model, 2, KEY, alpha=0.0)
    with pytest.raises(ValueError, match="'head' matches none of"):
        with_adapters(model, 2, KEY, pattern="head")
    with pytest.raises(ValueError, match="`key` must"):
        with_adapters(model, 2, jnp.zeros(2, jnp.uint32))
