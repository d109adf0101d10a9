"""Sweeps: thousands of designs in one compiled call, on one device, all of a machine, or many machines."""

from jaxaimc.sweeps.compiled import evaluate_designs
from jaxaimc.sweeps.layer import LayerError
from jaxaimc.sweeps.measure import DesignWarning, Function, Measure
from jaxaimc.sweeps.network import NetworkScore

__all__ = ["DesignWarning", "Function", "LayerError", "Measure", "NetworkScore", "evaluate_designs"]
