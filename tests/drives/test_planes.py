"""Drives by planes: recombination for every width and sign scheme, pulses, ranges and their gradients."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxaimc.drives import (
    AbsoluteMaximum,
    BitGroups,
    BitSerial,
    FixedRange,
    LearnedRange,
    SignMagnitude,
    TwoPasses,
    TwosComplement,
    Unsigned,
    VoltageDAC,
)

ONE = FixedRange(limit=1.0)


def value(drive, x):
    """The input values that the pulses stand for."""
    pulses = drive.encode(x)
    return jnp.einsum("p,...pr->...r", pulses.significance, pulses.level) * pulses.x_scale[..., None]


@given(
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    signs=st.sampled_from([SignMagnitude(), TwoPasses(), TwosComplement(), Unsigned()]),
)
@settings(max_examples=12)
def test_planes_recombine_to_the_integer(widths, signs):
    steps = 2 ** sum(widths) - 1
    low = 0 if isinstance(signs, Unsigned) else -steps
    k = np.arange(low, steps + 1)
    with jax.enable_x64(True):
        drive = BitGroups(widths=tuple(widths), signs=signs, range=ONE)
        pulses = drive.encode(jnp.asarray(k / steps))
        np.testing.assert_allclose(pulses.significance @ np.asarray(pulses.level) * steps, k, atol=1e-9)
        digits = np.asarray(pulses.level) * (2 ** max(widths) - 1)
        np.testing.assert_allclose(digits, np.round(digits), atol=1e-9)
        assert np.all(np.abs(pulses.level) <= 1)
        if not isinstance(signs, SignMagnitude):
            assert np.all(np.asarray(pulses.level) >= 0)


@pytest.mark.parametrize(
    ("drive", "widths"),
    [
        (BitSerial(bits=8), (1,) * 7),
        (BitSerial(bits=8, signs=Unsigned()), (1,) * 8),
        (BitSerial(bits=8, group=3), (3, 3, 1)),
        (BitSerial(bits=8, group=4, signs=Unsigned()), (4, 4)),
        (BitSerial(bits=8, group=2, signs=TwosComplement()), (2, 2, 2, 1)),
        (VoltageDAC(bits=5), (4,)),
    ],
)
def test_widths_of_the_groups(drive, widths):
    assert drive.widths == widths


@pytest.mark.parametrize(
    ("signs", "planes"), [(SignMagnitude(), 3), (TwoPasses(), 6), (TwosComplement(), 4), (Unsigned(), 4)]
)
def test_number_of_planes_of_four_bits(signs, planes):
    assert BitSerial(bits=4, signs=signs).encode(jnp.ones(2)).level.shape == (planes, 2)


def test_pulses_of_bit_serial(x64):
    """Inputs 5 and -3 of three magnitude bits: planes 1, 0, 1 and -1, -1, 0."""
    drive = BitSerial(bits=4, range=FixedRange(limit=7.0), t_pulse=2e-9, v_read=0.3)
    pulses = drive.encode(jnp.array([5.0, -3.0]))
    np.testing.assert_array_equal(pulses.level, [[1, -1], [0, -1], [1, 0]])
    np.testing.assert_allclose(pulses.duration, np.abs(pulses.level) * 2e-9)
    np.testing.assert_allclose(pulses.full_scale, 0.6e-9)
    np.testing.assert_allclose(pulses.significance, np.array([1, 2, 4]) / 7)


def test_a_narrow_top_group_uses_the_same_dac(x64):
    pulses = BitGroups(widths=(3, 1), signs=Unsigned(), range=ONE).encode(jnp.ones(1))
    np.testing.assert_allclose(pulses.level[:, 0], [1.0, 1 / 7])
    np.testing.assert_allclose(pulses.significance * 15, [7, 8 * 7])


@pytest.mark.parametrize(
    "drive",
    [
        BitSerial(range=ONE),
        BitSerial(group=3, signs=TwoPasses(), range=ONE),
        BitSerial(group=2, signs=TwosComplement(), range=ONE),
        VoltageDAC(range=ONE),
    ],
    ids=["serial", "passes", "complement", "DAC"],
)
def test_gradient_is_straight_through(x64, drive):
    slope = jax.jacobian(lambda x: value(drive, x))(jnp.array([0.9, -0.4, 0.0, 1.5, -2.0]))
    np.testing.assert_allclose(slope, np.diag([1, 1, 1, 0, 0]), atol=1e-9)


def test_unsigned_drives_negative_inputs_as_zero(x64):
    drive = BitSerial(bits=4, signs=Unsigned(), range=ONE)
    np.testing.assert_allclose(value(drive, jnp.array([-0.5, 0.2, 1.0])), [0, 0.2, 1], atol=1e-12)
    slope = jax.jacobian(lambda x: value(drive, x))(jnp.array([-0.5, 0.3]))
    np.testing.assert_allclose(slope, np.diag([0, 1]), atol=1e-9)


def test_absolute_maximum_is_shared_by_the_batch(x64):
    pulses = VoltageDAC(bits=4, range=AbsoluteMaximum()).encode(jnp.array([[1.0, -2.0], [7.0, 3.0]]))
    np.testing.assert_array_equal(pulses.x_scale, [7.0, 7.0])
    np.testing.assert_allclose(pulses.level[:, 0] * 7, [[1, -2], [7, 3]])
    np.testing.assert_array_equal(VoltageDAC(range=AbsoluteMaximum()).encode(jnp.zeros((2, 3))).x_scale, 2.0**-60)


def test_gradient_of_a_learned_range(x64):
    """The published rule, written out: only clipped inputs that ask for more count, and the pull where most fit."""
    x, limit, decay = jnp.array([0.5, 3.0, -2.5, 2.0, -4.0, 0.1]), 2.0, 1e-2
    slope_x = jnp.array([1.0, -0.5, 0.7, 0.3, -0.2, -1.0])

    def loss(limit, inside):
        drive = VoltageDAC(bits=16, range=LearnedRange(limit=limit, decay=decay, inside=inside))
        return jnp.sum(slope_x * value(drive, x))

    wider = limit * (min(-0.5, 0) + min(0.3, 0) - (max(0.7, 0) + max(-0.2, 0)))
    assert jax.grad(loss)(limit, 0.95) == pytest.approx(wider, rel=1e-9)
    # Two of six inputs are inside.
    assert jax.grad(loss)(limit, 0.3) == pytest.approx(wider + decay * limit, rel=1e-9)
    by_x = jax.grad(lambda x: jnp.sum(slope_x * value(VoltageDAC(range=LearnedRange(limit=limit)), x)))(x)
    np.testing.assert_allclose(by_x, slope_x * np.array([1, 0, 0, 1, 0, 1]), atol=1e-9)


def test_a_learned_range_forward_is_a_fixed_one(x64):
    x = jax.random.normal(jax.random.key(0), (3, 40))
    fixed, learned = (value(VoltageDAC(range=r), x) for r in (FixedRange(limit=1.3), LearnedRange(limit=1.3)))
    np.testing.assert_allclose(learned, fixed, rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BitSerial(bits=1).validate(), r"`bits` of BitSerial must be an integer in \[2, 16\], but is 1"),
        (lambda: BitSerial(group=0), r"`group` of BitSerial must be an integer in \[1, 16\], but is 0"),
        (
            lambda: BitSerial(bits=4, group=4).validate(),
            r"`group` of BitSerial must be an integer in \[1, 3\], but is 4",
        ),
        (lambda: BitGroups(widths=(3, 0)).validate(), r"`widths` of BitGroups .* but is \(3, 0\)"),
        (lambda: BitGroups(widths=(9, 9)).validate(), r"`widths` of BitGroups .* but is \(9, 9\)"),
        (lambda: VoltageDAC(v_read=-1.0).validate(), r"`v_read` of VoltageDAC must be in \(0, inf\) V, but is -1 V"),
        (lambda: BitSerial(t_pulse=0.0).validate(), r"`t_pulse` of BitSerial must be in \(0, inf\) s, but is 0 s"),
        (
            lambda: BitSerial(range=LearnedRange(inside=1.5)).validate(),
            r"`inside` of LearnedRange must be in \[0, 1\], but is 1.5",
        ),
    ],
)
def test_bad_plane_drives(build, message):
    with pytest.raises(ValueError, match=message):
        build()
