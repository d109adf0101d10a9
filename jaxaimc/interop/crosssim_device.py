"""Devices of a CrossSim configuration."""

from dataclasses import replace
from typing import Any

from jaxaimc.devices import (
    SONOS,
    Device,
    NoProgrammingNoise,
    NoReadNoise,
    NormalProgramming,
    NormalReadNoise,
    PCMJoshi,
    Polynomial,
    ProgrammingNoise,
    ReadNoise,
    UniformProgramming,
    independent,
    proportional,
    uniform_read_noise,
)
from jaxaimc.devices.curves import Curve
from jaxaimc.interop.foreign import Fields, word
from jaxaimc.units import day, uS

_PATH = "xbar.device"
_GENERIC = {
    "normalindependentdevice": ("normal", independent),
    "normalproportionaldevice": ("normal", proportional),
    "uniformindependentdevice": ("uniform", independent),
    "uniformproportionaldevice": ("uniform", proportional),
}
_NAMES = (
    "'NormalIndependentDevice', 'NormalProportionalDevice', 'UniformIndependentDevice', 'UniformProportionalDevice'"
)


def device(fields: Fields, g_max: float) -> tuple[Device, float | None]:
    """Return the device, and the time at which it is read [s] where it drifts.

    CrossSim applies the errors of programming to devices at time zero, and those of drift, which include them, later.

    Args:
        fields: The configuration.
        g_max: Largest conductance [S].
    """
    days = fields.number(f"{_PATH}.time", 0.0)
    programming, drift, read = (_error(fields, name) for name in ("programming_error", "drift_error", "read_noise"))
    read_noise = _read_noise(fields, read, g_max)
    if days < 0:
        fields.refuse(f"{_PATH}.time", days, "0 or greater")
    if days <= 0:
        # Drift at time zero stands in where no error of programming is chosen.
        name, error = ("programming_error", programming) if programming.chosen else ("drift_error", drift)
        return Device(programming=_programming(fields, name, error, g_max), read_noise=read_noise), None
    if not drift.acts:
        return Device(read_noise=read_noise), days * day
    if word(drift.model) != "sonos":
        fields.refuse(f"{_PATH}.drift_error.model", drift.model, "'SONOS' or 'IdealDevice' where `time` is above 0")
    found = _sonos(g_max)
    return Device(programming=found.programming, drift=found.drift, read_noise=read_noise), days * day


class _Error:
    """One kind of error: whether it is on, which model, and its size."""

    def __init__(self, on: bool, model: Any, magnitude: float):
        self.model, self.magnitude = model, magnitude
        self.chosen = word(model) != "idealdevice"
        self.acts = on and self.chosen


def _error(fields: Fields, name: str) -> _Error:
    path = f"{_PATH}.{name}"
    on, model = fields.flag(f"{path}.enable", default=False), fields.take(f"{path}.model", "IdealDevice")
    magnitude = fields.number(f"{path}.magnitude", 0.0)
    if magnitude < 0:
        fields.refuse(f"{path}.magnitude", magnitude, "0 or greater")
        magnitude = 0.0
    return _Error(on, model, magnitude)


def _programming(fields: Fields, name: str, error: _Error, g_max: float) -> ProgrammingNoise:
    if not error.acts:
        return NoProgrammingNoise()
    model = word(error.model)
    if model in _GENERIC:
        distribution, curve = _GENERIC[model]
        if distribution == "normal":
            return NormalProgramming(std=_endless(curve, error.magnitude), g_max=g_max)
        # Its magnitude is the full width.
        return UniformProgramming(std=_endless(curve, error.magnitude / 12**0.5), g_max=g_max)
    if model == "sonos":
        return _sonos(g_max).programming
    if model == "pcmjoshi":
        if g_max > 25 * uS * (1 + 1e-6):
            fields.refuse(f"{_PATH}.Rmin", 1 / g_max, "40000 ohm or more for 'PCMJoshi', fitted to 25 uS")
        return PCMJoshi().programming
    if model == "rrammilo":
        # Scaled with the largest conductance, and not held below the 50 uS at which the measurements begin.
        return NormalProgramming(
            std=Polynomial(coefficients=(4.782321, -0.009107 * 225)), g_max=g_max, full_scale=225.0
        )
    fields.refuse(f"{_PATH}.{name}.model", error.model, f"{_NAMES}, 'SONOS', 'PCMJoshi', 'RRAMMilo' or 'IdealDevice'")
    return NoProgrammingNoise()


def _read_noise(fields: Fields, error: _Error, g_max: float) -> ReadNoise:
    if not error.acts:
        return NoReadNoise()
    model = word(error.model)
    if model in _GENERIC:
        distribution, curve = _GENERIC[model]
        if distribution == "normal":
            return NormalReadNoise(std=_endless(curve, error.magnitude), g_max=g_max)
        return uniform_read_noise(_endless(curve, error.magnitude / 2), g_max)
    if model == "sonos":
        return _sonos(g_max).read_noise
    fields.refuse(f"{_PATH}.read_noise.model", error.model, f"{_NAMES}, 'SONOS' or 'IdealDevice'")
    return NoReadNoise()


def _endless(curve: Any, magnitude: float) -> Curve:
    """Return a curve over all states."""
    return replace(curve(magnitude), high=float("inf"))


def _sonos(g_max: float) -> SONOS:
    """Return the measured cells with 1600 nA as the largest conductance, as CrossSim maps them."""
    parts = SONOS()
    return SONOS(
        **{
            name: replace(getattr(parts, name), g_max=g_max)  # pyright: ignore[reportArgumentType]
            for name in ("programming", "drift", "read_noise")
        }
    )
