"""A small network of a depthwise and a transposed convolution, on chips and in training."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, READ, analog_paths
from flax import nnx
from tiers import mostly_slow

from jaxaimc import AnalogConfig, adcs, calibration, nn
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.training.ideal_backward import with_ideal_backward
from jaxaimc.training.limits import learn_input_ranges, learn_weight_limits, with_clipped_weights
from jaxaimc.training.noise import AdditiveNoise, with_mean_field_noise, with_weight_noise
from jaxaimc.training.noise.programming import training_chip
from jaxaimc.wires import NoWires

# Several tiles for every group.
NOISY = AnalogConfig(wires=NoWires(), adc=adcs.Uniform(bits=8), drive=PWM(range=FixedRange(limit=4.0)), rows=6, cols=4)
LAYERS = ("depthwise", "up")
X = jax.random.normal(jax.random.key(0), (3, 5, 4, 2))
answers = nnx.jit(lambda model, x: model(x))


class Small(nnx.Module):
    """Depthwise and dilated, then transposed."""

    def __init__(self, rngs):
        self.depthwise = nnx.Conv(2, 4, (3, 3), kernel_dilation=2, feature_group_count=2, rngs=rngs)
        self.up = nnx.ConvTranspose(4, 3, (2, 2), (2, 2), rngs=rngs)

    def __call__(self, x):
        return self.up(jnp.tanh(self.depthwise(x)))


def errors(chip):
    """Return how far every layer is off for the inputs that it has in the digital network."""

    @nnx.jit
    def found(chip, x, key):
        probe = nnx.view(nn.with_read_key(chip, key), analog_mode="probe")
        return probe(x), nn.layer_errors(probe)

    y, off = found(chip, X, READ)
    np.testing.assert_allclose(y, answers(Small(nnx.Rngs(0)), X), rtol=1e-5, atol=1e-6)
    return off


@pytest.mark.slow
def test_a_small_network_lives_on_a_chip():
    analog = nn.convert(Small(nnx.Rngs(0)), NOISY, CHIP)
    assert analog_paths(analog) == set(LAYERS)
    ranged = nn.calibrate(analog, X, READ)
    prepared = nn.effective(ranged)["depthwise"]
    assert (prepared.groups, prepared.n_in, prepared.n_out) == (2, 18, 4)
    drifted = nn.drift(ranged, 1e7)
    compensated = nn.drift(ranged, 1e7, calibration.GlobalCompensation())
    now, later, repaired = (errors(chip) for chip in (ranged, drifted, compensated))
    corrected = errors(nn.calibrate_columns(drifted, [X], READ))
    for layer in LAYERS:
        assert now[layer] < 0.3
        assert max(repaired[layer], corrected[layer]) < 0.8 * later[layer]


def test_chips_are_vmapped():
    analog = nn.convert(Small(nnx.Rngs(0)), NOISY)
    chips = jax.vmap(lambda key: nn.effective(nn.program(analog, key)))(jax.random.split(CHIP, 2))
    assert chips["depthwise"].matrix.shape == (2, 4, 5, 1, 2)
    blank = nn.Blank.of(analog)
    y = jax.vmap(lambda chip: blank.on_chip(chip, READ)(X))(chips)
    assert y.shape == (2, 3, 10, 8, 3)
    assert float(jnp.max(jnp.abs(y[0] - y[1]))) > 1e-3


WAYS = {
    "chip of a step": lambda model: nn.with_read_key(training_chip(model, CHIP), READ)(X),
    "exact noise": lambda model: nn.with_read_key(nnx.view(model, analog_mode="train"), READ)(X),
    "ideal backward": lambda model: nn.with_read_key(training_chip(with_ideal_backward(model), CHIP), READ)(X),
    "mean-field noise": lambda model: nn.with_read_key(with_mean_field_noise(training_chip(model, CHIP)), READ)(X),
    "weight noise": lambda model: nn.as_digital(with_weight_noise(model, [AdditiveNoise(scale=0.02)], CHIP))(X),
    "clipped weights": lambda model: nn.as_digital(with_clipped_weights(model))(X),
}


@pytest.mark.parametrize("name", mostly_slow(WAYS, lambda name: name in list(WAYS)[::3]))
def test_a_small_network_trains(name):
    model = Small(nnx.Rngs(0))
    analog = nn.convert(model, NOISY)
    if name == "clipped weights":
        analog = learn_weight_limits(analog, deviations=3.0, per_column=True)
    if name == "chip of a step":
        analog = learn_input_ranges(analog, [X])
    gradient = lambda way: nnx.jit(nnx.grad(lambda model: jnp.sum(jnp.sin(way(model)))))  # noqa: E731
    found, wanted = gradient(WAYS[name])(analog), gradient(lambda model: model(X))(model)
    for layer in LAYERS:
        ours, digital = (np.asarray(g[layer]["kernel"][...]).ravel() for g in (found, wanted))
        assert ours @ digital / np.linalg.norm(ours) / np.linalg.norm(digital) > 0.9, layer


def test_mean_field_noise_of_groups_has_the_size_of_the_exact_one():
    layer = nnx.Conv(4, 8, (3, 3), feature_group_count=2, rngs=nnx.Rngs(0))
    x = jax.random.normal(READ, (2, 6, 6, 4))
    chip = nn.convert(nnx.List([layer]), replace(NOISY, rows=10, adc=adcs.IdealADC()), CHIP)
    keys = jax.random.split(READ, 100)
    draws = jax.jit(jax.vmap(lambda key, model: nn.with_read_key(model, key)[0](x), (0, None)))
    exact, cheap = (
        jnp.sqrt(jnp.mean(jnp.var(draws(keys, model), axis=0), axis=(0, 1, 2)))
        for model in (chip, with_mean_field_noise(chip))
    )
    np.testing.assert_allclose(cheap, exact, rtol=0.25)
    assert abs(float(jnp.mean(cheap) / jnp.mean(exact)) - 1) < 0.08
