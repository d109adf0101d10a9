"""Analog in-memory computing in JAX: crossbar circuits, devices and converters as pure, differentiable functions."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxaimc._core.component import component, leaf, static
    from jaxaimc._core.groups import map_in_groups
    from jaxaimc.config import AnalogConfig
    from jaxaimc.tile import Prepared, Programmed, analog_matmul, charges, drift, mvm, prepare, program

# Everything is imported when first asked for: some packages need others that the library alone does not install, and
# the command line must be able to end in one line before JAX is there.
_PACKAGES = (
    "adcs", "calibration", "cells", "config", "cost", "design", "devices", "drives", "interop", "nn", "plots",
    "presets", "report", "spice", "studies", "sweeps", "tasks", "testing", "tile", "training", "units", "wires",
)  # fmt: skip
_HOMES = {
    "component": "_core.component",
    "leaf": "_core.component",
    "static": "_core.component",
    "map_in_groups": "_core.groups",
    "AnalogConfig": "config",
    **dict.fromkeys(
        ("Prepared", "Programmed", "analog_matmul", "charges", "drift", "mvm", "prepare", "program"), "tile"
    ),
}

__all__ = [
    "AnalogConfig",
    "Prepared",
    "Programmed",
    "analog_matmul",
    "charges",
    "component",
    "drift",
    "leaf",
    "map_in_groups",
    "mvm",
    "prepare",
    "program",
    "static",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"jaxaimc.{name}")
    if name in _HOMES:
        globals()[name] = getattr(importlib.import_module(f"jaxaimc.{_HOMES[name]}"), name)
        return globals()[name]
    raise AttributeError(f"module 'jaxaimc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
