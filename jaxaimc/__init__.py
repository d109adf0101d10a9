"""Analog in-memory computing in JAX: crossbar circuits, devices and converters as pure, differentiable functions."""

import importlib
from typing import Any

from jaxaimc._core.component import component, leaf, static
from jaxaimc.config import AnalogConfig
from jaxaimc.tile import Prepared, Programmed, analog_matmul, charges, drift, mvm, prepare, program

# Imported when first asked for: some need packages that the library alone does not install.
_PACKAGES = (
    "adcs", "calibration", "cells", "config", "devices", "drives", "nn", "plots", "presets", "spice", "studies",
    "tasks", "testing", "tile", "training", "units", "wires",
)  # fmt: skip

__all__ = [
    "AnalogConfig",
    "Prepared",
    "Programmed",
    "analog_matmul",
    "charges",
    "component",
    "drift",
    "leaf",
    "mvm",
    "prepare",
    "program",
    "static",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"jaxaimc.{name}")
    raise AttributeError(f"module 'jaxaimc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
