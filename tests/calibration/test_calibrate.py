"""Ranges from data: what `nn.calibrate` chooses for every layer, and that it helps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn, tile
from jaxaimc.adcs import CCO, SAR, ColumnMux, FullRange, IdealADC, MidTread, PositiveRange, Span, Symmetric, Uniform
from jaxaimc.calibration import LeastError, Percentile, has_range
from jaxaimc.cells import Differential, DifferentialSlices, Offset
from jaxaimc.devices import PCM, IdealDevice, NoReadNoise
from jaxaimc.drives import (
    PWM,
    AbsoluteMaximum,
    BitSerial,
    FixedRange,
    LearnedRange,
    PerVector,
    TwoPasses,
    Unsigned,
)
from jaxaimc.wires import NoWires

KEY = jax.random.key(0)
PARTS = {"device": IdealDevice(), "wires": NoWires(), "rows": 16, "cols": 16}


class TwoLayers(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first, self.second = nnx.Linear(24, 12, rngs=rngs), nnx.Linear(12, 5, rngs=rngs)

    def __call__(self, x):
        return self.second(jax.nn.relu(self.first(x)))


def layer(model, name):
    return getattr(model, name).dot_general.config.get_value()


def test_ranges_are_percentiles_of_what_the_layers_see():
    model, x = TwoLayers(), jax.random.normal(KEY, (50, 24))
    config = AnalogConfig(cell=Differential(), drive=PWM(), adc=Uniform(bits=8), **PARTS)
    found = nn.calibrate(nn.convert(model, config), x, KEY, input_percentile=99.0, adc_rule=Percentile(percentile=99.0))
    hidden = jax.nn.relu(model.first(x))
    limits = [float(layer(found, name).drive.range.limit) for name in ("first", "second")]
    np.testing.assert_allclose(limits, [np.quantile(np.abs(v), 0.99) for v in (x, hidden)], rtol=1e-5)
    # The second layer fits one tile: its charges are inputs over their range times weights over their columns' peak.
    w = model.second.kernel[...]
    charges = np.round(np.clip(hidden / limits[1], -1, 1) * 127) / 127 @ (w / np.abs(w).max(axis=0))
    expected = max(-np.quantile(charges, 0.01), np.quantile(charges, 0.99))
    assert isinstance(layer(found, "second").adc.range, Symmetric)
    np.testing.assert_allclose(layer(found, "second").adc.range.limit, [[expected]], rtol=1e-4)


@pytest.mark.parametrize(
    ("cell", "signs", "given", "kind", "slices"),
    [
        (DifferentialSlices(), TwoPasses(), FullRange(), Symmetric, 4),
        (Offset(), Unsigned(), PositiveRange(), Span, 1),
    ],
)
def test_each_slice_gets_its_own_range(cell, signs, given, kind, slices):
    adc = Uniform(bits=6, range=given, codes=MidTread())
    config = AnalogConfig(cell=cell, drive=BitSerial(bits=6, signs=signs), adc=adc, **PARTS)
    found = nn.calibrate(nn.convert(TwoLayers(), config), jax.random.normal(KEY, (20, 24)), KEY)
    chosen = layer(found, "first").adc.range
    assert isinstance(chosen, kind)
    limit = chosen.limit if kind is Symmetric else chosen.high
    assert limit.shape == (slices, 1)
    assert len(np.unique(limit)) == slices
    layer(found, "first").validate()


@pytest.mark.parametrize("rule", [Percentile(percentile=99.9), LeastError()], ids=["percentile", "least error"])
def test_calibrated_ranges_lower_the_error(rule):
    model, x = TwoLayers(), jax.random.normal(KEY, (200, 24))
    config = AnalogConfig(drive=PWM(), adc=Uniform(bits=5), **PARTS)
    analog = nn.convert(model, config, key=KEY)
    errors = [np.square(m(x) - model(x)).mean() for m in (analog, nn.calibrate(analog, x, KEY, adc_rule=rule))]
    assert errors[1] < errors[0] / 4


def test_either_range_can_be_left_alone():
    config = AnalogConfig(drive=PWM(), adc=Uniform(bits=5), **PARTS)
    model, x = nn.convert(TwoLayers(), config), jnp.ones((3, 24))
    assert layer(nn.calibrate(model, x, KEY, adc_rule=None), "first").adc == config.adc
    assert layer(nn.calibrate(model, x, KEY, input_percentile=None), "first").drive == config.drive
    assert layer(model, "first") == config


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (PerVector(), FixedRange(limit=2.0)),
        (AbsoluteMaximum(), FixedRange(limit=2.0)),
        (FixedRange(limit=9.0), FixedRange(limit=2.0)),
        (LearnedRange(limit=9.0, decay=0.1, inside=0.8), LearnedRange(limit=2.0, decay=0.1, inside=0.8)),
    ],
    ids=lambda r: type(r).__name__,
)
def test_learned_ranges_stay_learned(given, chosen):
    model = nn.convert(TwoLayers(), AnalogConfig(drive=PWM(range=given), adc=Uniform(bits=5), **PARTS))
    found = nn.calibrate(model, jnp.full((3, 24), -2.0), KEY, adc_rule=None)
    assert layer(found, "first").drive.range == chosen


def test_layers_of_several_calls_are_calibrated_on_all_of_them():
    class Twice(nnx.Module):
        def __init__(self):
            self.layer = nnx.Linear(4, 4, rngs=nnx.Rngs(0))

        def __call__(self, x):
            self.layer(0.1 * x)
            return self.layer(x)

    x = jax.random.normal(KEY, (30, 4))
    config = AnalogConfig(drive=PWM(), adc=Uniform(bits=5), **PARTS)
    found = nn.calibrate(nn.convert(Twice(), config), x, KEY, input_percentile=75.0)
    expected = np.percentile(np.abs(np.concatenate([0.1 * x, x])), 75)
    np.testing.assert_allclose(layer(found, "layer").drive.range.limit, expected, rtol=1e-5)


def test_converters_without_a_range_keep_what_they_have():
    config = AnalogConfig(drive=PWM(), adc=CCO(), **PARTS)
    found = nn.calibrate(nn.convert(TwoLayers(), config), jax.random.normal(KEY, (9, 24)), KEY)
    assert layer(found, "first").adc == CCO()
    assert not has_range(CCO())
    assert not has_range(IdealADC())
    assert has_range(ColumnMux(adc=SAR(capacitor=0.1)))


DRIFTING = AnalogConfig(
    device=PCM(read_noise=NoReadNoise()), wires=NoWires(), drive=PWM(), adc=Uniform(bits=6), rows=16, cols=16
)


@pytest.mark.parametrize("rule", [Percentile(percentile=99.9), LeastError()], ids=["percentile", "least error"])
def test_one_call_recalibrates_a_network_that_has_drifted(rule):
    """After a year the charges are a half: ranges follow them on the model's own chip and give back resolution."""
    model, x = TwoLayers(), jax.random.normal(KEY, (300, 24))
    fresh = nn.calibrate(nn.convert(model, DRIFTING, key=KEY), x, KEY, adc_rule=rule)
    old = nn.drift(fresh, 3e7)
    again = nn.calibrate(old, x, KEY, input_percentile=None, adc_rule=rule)
    for name in ("first", "second"):
        before, after = (layer(m, name) for m in (old, again))
        assert float(jnp.max(after.adc.range.limit / before.adc.range.limit)) < 0.75
        assert after.drive.range.limit == before.drive.range.limit
        # The chip is the one that drifted.
        np.testing.assert_array_equal(
            getattr(again, name).dot_general.prepared.get_value().matrix,
            getattr(old, name).dot_general.prepared.get_value().matrix,
        )

    def quantisation(m):
        dot = m.first.dot_general
        config, prepared = dot.config.get_value(), dot.prepared.get_value()
        ideal = replace(config, adc=IdealADC())
        return float(jnp.std(tile.mvm(config, prepared, x) - tile.mvm(ideal, prepared, x)))

    assert quantisation(again) < 0.75 * quantisation(old)


def test_least_error_is_the_best_of_its_candidates():
    """Against a plain search over ranges: no other part of the largest charge has a smaller error."""
    config = replace(DRIFTING, device=IdealDevice(), adc=Uniform(bits=4))
    w, x = jax.random.normal(KEY, (16, 8)), jax.random.normal(jax.random.key(1), (100, 16))
    prepared = tile.prepare(config, tile.program(config, w, KEY))
    largest = Percentile(percentile=100.0)(config, prepared, x).adc.range.limit
    ideal = tile.mvm(replace(config, adc=IdealADC()), prepared, x)

    def error(limit):
        chosen = replace(config, adc=Uniform(bits=4, range=Symmetric(limit=limit)))
        return float(jnp.mean(jnp.square(tile.mvm(chosen, prepared, x) - ideal)))

    rule = LeastError(candidates=9, smallest=0.1)
    best = rule(config, prepared, x).adc.range.limit
    assert error(best) == min(error(part * largest) for part in np.geomspace(0.1, 1.0, 9, dtype=np.float32))
    with pytest.raises(ValueError, match="must be a converter with a range, but CCO has none"):
        rule(replace(config, adc=CCO()), prepared, x)


@pytest.mark.parametrize("rule", [Percentile(), LeastError(candidates=2)], ids=["percentile", "least error"])
def test_bad_inputs_of_rules_are_named_and_lists_are_inputs(rule):
    config = replace(DRIFTING, device=IdealDevice())
    prepared = tile.prepare(config, tile.program(config, jnp.eye(4), KEY))
    with pytest.raises(ValueError, match="Argument `x` must hold real numbers, but is 'inputs'"):
        rule(config, prepared, "inputs")
    with pytest.raises(ValueError, match="Argument `x` must hold real numbers, but has dtype complex"):
        rule(config, prepared, 1j * np.ones((2, 4)))
    x = [[1.0, 0.5, -0.25, 0.0]]
    assert rule(config, prepared, x) == rule(config, prepared, np.asarray(x))


def test_bad_calibration():
    model = nn.convert(TwoLayers(), AnalogConfig(adc=Uniform(), **PARTS))
    with pytest.raises(ValueError, match=r"`input_percentile` of calibrate must be in \(50, 100\], but is 101"):
        nn.calibrate(model, jnp.ones((3, 24)), KEY, input_percentile=101.0)
    with pytest.raises(ValueError, match=r"`percentile` of Percentile must be in \(50, 100\], but is 50"):
        nn.calibrate(model, jnp.ones((3, 24)), KEY, adc_rule=Percentile(percentile=50.0))
    with pytest.raises(ValueError, match=r"`smallest` of LeastError must be in \(0, 1\], but is 0"):
        nn.calibrate(model, jnp.ones((3, 24)), KEY, adc_rule=LeastError(smallest=0.0))
    with pytest.raises(ValueError, match=r"`candidates` of LeastError must be an integer in \[2, 10000\], but is 1"):
        LeastError(candidates=1)
    with pytest.raises(ValueError, match="The model has no analog layer"):
        nn.calibrate(TwoLayers(), jnp.ones((3, 24)), KEY)
