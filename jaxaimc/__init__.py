"""Analog in-memory computing in JAX: crossbar circuits, devices and converters as pure, differentiable functions."""

from jaxaimc import adcs, cells, devices, drives, matrix, tile, units, wires
from jaxaimc._core.component import component, static
from jaxaimc.tile import AnalogConfig, Prepared, Programmed, analog_matmul

__all__ = [
    "AnalogConfig",
    "Prepared",
    "Programmed",
    "adcs",
    "analog_matmul",
    "cells",
    "component",
    "devices",
    "drives",
    "matrix",
    "static",
    "tile",
    "units",
    "wires",
]
