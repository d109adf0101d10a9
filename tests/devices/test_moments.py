"""Mean and spread of every published device at five states and three times, a million draws each.

The oracle is `formulas.py`, cuts at zero conductance included. All are within three standard errors; seeds are fixed.
"""

import formulas as f
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import mostly_slow

from jaxaimc.devices import (
    PCM,
    SONOS,
    CMOHfOx,
    CMOHfOxFine,
    HermesPairPCM,
    HermesSinglePCM,
    MiloRRAM,
    PCMFlickerNoise,
    PCMJoshi,
    WanRRAM,
    milo_current_coefficients,
)

DAY = 86400.0
STATES = (0.0, 0.1, 0.3, 0.6, 1.0)


def power_law(sigma, exponent, t0, g_max):
    return lambda g, t: f.power_law_moments(g, sigma(g), exponent(g / g_max), t, t0)


def cmo(sigma):
    return lambda g, t: f.relaxation_moments(g, sigma(g), *(f.cmo_change(t) if t else (0.0, 0.0)))


def wan(g, t):
    first = f.wan_sigma(g, 1.0)
    return f.relaxation_moments(g, first, 0.0, np.sqrt(max(f.wan_sigma(g, max(t, 1.0)) ** 2 - first**2, 0)))


def sonos(g, t):
    """In uS, 1600 nA for 16 uS; the change of the mean is the published polynomial."""
    current, days = 100 * g, int(t / DAY)
    shift = f.sonos_shift(current, days)
    first, now = (f.sonos_sigma(current, k) for k in (0, days))
    return tuple(m / 100 for m in f.relaxation_moments(current, first, shift, np.sqrt(now**2 - first**2)))


# Device, g_max [uS], moments over (g [uS], t [s]), times.
CASES = {
    "pcm": (PCM(), 25.0, power_law(f.pcm_sigma, f.pcm_exponent, 20, 25), (0.0, DAY, 3e7)),
    "pcm joshi": (PCMJoshi(), 25.0, power_law(f.joshi_sigma, f.pcm_exponent, 20, 25), (0.0, DAY, 3e7)),
    "hermes pair": (HermesPairPCM(), 20.7, power_law(f.pair_sigma, f.pair_exponent, 300, 20.7), (0.0, DAY, 3e7)),
    "hermes single": (
        HermesSinglePCM(),
        10.35,
        power_law(f.single_sigma, f.single_exponent, 200, 10.35),
        (0.0, DAY, 3e7),
    ),
    "wan": (WanRRAM(), 40.0, wan, (0.0, DAY, 2 * DAY)),
    "milo": (MiloRRAM(), 225.0, lambda g, t: f.relaxation_moments(g, f.milo_sigma(g), 0.0, 0.0), (0.0, DAY, 3e7)),
    "cmo": (CMOHfOx(), 88.2, cmo(f.cmo_sigma), (0.0, 1.0, 1e6)),
    "cmo fine": (CMOHfOxFine(), 88.2, cmo(f.cmo_fine_sigma), (0.0, 1.0, 1e6)),
    "sonos": (SONOS(), 16.0, sonos, (0.0, DAY, 5 * DAY)),
}


@jax.jit
def summaries(device, target, t, key):
    """Return mean, deviation and fourth central moment [powers of uS] of a million devices."""
    target = jnp.full(1_000_000, target)
    g = device.at(device.program(target, key), target, t, key) * 1e6
    mean = jnp.mean(g)
    return mean, jnp.std(g), jnp.mean((g - mean) ** 4)


@pytest.mark.parametrize("name", mostly_slow(CASES, lambda name: name in list(CASES)[::3]))
def test_mean_and_spread(name):
    device, g_max, moments, times = CASES[name]
    errors = []
    for i, t in enumerate(times):
        for k, r in enumerate(STATES):
            key = jax.random.key(1000 + 100 * i + k)
            mean, deviation, fourth = (float(v) for v in summaries(device, r * g_max * 1e-6, t, key))
            expected_mean, expected_deviation = moments(r * g_max, t)
            # Rounding in float32 adds what no number of draws takes away.
            rounding = 2e-7 * g_max
            mean_error = deviation / 1e3 + rounding
            deviation_error = np.sqrt(max(fourth - deviation**4, 0)) / (2 * max(deviation, 1e-12) * 1e3) + rounding
            errors.append((mean - expected_mean) / mean_error)
            errors.append((deviation - expected_deviation) / deviation_error)
    assert np.max(np.abs(errors)) < 3, np.round(errors, 1)
    # Errors that are far too small would mean that the bound above tests nothing.
    assert np.std(errors) > 0.3


def total_variance(device, g, t, duration=1e-6):
    noise = device.read_noise
    return jnp.einsum("k,k...->...", noise.weight(jnp.asarray(duration)), noise.variance(g, g, t))


@pytest.mark.parametrize(
    ("device", "g_max", "sigma"),
    [
        (PCM(read_noise=PCMFlickerNoise()), 25, lambda g, t: g * f.pcm_q(g / 25) * flicker(t, 250e-9)),
        (PCMJoshi(), 25, lambda g, t: g * f.pcm_q(g / 25) * flicker(t, 250e-9)),
        (HermesPairPCM(), 20.7, lambda g, t: g * f.pair_q(g / 20.7) * flicker(t, 512e-9)),
        (HermesSinglePCM(), 10.35, lambda g, t: g * f.single_q(g / 10.35) * flicker(t, 512e-9)),
        (CMOHfOx(), 88.2, f.cmo_read),
        (SONOS(), 16, lambda g, t: f.sonos_read(100 * g) / 100),
    ],
)
def test_spread_of_a_read(device, g_max, sigma, x64):
    for r in STATES:
        for t in (1.0, DAY, 3e7):
            found = np.sqrt(total_variance(device, jnp.asarray(r * g_max * 1e-6), t)) * 1e6
            np.testing.assert_allclose(found, sigma(r * g_max, t), rtol=1e-9, atol=1e-15)


def flicker(t, t_read):
    return np.sqrt(np.log((t + t_read) / (2 * t_read)))


@pytest.mark.parametrize("device", [WanRRAM(), MiloRRAM()])
def test_no_read_noise_where_none_was_published(device):
    assert device.read_noise.variance(jnp.ones(3), jnp.ones(3), 1.0).shape == (0, 3)


def test_fits_stay_at_the_end_of_their_range(x64):
    """Beyond its range every spread is that of its end: a polynomial would turn negative or explode."""
    for device, low, high in (
        (PCM(), 0, 25),
        (WanRRAM(), 0, 40),
        (MiloRRAM(), 50, 225),
        (CMOHfOx(), 9, 88.2),
        (SONOS(), 0, 16),
    ):
        sigma = device.programming.sigma
        ends = sigma(jnp.array([low, high]) * 1e-6)
        np.testing.assert_allclose(sigma(jnp.array([low / 2, 3 * high]) * 1e-6), ends, rtol=1e-12)


def test_times_beyond_the_measured_ones_change_nothing():
    for device, last in ((WanRRAM(), 2 * DAY), (SONOS(), 5 * DAY)):
        target = jnp.linspace(0, 16e-6, 50)
        at_end, later = (device.drift.drift(target, target, t, jax.random.key(0)) for t in (last, 1e9))
        np.testing.assert_array_equal(at_end, later)


def test_current_curve_of_milo(x64):
    """The published polynomials in log10(g), and a current at 0.2 V that stays within 15 % of the linear one."""
    g = np.array([50e-6, 100e-6, 225e-6])
    L = np.log10(g)
    n2, n3 = milo_current_coefficients(jnp.asarray(g))
    np.testing.assert_allclose(n2, 1.388e-4 * L**3 + 1.541e-3 * L**2 + 5.711e-3 * L + 7.063e-3, rtol=1e-9)
    np.testing.assert_allclose(n3, 8.871e-5 * L**2 + 6.7919e-4 * L + 1.2968e-3, rtol=1e-9)
    outside = milo_current_coefficients(jnp.array([1e-9, 1.0]))
    np.testing.assert_allclose(outside, np.stack([n2, n3])[:, [0, 2]], rtol=1e-12)
    assert np.all(np.abs(0.2 * n2 + 0.04 * n3) < 0.15 * g)
