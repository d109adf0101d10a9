"""Profiles of the rows' activity in networks, and how far the methods for open idle cells are off with them."""

import copy
import pickle
import warnings
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, READ
from flax import nnx
from layer_kinds import Stack
from tiers import mostly_slow

from jaxaimc import AnalogConfig, nn
from jaxaimc.adcs import IdealADC, Uniform
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.devices import PCM, IdealDevice
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.nn.activity import AssumedActivityWarning, method_errors, with_activity
from jaxaimc.nn.walk import analog_products
from jaxaimc.tasks import restore_model, save_model
from jaxaimc.wires import Blocks, EveryStep, Ladder, MeanField, NoWires, OpenIdle

OPEN = OpenIdle(r=20.0, method=MeanField())
CONFIG = AnalogConfig(device=IdealDevice(), adc=IdealADC(), wires=OPEN, rows=16, cols=8)
NORMAL = jnp.asarray(np.random.default_rng(0).normal(size=(48, 24)), jnp.float32)
# Two thirds of the rows are idle, far from what is assumed.
SPARSE = NORMAL * (jnp.arange(24) % 3 == 0)


def by(method, config=CONFIG):
    return replace(config, wires=config.wires.with_(method=method))


def linear(config=CONFIG):
    """One layer on two rows of tiles."""
    return nn.convert(nnx.Linear(24, 5, use_bias=False, rngs=nnx.Rngs(0)), config)


def only(model):
    (dot,) = analog_products(model)
    return dot


def quietly(call, *arguments):
    """Call what warns of activities that are not known, which other tests look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumedActivityWarning)
        return call(*arguments)


class Two(nnx.Module):
    """A layer with open idle cells, one with other wires, and one that can be left out."""

    def __init__(self, rngs, reached=True):
        self.first, self.head, self.other = (nnx.Linear(*size, rngs=rngs) for size in ((24, 6), (6, 3), (24, 6)))
        self.reached = reached

    def __call__(self, x):
        hidden = self.first(x)
        return self.head(jax.nn.relu(hidden + self.other(x) if self.reached else hidden))


def test_mean_field_with_activity_is_close_to_every_step():
    exact, ideal = (nn.program(linear(c), CHIP)(SPARSE) for c in (by(EveryStep()), replace(CONFIG, wires=NoWires())))
    known = nn.program(with_activity(linear(), SPARSE), CHIP)
    assumed = quietly(nn.program, linear(), CHIP)

    def over_effect(y):
        return float(jnp.sqrt(jnp.mean((y - exact) ** 2) / jnp.mean((exact - ideal) ** 2)))

    assert over_effect(known(SPARSE)) < 0.4 < 0.8 < over_effect(assumed(SPARSE))
    # A chip that is there already is read with the profile, and the one before is not changed.
    later = with_activity(assumed, SPARSE)
    np.testing.assert_array_equal(later(SPARSE), known(SPARSE))
    assert only(assumed).profile is None


def test_a_compensated_chip_keeps_its_devices_and_its_scale():
    config = replace(CONFIG, device=PCM())
    programmed = quietly(nn.program, linear(config), CHIP)
    plain, chip = nn.drift(programmed, 1e6), nn.drift(programmed, 1e6, GlobalCompensation())
    later = with_activity(chip, SPARSE)
    same = nn.drift(nn.program(with_activity(linear(config), SPARSE), CHIP), 1e6)
    before, after = (only(model).prepared.get_value() for model in (chip, later))
    np.testing.assert_array_equal(after.w_scale, before.w_scale)
    assert float(jnp.min(after.w_scale / only(plain).prepared.get_value().w_scale)) > 1.1
    np.testing.assert_array_equal(only(later).programmed.get_value().g, only(chip).programmed.get_value().g)
    # All else is what a chip is whose activity was known from the beginning.
    wanted = replace(only(same).prepared.get_value(), w_scale=after.w_scale)
    chex.assert_trees_all_close(after, wanted, rtol=1e-6)
    assert float(jnp.max(jnp.abs(after.variance / before.variance - 1))) > 1e-3
    # A second drift goes on with the profile.
    chex.assert_trees_all_equal(only(nn.drift(later, 1e7)).programmed.get_value().profile, only(later).profile[...])


def test_calibrate_finds_the_profile_with_the_ranges_that_it_chose():
    config = replace(CONFIG, adc=Uniform(bits=8), drive=PWM(range=FixedRange(limit=40.0)))
    analog = linear(config)
    calibrated = quietly(nn.calibrate, analog, SPARSE, READ)
    profile = only(calibrated).profile[...]
    np.testing.assert_array_equal(only(with_activity(calibrated, SPARSE)).profile[...], profile)
    assert float(jnp.max(profile)) > 3 * float(jnp.max(only(with_activity(analog, SPARSE)).profile[...]))
    chip = nn.program(calibrated, CHIP)
    chex.assert_trees_all_equal(only(chip).programmed.get_value().profile, profile)


def test_other_wires_are_left_as_they_are():
    held = replace(CONFIG, wires=Ladder())
    model = nn.convert(Two(nnx.Rngs(0)), [nn.Rule("first", CONFIG), nn.Rule("head|other", held)])
    found = with_activity(model, SPARSE)
    assert {dot.path: dot.profile is not None for dot in analog_products(found)} == {
        "first": True,
        "head": False,
        "other": False,
    }
    unconcerned = nn.convert(Two(nnx.Rngs(0)), held)
    assert with_activity(unconcerned, SPARSE) is unconcerned
    digital = Two(nnx.Rngs(0))
    assert with_activity(digital, SPARSE) is digital


def test_bad_models_and_inputs_are_refused_by_name():
    with pytest.raises(ValueError, match="Layer 'layers' is a stack of 2 layers and cannot have a profile"):
        with_activity(nn.convert(Stack(nnx.Rngs(0)), CONFIG), NORMAL[:, :8])
    with pytest.raises(ValueError, match="must reach every analog layer, but layer 'other' was not called"):
        with_activity(nn.convert(Two(nnx.Rngs(0), reached=False), CONFIG), NORMAL)
    with pytest.raises(ValueError, match="finite inputs, but in layer 'first' 1 of 1152 are not"):
        with_activity(nn.convert(Two(nnx.Rngs(0)), CONFIG), NORMAL.at[3, 4].set(jnp.nan))
    reading = nn.for_reading(quietly(nn.program, linear(), CHIP))
    with pytest.raises(ValueError, match="Layer '' has no devices any more"):
        with_activity(reading, NORMAL)


def windows(images, size, groups):
    """Vectors under a window that slides over images, one after the other."""
    n, height, width, channels = images.shape
    own = channels // groups
    return np.asarray(
        [
            [images[k, i : i + size, j : j + size, g * own : (g + 1) * own].ravel() for g in range(groups)]
            for k, i, j in np.ndindex(n, height - size + 1, width - size + 1)
        ]
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_profile_of_a_convolution_is_that_of_its_windows(groups):
    images = np.random.default_rng(1).normal(size=(3, 5, 4, 4)).astype(np.float32)
    config = replace(by(MeanField(bins=1)), drive=PWM(range=FixedRange(limit=5.0)), rows=64)
    layer = nnx.Conv(4, 6, (2, 2), padding="VALID", feature_group_count=groups, rngs=nnx.Rngs(0))
    found = with_activity(nn.convert(layer, config), jnp.asarray(images))
    codes = np.round(np.abs(windows(images, 2, groups)) / 5.0 * 127) / 127
    np.testing.assert_allclose(only(found).profile[...][:, 0, 0], codes.mean(axis=0), atol=1e-5)
    chip = nn.program(found, CHIP)
    ideal = nn.convert(layer, replace(config, wires=NoWires()), CHIP)
    assert 1e-3 < float(jnp.max(jnp.abs(chip(images) - ideal(images)))) < 1.0


@pytest.mark.parametrize("most", [2**20, 60], ids=["whole", "in parts"])
@pytest.mark.parametrize("bound", [None, FixedRange(limit=4.0)], ids=["range of the call", "fixed range"])
def test_train_mode_reads_with_the_activity_of_its_own_inputs(bound, most):
    # Of all windows of the call, whether they are read at once or not.
    drive = PWM() if bound is None else PWM(range=bound)
    images = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5, 4, 2)), jnp.float32)
    images = images * jnp.asarray([0.2, 0.5, 1.0, 2.0])[:, None, None, None]
    layer = nnx.Conv(2, 3, (2, 2), padding="VALID", use_bias=False, rngs=nnx.Rngs(0))
    rule = nn.Rule(".*", replace(CONFIG, drive=drive), host=nn.hosts.ConvHost(most_elements=most))
    analog = nn.convert(layer, [rule])
    y = nn.with_read_key(nnx.view(analog, analog_mode="train"), READ)(images)
    wanted = nn.program(with_activity(analog, images), CHIP)(images)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    assumed = quietly(nn.program, analog, CHIP)(images)
    assert float(jnp.max(jnp.abs(assumed - wanted))) > 1e-3


def test_a_warning_says_where_activity_is_not_known():
    with pytest.warns(AssumedActivityWarning, match="Layer '' is read by mean field, but how active its rows are"):
        nn.program(linear(), CHIP)
    other = nn.map_configs(with_activity(linear(), SPARSE), lambda path, config: by(MeanField(bins=3), config))
    with pytest.warns(AssumedActivityWarning):
        chip = nn.program(other, CHIP)
    np.testing.assert_array_equal(chip(SPARSE), quietly(nn.program, linear(by(MeanField(bins=3))), CHIP)(SPARSE))
    with warnings.catch_warnings():
        warnings.simplefilter("error", AssumedActivityWarning)
        nn.program(with_activity(linear(), SPARSE), CHIP)
        for method in (Blocks(), EveryStep()):
            nn.program(linear(by(method)), CHIP)


def errors(wires):
    analog = with_activity(linear(replace(CONFIG, rows=64, wires=wires)), NORMAL)
    assert method_errors(analog, {"": NORMAL}) == {}
    return method_errors(nn.program(analog, CHIP), {"": NORMAL, "unknown": NORMAL})


def test_errors_of_methods():
    assert errors(Ladder()) == errors(by(EveryStep()).wires) == {}
    assert 0.03 < errors(OPEN)[""] < 0.5
    # Without resistance there is nothing but rounding.
    assert errors(OPEN.with_(r=0.0)) == {"": 0.0}


@pytest.mark.slow
def test_error_of_blocks():
    assert 0 < errors(OPEN.with_(method=Blocks()))[""] < 0.03


def saved(model, path):
    save_model(path / "model", model)
    return restore_model(path / "model", linear())


COPIES = {
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, path: copy.deepcopy(model),
    "split and merge": lambda model, path: nnx.merge(*nnx.split(model)),
    "on disk": saved,
}
CASES = [(name, method) for method in (MeanField(), Blocks(), EveryStep()) for name in COPIES]


@pytest.mark.parametrize(
    ("name", "method"),
    mostly_slow(CASES, lambda name, method: method == MeanField() or (name, method) == ("on disk", EveryStep())),
    ids=str,
)
def test_profiles_travel_with_their_model(name, method, tmp_path):
    known = with_activity(linear(by(method)), SPARSE)
    chip = nn.program(known, CHIP)
    y = chip(SPARSE[:4])
    for model in (known, chip):
        again = COPIES[name](model, tmp_path)
        np.testing.assert_array_equal(only(again).profile[...], only(known).profile[...])
        answer = again if model is chip else nn.program(again, CHIP)
        np.testing.assert_array_equal(answer(SPARSE[:4]), y)
