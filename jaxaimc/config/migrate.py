"""Config files of schema 1 in the names of schema 2.

Schema 1 wrote classes with their modules (`jaxaimc.wires.gated.Gated`). What moved within its package needs no entry
here: the public name has no file. What was renamed is in two tables; the two stuck parts that a device could have are
now a device of its own, and SONOS drifts as its authors have it today.
"""

import dataclasses
import warnings
from typing import Any

from jaxaimc.config.encode import encoded
from jaxaimc.config.errors import ConfigFileError
from jaxaimc.config.names import classes
from jaxaimc.devices import SONOS

# Old public name -> new one.
RENAMED = {
    "tile.AnalogConfig": "AnalogConfig",
    "adcs.Granular": "adcs.StepRange",
    "adcs.MacroRange": "adcs.TileRange",
    "adcs.Shared": "adcs.ColumnMux",
    "adcs.Spread": "adcs.Mismatch",
    "adcs.Table": "adcs.CodeTable",
    "devices.SpreadSinceFirst": "devices.StdSinceFirst",
    "devices.Table": "devices.DeviceTable",
    "drives.Amplitude": "drives.VoltageDAC",
    "drives.Polarity": "drives.SignMagnitude",
    "wires.Gated": "wires.OpenIdle",
}
# Old field -> new one, by the public name of one class, or by the package of all whose old field is gone.
FIELDS = {
    "devices": {"retention": "drift", "spread": "std", "scale": "factor", "pulse_spread": "pulse_std"},
    "devices.CommonLogarithm": {"scale": "full_scale"},
}


def upgraded(value: Any) -> Any:
    """Return the content of a file of schema 1 as schema 2 writes it.

    Args:
        value: Decoded JSON: a component, a list or a number.

    Raises:
        ConfigFileError: If a part of it has no counterpart, with what to write instead.
    """
    if isinstance(value, list):
        return [upgraded(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    new = {key: upgraded(entry) for key, entry in value.items()}
    if isinstance(new.get("type"), str):
        new["type"] = new_name(new["type"])
        renamed = fields_of(new["type"])
        # A file that has both names has one too many, which the reader says.
        new = {key if renamed.get(key) in new else renamed.get(key, key): entry for key, entry in new.items()}
    return _stuck(_sonos(new))


def new_name(name: str) -> str:
    """Return the public name of a class that schema 1 names by its module.

    Args:
        name: Module and class.
    """
    package, _, rest = name.partition(".")
    short = f"{rest.partition('.')[0]}.{rest.rpartition('.')[2]}" if package == "jaxaimc" and "." in rest else name
    return RENAMED.get(short, short)


def fields_of(name: str) -> dict[str, str]:
    """Return the renamed fields of a class: new names by old ones.

    Args:
        name: Public name of the class.
    """
    cls = classes().get(name)
    own = {field.name for field in dataclasses.fields(cls)} if cls is not None else set()  # pyright: ignore
    renamed = {**FIELDS.get(name.partition(".")[0], {}), **FIELDS.get(name, {})}
    return {old: new for old, new in renamed.items() if new in own and old not in own}


def _sonos(device: dict[str, Any]) -> dict[str, Any]:
    """Return a SONOS device with the mean drift that its authors corrected in 2026 for the superseded one, a table."""
    drift = _object(device.get("drift"))
    curve = _object(_object(_object(drift.get("shift")).get("total")).get("curve"))
    if device.get("type") != "devices.SONOS" or curve.get("type") != "devices.Tabulated":
        return device
    warnings.warn(
        "The mean drift of SONOS in this file of schema 1 was superseded by its authors; it is read as the corrected "
        "one of 2026, that of `devices.SONOS()`.",
        stacklevel=2,
    )
    return {**device, "drift": {**drift, "shift": encoded(SONOS().drift)["shift"]}}


def _stuck(device: dict[str, Any]) -> dict[str, Any]:
    """Return a device with stuck parts as `StuckDevice`, which has the healthy parts itself."""
    programming, drift = _object(device.get("programming")), _object(device.get("drift"))
    parts = [programming.get("type"), drift.get("type")]
    if "devices.StuckProgramming" not in parts and "devices.StuckRetention" not in parts:
        return device
    both = parts == ["devices.StuckProgramming", "devices.StuckRetention"]
    # A field left out stands for the device's own, which only this device knew.
    if not both or _differ(programming, drift) or "read_noise" not in device:
        raise ConfigFileError(
            "StuckProgramming and StuckRetention of schema 1 are one device in schema 2; write "
            '{"type": "devices.StuckDevice", "programming": ..., "drift": ..., "read_noise": ..., "on": ..., '
            '"off": ..., "g_on": ..., "g_off": ...} with the three parts of the healthy device.'
        )
    # What else is in the stuck parts is left for the reader to refuse.
    stuck = {name: value for name, value in programming.items() if name not in ("type", "healthy")}
    whole = {
        "programming": programming.get("healthy"),
        "drift": drift.get("healthy"),
        "read_noise": device["read_noise"],
    }
    return {**device, "type": "devices.StuckDevice", **whole, **stuck}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _differ(programming: dict[str, Any], drift: dict[str, Any]) -> bool:
    return any(programming.get(name) != drift.get(name) for name in ("g_on", "g_off"))
