"""What is done with analog layers works for every host: grouped windows, Einstein sums, tied tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, READ
from flax import nnx
from tiers import mostly_slow

from jaxaimc import AnalogConfig, adcs, calibration, nn
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.tasks.chips import as_read
from jaxaimc.training.adaptation import rescale, with_adapters
from jaxaimc.training.fit.diagnosis import first_not_finite
from jaxaimc.training.ideal_backward import with_ideal_backward
from jaxaimc.training.limits import learn_input_ranges, learn_weight_limits, with_clipped_weights
from jaxaimc.training.noise import AdditiveNoise, with_mean_field_noise, with_weight_noise
from jaxaimc.training.noise.programming import training_chip
from jaxaimc.wires import NoWires

CONFIG = AnalogConfig(wires=NoWires(), adc=adcs.Uniform(bits=8), drive=PWM(range=FixedRange(limit=4.0)), rows=6, cols=8)
LAYERS = {"depthwise", "mix", "table"}
X = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))


class Mixed(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.depthwise = nnx.Conv(4, 4, (2, 2), feature_group_count=4, rngs=rngs)
        self.mix = nnx.Einsum("...a,bac->...bc", (2, 4, 3), rngs=rngs)
        self.table = nnx.Embed(5, 6, rngs=rngs)

    def __call__(self, x):
        y = self.mix(jnp.tanh(self.depthwise(x)))
        return self.table.attend(y.reshape(*y.shape[:-2], 6))


@pytest.fixture(scope="module")
def analog():
    return nn.convert(Mixed(), CONFIG)


@pytest.fixture(scope="module")
def chip(analog):
    return nn.calibrate(nn.program(analog, CHIP), X, READ)


def digital(model):
    return nnx.view(model, analog_mode="digital")


def off(model):
    """Return how far every layer is off."""
    probe = nnx.view(nn.with_read_key(model, READ), analog_mode="probe")
    np.testing.assert_allclose(probe(X), Mixed()(X), rtol=1e-5, atol=1e-6)
    errors = nn.layer_errors(probe)
    assert set(errors) == LAYERS
    return errors


def test_chips_are_calibrated_drift_and_are_corrected(chip):
    later = nn.drift(chip, 1e7)
    repaired = nn.drift(chip, 1e7, calibration.GlobalCompensation())
    now, then, after, corrected = map(off, (chip, later, repaired, nn.calibrate_columns(later, [X], READ)))
    for layer in LAYERS:
        assert now[layer] < 0.3
        assert max(after[layer], corrected[layer]) < 0.8 * then[layer]


def test_saturation_is_counted(chip):
    found = {layer.path: layer for layer in nn.saturation(chip, X, READ)}
    assert {path: layer.vectors for path, layer in found.items()} == dict.fromkeys(LAYERS, 18)
    assert all(0 <= layer.conversions < 0.5 for layer in found.values())


def test_layers_are_kept_digital_by_value(analog):
    chips = jax.vmap(lambda key: nn.effective(nn.program(analog, key)))(jax.random.split(CHIP, 1))
    one = jax.tree.map(lambda a: a[0], chips)
    every, some = (as_read(Mixed(), CONFIG, chips, digital=kept).on_chip(one, READ)(X) for kept in (LAYERS, {"mix"}))
    np.testing.assert_allclose(every, Mixed()(X), rtol=1e-5, atol=1e-5)
    assert float(jnp.abs(some - Mixed()(X)).max()) > 1e-3


@pytest.mark.parametrize("change", [lambda model: rescale(model, X), lambda model: with_adapters(model, 2, CHIP)])
def test_adapted_networks_are_the_network(analog, change):
    adapted = change(analog)
    np.testing.assert_array_equal(digital(adapted)(X), digital(analog)(X))
    assert all(error < 0.5 for error in off(nn.calibrate(nn.program(adapted, CHIP), X, READ)).values())


WAYS = {
    "chip of a step": lambda model: nn.with_read_key(training_chip(model, CHIP), READ)(X),
    "ideal backward": lambda model: nn.with_read_key(training_chip(with_ideal_backward(model), CHIP), READ)(X),
    "mean-field noise": lambda model: nn.with_read_key(with_mean_field_noise(training_chip(model, CHIP)), READ)(X),
    "weight noise": lambda model: digital(with_weight_noise(model, [AdditiveNoise(scale=0.02)], CHIP))(X),
    "clipped weights": lambda model: digital(with_clipped_weights(model))(X),
}


@pytest.mark.parametrize(
    "name", mostly_slow(WAYS, lambda name: name in ("chip of a step", "mean-field noise", "weight noise"))
)
def test_networks_train(analog, name):
    model = learn_input_ranges(analog, [X]) if name == "chip of a step" else analog
    if name == "clipped weights":
        model = learn_weight_limits(model, deviations=3.0, per_column=True)
    gradient = lambda way: nnx.jit(nnx.grad(lambda model: jnp.sum(jnp.sin(way(model)))))  # noqa: E731
    found, wanted = gradient(WAYS[name])(model), gradient(lambda model: model(X))(Mixed())
    for layer, parameter in (("depthwise", "kernel"), ("mix", "kernel"), ("table", "embedding")):
        ours, exact = (np.asarray(g[layer][parameter][...]).ravel() for g in (found, wanted))
        assert ours @ exact / np.linalg.norm(ours) / np.linalg.norm(exact) > 0.8, layer


def test_a_layer_whose_outputs_are_not_finite_is_named(chip):
    broken = nn.with_read_key(chip, READ)
    inputs = X.at[0, 0, 0, 0].set(jnp.inf)
    said = first_not_finite({}, X, lambda model: model(inputs).sum((1, 2, 3)), broken)
    assert said == "layer 'depthwise' is the first whose inputs are not finite"
