"""From raw measurements to a device: mean and standard deviation per state and time, as a table or as smooth curves.

Measurements are readings of many devices, each with the state it was meant to be in and the time since programming.
Fits are made in double precision with NumPy, outside of any compiled function.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxaimc.devices.base import Device
from jaxaimc.devices.curves import Polynomial
from jaxaimc.devices.laws import NormalProgramming
from jaxaimc.devices.relaxation import LogTime, Relaxation
from jaxaimc.devices.table import DeviceTable


class Measurements(NamedTuple):
    """Readings of devices, one entry each, in any order.

    Attributes:
        target: Conductance that a device was programmed to, or the centre of its state [S], shape (reading,).
        t: Time of the reading since programming [s], shape (reading,); readings of one round share one nominal time.
        g: Conductance that was read [S], shape (reading,).
    """

    target: Float[np.ndarray, " reading"]
    t: Float[np.ndarray, " reading"]
    g: Float[np.ndarray, " reading"]


class Groups(NamedTuple):
    """Statistics of measurements per time and state.

    Attributes:
        times: Times [s], shape (time,).
        targets: States [S], shape (state,).
        mean: Mean conductance [S], shape (time, state).
        std: Standard deviation of the conductance [S], shape (time, state).
        count: Readings, shape (time, state).
    """

    times: Float[np.ndarray, " time"]
    targets: Float[np.ndarray, " state"]
    mean: Float[np.ndarray, "time state"]
    std: Float[np.ndarray, "time state"]
    count: Int[np.ndarray, "time state"]


def group(measurements: Measurements, *, smallest: int = 30, robust: bool = False) -> Groups:
    """Return the statistics of measurements for every state and time.

    Args:
        measurements: Readings.
        smallest: States with fewer readings than this at some time are left out: their deviation is not known. One
            from 30 readings is good to 13 %.
        robust: Use the median and the quantiles at one standard deviation (15.9 % and 84.1 %) instead of mean and
            standard deviation: few devices that failed altogether then do not widen the rest.

    Returns:
        Statistics, times and states increasing.

    Raises:
        ValueError: If the arrays differ in length, hold anything but finite numbers, or no state has enough readings.
    """
    target, t, g = (np.asarray(a, float) for a in measurements)
    if not target.shape == t.shape == g.shape or target.ndim != 1:
        raise ValueError(
            f"Argument `measurements` must hold three arrays of one shape (reading,), but has shapes "
            f"{target.shape}, {t.shape} and {g.shape}."
        )
    if not all(np.all(np.isfinite(a)) for a in (target, t, g)):
        raise ValueError("Argument `measurements` must hold finite numbers, but has NaN or infinite ones.")
    times, targets = np.unique(t), np.unique(target)
    cells = [[g[(t == time) & (target == state)] for state in targets] for time in times]
    count = np.array([[len(cell) for cell in row] for row in cells]).reshape(len(times), len(targets))
    known = np.all(count >= smallest, axis=0)
    if not known.any():
        raise ValueError(f"Argument `measurements` must have a state with {smallest} readings at each of its times.")
    summary = _quantile_moments if robust else _moments
    moments = np.array([[summary(row[i]) for i in np.flatnonzero(known)] for row in cells])
    return Groups(times, targets[known], moments[..., 0], moments[..., 1], count[:, known])


def table(groups: Groups, *, t_scale: float | None = None) -> DeviceTable:
    """Return the device table of grouped measurements.

    Args:
        groups: Result of `group`.
        t_scale: Where linear interpolation in time gives way to logarithmic [s]; by default the first time after zero.

    Returns:
        The table, checked. `DeviceTable.device` makes a device of it.
    """
    positive = groups.times[groups.times > 0]
    scale = t_scale if t_scale is not None else float(positive[0]) if len(positive) else 1.0
    result = DeviceTable(
        times=groups.times, targets=groups.targets, mean=np.maximum(groups.mean, 0), std=groups.std, t_scale=scale
    )
    result.validate()
    return result


def polynomial_std(groups: Groups, g_max: float, degree: int) -> NormalProgramming:
    """Fit the standard deviation at the first time by a polynomial in `r = g / g_max`.

    Weighted least squares; a deviation from `n` readings weighs `sqrt(2 n) / std`. The fit is clamped to the measured
    states.

    Args:
        groups: Result of `group`.
        g_max: Conductance scale [S].
        degree: Degree of the polynomial, less than the number of states.

    Returns:
        Programming noise with the fitted curve.

    Raises:
        ValueError: If there are not more states than the degree.
    """
    if len(groups.targets) <= degree:
        raise ValueError(f"Argument `degree` must be less than the {len(groups.targets)} states, but is {degree}.")
    r, std = groups.targets / g_max, groups.std[0] / g_max
    weight = np.sqrt(2 * groups.count[0]) / np.maximum(std, 1e-3 * np.max(std))
    coefficients = np.polynomial.polynomial.polyfit(r, std, degree, w=weight)
    curve = Polynomial(coefficients=tuple(coefficients.tolist()), low=float(r[0]), high=float(r[-1]))
    part = NormalProgramming(std=curve, g_max=g_max)
    part.validate()
    return part


def log_relaxation(groups: Groups, g_max: float) -> Relaxation:
    """Fit the change since the first time by `a ln t + b`, the same for all states.

    The published law of CMO/HfOx devices (`jaxaimc.devices.CMOHfOx`), for technologies whose relaxation does not
    depend on the state; compare it with the table before using it. Mean and deviation of the change are averaged over
    the states, the deviation as a variance beyond that of the first time.

    Args:
        groups: Result of `group`, with at least two times after the first.
        g_max: Conductance scale [S].

    Returns:
        Drift law, clamped to the measured times.

    Raises:
        ValueError: If there are fewer than three times.
    """
    if len(groups.times) < 3:
        raise ValueError(f"Argument `groups` must have at least three times, but has {len(groups.times)}.")
    later = groups.times[1:]
    shift = np.average(groups.mean[1:] - groups.mean[0], axis=1, weights=groups.count[0])
    grown = np.maximum(groups.std[1:] ** 2 - groups.std[0] ** 2, 0)
    std = np.sqrt(np.average(grown, axis=1, weights=groups.count[0]))
    (b_shift, a_shift), (b_std, a_std) = (
        np.polynomial.polynomial.polyfit(np.log(later), values / g_max, 1) for values in (shift, std)
    )
    span = {"t_first": float(later[0]), "t_last": float(later[-1])}
    law = Relaxation(
        shift=LogTime(slope=float(a_shift), offset=float(b_shift), **span),
        std=LogTime(slope=float(a_std), offset=float(b_std), **span),
        g_max=g_max,
    )
    law.validate()
    return law


def sample(device: Device, measurements: Measurements, seed: int = 0) -> Measurements:
    """Return what a device model gives where the measurements were taken, to be compared with them.

    Args:
        device: Model.
        measurements: Readings; only their states and times are used.
        seed: Seed of the draws.

    Returns:
        Simulated readings in the same order; every time is one chip-wide draw of the model.
    """
    target = jnp.asarray(measurements.target)
    key = jax.random.key(seed)
    programmed = jax.jit(device.program)(target, key)
    g = np.empty(len(target))
    at = jax.jit(device.at)
    for time in np.unique(measurements.t):
        here = measurements.t == time
        g[here] = np.asarray(at(programmed, target, float(time), key))[here]
    return Measurements(measurements.target, measurements.t, g)


def _moments(values: Float[np.ndarray, " reading"]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1))


def _quantile_moments(values: Float[np.ndarray, " reading"]) -> tuple[float, float]:
    low, middle, high = np.quantile(values, [0.158655, 0.5, 0.841345])
    return float(middle), float(high - low) / 2
