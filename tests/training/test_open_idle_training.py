"""Training through columns with open idle cells: gradients, and profiles of the rows' activity that follow the data."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.nn.activity import AssumedActivityWarning, with_activity
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import Recipe
from jaxaimc.training.fit.steps import SplitNetwork, initial_state, make_chunk
from jaxaimc.training.objectives import circuit, many_chips, objective
from jaxaimc.wires import Blocks, EveryStep, Ladder, MeanField, NoWires, OpenIdle

KEY = jax.random.key(5)
STEP = jnp.zeros((), jnp.int32)
CONFIG = replace(presets.tile_circuit("open"), rows=16, cols=8, wires=OpenIdle(r=20.0, method=MeanField()))
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(8, 12)), jnp.float32)
# Other data, whose rows are less active.
LATER = INPUTS * (jnp.arange(12) % 2 == 0)


class Regressor(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.hidden, self.head = nnx.Linear(12, 8, rngs=rngs), nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, inputs):
        return self.head(jnp.tanh(self.hidden(inputs)))


def squares(outputs, targets):
    return jnp.mean((outputs - targets) ** 2, axis=-1)


def converted(config=CONFIG, inputs=INPUTS):
    return with_activity(nn.convert(Regressor(), config), inputs)


def profile(model):
    return model.hidden.dot_general.profile[...]


def own(inputs, config=CONFIG):
    """The profile of the first layer, which gets the inputs themselves."""
    return tile.activity_profile(config, inputs)


def trained(model, inputs, targets, *, forward, microbatches=1):
    """Return the losses of training steps on the batches, and the network after them."""
    network, parameters, others = SplitNetwork.split(model)
    optimizer, recipe = optax.adam(1e-2), Recipe(epochs=1, batch=inputs.shape[1], learning_rate=1e-2)
    chunk = make_chunk(network, optimizer, objective(squares, forward), recipe, microbatches=microbatches)
    state, losses = chunk(initial_state(parameters, others, optimizer), jnp.arange(len(inputs)), inputs, targets)
    return losses, network.merge(state.parameters, state.others)


@pytest.mark.slow
@pytest.mark.parametrize("method", [MeanField(), Blocks()], ids=["mean field", "blocks"])
def test_training_lowers_the_loss_and_profiles_follow_the_batches(method):
    config = replace(CONFIG, wires=CONFIG.wires.with_(method=method))
    model, steps = converted(config), 24
    inputs = jnp.tile(LATER, (steps, 1, 1))
    targets = jnp.tanh(inputs[..., :2] - inputs[..., 2:4])
    losses, after = trained(model, inputs, targets, forward=circuit(activity_momentum=0.5))
    assert float(jnp.mean(losses[-4:])) < 0.6 * float(jnp.mean(losses[:4]))
    np.testing.assert_allclose(profile(after), own(LATER, config), atol=1e-5)
    assert float(jnp.max(jnp.abs(profile(after) - profile(model)))) > 0.1
    np.testing.assert_array_equal(profile(model), own(INPUTS, config))


def test_microbatches_follow_one_another():
    model, inputs = converted(), jnp.stack([INPUTS, LATER])
    forward = circuit(activity_momentum=0.25)
    _, after = trained(model, inputs, inputs[..., :2], forward=forward, microbatches=2)
    wanted = profile(model)
    for part in (INPUTS[:4], INPUTS[4:], LATER[:4], LATER[4:]):
        wanted = 0.25 * wanted + 0.75 * own(part)
    np.testing.assert_allclose(profile(after), wanted, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.75, pytest.param(0.0, marks=pytest.mark.slow)])
def test_momentum_is_the_weight_of_the_profile_so_far(momentum):
    model = converted()
    before, others = profile(model), own(LATER)
    circuit(activity_momentum=momentum)(model, LATER, KEY, STEP)
    np.testing.assert_allclose(profile(model), momentum * before + (1 - momentum) * others, atol=1e-6)


@pytest.mark.slow
def test_chips_average_their_profiles():
    model = converted()
    halves = jnp.concatenate([INPUTS[:4], LATER[4:]])
    many_chips(circuit(activity_momentum=0.5), 2)(model, halves, KEY, STEP)
    wanted = 0.5 * own(INPUTS) + 0.25 * (own(INPUTS[:4]) + own(LATER[4:]))
    np.testing.assert_allclose(profile(model), wanted, atol=1e-6)


def test_the_forward_reads_with_the_profile_so_far():
    quiet = replace(CONFIG, device=IdealDevice(), adc=IdealADC())
    model = converted(quiet)
    wanted = nn.program(model, KEY)(LATER)
    assumed = nn.convert(Regressor(), quiet)
    np.testing.assert_allclose(circuit()(model, LATER, KEY, STEP), wanted, rtol=1e-4, atol=1e-5)
    with pytest.warns(AssumedActivityWarning):
        other = circuit()(assumed, LATER, KEY, STEP)
    assert float(jnp.max(jnp.abs(other - wanted))) > 1e-3


def test_layers_without_profiles_stay_as_they_are():
    rules = [
        nn.Rule("hidden", replace(CONFIG, wires=CONFIG.wires.with_(method=Blocks()))),
        nn.Rule("head", replace(CONFIG, wires=Ladder())),
    ]
    unknown = nn.convert(Regressor(), rules)
    circuit()(unknown, LATER, KEY, STEP)
    assert [(dot.profile, len(dot.hooks)) for dot in analog_products(unknown)] == [(None, 0)] * 2


def test_a_profile_of_other_stretches_of_time_is_neither_used_nor_changed():
    model = with_activity(nn.convert(nnx.Linear(12, 2, rngs=nnx.Rngs(0)), CONFIG), INPUTS)
    other = nn.map_configs(model, lambda path, config: config.with_(wires=CONFIG.wires.with_(method=MeanField(bins=3))))
    with pytest.warns(AssumedActivityWarning):
        assert jnp.all(jnp.isfinite(circuit()(other, LATER, KEY, STEP)))
    np.testing.assert_array_equal(other.dot_general.profile[...], own(INPUTS))


@pytest.mark.parametrize("most", [2**20, 60], ids=["whole", "in parts"])
def test_profiles_of_convolutions_follow_all_windows(most):
    images = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5, 4, 2)), jnp.float32)
    rule = nn.Rule(".*", CONFIG, host=nn.hosts.ConvHost(most_elements=most))
    layer = nnx.Conv(2, 3, (2, 2), padding="VALID", rngs=nnx.Rngs(0))
    model, wanted = (with_activity(nn.convert(layer, [rule]), data) for data in (images, images**3))
    nnx.jit(circuit(activity_momentum=0.0))(model, images**3, KEY, STEP)
    found, wanted = (next(analog_products(net)).profile[...] for net in (model, wanted))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.slow
def test_profiles_of_recurrent_layers_follow_every_time_step():
    x = jnp.asarray(np.random.default_rng(2).normal(size=(3, 2, 6)), jnp.float32)
    rnn = nnx.RNN(nnx.LSTMCell(6, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1))
    model = with_activity(nn.convert(rnn, CONFIG), x)
    gate = model.cell.ii.dot_general
    wanted = gate.profile[...]
    circuit(activity_momentum=0.5)(model, x**3, KEY, STEP)
    for step in range(2):
        wanted = 0.5 * wanted + 0.5 * own(x[:, step] ** 3)
    np.testing.assert_allclose(gate.profile[...], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "method",
    [MeanField(), *(pytest.param(method, marks=pytest.mark.slow) for method in (Blocks(), EveryStep()))],
    ids=lambda method: type(method).__name__,
)
def test_gradient_in_train_mode_equals_finite_differences(method, x64):
    # Of one layer: its pulses and its profile do not move with its kernel.
    wires = OpenIdle(r=100.0, method=method)
    config = AnalogConfig(device=IdealDevice(), adc=IdealADC(), wires=wires, drive=PWM(bits=16), rows=8, cols=4)
    x, targets = INPUTS[:3].astype(jnp.float64), INPUTS[:3, :5].astype(jnp.float64)

    def loss(config):
        model = nn.convert(nnx.Linear(12, 5, use_bias=False, rngs=nnx.Rngs(0)), config)
        graph, parameters, others = nnx.split(nn.with_read_key(model, KEY), nnx.Param, ...)

        def of(kernel):
            filled = jax.tree.map(lambda _: kernel, parameters)
            analog = nnx.view(nnx.merge(graph, filled, others, copy=True), analog_mode="train")
            return jnp.mean((analog(x) - targets) ** 2)

        return jax.jit(jax.value_and_grad(of)), model.kernel[...].astype(jnp.float64)

    of, kernel = loss(config)
    value, gradient = of(kernel)
    ideal, of_products = loss(replace(config, wires=NoWires()))[0](kernel)
    # The wires act, on the loss and on its gradient.
    assert abs(float(value - ideal)) > 1e-3
    assert float(jnp.linalg.norm(gradient - of_products) / jnp.linalg.norm(gradient)) > 0.02
    for seed in range(2):
        direction = jax.random.normal(jax.random.key(seed), kernel.shape, kernel.dtype)
        ahead, behind = (of(kernel + h * direction)[0] for h in (1e-5, -1e-5))
        np.testing.assert_allclose(jnp.vdot(gradient, direction), (ahead - behind) / 2e-5, rtol=1e-5)


@pytest.mark.parametrize("momentum", [1.0, -0.1, float("nan")])
def test_bad_momentum_is_refused(momentum):
    with pytest.raises(ValueError, match=rf"`activity_momentum` of circuit must be in \[0, 1\), but is {momentum:g}"):
        circuit(activity_momentum=momentum)
