"""Ranges from data: what `nn.calibrate` chooses for every layer, and that it helps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.adcs import MidTread, PositiveRange, Span, Symmetric, Uniform
from jaxaimc.cells import Differential, DifferentialSlices, Offset
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, BitSerial, TwoPasses, Unsigned
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
    found = nn.calibrate(nn.convert(model, config), x, KEY, percentile=99.0)
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
    ("cell", "signs", "kind", "slices"),
    [
        (DifferentialSlices(), TwoPasses(), Symmetric, 4),
        (Offset(), Unsigned(), Span, 1),
    ],
)
def test_each_slice_gets_its_own_range(cell, signs, kind, slices):
    adc = Uniform(bits=6, range=PositiveRange(), codes=MidTread())
    config = AnalogConfig(cell=cell, drive=BitSerial(bits=6, signs=signs), adc=adc, **PARTS)
    found = nn.calibrate(nn.convert(TwoLayers(), config), jax.random.normal(KEY, (20, 24)), KEY)
    chosen = layer(found, "first").adc.range
    assert isinstance(chosen, kind)
    limit = chosen.limit if kind is Symmetric else chosen.high
    assert limit.shape == (slices, 1)
    assert len(np.unique(limit)) == slices
    layer(found, "first").validate()


def test_calibrated_ranges_lower_the_error():
    model, x = TwoLayers(), jax.random.normal(KEY, (200, 24))
    config = AnalogConfig(drive=PWM(), adc=Uniform(bits=5), **PARTS)
    analog = nn.convert(model, config, key=KEY)
    errors = [np.square(m(x) - model(x)).mean() for m in (analog, nn.calibrate(analog, x, KEY, percentile=99.9))]
    assert errors[1] < errors[0] / 4


def test_either_range_can_be_left_alone():
    config = AnalogConfig(drive=PWM(), adc=Uniform(bits=5), **PARTS)
    model, x = nn.convert(TwoLayers(), config), jnp.ones((3, 24))
    assert layer(nn.calibrate(model, x, KEY, adc_ranges=False), "first").adc == config.adc
    assert layer(nn.calibrate(model, x, KEY, input_ranges=False), "first").drive == config.drive
    assert layer(model, "first") == config


def test_bad_calibration():
    model = nn.convert(TwoLayers(), AnalogConfig(**PARTS))
    with pytest.raises(ValueError, match=r"`percentile` of calibrate must be in \(50, 100\], but is 101"):
        nn.calibrate(model, jnp.ones((3, 24)), KEY, percentile=101.0)
    with pytest.raises(ValueError, match="The model has no analog layer"):
        nn.calibrate(TwoLayers(), jnp.ones((3, 24)), KEY)
