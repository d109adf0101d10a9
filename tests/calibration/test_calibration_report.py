"""What `nn.calibrate` says of its choices, and that it needs little memory for many vectors."""

import importlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn, tile
from jaxaimc.adcs import CCO, IdealADC, Symmetric, Uniform
from jaxaimc.calibration import NothingToCalibrateWarning
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.nn.hosts import ConvHost
from jaxaimc.nn.hosts.base import Parts
from jaxaimc.wires import NoWires

# The package has a function of the same name.
module = importlib.import_module("jaxaimc.nn.calibrate")
KEY = jax.random.key(0)
X = jax.random.normal(KEY, (200, 24))


class TwoLayers(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first, self.second = nnx.Linear(24, 12, rngs=rngs), nnx.Linear(12, 5, rngs=rngs)

    def __call__(self, x):
        return self.second(jax.nn.relu(self.first(x)))


def coarse(limit):
    adc = Uniform(bits=3, range=Symmetric(limit=limit))
    return AnalogConfig(device=IdealDevice(), wires=NoWires(), rows=16, cols=16, drive=PWM(), adc=adc)


def config_of(model, name):
    return getattr(model, name).dot_general.config.get_value()


def test_a_range_that_clips_a_quarter_is_not_kept_for_its_small_median():
    model = nn.convert(TwoLayers(), coarse(0.5), key=KEY)
    found, report = nn.calibrate_and_report(model, X, KEY)
    config, dot = config_of(found, "second"), found.second.dot_general
    hidden, chip = jax.nn.relu(TwoLayers().first(X)), dot.prepared.get_value()
    ideal = tile.mvm(replace(config, adc=IdealADC()), chip, hidden)
    present = replace(config, adc=coarse(0.5).adc)
    medians = [float(jnp.median(jnp.abs(tile.mvm(c, chip, hidden) - ideal))) for c in (present, config)]
    assert medians[0] < medians[1]
    assert tile.saturation(present, chip, hidden) > 0.2
    assert [(layer.path, layer.converters) for layer in report] == [("first", "chosen"), ("second", "chosen")]
    assert all(layer.saturated < 0.005 and layer.reason == "" for layer in report)
    assert report[1].saturated == tile.saturation(config, chip, hidden)


def test_a_range_that_is_kept_and_clips_is_said():
    model = nn.convert(TwoLayers(), coarse(0.8), key=KEY)
    with pytest.warns(nn.SaturatedRangeWarning) as warned:
        found = nn.calibrate(model, X, KEY)
    assert [str(one.message).partition(" keeps")[0] for one in warned] == ["Layer 'first'", "Layer 'second'"]
    assert "but 13.5 % of these inputs' charges lie beyond it" in str(warned[0].message)
    assert config_of(found, "first").adc == coarse(0.8).adc
    with pytest.warns(nn.SaturatedRangeWarning):
        _, [first, _] = nn.calibrate_and_report(model, X, KEY)
    assert (first.inputs, first.converters) == ("chosen", "kept")
    assert first.saturated > 0.1
    assert first.reason == "the converters' range has a smaller error by the rule"


def test_every_way_to_keep_a_range_has_its_reason():
    model = nn.convert(TwoLayers(), coarse(9.0), key=KEY)
    _, [layer, _] = nn.calibrate_and_report(model, X, KEY, input_percentile=None, adc_rule=None)
    assert layer[1:5] == ("kept", "kept", 0.0, 0.0)
    assert layer.reason == "`input_percentile` is None; `adc_rule` is None"
    counting = nn.convert(TwoLayers(), replace(coarse(9.0), adc=CCO()), key=KEY)
    _, [layer, _] = nn.calibrate_and_report(counting, X, KEY)
    assert (layer.converters, layer.saturated, layer.reason) == ("none", None, "")
    with pytest.warns(NothingToCalibrateWarning):
        _, [layer, _] = nn.calibrate_and_report(model, 0 * X, KEY)
    assert layer[1:] == ("kept", "kept", None, None, "the layer gets nothing but zeros")


def test_windows_of_convolutions_are_never_held_all_at_once(monkeypatch):
    layer, x = nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)), jax.random.normal(KEY, (6, 8, 8, 3))
    config = coarse(9.0)
    whole, parts = (
        nn.convert(layer, [nn.Rule(".*", config, host=ConvHost(most_elements=most))], KEY) for most in (2**24, 500)
    )
    expected = nn.calibrate(whole, x, KEY).conv_general_dilated.config.get_value()
    monkeypatch.setattr(Parts, "whole", lambda self: pytest.fail("all windows were made"))
    found = nn.calibrate(parts, x, KEY).conv_general_dilated.config.get_value()
    np.testing.assert_allclose(found.adc.range.limit, expected.adc.range.limit, rtol=1e-5)
    assert found.drive.range.limit == expected.drive.range.limit
    # A sample of 50 of the 384 windows: the same range to its statistics, the largest input to the bit.
    seen = []
    monkeypatch.setattr(module, "MOST", 50 * 27)
    rule = lambda config, prepared, x, key: seen.append(x) or module.Percentile()(config, prepared, x, key)  # noqa: E731
    some = nn.calibrate(parts, x, KEY, input_percentile=100.0, adc_rule=rule).conv_general_dilated.config.get_value()
    assert seen[0].shape == (50, 27)
    assert some.drive.range.limit == jnp.max(jnp.abs(x))
    assert 0.7 < float(some.adc.range.limit[0, 0] / expected.adc.range.limit[0, 0]) < 1.3
    again = nn.calibrate(parts, x, KEY, input_percentile=100.0).conv_general_dilated.config.get_value()
    assert again == some


def test_a_sample_is_no_slice_of_the_vectors():
    seen = module.Seen("layer", most=100)
    for start in range(0, 2000, 250):
        seen.add(np.arange(start, start + 250.0)[:, None])
    assert seen.count == 2000
    assert seen.peak == 1999
    vectors = seen.vectors[:, 0]
    assert len(vectors) == 100
    assert (np.diff(vectors) > 0).all()
    assert 800 < vectors.mean() < 1200
    assert len(set(vectors % 8)) == 8


def test_bad_chips_of_another_kernel_are_not_calibrated():
    chip = nn.convert(TwoLayers(), coarse(1.0), key=KEY)
    chip.first.kernel[...] = 2 * chip.first.kernel[...]
    with pytest.raises(ValueError, match="Layer 'first' has another kernel than the one its chip was programmed from"):
        nn.calibrate(chip, X, KEY)
    with pytest.raises(ValueError, match=r"finite inputs, but in layer 'first' 1 of 4800 are not"):
        nn.calibrate(nn.convert(TwoLayers(), coarse(1.0)), X.at[3, 4].set(jnp.nan), KEY)
