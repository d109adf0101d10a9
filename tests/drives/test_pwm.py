"""Pulse-width modulation: codes, durations, recombination of split pulses, ranges."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, analog_matmul
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange, PerVector, SplitPWM
from jaxaimc.wires import NoWires

SPLITS = [(bits, low) for bits in range(3, 11) for low in range(1, bits - 1)]


def every_code(steps):
    return jnp.arange(-steps, steps + 1) / steps


@pytest.mark.parametrize("bits", [2, 3, 8, 12, 16])
def test_every_code_is_driven_for_its_steps(x64, bits):
    drive = PWM(bits=bits, t_lsb=2e-9, v_read=0.3, range=FixedRange(limit=1.0))
    assert drive.steps == 2 ** (bits - 1) - 1
    pulses = drive.encode(every_code(drive.steps))
    k = np.arange(-drive.steps, drive.steps + 1)
    np.testing.assert_allclose(pulses.level[0] * drive.steps, k, atol=1e-9)
    np.testing.assert_allclose(pulses.duration[0], np.abs(k) * 2e-9, rtol=1e-12)
    np.testing.assert_allclose(pulses.full_scale, [drive.steps * 2e-9 * 0.3], rtol=1e-12)
    np.testing.assert_array_equal(pulses.significance, [1.0])


def test_default_is_127_nanoseconds_at_200_millivolt():
    pulses = PWM().encode(jnp.array([1.0, -0.5, 0.0]))
    np.testing.assert_allclose(pulses.duration[0], [127e-9, 64e-9, 0.0], rtol=1e-6)
    np.testing.assert_allclose(pulses.full_scale, [127e-9 * 0.2], rtol=1e-6)


def test_rounding_is_to_the_nearest_code_ties_to_even():
    drive = PWM(bits=4, range=FixedRange(limit=7.0))
    k = drive.encode(jnp.array([0.49, 0.5, 0.51, 1.5, 2.5, -0.5, -1.5])).level[0] * 7
    np.testing.assert_allclose(k, [0, 0, 1, 2, 2, 0, -2], atol=1e-6)


@pytest.mark.parametrize(("bits", "low"), SPLITS)
def test_split_planes_are_the_digits_of_the_code(x64, bits, low):
    drive = SplitPWM(bits=bits, low_bits=low, range=FixedRange(limit=1.0))
    pulses = drive.encode(every_code(drive.steps))
    k = np.arange(-drive.steps, drive.steps + 1)
    full = np.array([2**low - 1, 2 ** (bits - 1 - low) - 1])
    planes = np.asarray(pulses.level) * full[:, None]
    np.testing.assert_allclose(planes[0], np.sign(k) * (np.abs(k) % 2**low), atol=1e-9)
    np.testing.assert_allclose(planes[1], np.sign(k) * (np.abs(k) // 2**low), atol=1e-9)
    np.testing.assert_allclose(pulses.duration, np.abs(planes) * 1e-9, atol=1e-18)
    np.testing.assert_allclose(pulses.significance @ np.asarray(pulses.level) * drive.steps, k, atol=1e-9)


@pytest.mark.parametrize(("bits", "low"), [(4, 1), (4, 2), (8, 3), (8, 6)])
def test_split_equals_conventional_through_a_tile(x64, bits, low):
    """With an ideal ADC both drives give the same output, for every code at every row, and the same gradient."""
    w = jnp.array([[0.3, -1.0], [0.9, 0.2]])
    steps = 2 ** (bits - 1) - 1
    x = jnp.stack([every_code(steps), every_code(steps)[::-1]], axis=-1)

    @partial(jax.jit, static_argnums=0)
    def outputs(build):
        drive = build(range=FixedRange(limit=1.0))
        config = AnalogConfig(device=IdealDevice(), wires=NoWires(), drive=drive, adc=IdealADC(), rows=2, cols=2)
        run = partial(analog_matmul, config, w, key=jax.random.key(0))
        return run(x), jax.jacobian(run)(x[1])

    conventional, slope = outputs(partial(PWM, bits=bits))
    split, split_slope = outputs(partial(SplitPWM, bits=bits, low_bits=low))
    np.testing.assert_allclose(conventional, x @ w, atol=1e-12)
    np.testing.assert_allclose(split, conventional, atol=1e-12)
    np.testing.assert_allclose(split_slope, slope, atol=1e-12)
    np.testing.assert_allclose(slope, w.T, atol=1e-12)


def test_default_split_is_7_and_15_steps():
    pulses = SplitPWM().encode(jnp.ones(1))
    np.testing.assert_allclose(pulses.duration[:, 0], [7e-9, 15e-9], rtol=1e-6)
    np.testing.assert_allclose(pulses.significance, np.array([7, 15 * 8]) / 127, rtol=1e-6)


@pytest.mark.parametrize("drive", [PWM(), SplitPWM()])
def test_zero_vectors(drive):
    x = jnp.array([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0]])
    pulses = drive.encode(x)
    np.testing.assert_array_equal(pulses.level[0], 0.0)
    np.testing.assert_array_equal(pulses.duration[0], 0.0)
    # A scale of one would make the noise of reading nothing as large as that of reading ones.
    np.testing.assert_array_equal(pulses.x_scale, [2.0**-60, 2.0])
    np.testing.assert_allclose(_slopes(drive, jnp.zeros(3)), np.eye(3), rtol=1e-6)


def test_range_per_vector():
    x = jnp.array([[[1.0, -4.0]], [[0.5, 0.25]]])
    np.testing.assert_array_equal(PerVector().bound(x), [[4.0], [0.5]])
    pulses = PWM().encode(x)
    assert pulses.level.shape == (2, 1, 1, 2)
    np.testing.assert_allclose(pulses.level[:, 0, 0] * 127, [[32, -127], [127, 64]], atol=1e-5)


def test_fixed_range_clips():
    pulses = PWM(range=FixedRange(limit=2.0)).encode(jnp.array([5.0, -2.5, 2.0, 1.0]))
    np.testing.assert_allclose(pulses.level[0] * 127, [127, -127, 127, 64], atol=1e-5)
    np.testing.assert_allclose(pulses.x_scale, 2.0)


@jax.jit
def _slopes(drive, x):
    return jax.jacobian(lambda x: _value(drive, x))(x)


def test_gradient_is_one_up_to_the_range_and_zero_beyond(x64):
    """Straight-through on the closed range: the entry that sets the scale has the same slope as any other."""
    x = jnp.array([3.0, -1.0, 0.2, 0.0])
    np.testing.assert_allclose(_slopes(PWM(), x), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(_slopes(PWM(range=FixedRange(limit=1.0)), x), np.diag([0.0, 1, 1, 1]), atol=1e-12)


def test_gradient_of_a_fixed_range(x64):
    """The range carries clipped inputs (slope of the clip's sign) and the rounding error of the others."""
    x = jnp.array([3.0, -1.7, 0.21])

    @jax.jit
    def value(limit):
        return _value(PWM(bits=4, range=FixedRange(limit=limit)), x)

    inside = np.round(0.21 / 1.5 * 7) / 7 - 0.21 / 1.5
    np.testing.assert_allclose(jax.jacobian(value)(1.5), [1.0, -1.0, inside], atol=1e-12)


def _value(drive, x):
    """The input values that the pulses stand for."""
    pulses = drive.encode(x)
    return pulses.significance @ pulses.level * pulses.x_scale


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PWM(bits=1), r"`bits` of PWM must be an integer in \[2, 16\], but is 1"),
        (lambda: PWM(bits=8.0), r"`bits` of PWM must be an integer in \[2, 16\], but is 8.0"),
        (
            lambda: SplitPWM(bits=8, low_bits=7).validate(),
            r"`low_bits` of SplitPWM must be an integer in \[1, 6\], but is 7",
        ),
        (
            lambda: SplitPWM(bits=8, low_bits=0).validate(),
            r"`low_bits` of SplitPWM must be an integer in \[1, 6\], but is 0",
        ),
        (lambda: SplitPWM(bits=2), r"`bits` of SplitPWM must be an integer in \[3, 16\], but is 2"),
        (lambda: PWM(t_lsb=0.0).validate(), r"`t_lsb` of PWM must be in \(0, inf\) s, but is 0 s"),
        (lambda: SplitPWM(v_read=-0.2).validate(), r"`v_read` of SplitPWM must be in \(0, inf\) V, but is -200 mV"),
        (
            lambda: PWM(range=FixedRange(limit=-1.0)).validate(),
            r"`limit` of FixedRange must be in \(0, inf\), but is -1\.",
        ),
    ],
)
def test_bad_drives(build, message):
    with pytest.raises(ValueError, match=message):
        build()
