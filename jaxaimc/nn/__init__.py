"""Flax NNX: analog layers attached to existing models by path."""

from jaxaimc.nn.convert import Rule, convert, drift, effective, layer_errors, program, with_effective, with_read_key
from jaxaimc.nn.dot import AnalogDot
from jaxaimc.nn.variables import Conductance, DeviceParam, EffectiveMatrix, LayerError, ReadKey

__all__ = [
    "AnalogDot",
    "Conductance",
    "DeviceParam",
    "EffectiveMatrix",
    "LayerError",
    "ReadKey",
    "Rule",
    "convert",
    "drift",
    "effective",
    "layer_errors",
    "program",
    "with_effective",
    "with_read_key",
]
