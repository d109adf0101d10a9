"""The published formulas of phase-change memory at their check values, and what holds for every draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.devices import PCM, IdealDevice, PCMDrift, PCMFlickerNoise, PCMProgrammingNoise, PCMPulseNoise

KEY = jax.random.key(0)


def test_spread_of_programming_at_the_published_check_values(x64):
    g = jnp.array([0.0, 1.0, 5.0, 12.5, 25.0]) * 1e-6
    np.testing.assert_allclose(
        PCMProgrammingNoise().sigma(g) / 1e-6, [0.2635, 0.3402, 0.6096, 0.9527, 1.0554], atol=5e-5
    )
    np.testing.assert_allclose(PCMProgrammingNoise(factor=0.5).sigma(g), 0.5 * PCMProgrammingNoise().sigma(g))


def test_spread_of_programming_scales_with_the_range(x64):
    g = jnp.linspace(0, 25e-6, 7)
    np.testing.assert_allclose(PCMProgrammingNoise(g_max=50e-6).sigma(2 * g), 2 * PCMProgrammingNoise().sigma(g))


def test_programmed_conductances_are_never_negative():
    g = PCMProgrammingNoise(factor=10.0).program(jnp.full(10_000, 0.1e-6), KEY)
    assert jnp.min(g) == 0.0
    assert jnp.max(g) > 1e-6


def test_no_spread_is_exact():
    target = jnp.linspace(0, 25e-6, 11)
    np.testing.assert_array_equal(PCMProgrammingNoise(factor=0.0).program(target, KEY), target)
    np.testing.assert_array_equal(PCMDrift(factor=0.0).drift(target, target, 1e7, KEY), target)
    assert not np.any(PCMFlickerNoise(factor=0.0).variance(target, target, 1.0))
    assert not np.any(PCMPulseNoise(factor=0.0).variance(target, target, 1.0))


@pytest.mark.parametrize(
    ("g", "mean", "spread"),
    [
        (25e-6, 0.049, 0.008),  # both at their lower clip
        (2.5e-6, -0.0155 * np.log(0.1) + 0.0244, -0.0125 * np.log(0.1) - 0.0059),
        (0.625e-6, -0.0155 * np.log(0.025) + 0.0244, -0.0125 * np.log(0.025) - 0.0059),
        (0.025e-6, 0.1, 0.045),  # both at their upper clip
        (0.0, 0.1, 0.045),
    ],
)
def test_drift_exponents(x64, g, mean, spread):
    found = PCMDrift().exponent(jnp.array([g]))
    np.testing.assert_allclose(jnp.concatenate(found), [mean, spread], rtol=1e-12)


def test_drift_is_a_power_law_of_one_exponent_per_device(x64):
    """The exponent that a device has at one time it has at every other, and time zero changes nothing."""
    g = jnp.linspace(1e-6, 25e-6, 50)
    law = PCMDrift(t0=30.0)
    np.testing.assert_array_equal(law.drift(g, g, 0.0, KEY), g)
    nus = [-jnp.log(law.drift(g, g, t, KEY) / g) / jnp.log((t + 30.0) / 30.0) for t in (1.0, 3600.0, 3e7)]
    np.testing.assert_allclose(nus[0], nus[1], rtol=1e-9)
    np.testing.assert_allclose(nus[1], nus[2], rtol=1e-9)
    assert np.std(nus[0]) > 0.005


def test_drift_acts_on_what_was_programmed_with_the_exponent_of_the_target(x64):
    target = jnp.full(20, 5e-6)
    ratio = PCMDrift().drift(2 * target, target, 1e4, KEY) / PCMDrift().drift(target, target, 1e4, KEY)
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-12)


def test_drift_at_short_times_is_right_in_single_precision():
    """A thousandth of a second against 20 s: `(t + t0) / t0` rounds away most of what `log1p` keeps."""
    g, law = jnp.full(50, 5e-6), PCMDrift()
    nu = -np.log(law.drift(g, g, 1e7, KEY) / g, dtype=np.float64) / np.log1p(1e7 / 20.0)
    np.testing.assert_allclose(1 - law.drift(g, g, 1e-3, KEY) / g, nu * 1e-3 / 20.0, atol=1.3e-7)


@pytest.mark.parametrize("t", [1.0, 3600.0, 86400.0, 3.15e7])
def test_flicker_noise(x64, t):
    g = jnp.array([25e-6, 5e-6, 0.1e-6, 0.0])
    r = np.asarray(g) / 25e-6
    with np.errstate(divide="ignore"):
        q = np.minimum(0.0088 / r**0.65, 0.2)
    sigma = g * q * np.sqrt(np.log((t + 250e-9) / (2 * 250e-9)))
    noise = PCMFlickerNoise()
    np.testing.assert_allclose(noise.variance(g, g, t)[0], sigma**2, rtol=1e-12)
    np.testing.assert_allclose(PCMFlickerNoise(factor=3.0).variance(g, g, t)[0], 9 * sigma**2, rtol=1e-12)
    np.testing.assert_array_equal(noise.weight(jnp.array([1e-9, 1e-7])), 1.0)


def test_flicker_noise_is_zero_before_the_read_time():
    g = jnp.full(3, 5e-6)
    for t in (0.0, 100e-9, 250e-9):
        np.testing.assert_array_equal(PCMFlickerNoise().variance(g, g, t), 0.0)


def test_flicker_noise_takes_its_fraction_from_the_target_and_its_size_from_now(x64):
    now, target = jnp.array([4e-6]), jnp.array([5e-6])
    as_target = PCMFlickerNoise().variance(target, target, 1e3)
    np.testing.assert_allclose(PCMFlickerNoise().variance(now, target, 1e3), 0.8**2 * as_target, rtol=1e-12)


def test_pulse_noise_at_the_published_check_values(x64):
    sigma = PCMPulseNoise().sigma(jnp.asarray(25e-6), jnp.array([1e-9, 10e-9, 127e-9]))
    np.testing.assert_allclose(sigma / 1e-6, [0.7625, 0.4747, 0.3213], atol=5e-5)


def test_pulse_noise_is_clamped_to_the_range_of_the_fit(x64):
    noise, g = PCMPulseNoise(), jnp.asarray(10e-6)
    assert noise.sigma(g, 0.1e-9) == noise.sigma(g, 1e-9)
    assert noise.sigma(g, 1e-3) == noise.sigma(g, 1e-6)


@pytest.mark.parametrize(("precision", "bound"), [(np.float64, 1e-4), (np.float32, 1.1e-4)])
def test_separated_pulse_noise_is_within_its_documented_bound(x64, precision, bound):
    """Two products of a pulse factor and a conductance factor, over every pulse and every conductance to 30 uS."""
    noise = PCMPulseNoise(factor=1.3)
    g, duration = jnp.linspace(0, 30e-6, 301), jnp.logspace(-9, -6, 601)
    published = noise.sigma(g, duration[:, None]) ** 2
    g, duration = g.astype(precision), duration.astype(precision)
    separated = np.einsum("kp,kg->pg", noise.weight(duration), noise.variance(g, g, 0.0))
    assert separated.min() > 0
    assert np.max(np.abs(separated / published - 1)) < bound


def test_pulse_factors_add_up_to_the_noise_of_an_empty_device(x64):
    duration = jnp.logspace(-9, -6, 13)
    empty = PCMPulseNoise().sigma(jnp.zeros(()), duration) / 1e-6
    factors = PCMPulseNoise().variance(jnp.zeros(()), jnp.zeros(()), 0.0) / 1e-12
    np.testing.assert_allclose(factors @ PCMPulseNoise().weight(duration), empty**2, rtol=1e-12)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (PCMProgrammingNoise(factor=-1.0), r"`factor` of PCMProgrammingNoise must be in \[0, inf\), but is -1\."),
        (PCMProgrammingNoise(g_max=0.0), r"`g_max` of PCMProgrammingNoise must be in \(0, inf\) S, but is 0 S"),
        (PCMDrift(t0=0.0), r"`t0` of PCMDrift must be in \(0, inf\) s, but is 0 s"),
        (PCMDrift(factor=np.nan), r"`factor` of PCMDrift must be in \[0, inf\), but is nan"),
        (PCMFlickerNoise(t_read=-250e-9), r"`t_read` of PCMFlickerNoise must be in \(0, inf\) s, but is -250 ns"),
        (PCMPulseNoise(factor=np.inf), r"`factor` of PCMPulseNoise must be in \[0, inf\), but is inf"),
        (PCM(drift=PCMDrift(g_max=-1e-6)), r"`g_max` of PCMDrift must be in \(0, inf\) S, but is -1 uS"),
        (IdealDevice(read_noise=PCMPulseNoise(factor=-2.0)), r"`factor` of PCMPulseNoise must be in \[0, inf\)"),
    ],
)
def test_bad_devices(part, message):
    with pytest.raises(ValueError, match=message):
        part.validate()
