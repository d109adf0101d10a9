"""Sampled moments of phase-change memory against the published formulas, each within three standard errors.

The seeds are fixed, so a pass is a pass; 3 standard errors leave a wrong formula of 1 % no room at these sizes.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxaimc import AnalogConfig, tile
from jaxaimc.devices import PCM, PCMDrift, PCMProgrammingNoise
from jaxaimc.units import uS

N = 200_000


def assert_moments(samples, mean, spread, kurtosis=3.0):
    """Mean and standard deviation of independent samples; the standard error of the latter needs the kurtosis."""
    n = len(samples)
    samples = np.asarray(samples, np.float64)
    assert abs(samples.mean() - mean) < 3 * spread / np.sqrt(n)
    assert abs(samples.std() - spread) < 3 * spread * np.sqrt((kurtosis - 1) / (4 * n))


def cut_normal(mean, sigma):
    """Mean, standard deviation and kurtosis of `max(Z, 0)` for a normal Z, by quadrature of the part above zero."""
    above = np.linspace(0, mean + 12 * sigma, 400_001)
    density = scipy.stats.norm.pdf(above, mean, sigma)
    below = scipy.stats.norm.cdf(0, mean, sigma)
    first = np.trapezoid(above * density, above)

    def central(p):
        return np.trapezoid((above - first) ** p * density, above) + below * (-first) ** p

    return first, np.sqrt(central(2)), central(4) / central(2) ** 2


@pytest.mark.parametrize("g", [0.0, 0.2, 1.0, 5.0, 12.5, 25.0])
def test_programmed_conductances(g):
    """Normal about the target, cut at zero: the cut moves the moments of small targets, and counts."""
    r = g / 25.0
    sigma = 0.26348 + 1.9650 * r - 1.1731 * r**2
    mean, spread, kurtosis = cut_normal(g, sigma)
    samples = PCMProgrammingNoise().program(jnp.full(N, g * uS), jax.random.key(1000 + int(10 * g))) / uS
    assert_moments(samples, mean, spread, kurtosis)
    cut = scipy.stats.norm.cdf(0, g, sigma)
    assert abs(np.mean(samples == 0) - cut) <= 3 * np.sqrt(cut * (1 - cut) / N)
    if g == 0:
        assert mean == pytest.approx(sigma / np.sqrt(2 * np.pi), rel=1e-6)


@pytest.mark.parametrize(
    ("g", "mean", "spread"),
    [
        (25.0, 0.049, 0.008),
        (2.5, -0.0155 * np.log(0.1) + 0.0244, -0.0125 * np.log(0.1) - 0.0059),
        (0.0, 0.1, 0.045),
    ],
)
@pytest.mark.parametrize("t", [1.0, 3600.0, 3.15e7])
def test_drift_exponents(g, mean, spread, t):
    """The exponent that a device shows at any time, read back from its conductance in double precision."""
    with jax.enable_x64(True):
        programmed = jnp.full(N, 5 * uS)
        target = jnp.full(N, g * uS)
        drifted = PCMDrift().drift(programmed, target, t, jax.random.key(1))
        nu = -jnp.log(drifted / programmed) / np.log((t + 20.0) / 20.0)
        assert_moments(nu, mean, spread)


def test_devices_are_independent():
    """Programming errors and drift exponents of neighbours, of the devices of one pair, and of each other."""
    config = AnalogConfig(rows=128, cols=128)
    programmed = tile.program(config, jnp.full((128, 128), 0.5), jax.random.key(0))
    drifted = tile.drift(config, programmed, 1e6)
    error = np.asarray(programmed.g - programmed.g_target)[0, 0, 0]
    nu = -np.log(np.asarray(drifted.g[0, 0, 0, 0] / programmed.g[0, 0, 0, 0]))
    pairs = {
        "rows": (error[0, :-1], error[0, 1:]),
        "cols": (error[0, :, :-1], error[0, :, 1:]),
        "polarities": (error[0], error[1]),
        "drift of neighbours": (nu[:-1], nu[1:]),
        "programming and drift": (error[0], nu),
    }
    for name, (a, b) in pairs.items():
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 3 / np.sqrt(a.size), name


def test_chips_and_tiles_are_independent():
    config = AnalogConfig(rows=32, cols=32)
    program = jax.jit(lambda key: tile.program(config, jnp.full((64, 64), 0.5), key).g[..., 0, :, :])
    chips = np.stack([program(jax.random.key(seed)) for seed in range(4)])[:, :, :, 0]
    chips = chips.reshape(4 * 4, -1)
    correlation = np.corrcoef(chips)[np.triu_indices(16, 1)]
    assert np.max(np.abs(correlation)) < 4 / np.sqrt(chips.shape[1])  # 120 of them: 4 standard errors
    assert abs(correlation.mean()) < 3 / np.sqrt(chips.shape[1] * len(correlation))


def test_the_default_device_is_what_the_parts_say():
    """Programmed, drifted to an hour: the moments of the product of both, at one target, through the verbs."""
    config = AnalogConfig(device=PCM(), rows=400, cols=400)
    programmed = tile.program(config, jnp.ones((400, 400)), jax.random.key(2))
    drifted = tile.drift(config, programmed, 3600.0)
    g = np.asarray(drifted.g[0, 0, 0, 0], np.float64).ravel() / uS
    sigma = 0.26348 + 1.9650 - 1.1731
    log_t = np.log(3620.0 / 20.0)
    # Normal times log-normal: 25 uS is 23 sigma from the cut.
    first = 25.0 * np.exp(-0.049 * log_t + (0.008 * log_t) ** 2 / 2)
    second = (25.0**2 + sigma**2) * np.exp(-2 * 0.049 * log_t + 2 * (0.008 * log_t) ** 2)
    assert_moments(g, first, np.sqrt(second - first**2), kurtosis=scipy.stats.kurtosis(g, fisher=False))
