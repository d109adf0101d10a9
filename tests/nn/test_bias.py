"""The bias of a layer in a row of its tile: the same numbers as Flax's, and a row with all that rows have."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, READ
from flax import nnx

from jaxaimc import AnalogConfig, adcs, calibration, nn
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.nn.hosts import ConvHost
from jaxaimc.nn.walk import weights
from jaxaimc.training.adaptation import rescale, with_adapters
from jaxaimc.training.ideal_backward import with_ideal_backward
from jaxaimc.training.limits import learn_input_ranges, learn_weight_limits, with_clipped_weights
from jaxaimc.training.noise import DropConnect, with_weight_noise
from jaxaimc.training.noise.programming import training_chip
from jaxaimc.wires import NoWires

DRIVE = PWM(range=FixedRange(limit=2.0))
# Exact for inputs that are whole multiples of a step of the drive.
IDEAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=adcs.IdealADC(), drive=DRIVE)
REAL = AnalogConfig(wires=NoWires(), adc=adcs.Uniform(bits=8), drive=DRIVE, rows=6, cols=8)
RANDOM = {"bias_init": nnx.initializers.normal(1.0), "rngs": nnx.Rngs(0)}  # each layer draws its own


class Doubled(nnx.Linear):
    """A subclass that calls the layer it is made of."""

    def __call__(self, inputs, out_sharding=None):
        return 2 * super().__call__(inputs)


class ByHand(nnx.Linear):
    """A subclass that makes its product, and adds its bias, in code of its own."""

    def __call__(self, inputs, out_sharding=None):
        return self.dot_general(inputs, self.kernel[...], (((1,), (0,)), ((), ()))) + self.bias[...]


LAYERS = {
    "linear": (nnx.Linear(6, 4, **RANDOM), (5, 6)),
    "subclass": (Doubled(6, 4, **RANDOM), (5, 6)),
    "general": (nnx.LinearGeneral((2, 3), (2, 4), axis=(-2, -1), **RANDOM), (5, 2, 3)),
    "grouped": (nnx.Conv(4, 6, (2, 2), feature_group_count=2, **RANDOM), (2, 3, 3, 4)),
    "transposed": (nnx.ConvTranspose(2, 3, (2,), strides=2, **RANDOM), (2, 4, 2)),
    # Columns (h, b) of the kernel are (b, h) in the output and in the bias.
    "einsum": (nnx.Einsum("nta,hab->nbht", (3, 4, 2), (2, 3), **RANDOM), (2, 5, 4)),
}


def rule(config, bias_input=2.0, pattern=".*"):
    return [nn.Rule(pattern, config, bias="analog", bias_input=bias_input)]


def steps(shape):
    return jax.random.randint(jax.random.key(1), shape, -127, 128) * (2.0 / 127)


@pytest.mark.parametrize("name", LAYERS)
def test_an_ideal_tile_is_the_layer(name):
    layer, shape = LAYERS[name]
    x, expected = steps(shape), layer(steps(shape))
    analog = nn.convert(layer, rule(IDEAL), CHIP)
    np.testing.assert_allclose(analog(x), expected, rtol=1e-5, atol=1e-5)
    # The bias is on the tile: without the row it would be added all the same.
    one_more = nn.summary(analog).rows[0], nn.summary(nn.convert(layer, IDEAL)).rows[0]
    assert one_more[0].rows == one_more[1].rows + 1
    assert [row.bias for row in one_more] == ["analog", "digital"]
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")(x), expected)
    probe = nnx.view(analog, analog_mode="probe")
    np.testing.assert_array_equal(probe(x), expected)
    assert all(error < 1e-5 for error in nn.layer_errors(probe).values())
    assert isinstance(analog, type(layer))
    assert analog.bias is layer.bias
    digital = nn.to_digital(analog)
    assert type(digital) is type(layer)
    np.testing.assert_array_equal(digital(x), expected)
    assert nnx.graphdef(digital) == nnx.graphdef(layer)


def test_models_are_compiled_pickled_and_keep_their_parameters():
    layer, shape = LAYERS["linear"]
    analog = nn.convert(nnx.Sequential(layer), rule(REAL), CHIP)
    read = nnx.jit(lambda model, x, key: nn.with_read_key(model, key)(x))
    for same in (pickle.loads(pickle.dumps(analog)), copy.deepcopy(analog), nnx.merge(*nnx.split(analog))):
        np.testing.assert_array_equal(read(same, steps(shape), READ), read(analog, steps(shape), READ))
    paths = lambda model: set(nnx.to_flat_state(nnx.state(model, nnx.Param)).paths)  # noqa: E731
    assert paths(analog) == paths(nnx.Sequential(layer))
    assert weights(analog) == {"layers/0/kernel", "layers/0/bias"}


def test_the_row_is_one_of_the_tile():
    """Halving the row's input doubles what its cells hold: by hand with NumPy."""
    layer = LAYERS["grouped"][0]
    dot = nn.convert(layer, rule(IDEAL, 0.5), CHIP).conv_general_dilated
    w = np.asarray(layer.kernel[...]).reshape(4 * 2, 2, 3).swapaxes(0, 1)
    b = np.asarray(layer.bias[...]).reshape(2, 1, 3)
    matrix = np.asarray(dot.host.kernel(layer))
    np.testing.assert_allclose(matrix, np.concatenate([w, b / 0.5], axis=1), rtol=1e-6)
    # Conductances of a column are relative to its largest entry, here a bias.
    np.testing.assert_allclose(dot.chip().w_scale.ravel(), np.abs(matrix).max(axis=1).ravel(), rtol=1e-6)


def test_the_largest_of_inputs_and_constant_sets_a_range_that_follows_vectors():
    layer = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    layer.kernel[...], layer.bias[...] = jnp.ones((2, 1)), jnp.ones(1)
    coarse = IDEAL.with_(drive=PWM(bits=3))  # steps of a third
    analog = nn.convert(layer, rule(coarse, 3.0), CHIP)
    np.testing.assert_allclose(analog(jnp.array([[0.4, 0.6], [0.0, 0.0], [9.0, -6.0]])), [[2], [1], [4]], atol=1e-5)


def test_gradients_reach_the_bias_in_training_and_are_refused_on_a_chip():
    layer, shape = LAYERS["grouped"]
    model, x = nnx.List([layer]), steps(shape)
    loss = lambda model: jnp.sum(jnp.sin(model[0](x)))  # noqa: E731
    analog = nn.with_read_key(nn.convert(model, rule(IDEAL)), READ)
    expected, found = nnx.grad(loss)(model)[0], nnx.grad(loss)(nnx.view(analog, analog_mode="train"))[0]
    within = nnx.grad(lambda model: loss(nn.program(model, CHIP)))(analog)[0]
    for gradient in (found, within):
        for name in ("kernel", "bias"):
            np.testing.assert_allclose(gradient[name][...], expected[name][...], rtol=1e-4, atol=1e-4)
    only_bias = nnx.DiffState(0, nnx.PathContains("bias"))
    with pytest.raises(ValueError, match="does not depend on its kernel or bias"):
        nnx.grad(loss, argnums=only_bias)(nn.program(analog, CHIP))


def test_a_bias_that_changed_after_programming_is_noticed():
    layer = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
    chip = nn.convert(layer, rule(IDEAL), CHIP)
    layer.bias[...] += 1.0
    with pytest.raises(ValueError, match="another kernel or bias than the one its chip was programmed from"):
        chip(steps((5, 6)))


class Net(nnx.Module):
    def __init__(self):
        random = RANDOM | {"rngs": nnx.Rngs(0)}
        self.conv = nnx.Conv(4, 4, (2, 2), feature_group_count=2, **random)
        self.head = nnx.Linear(4, 3, **random)

    def __call__(self, x):
        return self.head(jnp.tanh(self.conv(x)))


X = jax.random.normal(jax.random.key(3), (2, 3, 3, 4))


@pytest.fixture(scope="module")
def analog():
    return nn.convert(Net(), rule(REAL))


@pytest.mark.slow
def test_a_chip_is_calibrated_drifts_and_is_corrected():
    layer = LAYERS["linear"][0]
    x = jax.random.normal(READ, (20, 6))

    def off(chip):
        probe = nnx.view(nn.with_read_key(chip, READ), analog_mode="probe")
        np.testing.assert_array_equal(probe(x), layer(x))
        return float(nn.layer_errors(probe)[""])

    chip = nn.calibrate(nn.convert(layer, rule(REAL), CHIP), x, READ)
    later = nn.drift(chip, 1e7)
    repaired = nn.drift(chip, 1e7, calibration.GlobalCompensation())
    assert off(chip) < 0.3
    assert max(off(repaired), off(nn.calibrate_columns(later, [x], READ))) < 0.8 * off(later)
    assert nn.saturation(chip, x, READ)[0].vectors == 20


def test_calibration_and_learned_ranges_do_not_clip_the_constant():
    layer = nnx.Linear(40, 2, rngs=nnx.Rngs(0))
    analog = nn.convert(layer, rule(IDEAL))
    x = 0.01 * jax.random.normal(READ, (4, 40))
    limit = nn.calibrate(analog, x, READ, input_percentile=90.0).dot_general.config.get_value().drive.range.limit
    assert float(limit) == 2.0
    assert float(learn_input_ranges(analog, [x]).dot_general.hooks[0].limit[...]) == 2.0


@pytest.mark.slow
def test_adapted_networks_are_the_network():
    adapted = with_adapters(rescale(nn.convert(Net(), rule(IDEAL.with_(drive=PWM(bits=12)))), X), 2, CHIP)
    np.testing.assert_array_equal(nn.as_digital(adapted)(X), Net()(X))
    np.testing.assert_allclose(nn.program(adapted, CHIP)(X), Net()(X), atol=0.05)


WAYS = {
    "ideal backward": lambda model: nn.with_read_key(training_chip(with_ideal_backward(model), CHIP), READ),
    "clipped weights": lambda model: nn.as_digital(with_clipped_weights(model)),
}


@pytest.mark.parametrize("name", WAYS)
def test_networks_train(analog, name):
    model = learn_weight_limits(analog, deviations=4.0) if name == "clipped weights" else analog
    gradient = lambda way: nnx.jit(nnx.grad(lambda model: jnp.sum(jnp.sin(way(model)(X)))))  # noqa: E731
    found, wanted = gradient(WAYS[name])(model), gradient(lambda model: model)(Net())
    for layer, parameter in (("conv", "bias"), ("head", "bias"), ("conv", "kernel")):
        ours, exact = (np.asarray(g[layer][parameter][...]).ravel() for g in (found, wanted))
        assert ours @ exact / np.linalg.norm(ours) / np.linalg.norm(exact) > 0.8, (layer, parameter)


def test_noise_on_weights_is_noise_on_the_bias_as_well(analog):
    dropped = with_weight_noise(analog, [DropConnect(probability=1.0)], CHIP)
    for layer in (dropped.conv, dropped.head):
        assert not layer.kernel[...].any()
        assert not layer.bias[...].any()
    kept = with_weight_noise(analog, [DropConnect(probability=0.0)], CHIP)
    np.testing.assert_allclose(kept.conv.bias[...], analog.conv.bias[...])


def test_a_stack_has_a_row_for_each_layer():
    stack = nnx.vmap(lambda rngs: nnx.Linear(6, 6, bias_init=nnx.initializers.normal(1.0), rngs=rngs), axis_size=3)
    model = nnx.List([stack(nnx.Rngs(0).split(3))])
    analog = nn.convert(model, rule(IDEAL), CHIP)
    each = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None))
    np.testing.assert_allclose(each(analog[0], steps((5, 6))), each(model[0], steps((5, 6))), rtol=1e-5, atol=1e-5)
    assert nn.summary(analog).rows[0].rows == 7


def test_windows_in_parts_have_the_constant_too():
    layer = LAYERS["grouped"][0]
    few = nn.Rule("", IDEAL, host=ConvHost(most_elements=64), bias="analog", bias_input=2.0)
    analog, x = nn.convert(layer, [few], CHIP), steps((4, 3, 3, 4))
    np.testing.assert_allclose(analog(x), layer(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(nnx.view(analog, analog_mode="probe")(x), layer(x), rtol=1e-6)


def test_bad_rules_name_the_field():
    for named, said in (
        ({"bias": "row"}, "`bias` of Rule must be 'digital' or 'analog', but is 'row'"),
        ({"bias": "analog", "bias_input": 0.0}, "`bias_input` of Rule"),
        ({"bias_input": 2.0}, "`bias_input` of Rule must be left out where `bias` is 'digital', but is 2.0"),
        ({"config": None, "bias": "analog"}, "`bias` of Rule must be 'digital' where `config` is None"),
    ):
        with pytest.raises(ValueError, match=said):
            nn.Rule(**({"pattern": ".*", "config": IDEAL} | named))


class Tied(nnx.Module):
    def __init__(self):
        self.table = nnx.Embed(5, 4, rngs=nnx.Rngs(0))
        self.plain = nnx.Linear(4, 4, use_bias=False, rngs=nnx.Rngs(0))
        self.own = ByHand(4, 4, rngs=nnx.Rngs(0))
        self.fine = nnx.Linear(4, 4, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.table.attend(self.fine(self.own(self.plain(x))))


def test_layers_without_a_bias_that_a_row_can_hold_are_refused_by_name():
    with pytest.raises(ValueError, match="bias cannot be put in a row") as caught:
        nn.convert(Tied(), rule(IDEAL))
    said = str(caught.value)
    assert "'table' (nnx.Embed) adds no bias" in said
    assert "'plain' (nnx.Linear) adds no bias" in said
    assert "'own' (ByHand)" in said
    assert "adds its bias in code of its own" in said
    assert "'fine'" not in said
    mixed = nn.convert(Tied(), [*rule(IDEAL, pattern="fine"), nn.Rule(".*", IDEAL)])
    assert [row.bias for row in nn.summary(mixed).rows] == ["analog", "digital", "", ""]


def test_an_input_range_below_the_constant_is_refused():
    layer = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    said = r"Layer '' must have an input range that holds the constant input 3.0 .* FixedRange ends at 2"
    with pytest.raises(ValueError, match=said):
        nn.convert(layer, rule(IDEAL, 3.0))
    narrow = IDEAL.with_(drive=PWM(range=FixedRange(limit=1.5)))
    with pytest.raises(ValueError, match=r"constant input 2.0 of its bias, but FixedRange ends at 1.5"):
        nn.map_configs(nn.convert(layer, rule(IDEAL)), lambda path, config: narrow)


def test_scales_of_a_normalisation_cannot_reach_the_row():
    model = nnx.Sequential(nnx.LayerNorm(4, rngs=nnx.Rngs(0)), nnx.Linear(4, 4, rngs=nnx.Rngs(0)))
    analog = nn.convert(model, rule(IDEAL))
    with pytest.raises(ValueError, match="whose bias is digital, but 'layers/1' has a row"):
        rescale(analog, X.reshape(-1, 4), norms={"layers/0": ("layers/1",)})
