"""Shares of conversions and inputs beyond their ranges, against counts in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, READ, Pair
from flax import nnx

from jaxaimc import AnalogConfig, adcs, cells, devices, drives, nn, prepare, program, tile
from jaxaimc.adcs import Readout, Span, Symmetric, Uniform
from jaxaimc.wires import NoWires

QUIET = AnalogConfig(device=devices.IdealDevice(), wires=NoWires(), rows=8, cols=8)
X = jax.random.normal(jax.random.key(3), (40, 6))


def shares(model, inputs=X):
    return {layer.path: layer for layer in nn.saturation(model, inputs, READ)}


def test_shares_are_those_counted_in_numpy():
    limits = {"first": 1.5, "head": 0.8}
    model = Pair(nnx.Rngs(0))
    rules = [
        nn.Rule(
            path,
            QUIET.with_(
                adc=Uniform(bits=12, range=Symmetric(limit=limit)), drive=drives.PWM(range=drives.FixedRange(limit=1.2))
            ),
        )
        for path, limit in limits.items()
    ]
    analog = nn.convert(model, rules, CHIP)
    found = shares(analog)
    # What the chip does, in NumPy: inputs clipped to 1.2 and rounded, columns scaled to their largest weight.
    x = np.asarray(X, np.float64)
    for path, layer in (("first", model.first), ("head", model.head)):
        w = np.asarray(layer.kernel[...], np.float64)
        scale = np.abs(w).max(axis=0)
        driven = np.round(np.clip(x / 1.2, -1, 1) * 127) / 127
        q = driven @ (w / scale)
        assert found[path].vectors == 40
        assert found[path].conversions == pytest.approx(np.mean(np.abs(q) > limits[path]), abs=2 / q.size)
        assert found[path].inputs == pytest.approx(np.mean(np.abs(x) > 1.2), abs=2 / x.size)
        assert 0.02 < found[path].conversions < 0.9
        assert found[path].reason == ""
        step = 2 * limits[path] / (2**12 - 2)
        codes = np.round(np.clip(q, -limits[path], limits[path]) / step) * step
        x = np.maximum(codes * scale * 1.2 + np.asarray(layer.bias[...]), 0)


def test_tile_rows_and_planes_each_convert_for_themselves():
    """Bit-serial inputs on two tile rows: a count of every partial sum of every bit."""
    adc = Uniform(bits=6, range=Span(low=0.0, high=2.5), codes=adcs.BothEnds())
    drive = drives.BitSerial(bits=3, signs=drives.Unsigned(), range=drives.FixedRange(limit=7.0))
    config = QUIET.with_(cell=cells.BitPlanes(bits=3), drive=drive, adc=adc, column_scales=False)
    rng = np.random.default_rng(0)
    w, x = rng.integers(-3, 4, (16, 5)), rng.integers(0, 8, (30, 16))
    w[0, 0] = 3
    prepared = prepare(config, program(config, jnp.asarray(w, jnp.float32), CHIP))
    inputs = jnp.asarray(x, jnp.float32)
    found = tile.saturation(config, prepared, inputs)
    codes = w % 8
    over = [
        ((x[:, half] >> i) & 1) @ ((codes[half] >> j) & 1) > 2.5
        for half in (slice(0, 8), slice(8, 16))
        for i in range(3)
        for j in range(3)
    ]
    assert float(found) == pytest.approx(np.mean(over), abs=1e-6)
    assert 0.1 < found < 0.9
    # Zero is the first code, and right: a range that ends beyond all sums has no saturation.
    wide = config.with_(adc=Uniform(bits=6, range=adcs.TileRange(), codes=adcs.BothEnds()))
    assert float(tile.saturation(wide, prepared, inputs)) == 0
    # The top diagonal of two digital ones is out of the count.
    hybrid = config.with_(adc=adcs.Hybrid(adc=adc, digital=2))
    left = [over[9 * half + 3 * i + j] for half in range(2) for i in range(3) for j in range(3) if i + j < 3]
    assert float(tile.saturation(hybrid, prepared, inputs)) == pytest.approx(np.mean(left), abs=1e-6)


def test_a_shared_column_counts_once_for_its_tile():
    """Offset cells and their unit column: eight outputs on two tiles are ten conversions of a vector."""
    adc = Uniform(bits=8, range=Span(low=0.0, high=1.9))
    config = QUIET.with_(cell=cells.UnitColumn(cell=cells.Offset()), adc=adc, cols=4)
    w = np.full((4, 8), -1.0)
    w[:, 0] = 1
    prepared = prepare(config, program(config, jnp.asarray(w), CHIP))
    # All rows driven: the first column has a charge of four cells, the unit columns of two, the others none.
    assert float(tile.saturation(config, prepared, jnp.ones((3, 4)))) == pytest.approx(3 / 10)


def readout(count=5):
    return Readout(jnp.full((1, 1, 1), 1e-13), 8, 16, jnp.ones((1, 1, 1)), conversions=count)


@pytest.mark.parametrize(
    "adc",
    [
        Uniform(bits=5, range=Symmetric(limit=2.0)),
        Uniform(bits=5, range=Symmetric(limit=2.0), codes=adcs.MidRise()),
        Uniform(bits=5.5, range=Span(low=-1.0, high=3.0), codes=adcs.BothEnds()),
        Uniform(bits=5, range=adcs.StepRange(step=0.1)),
        adcs.Ramp(bits=5, range=Symmetric(limit=2.0), capacitor=0.1),
        adcs.SAR(bits=5, range=adcs.StepRange(step=0.1)),
        adcs.Pipeline(bits=5, range=Symmetric(limit=2.0)),
        adcs.Mismatch(adc=Uniform(bits=5, range=Symmetric(limit=2.0)), gain=0.3, offset=0.5),
        adcs.ColumnMux(adc=adcs.Mismatch(adc=Uniform(bits=5, range=Symmetric(limit=2.0)), offset=0.5), columns=2),
        adcs.CCO(max_count=20.0),
    ],
    ids=lambda adc: type(adc).__name__,
)
def test_a_saturated_charge_has_the_code_of_any_larger_one(adc):
    """`saturated` is what `convert` does: beyond the ends nothing changes any more, and between them are all codes."""
    assert adc.saturates
    seen = readout()._replace(converters=adc.draw_mismatch(jax.random.key(5), 1, 6))
    q = jnp.broadcast_to(jnp.linspace(-6, 6, 1201)[:, None, None, None], (1201, 1, 1, 6))
    found = np.asarray(adc.saturated(q, seen))
    y = np.asarray(adc.convert(q, seen))
    assert 0.2 < found.mean() < 0.8
    far = np.asarray(adc.convert(1e3 * jnp.sign(q), seen))
    np.testing.assert_allclose(y[found], far[found], rtol=1e-6)
    # 2**bits codes, or one less, or counts up to 20 of either sign.
    for column in range(6):
        assert not found[len(q) // 2, 0, 0, column]
        codes = len(np.unique(y[:, 0, 0, column].round(5)))
        assert len(np.unique(y[~found[:, 0, 0, column], 0, 0, column].round(5))) == codes > 25


@pytest.mark.parametrize("adc", [adcs.IdealADC(), adcs.GaussianADC(sigma=0.1), adcs.CCO()])
def test_converters_without_a_range_say_so(adc):
    assert not adc.saturates
    config = QUIET.with_(adc=adc)
    found = shares(nn.convert(Pair(nnx.Rngs(0)), [nn.Rule("head", config)], CHIP))["head"]
    assert (found.conversions, found.inputs, found.vectors) == (None, 0.0, 40)
    assert found.reason == f"{type(adc).__name__} has no range"
    assert not jnp.any(adc.saturated(jnp.full((2, 1, 1, 3), 1e9), readout())) or isinstance(adc, adcs.CCO)


def test_a_table_of_codes_saturates_at_its_ends():
    adc = adcs.CodeTable(mean=np.arange(4.0), std=np.zeros(4), range=adcs.PositiveRange())
    q = jnp.array([-0.1, 0.0, 8.0, 8.1])[:, None, None, None]
    assert adc.saturated(q, readout()).ravel().tolist() == [True, False, False, True]


def test_a_layer_that_is_used_twice_adds_up_and_one_that_is_not_says_so():
    class Twice(nnx.Module):
        def __init__(self):
            self.used, self.idle = (nnx.Linear(6, 6, rngs=nnx.Rngs(i)) for i in range(2))

        def __call__(self, x):
            return self.used(self.used(x))

    narrow = QUIET.with_(adc=Uniform(range=Symmetric(limit=1.0)))
    found = shares(nn.convert(Twice(), narrow, CHIP))
    assert (found["used"].vectors, found["idle"].vectors) == (80, 0)
    assert 0 < found["used"].conversions < 1
    assert found["idle"][2:] == (None, None, "is not called on these inputs")


def test_hooks_change_what_is_counted_and_a_model_without_a_chip_gets_one():
    class Smaller(nn.Hook):
        def before(self, config, inputs):
            return config, inputs / 2

    class Narrower(nn.Hook):
        def before(self, config, inputs):
            return config.with_(adc=Uniform(bits=8, range=Symmetric(limit=1e-4))), inputs

    adc, drive = Uniform(bits=8, range=Symmetric(limit=1.5)), drives.PWM(range=drives.FixedRange(limit=1.0))
    analog = nn.convert(nnx.Linear(6, 8, rngs=nnx.Rngs(0)), QUIET.with_(adc=adc, drive=drive))
    for hooked, limit in ((analog, 1), (nn.attach(analog, lambda dot: Smaller()), 2)):
        [found] = nn.saturation(hooked, X, READ)
        assert found.inputs == pytest.approx(np.mean(np.abs(X) > limit), abs=1e-6)
    [found] = nn.saturation(nn.attach(analog, lambda dot: Narrower()), X, READ)
    assert found.conversions > 0.95
    assert analog.dot_general.prepared is None


def test_read_noise_saturates_too():
    noisy = devices.Device(read_noise=devices.laws.NormalReadNoise(std=devices.curves.Polynomial(coefficients=(0.5,))))
    adc = Uniform(bits=8, range=Symmetric(limit=3.0))
    layer = nnx.Linear(6, 40, use_bias=False, rngs=nnx.Rngs(0))
    layer.kernel[...] = jnp.ones((6, 40))
    chip = nn.convert(layer, AnalogConfig(device=noisy, wires=NoWires(), adc=adc), CHIP)
    # Three of six cells are driven: the mean is at the end of the range, and half of the draws lie beyond it.
    [found] = nn.saturation(chip, jnp.tile(jnp.array([1.0, 1, 1, 0, 0, 0]), (50, 1)), READ)
    assert found.conversions == pytest.approx(0.5, abs=0.05)


def test_calibration_leaves_hardly_anything_beyond_the_ranges():
    narrow = QUIET.with_(adc=Uniform(bits=6, range=Symmetric(limit=0.02)))
    analog = nn.convert(nnx.Linear(6, 8, rngs=nnx.Rngs(0)), narrow, CHIP)
    [before], [after] = (nn.saturation(model, X, READ) for model in (analog, nn.calibrate(analog, X, READ)))
    assert before.conversions > 0.9
    assert (after.conversions, after.inputs) == (pytest.approx(0.005, abs=0.01), pytest.approx(0.005, abs=0.01))


def test_bad_arguments(stack_of_two):
    with pytest.raises(ValueError, match="`key` must be a typed key"):
        nn.saturation(nn.convert(Pair(nnx.Rngs(0)), QUIET, CHIP), X, 3)
    with pytest.raises(ValueError, match="no analog layer"):
        nn.saturation(Pair(nnx.Rngs(0)), X, READ)
    with pytest.raises(ValueError, match=r"is a stack of 2 layers and cannot have its saturation counted"):
        nn.saturation(nn.convert(stack_of_two, QUIET, CHIP), X, READ)


@pytest.fixture
def stack_of_two():
    class Stack(nnx.Module):
        def __init__(self):
            make = lambda rngs: nnx.Linear(6, 6, rngs=rngs)  # noqa: E731
            self.layers = nnx.vmap(make, axis_size=2)(nnx.Rngs(0).split(2))

    return Stack()


def test_counts_of_many_conversions_do_not_wrap():
    assert math.isclose(float(tile.saturation(*_all_over())), 1.0)


def _all_over():
    config = QUIET.with_(adc=Uniform(range=Symmetric(limit=1e-3)), rows=64, cols=64)
    w = jnp.ones((64, 64))
    return config, prepare(config, program(config, w, CHIP)), jnp.ones((500, 64))
