"""What a converter is told about its columns: the charge of an input of one, the largest charge, its sign."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import mostly_slow

from jaxaimc import AnalogConfig, analog_matmul, presets, tile
from jaxaimc.adcs import (
    CCO,
    SAR,
    CodeTable,
    ColumnMux,
    FullRange,
    FullScaleNoise,
    Hybrid,
    IdealADC,
    Mismatch,
    PositiveRange,
    Span,
    StepRange,
    Symmetric,
    TileRange,
    Uniform,
    Voting,
)
from jaxaimc.cells import BitPlanes, Differential, Offset, OffsetSlices, Pairs, Quantised, TwoSided, UnitColumn
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import (
    PWM,
    BitGroups,
    BitSerial,
    FixedRange,
    SignMagnitude,
    SplitPWM,
    TwoPasses,
    TwosComplement,
    Unsigned,
    VoltageDAC,
)
from jaxaimc.wires import NoWires

KEY = jax.random.key(0)
ONE = FixedRange(limit=1.0)
PARTS = {"device": IdealDevice(), "wires": NoWires(), "rows": 6, "cols": 3, "column_scales": False}


def multiply(config, w, x):
    return np.asarray(analog_matmul(config, jnp.asarray(w), jnp.asarray(x), KEY))


ACCUMULATED = {
    "polarity": BitSerial(bits=6, signs=SignMagnitude(), accumulates=True, range=ONE),
    "two passes": BitSerial(bits=6, signs=TwoPasses(), accumulates=True, range=ONE),
    "two's complement": BitSerial(bits=6, signs=TwosComplement(), accumulates=True, range=ONE),
    "unsigned": BitSerial(bits=5, signs=Unsigned(), accumulates=True, range=ONE),
    "narrow top group": BitGroups(widths=(4, 1), accumulates=True, range=ONE),
    "narrow top group, two's complement": BitSerial(
        bits=6, group=3, signs=TwosComplement(), accumulates=True, range=ONE
    ),
}


@pytest.mark.parametrize("drive", ACCUMULATED.values(), ids=ACCUMULATED.keys())
def test_accumulated_counts_do_not_depend_on_signs_and_groups(x64, drive):
    """An input of one adds the charge of one full-scale pulse, as where all bits are driven at once."""
    w = np.array(jax.random.uniform(KEY, (6, 3), minval=-1.0))
    x = np.array(jax.random.randint(jax.random.key(1), (40, 6), -31, 32)) / 31
    w[0, 0], x[0] = 1.0, 1.0
    if drive == ACCUMULATED["unsigned"]:
        x = np.abs(x)
    counts_per_cell = 8.3
    pulse = drive.t_pulse * drive.v_read * 25e-6
    adc = CCO(f_adc=1e9, i_ref=1e9 * pulse / counts_per_cell)
    y = multiply(AnalogConfig(cell=Differential(g_max=25e-6), drive=drive, adc=adc, **PARTS), w, x)
    np.testing.assert_allclose(y, np.trunc(x @ w * counts_per_cell) / counts_per_cell, atol=1e-9)
    at_once = BitGroups(widths=(5,), range=ONE)
    one_pulse = AnalogConfig(cell=Differential(g_max=25e-6), drive=at_once, adc=adc, **PARTS)
    np.testing.assert_allclose(y, multiply(one_pulse, w, x), atol=1e-9)


def test_accumulated_counts_follow_the_pulse(x64):
    """By finite difference, and what the straight-through count adds: the outputs, three, over the pulse."""

    def counted(t_pulse):
        drive = BitSerial(bits=4, signs=TwosComplement(), accumulates=True, range=ONE, t_pulse=t_pulse)
        config = AnalogConfig(drive=drive, adc=CCO(i_ref=1e-5), **PARTS)
        return jnp.sum(analog_matmul(config, jnp.eye(6)[:, :3], jnp.ones(6), KEY))

    t, step = 1e-9, 1e-15
    difference = float(counted(t + step) - counted(t - step)) / (2 * step)
    assert jax.grad(counted)(t) == pytest.approx(difference + 3 / t, rel=1e-6)


W, X = np.ones((6, 3)), np.ones(6)
SINGLE = {
    "one plane, one slice": AnalogConfig(drive=VoltageDAC(), **PARTS),
    "accumulated planes": AnalogConfig(drive=BitSerial(accumulates=True), **PARTS),
    "one bit": AnalogConfig(drive=BitSerial(bits=2), **PARTS),
    "pulse width": AnalogConfig(drive=PWM(), **PARTS),
}


@pytest.mark.parametrize("config", SINGLE.values(), ids=SINGLE.keys())
def test_digital_diagonals_of_a_single_conversion_are_refused(config):
    config = replace(config, adc=Hybrid(adc=Uniform(bits=3), digital=1))
    message = "`digital` of Hybrid must be less than the conversions of an output, .* but is 1; here an output has 1 "
    with pytest.raises(ValueError, match=message):
        multiply(config, W, X)
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda x: analog_matmul(config, jnp.asarray(W), x, KEY))(X)
    # The same column in a shared converter is no other.
    with pytest.raises(ValueError, match=message):
        multiply(replace(config, adc=ColumnMux(adc=Mismatch(adc=config.adc, gain=0.01))), W, X)


@pytest.mark.parametrize(
    ("cell", "drive", "most"),
    [
        (BitPlanes(bits=4), BitGroups(widths=(4,), signs=Unsigned()), 3),
        (BitPlanes(bits=4), BitSerial(bits=4, signs=TwosComplement()), 15),
        (BitPlanes(bits=4), BitSerial(bits=4, signs=Unsigned(), accumulates=True), 3),
        (Differential(), SplitPWM(bits=4, low_bits=2), 1),
    ],
    ids=["slices", "planes and slices", "accumulated planes, slices", "planes"],
)
def test_at_least_one_conversion_is_left_to_the_converter(cell, drive, most):
    config = AnalogConfig(cell=cell, drive=drive, **PARTS)
    left, none = (replace(config, adc=Hybrid(adc=Uniform(bits=3), digital=n)) for n in (most, most + 1))
    assert np.all(np.isfinite(multiply(left, W, X)))
    with pytest.raises(ValueError, match=rf"`digital` of Hybrid .* but is {most + 1}"):
        multiply(none, W, X)


def test_a_single_conversion_can_be_voted_on():
    """Nothing is bypassed: the lone conversion is the most significant one, and noise averages out."""
    noisy = Uniform(bits=12, range=Symmetric(limit=8.0), noise=FullScaleNoise(rms=0.02))
    config = AnalogConfig(drive=VoltageDAC(range=ONE), adc=Voting(adc=noisy, samples=16, levels=1), **PARTS)
    y = multiply(config, W, np.ones((400, 6)))
    alone = multiply(replace(config, adc=noisy), W, np.ones((400, 6)))
    assert y.std() < 0.5 * alone.std()


WINDOW = {"g_min": 5e-6, "g_max": 25e-6}
WINDOWED = [
    Offset(**WINDOW),
    OffsetSlices(bits=6, widths=(4, 2), **WINDOW),
    UnitColumn(cell=Offset(**WINDOW)),
    Quantised(cell=Offset(**WINDOW), states=15),
    Differential(**WINDOW),
    TwoSided(**WINDOW),
    Pairs(g_min=5e-6, g_max=25e-6),
]
DRIVES = [
    VoltageDAC(range=ONE),
    BitSerial(bits=6, signs=TwosComplement(), range=ONE),
    BitSerial(bits=6, signs=TwosComplement(), accumulates=True, range=ONE),
    BitSerial(bits=6, group=3, signs=TwoPasses(), accumulates=True, range=ONE),
]


@pytest.mark.parametrize("drive", DRIVES, ids=["DAC", "planes", "accumulated", "accumulated groups"])
@pytest.mark.parametrize(
    "cell", mostly_slow(WINDOWED, lambda cell: cell in WINDOWED[::2]), ids=lambda c: type(c).__name__
)
def test_the_full_range_holds_every_charge(x64, cell, drive):
    """Columns of all the same weight, inputs of all the same sign: 20 bits lose nothing, for leaves traced or not."""
    w, x = np.tile([1.0, -1.0, 0.0], (6, 1)), np.stack([np.ones(6), -np.ones(6)])
    config = AnalogConfig(cell=cell, drive=drive, adc=Uniform(bits=20), **PARTS)
    exact = multiply(replace(config, adc=IdealADC()), w, x)
    np.testing.assert_allclose(multiply(config, w, x), exact, atol=1e-3)
    traced = jax.jit(lambda config: analog_matmul(config, jnp.asarray(w), jnp.asarray(x), KEY))
    np.testing.assert_allclose(traced(config), exact, atol=1e-3)


def test_ranges_of_single_devices_reach_a_full_device_in_every_row(x64):
    """25 uS over a span of 20 uS is 1.25 of a fully driven cell; the ranges end there and no further."""
    drive = BitGroups(widths=(6,), signs=Unsigned(), range=ONE)
    config = AnalogConfig(cell=Offset(**WINDOW), drive=drive, **{**PARTS, "rows": 10})
    prepared = tile.prepare(config, tile.program(config, jnp.ones((6, 3)), KEY))
    largest = tile.charges(config, prepared, jnp.ones(6))
    np.testing.assert_allclose(largest, 6 * 1.25)
    for chosen, low, high in ((FullRange(), -7.5, 7.5), (PositiveRange(), 0.0, 7.5), (TileRange(), 0.0, 12.5)):
        one, other = (
            tile.mvm(replace(config, adc=Uniform(bits=3, range=r)), prepared, jnp.asarray(X) * 0.73)
            for r in (chosen, Span(low=low, high=high))
        )
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("cell", [Offset(), BitPlanes(), Differential(), Differential(**WINDOW), TwoSided(**WINDOW)])
def test_the_full_range_of_other_cells_is_the_rows_exactly(cell):
    w, x = jax.random.normal(KEY, (6, 3)), jax.random.normal(jax.random.key(1), (20, 6))
    config = AnalogConfig(cell=cell, drive=VoltageDAC(), **PARTS)
    full, rows = (replace(config, adc=Uniform(bits=5, range=r)) for r in (FullRange(), Symmetric(limit=6.0)))
    np.testing.assert_array_equal(multiply(full, w, x), multiply(rows, w, x))
    traced = jax.jit(lambda config: analog_matmul(config, w, x, KEY))
    np.testing.assert_array_equal(traced(full), traced(rows))


BOTH_SIGNS = {
    "differential": (Differential(), BitSerial(signs=Unsigned())),
    "two passes of pairs": (Pairs(), BitSerial(signs=TwoPasses())),
    "polarity": (Offset(), BitSerial(signs=SignMagnitude())),
    "pulse width": (BitPlanes(), PWM()),
    "split pulses": (BitPlanes(), SplitPWM()),
    "DAC": (OffsetSlices(), VoltageDAC()),
    "groups": (OffsetSlices(), BitGroups()),
    "accumulated two's complement": (Offset(), BitSerial(signs=TwosComplement(), accumulates=True)),
    "accumulated passes": (UnitColumn(), BitSerial(signs=TwoPasses(), accumulates=True)),
}
UNIPOLAR = {
    "macro": Uniform(range=TileRange()),
    "positive": SAR(range=PositiveRange()),
    "steps": Uniform(range=StepRange(step=0.5, signed=False)),
    "wrapped": ColumnMux(adc=Mismatch(adc=Hybrid(adc=Uniform(range=TileRange())), gain=0.01)),
    "voting": Voting(adc=CodeTable(mean=np.arange(8.0), std=np.full(8, 0.3), range=PositiveRange())),
}


@pytest.mark.parametrize("adc", UNIPOLAR.values(), ids=UNIPOLAR.keys())
@pytest.mark.parametrize(("cell", "drive"), BOTH_SIGNS.values(), ids=BOTH_SIGNS.keys())
def test_ranges_from_zero_are_refused_for_charges_of_both_signs(cell, drive, adc):
    config = AnalogConfig(cell=cell, drive=drive, adc=adc, **PARTS)
    message = (
        rf"`adc` of AnalogConfig must have a range that holds negative charges.*{type(cell).__name__} .*"
        rf"{type(drive).__name__}.*but this {type(adc).__name__} begins at zero"
    )
    with pytest.raises(ValueError, match=message):
        tile.program(config, jnp.asarray(W), KEY)
    replace(config, adc=adc.with_(range=FullRange())).validate()
    # Whoever knows that weights or inputs are never negative says so by naming both ends.
    replace(config, adc=adc.with_(range=Span(low=0.0, high=6.0))).validate()


@pytest.mark.parametrize("adc", UNIPOLAR.values(), ids=UNIPOLAR.keys())
@pytest.mark.parametrize(
    ("cell", "drive"),
    [
        (Offset(), BitSerial(signs=Unsigned(), accumulates=True)),
        (Offset(), BitSerial(signs=TwosComplement())),
        (UnitColumn(), BitGroups(signs=TwoPasses())),
        (BitPlanes(), BitGroups(widths=(4,), signs=Unsigned())),
    ],
    ids=["accumulated unsigned", "two's complement", "passes", "bit-parallel"],
)
def test_ranges_from_zero_are_kept_where_no_charge_is_negative(cell, drive, adc):
    config = AnalogConfig(cell=cell, drive=drive, adc=adc, **PARTS)
    config.validate()
    x, w = jax.random.normal(KEY, (5, 6)), jax.random.normal(jax.random.key(1), (6, 3))
    prepared = tile.prepare(config, tile.program(config, w, KEY))
    assert np.min(tile.charges(config, prepared, x)) > -1e-6


@pytest.mark.parametrize("adc", [IdealADC(), CCO(), Uniform(), Uniform(range=Symmetric(limit=1.0))])
def test_converters_of_both_signs_go_with_every_cell_and_drive(adc):
    for cell, drive in BOTH_SIGNS.values():
        AnalogConfig(cell=cell, drive=drive, adc=adc, **PARTS).validate()


def test_the_presets_are_not_refused():
    for preset in (presets.isaac(), presets.prime(), presets.crosssim_sonos(), presets.asim(), presets.standard_aimc()):
        preset.validate()
    presets.asim(signs=TwosComplement(), group=2).validate()
