"""What every device must do, checked: run it on a device of your own before trusting a result made with it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number
from jaxaimc.devices.base import Device
from jaxaimc.units import day, hour, ms, ns, s, us, year

TIMES = (0.0, 1 * ns, 1 * s, 1 * hour, 1 * day, 1 * year)
DURATIONS = (1 * ns, 127 * ns, 1 * us, 1 * ms)


class ConformanceError(AssertionError):
    """A device that breaks a rule of the protocols in `jaxaimc.devices.base`."""


def check_device(device: Device, g_max: float, *, times: tuple[float, ...] = TIMES) -> None:
    """Check a device against everything that the tiles rely on.

    Shapes, precision, no negative or undefined conductance at any state (zero included) and time, nothing changed at
    time zero, the same chip from the same key in any order and under `jit` and `vmap`, a read-noise variance that is
    never negative for any pulse, and finite gradients.

    Args:
        device: Device to check.
        g_max: Largest conductance that it will be asked for [S].
        times: Times since programming at which it is tried [s].

    Raises:
        ConformanceError: If a rule is broken; the message says which.
        ValueError: If a field of the device or `g_max` is out of its range.

    Example:
        >>> from jaxaimc.devices import PCM
        >>> check_device(PCM(), g_max=25e-6)
    """
    check_number("check_device", "g_max", g_max, "S", low=0.0, open_low=True)
    device.validate()
    target = jnp.broadcast_to(jnp.linspace(0.0, g_max, 9), (2, 3, 9))
    _check_programming(device, target)
    _check_retention(device, target, times)
    _check_read_noise(device, target, times)
    _check_gradients(device, target, times[-1])


def _check_programming(device: Device, target: Float[Array, "*cell"]) -> None:
    program = device.programming.program
    keys = jax.random.split(jax.random.key(1), 3)
    g = program(target, keys[0])
    _require_conductance("programming", g, target)
    _require(_same(g, program(target, keys[0])), "programming must give the same devices for the same key")
    # Compiling is what takes the time here: one program stands for both transformations.
    many = jax.jit(jax.vmap(program, (None, 0)))(target, keys)
    _require(_same(many[0], g), "programming must give the same devices under jit and vmap over keys")


def _check_retention(device: Device, target: Float[Array, "*cell"], times: tuple[float, ...]) -> None:
    program_key, key = jax.random.split(jax.random.key(2))
    programmed = device.programming.program(target, program_key)
    drift = device.drift.drift
    last = drift(programmed, target, times[-1], key)
    _require_conductance("retention", last, target)
    _require(_same(drift(programmed, target, 0.0, key), programmed), "retention must change nothing at time zero")
    again = drift(programmed, target, times[-1], key)
    _require(_same(last, again), "retention must give the same devices in whatever order times are asked for")
    many = jax.jit(jax.vmap(drift, (None, None, 0, None)))(programmed, target, jnp.asarray(times, target.dtype), key)
    for t, g in zip(times, many, strict=True):
        _require_conductance(f"retention at {t:g} s", g, target)
    _require(_same(many[-1], last), "retention must give the same devices under jit and vmap over times")


def _check_read_noise(device: Device, target: Float[Array, "*cell"], times: tuple[float, ...]) -> None:
    noise = device.read_noise
    duration = jnp.asarray(DURATIONS, target.dtype)
    weight = noise.weight(duration)
    for t in times:
        variance = noise.variance(target, target, t)
        shapes = weight.shape[1:] == duration.shape and variance.shape[1:] == target.shape
        _require(shapes and weight.shape[0] == variance.shape[0], "read noise must have as many weights as variances")
        total = jnp.einsum("kd,k...->d...", weight, variance)
        _require(variance.dtype == target.dtype, f"read noise must keep the precision {target.dtype}")
        _require(bool(jnp.all(jnp.isfinite(total))), f"read noise must be finite, at {t:g} s too")
        _require(bool(jnp.all(total >= 0)), f"the variance of a read must not be negative, at {t:g} s neither")


def _check_gradients(device: Device, target: Float[Array, "*cell"], t: float) -> None:
    """Check derivatives by the target and by every continuous field."""
    program_key, drift_key = jax.random.split(jax.random.key(3))

    def total(device: Device, target: Float[Array, "*cell"]) -> Float[Array, ""]:
        g = device.drift.drift(device.programming.program(target, program_key), target, t, drift_key)
        return jnp.sum(g) + jnp.sum(device.read_noise.variance(g, target, t))

    continuous, rebuild = _split_continuous(device)
    # Not compiled: its small steps are the same for most devices, and a whole derivative takes seconds to compile.
    gradients = jax.grad(lambda leaves, target: total(rebuild(leaves), target), (0, 1))(continuous, target)
    finite = all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradients))
    _require(finite, "derivatives by target and fields must be finite")


def _split_continuous(device: Device) -> tuple[list[Array], Any]:
    """Return the finite leaves as arrays, and a function that puts them back among the others."""
    leaves, structure = jax.tree.flatten(device)
    moving = [i for i, leaf in enumerate(leaves) if np.all(np.isfinite(leaf))]

    def rebuild(values: list[Array]) -> Device:
        merged = list(leaves)
        for i, value in zip(moving, values, strict=True):
            merged[i] = value
        return jax.tree.unflatten(structure, merged)

    return [jnp.asarray(leaves[i], float) for i in moving], rebuild


def _require_conductance(where: str, g: Float[Array, "..."], target: Float[Array, "*cell"]) -> None:
    _require(g.shape == target.shape, f"{where} must keep the shape {target.shape}, but gives {g.shape}")
    _require(g.dtype == target.dtype, f"{where} must keep the precision {target.dtype}, but gives {g.dtype}")
    _require(bool(jnp.all(jnp.isfinite(g))), f"{where} must give finite conductances")
    _require(bool(jnp.all(g >= 0)), f"{where} must not give negative conductances")


def _same(a: Array, b: Array) -> bool:
    """Return whether two results agree up to the rounding that fusion under jit may change."""
    scale = float(jnp.max(jnp.abs(a)))
    return a.shape == b.shape and bool(jnp.all(jnp.abs(a - b) <= 1e-5 * scale))


def _require(condition: bool, rule: str) -> None:
    if not condition:
        raise ConformanceError(f"A device breaks a rule: {rule}.")
