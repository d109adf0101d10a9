"""The published formulas, written a second time in plain NumPy and in the units of the papers, as the oracle.

Every function takes conductances in uS (SONOS: currents in nA) and times in seconds.
"""

import numpy as np
from scipy.stats import norm


def log_clip(r, slope, offset, low, high):
    return np.clip(slope * np.log(np.maximum(r, 1e-9)) + offset, low, high)


def pcm_sigma(g):
    r = g / 25
    return 0.26348 + 1.9650 * r - 1.1731 * r**2


def joshi_sigma(g):
    return max(-0.00178767 * g**2 + 0.07585724 * g + 0.28638599, 0)


def pcm_exponent(r):
    return log_clip(r, -0.0155, 0.0244, 0.049, 0.1), log_clip(r, -0.0125, -0.0059, 0.008, 0.045)


def pcm_q(r):
    return min(0.0088 / max(r, 1e-9) ** 0.65, 0.2)


def hermes_mean_exponent(r):
    return log_clip(r, -0.0387, -0.0182, 0.072, 0.13) if r < 0.0945 else -0.0436 * r**2 - 0.0126 * r + 0.0736


def pair_exponent(r):
    low = log_clip(r, -0.0117, -0.0057, 0.0091, 0.04)
    return hermes_mean_exponent(r), low if r < 0.3055 else -0.0118 * r**2 + 0.0093 * r + 0.0073


def single_exponent(r):
    low = log_clip(r, -0.0120, -0.0023, 0.0124, 0.04)
    return hermes_mean_exponent(r), low if r < 0.3039 else -0.0165 * r**2 + 0.0116 * r + 0.0104


def pair_q(r):
    low = log_clip(r, -0.0117, -0.0069, 0.015, 0.04)
    return low if r < 0.16 else 0.0069 * r**3 - 0.0280 * r**2 + 0.0211 * r + 0.0123


def single_q(r):
    low = log_clip(r, -0.0078, 0.0038, 0.0179, 0.04)
    return low if r < 0.1591 else 0.0664 * r**3 - 0.1352 * r**2 + 0.0768 * r + 0.0088


def pair_sigma(g):
    r = g / 20.7
    return 0.16603222 + 4.71806468 * r - 8.48101252 * r**2 + 4.68961419 * r**3


def single_sigma(g):
    r = g / 10.35
    return 0.15781817 + 2.32443916 * r - 2.16310839 * r**2 + 0.68841818 * r**3


WAN = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    86400.0: (0.701, 22.086, -50.773, 47.095, -16.458),
    172800.0: (0.782, 20.274, -43.507, 37.062, -11.934),
}


def wan_sigma(g, t):
    return sum(c * (g / 40) ** k for k, c in enumerate(WAN[t]))


def milo_sigma(g):
    return max(4.782321 - 0.009107 * np.clip(g, 50, 225), 0)


def cmo_sigma(g):
    return 0.0112185391 + 0.01129027418 * np.clip(g, 9, 88.2)


def cmo_fine_sigma(g):
    return 0.00081107 + 0.00106879 * np.clip(g, 9, 88.2)


def cmo_change(t):
    return -0.08900206 * np.log(t), 0.04201137 * np.log(t) + 0.41183342


def cmo_read(g, t):
    return 0.0277316483 * np.log10(np.clip(g, 9, 88.2)) * np.sqrt(np.log((t + 1e-6) / 2e-6))


SONOS_A = (19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909)
SONOS_B = (176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309)


def sonos_sigma(current, days):
    return SONOS_A[days] * (1 - np.exp(-current / SONOS_B[days]))


# fmt: off
SONOS_SHIFT = {
    0: (0.0,),
    1: (.172684, .0572552, -6.85715e-4, 3.50271e-6, -9.37682e-9, 1.40575e-11, -1.19803e-14, 5.41293e-18, -8.85448e-22,
        -1.66869e-25, 5.9518e-29),
    5: (.319927, .106596, -1.04054e-3, 4.5029e-6, -1.10352e-8, 1.56477e-11, -1.27592e-14, 5.45513e-18, -7.26841e-22,
        -2.43893e-25, 7.14608e-29),
}
# fmt: on


def sonos_shift(current, days):
    return sum(c * current**n for n, c in enumerate(SONOS_SHIFT[days]))


def sonos_read(current):
    return 12.58037 * (1 - np.exp(-current / 215.36557))


def rectified(mean, sigma):
    """Return first and second moment of `max(N(mean, sigma), 0)`."""
    mean, sigma = np.asarray(mean, float), np.maximum(sigma, 1e-12)
    a = mean / sigma
    first = mean * norm.cdf(a) + sigma * norm.pdf(a)
    return first, (mean**2 + sigma**2) * norm.cdf(a) + mean * sigma * norm.pdf(a)


def power_law_moments(target, sigma, exponent, t, t0):
    """Return mean and deviation of a rectified normal times `(1 + t/t0)^-nu` with a normal exponent."""
    first, second = rectified(target, sigma)
    mean, spread = exponent
    span = np.log1p(t / t0)
    first = first * np.exp(-mean * span + (spread * span) ** 2 / 2)
    second = second * np.exp(-2 * mean * span + 2 * (spread * span) ** 2)
    return first, np.sqrt(second - first**2)


def relaxation_moments(target, sigma, shift, spread):
    """Return mean and deviation of `max(max(N(target, sigma), 0) + N(shift, spread), 0)`, by quadrature."""
    z = np.linspace(-9, 9, 20_001)
    weight = norm.pdf(z) * (z[1] - z[0])
    first, second = rectified(np.maximum(target + sigma * z, 0) + shift, spread)
    first, second = np.sum(weight * first), np.sum(weight * second)
    return first, np.sqrt(second - first**2)
