"""What every device must do, checked."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number
from jaxaimc.devices.base import PARTS, Device
from jaxaimc.testing.rules import check_base, continuous, rule, traced_once
from jaxaimc.units import day, format_duration, hour, ms, ns, s, us, year

TIMES = (0.0, 1 * ns, 1 * s, 1 * hour, 1 * day, 1 * year)
DURATIONS = (1 * ns, 127 * ns, 1 * us, 1 * ms)
# Devices of each state.
_MANY = 100


def check_device(device: Device, g_max: float, *, times: tuple[float, ...] = TIMES) -> None:
    """Check a device against everything that the tiles rely on.

    Shapes, precision, no negative or undefined conductance at any state (zero included) and time, nothing changed at
    time zero or where the device says that it is exact, the same chip from the same key in any order and under `jit`
    and `vmap`, programming and drift of one chip uncorrelated, each part alone doing nothing else, a read-noise
    variance that is never negative for any pulse, and finite gradients.

    Args:
        device: Device to check.
        g_max: Largest conductance that it will be asked for [S].
        times: Times since programming at which it is tried [s].

    Raises:
        ConformanceError: If a rule is broken; the message says which.
        ValueError: If a field of the device or `g_max` is out of its range, or its read noise has another number of
            factors in `weight` than in `variance`.

    Example:
        >>> from jaxaimc.devices import PCM
        >>> check_device(PCM(), g_max=25e-6)
    """
    check_number("check_device", "g_max", g_max, "S", low=0.0, open_low=True)
    check_base(device, "a device", Device)
    target = jnp.broadcast_to(jnp.linspace(0.0, g_max, 9), (2, _MANY // 2, 9))
    _check_programming(device, target)
    _check_drift(device, target, times)
    _check_independence(device, target, times[-1])
    _check_parts(device, target, times[-1])
    _check_read_noise(device, target, times)
    _check_gradients(device, target, times[-1])


def _check_programming(device: Device, target: Float[Array, "*cell"]) -> None:
    keys = jax.random.split(jax.random.key(1), 3)
    g = device.program(target, keys[0])
    _check_conductance(device, "programming", g, target)
    with rule(device, "programming must give the same devices for the same key"):
        _assert_same(device.program(target, keys[0]), g)
    # Compiling is what takes the time here: one program stands for all transformations.
    many = jax.jit(jax.vmap(traced_once(device.program), (None, 0)))
    with rule(device, "programming must give the same devices under jit and vmap over keys"):
        _assert_same(many(target, keys)[0], g)
    with rule(device, "programming must compile once for all keys"):
        many(target, keys[::-1])
    if device.programming.exact:
        with rule(device.programming, "programming that says `exact` must hold the targets"):
            chex.assert_trees_all_equal(device.programming.program(target, keys[0]), target)


def _check_drift(device: Device, target: Float[Array, "*cell"], times: tuple[float, ...]) -> None:
    key = jax.random.key(2)
    programmed = device.program(target, key)
    last = device.at(programmed, target, times[-1], key)
    _check_conductance(device, "drift", last, target)
    with rule(device, "drift must change nothing at time zero"):
        _assert_same(device.at(programmed, target, 0.0, key), programmed)
    with rule(device, "drift must give the same devices in whatever order times are asked for"):
        _assert_same(device.at(programmed, target, times[-1], key), last)
    at = jax.jit(jax.vmap(traced_once(device.at), (None, None, 0, None)))
    many = at(programmed, target, jnp.asarray(times, target.dtype), key)
    for t, g in zip(times, many, strict=True):
        _check_conductance(device, f"drift to {format_duration(t)}", g, target)
    with rule(device, "drift must give the same devices under jit and vmap over times"):
        _assert_same(many[-1], last)
    with rule(device, "drift must compile once for all times"):
        at(programmed, target, jnp.asarray(times[::-1], target.dtype), key)
    if device.drift.exact:
        with rule(device, "a device whose drift says `exact` must keep its conductances"):
            chex.assert_trees_all_equal(last, programmed)


def _check_independence(device: Device, target: Float[Array, "*cell"], t: float) -> None:
    """Check that what programming draws says nothing of what drift draws for the same chip."""
    key = jax.random.key(4)
    deviation = device.program(target, key) - target
    # Drift of the targets themselves: that of the programmed conductances would depend on their deviation.
    drifted, other = (device.at(g, target, t, key) for g in (target, 0.9 * target))
    coefficients, count = [], 0
    states = (np.asarray(x, np.float64).reshape(_MANY, -1).T for x in (deviation, drifted, other))
    for a, b, c in zip(*states, strict=True):
        # Cells that are stuck are so at every time, and hold the same whatever was programmed.
        free = b != c
        a, b = a[free], b[free]
        if len(a) > _MANY / 4 and np.std(a) > 0 and np.std(b) > 1e-6 * np.mean(b):
            coefficients.append(np.corrcoef(a, b)[0, 1])
            count += len(a)
    if not coefficients:
        return
    bound = 5 / count**0.5
    with rule(device, "programming and drift of one chip key must not be correlated"):
        chex.assert_scalar_in(float(np.mean(coefficients)), -bound, bound)


def _check_parts(device: Device, target: Float[Array, "*cell"], t: float) -> None:
    key = jax.random.key(5)
    held = device.only("programming").program(target, key)
    with rule(device, "the device with its programming only must not drift"):
        chex.assert_trees_all_equal(device.only("programming").at(held, target, t, key), held)
    with rule(device, "the device without its programming must hold the targets"):
        chex.assert_trees_all_equal(device.only("drift", "read_noise").program(target, key), target)
    with rule(device, "the device with its read noise only must be exact"):
        chex.assert_equal(device.only("read_noise").exact, True)
    with rule(device, "the device with all its parts must be itself"):
        chex.assert_trees_all_equal(device.only(*PARTS), device)


def _check_read_noise(device: Device, target: Float[Array, "*cell"], times: tuple[float, ...]) -> None:
    noise, duration = device.read_noise, jnp.asarray(DURATIONS, target.dtype)
    weight = noise.weight(duration)
    with rule(noise, "read noise must have as many weights as it says that it has terms"):
        chex.assert_shape(weight, (noise.terms, *duration.shape))
    for t in times:
        variance = noise.variance(target, target, t)
        with rule(noise, "read noise must have as many variances as weights"):
            chex.assert_shape(variance, (weight.shape[0], *target.shape))
        with rule(noise, f"read noise must keep the precision {target.dtype}"):
            chex.assert_type((weight, variance), target.dtype)
        total = jnp.einsum("kd,k...->d...", weight, variance)
        with rule(noise, f"read noise must be finite after {format_duration(t)}"):
            chex.assert_tree_all_finite(total)
        with rule(noise, f"the variance of a read must not be negative after {format_duration(t)}"):
            chex.assert_trees_all_equal(jnp.minimum(total, 0), jnp.zeros_like(total))


def _check_gradients(device: Device, target: Float[Array, "*cell"], t: float) -> None:
    """Check derivatives by the target and by every continuous field."""
    key = jax.random.key(3)

    def total(device: Device, target: Float[Array, "*cell"]) -> Float[Array, ""]:
        g = device.at(device.program(target, key), target, t, key)
        return jnp.sum(g) + jnp.sum(device.read_noise.variance(g, target, t))

    leaves, rebuild = continuous(device)
    # Not compiled: its small steps are the same for most devices, and a whole derivative takes seconds to compile.
    gradients = jax.grad(lambda leaves, target: total(rebuild(leaves), target), (0, 1))(leaves, target)
    with rule(device, "derivatives by target and fields must be finite"):
        chex.assert_tree_all_finite(gradients)


def _check_conductance(device: Device, where: str, g: Float[Array, "..."], target: Float[Array, "*cell"]) -> None:
    with rule(device, f"{where} must keep the shape {target.shape}, but gives {g.shape}"):
        chex.assert_shape(g, target.shape)
    with rule(device, f"{where} must keep the precision {target.dtype}, but gives {g.dtype}"):
        chex.assert_type(g, target.dtype)
    with rule(device, f"{where} must give finite conductances"):
        chex.assert_tree_all_finite(g)
    with rule(device, f"{where} must not give negative conductances"):
        chex.assert_trees_all_equal(jnp.minimum(g, 0), jnp.zeros_like(g))


def _assert_same(a: Array, b: Array) -> None:
    """Assert that two results agree up to the rounding that fusion under jit may change."""
    chex.assert_trees_all_close(a, b, rtol=0, atol=1e-5 * max(float(jnp.max(jnp.abs(b))), 1e-30))
