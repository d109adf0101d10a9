"""Flax NNX: analog layers attached to existing models by path."""

from jaxaimc.nn.blank import Blank, Module
from jaxaimc.nn.calibrate import calibrate
from jaxaimc.nn.convert import Rule, convert, drift, effective, layer_errors, program, with_effective, with_read_key
from jaxaimc.nn.dot import AnalogDot, Call, Hook
from jaxaimc.nn.variables import Conductance, DeviceParam, EffectiveMatrix, LayerError, ReadKey, Scale

__all__ = [
    "AnalogDot",
    "Blank",
    "Call",
    "Conductance",
    "DeviceParam",
    "EffectiveMatrix",
    "Hook",
    "LayerError",
    "Module",
    "ReadKey",
    "Rule",
    "Scale",
    "calibrate",
    "convert",
    "drift",
    "effective",
    "layer_errors",
    "program",
    "with_effective",
    "with_read_key",
]
