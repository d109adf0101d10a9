"""Fits give back the laws that made the data; on measured devices they reach the stated accuracy."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.devices import Device, LogTime, NormalProgramming, Polynomial, Relaxation, figures, fit
from jaxaimc.testing import check_device

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from experiments import fit_measured_devices as study

TRUTH = Device(
    programming=NormalProgramming(std=Polynomial(coefficients=(0.01, 0.05, -0.03)), g_max=100e-6),
    drift=Relaxation(shift=LogTime(slope=-0.002), std=LogTime(slope=0.001, offset=0.004), g_max=100e-6, full_scale=1.0),
)


def simulated(per_state=4000):
    """Readings of the known device, states far enough from zero that nothing is cut."""
    target = jnp.repeat(jnp.linspace(20e-6, 100e-6, 9), per_state)
    g = TRUTH.programming.program(target, jax.random.key(0))
    times = (0.0, 1.0, 100.0, 1e4)
    readings = [np.asarray(TRUTH.drift.drift(g, target, t, jax.random.key(1)), float) for t in times]
    state = np.round(np.asarray(target, float) * 1e6) * 1e-6
    return fit.Measurements(np.tile(state, 4), np.repeat(times, len(state)), np.concatenate(readings))


DATA = simulated()


def test_polynomial_comes_back():
    part = fit.polynomial_std(fit.group(DATA), 100e-6, 2)
    target = jnp.linspace(20e-6, 100e-6, 9)
    np.testing.assert_allclose(part.sigma(target), TRUTH.programming.sigma(target), rtol=0.03)
    np.testing.assert_allclose(part.sigma(jnp.array([0.0])), part.sigma(jnp.array([20e-6])))


def test_relaxation_comes_back():
    law = fit.log_relaxation(fit.group(DATA), 100e-6)
    for t in (1.0, 100.0, 1e4):
        found, expected = (relaxation.moments(jnp.array([50e-6]), t) for relaxation in (law, TRUTH.drift))
        np.testing.assert_allclose(found[0], expected[0], atol=0.03e-6)
        np.testing.assert_allclose(found[1], expected[1], rtol=0.15)


@pytest.mark.parametrize("robust", [pytest.param(False, marks=pytest.mark.slow), True])
def test_table_comes_back(robust):
    groups = fit.group(DATA, robust=robust)
    table = fit.table(groups)
    check_device(table.device(), 100e-6)
    again = fit.group(fit.sample(table.device(), DATA, seed=5), robust=robust)
    np.testing.assert_allclose(again.std, groups.std, rtol=0.08)
    np.testing.assert_allclose(again.mean, groups.mean, atol=0.3e-6)
    assert table.t_scale == 1.0


def test_robust_statistics_ignore_failed_devices():
    g = np.concatenate([np.random.default_rng(0).normal(50e-6, 1e-6, 5000), np.zeros(50)])
    data = fit.Measurements(np.full(5050, 50e-6), np.zeros(5050), g)
    assert fit.group(data).std[0, 0] > 4e-6
    assert fit.group(data, robust=True).std[0, 0] == pytest.approx(1e-6, rel=0.05)


def test_states_with_few_readings_are_left_out():
    data = fit.Measurements(np.repeat([1e-6, 2e-6], [100, 5]), np.zeros(105), np.full(105, 1e-6))
    np.testing.assert_array_equal(fit.group(data).targets, [1e-6])


def test_bad_measurements_are_refused():
    ones = np.ones(100)
    with pytest.raises(ValueError, match="one shape"):
        fit.group(fit.Measurements(ones, ones[:5], ones))
    with pytest.raises(ValueError, match="finite"):
        fit.group(fit.Measurements(ones, ones, ones * np.nan))
    with pytest.raises(ValueError, match="30 readings"):
        fit.group(fit.Measurements(ones[:5], ones[:5], ones[:5]))
    with pytest.raises(ValueError, match="`degree`"):
        fit.polynomial_std(fit.group(fit.Measurements(ones, ones, ones)), 1.0, 3)
    with pytest.raises(ValueError, match="three times"):
        fit.log_relaxation(fit.group(fit.Measurements(ones, ones, ones)), 1.0)


def test_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    table = fit.table(fit.group(DATA))
    figures.compare(tmp_path / "figure.png", DATA, {"table": table.device()})
    assert (tmp_path / "figure.png").stat().st_size > 20_000


@pytest.fixture(scope="module")
def measured():
    try:
        return study.data_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_measured_rram_is_reproduced_by_its_table(measured):
    """Known of these data: 1 uS after programming, 4.5 uS of change at 1 s and 7.8 uS at 1e4 s over all cells."""
    data = study.rram_relaxation(measured)
    groups = fit.group(data)
    assert len(groups.targets) == 32
    np.testing.assert_array_equal(groups.times, [0, 0.01, 0.1, 1, 100, 1000, 10000])
    assert np.median(groups.std[0]) * 1e6 == pytest.approx(1.0, abs=0.1)
    change = [np.sqrt(np.average(groups.std[k] ** 2 - groups.std[0] ** 2, weights=groups.count[k])) for k in (3, 6)]
    np.testing.assert_allclose(np.array(change) * 1e6, [4.5, 7.0], atol=0.8)
    device = fit.table(groups).device()
    check_device(device, 128e-6)
    again = fit.group(fit.sample(device, data))
    assert np.median(np.abs(again.std / groups.std - 1)) < 0.04
    assert np.max(np.abs(again.mean - groups.mean)) < 1.5e-6


def test_measured_pcm_is_fitted_by_a_polynomial(measured):
    data = study.pcm_partial_reset(measured)
    groups = fit.group(data)
    part = fit.polynomial_std(groups, 12e-6, 4)
    found = np.asarray(part.sigma(jnp.asarray(groups.targets)))
    assert np.median(np.abs(found / groups.std[0] - 1)) < 0.25
    assert np.all(found > 0)
