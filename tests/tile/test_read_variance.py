"""The variance of a read against the sum over devices in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, prepare, program
from jaxaimc._core.xla import variance_product
from jaxaimc.devices import PCM
from jaxaimc.tile.read import read_noise
from jaxaimc.wires import NoWires

CONFIG = AnalogConfig(device=PCM(), wires=NoWires(), rows=512, cols=32)
NORMAL = jax.random.normal(jax.random.key(1), (512, 32))
HALF = np.arange(512)[:, None] < 256
# The devices that are driven long are not those of large conductance: what the ratio of a whole tile knows least of.
APART = (jnp.asarray(np.where(HALF, 1.0, 0.0)) * jnp.ones(32), jnp.asarray(np.where(HALF[:, 0], 1 / 127, 1.0)[None]))
FEW = np.arange(512)[:, None] < 8
CASES = {
    "normal": (NORMAL, jax.random.normal(jax.random.key(2), (16, 512)), 1e-3),
    "sparse": (NORMAL, jax.random.normal(jax.random.key(2), (16, 512)) * (jnp.arange(512) % 11 == 0), 4e-3),
    "long pulses on empty cells": (*APART, 1.8e-2),
    "one full cell in 64": (jnp.asarray(np.where(FEW, 1.0, 0.0)) * jnp.ones(32), jnp.ones((1, 512)), 1.8e-2),
}


def published_sigma(g, duration):
    """The fit of Luquin et al. 2025 (arXiv 2506.00004) [uS], for g [uS] and pulses [s] within it, in NumPy."""
    length = np.log10(np.clip(duration, 1e-9, 1e-6) / 1e-9)
    slope = np.polyval([2.1926e-4, -1.87352e-3, 6.55714e-3, -1.46159e-2, 2.578764e-2], length)
    offset = np.polyval([1.11906167e-3, -9.08576764e-3, 3.07015063e-2, -6.77079241e-2, 0.117763144], length)
    return slope * g + offset


@pytest.mark.parametrize("case", CASES)
def test_standard_deviation_of_a_read_is_the_sum_over_its_devices(case, monkeypatch):
    w, x, bound = CASES[case]
    programmed = program(CONFIG, w, jax.random.key(0))
    tile = jax.tree.map(lambda a: a[0], prepare(CONFIG, programmed))
    pulses = CONFIG.drive.encode(x.astype(jnp.float32))
    monkeypatch.setattr("jaxaimc.tile.read.normal", lambda key, shape, dtype, **known: jnp.ones(shape, dtype))
    found = read_noise(CONFIG, tile, pulses, None)[:, 0]
    g = np.asarray(programmed.g[0, 0, 0], np.float64) * 1e6
    duration, level = (np.asarray(a, np.float64)[:, 0, None, :, None] for a in (pulses.duration, pulses.level))
    expected = np.sqrt(np.sum((published_sigma(g, duration) * level) ** 2, axis=(1, 2))) / 25.0
    np.testing.assert_allclose(found, expected, rtol=bound)


def test_products_of_variances_lose_no_more_than_said():
    rng = np.random.default_rng(0)
    x, w = rng.uniform(size=(7, 300)).astype(np.float32), rng.uniform(size=(300, 5)).astype(np.float32)
    exact = x.astype(np.float64) @ w.astype(np.float64)
    assert np.max(np.abs(variance_product(jnp.asarray(x), jnp.asarray(w)) / exact - 1)) < 1e-3
    worst = np.float32(1 + 2.0**-8 - 2.0**-20)  # rounds down by nearly half a unit
    product = variance_product(jnp.full((2, 9), worst), jnp.full((9, 1), worst))
    off = float(product[0, 0]) / (9 * float(worst) ** 2) - 1
    assert 2.0**-8 < abs(off) < 2.0**-6.98


def test_double_precision_and_derivatives_are_those_of_the_plain_product(x64):
    rng = np.random.default_rng(1)
    x, w, d = jnp.asarray(rng.uniform(size=(4, 6))), jnp.asarray(rng.uniform(size=(6, 3))), rng.normal(size=(4, 3))
    np.testing.assert_allclose(variance_product(x, w), x @ w, rtol=1e-14)
    short = (x.astype(jnp.float32), w.astype(jnp.float32))
    _, pull = jax.vjp(variance_product, *short)
    of_x, of_w = pull(jnp.asarray(d, jnp.float32))
    np.testing.assert_allclose(of_x, d @ w.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_w, x.T @ d, rtol=1e-5, atol=1e-6)
