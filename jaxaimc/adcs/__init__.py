"""ADCs: from the charge of a column to a digital code, with straight-through gradients."""

from jaxaimc.adcs.base import ADC, IdealADC
from jaxaimc.adcs.cco import CCO
from jaxaimc.adcs.uniform import Floor, FullRange, Nearest, Span, Symmetric, Truncate, Uniform

__all__ = ["ADC", "CCO", "Floor", "FullRange", "IdealADC", "Nearest", "Span", "Symmetric", "Truncate", "Uniform"]
