"""Config files of schema 1 in the names of schema 2.

Schema 1 wrote classes with their modules (`jaxaimc.wires.gated.Gated`). What moved within its package needs no entry
here: the public name has no file. What was renamed is in two tables, and stuck devices, once two parts of a device,
are now a device around another.
"""

from typing import Any

from jaxaimc.config.errors import ConfigFileError

# Old public name -> new one.
RENAMED = {
    "tile.AnalogConfig": "AnalogConfig",
    "adcs.Granular": "adcs.StepRange",
    "adcs.MacroRange": "adcs.TileRange",
    "adcs.Shared": "adcs.ColumnMux",
    "adcs.Spread": "adcs.Mismatch",
    "drives.Amplitude": "drives.VoltageDAC",
    "drives.Polarity": "drives.SignMagnitude",
    "wires.Gated": "wires.OpenIdle",
}
# Field renames by the new class name, or by the package of all classes that have the field.
FIELDS = {"devices": {"retention": "drift"}}


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
    return _stuck(new)


def new_name(name: str) -> str:
    """Return the public name of a class that schema 1 names by its module.

    Args:
        name: Module and class.
    """
    package, _, rest = name.partition(".")
    short = f"{rest.partition('.')[0]}.{rest.rpartition('.')[2]}" if package == "jaxaimc" and "." in rest else name
    return RENAMED.get(short, short)


def fields_of(name: str) -> dict[str, str]:
    """Return the renamed fields of a class.

    Args:
        name: Public name of the class.
    """
    return {**FIELDS.get(name.partition(".")[0], {}), **FIELDS.get(name, {})}


def _stuck(device: dict[str, Any]) -> dict[str, Any]:
    """Return a device with stuck parts as `StuckDevice` around the healthy one."""
    programming, drift = device.get("programming"), device.get("drift")
    parts = [part.get("type") if isinstance(part, dict) else None for part in (programming, drift)]
    if "devices.StuckProgramming" not in parts and "devices.StuckRetention" not in parts:
        return device
    if parts != ["devices.StuckProgramming", "devices.StuckRetention"] or _differ(programming, drift):
        raise ConfigFileError(
            "StuckProgramming and StuckRetention of schema 1 become one device only where both are there with equal "
            '`g_on` and `g_off`: write {"type": "devices.StuckDevice", "device": {the healthy device}, "on": ..., '
            '"off": ..., "g_on": ..., "g_off": ...} instead.'
        )
    # What else is in the stuck parts is left for the reader to refuse.
    outer = {name: value for name, value in programming.items() if name not in ("type", "healthy")}
    healthy = {**device, "programming": programming.get("healthy"), "drift": drift.get("healthy")}
    return {"type": "devices.StuckDevice", "device": healthy, **outer}


def _differ(programming: dict[str, Any], drift: dict[str, Any]) -> bool:
    return any(programming.get(name) != drift.get(name) for name in ("g_on", "g_off"))
