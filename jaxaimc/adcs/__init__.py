"""ADCs: from the charge of a column to a digital code, with straight-through gradients."""

from jaxaimc.adcs.base import ADC, GaussianADC, IdealADC, Readout, Wrapped
from jaxaimc.adcs.cco import CCO
from jaxaimc.adcs.circuits import SAR, Ramp
from jaxaimc.adcs.code_table import CodeTable, read_table
from jaxaimc.adcs.codes import BothEnds, Codes, Floor, MidRise, MidTread, Nearest, Rounding, Stochastic, Truncate
from jaxaimc.adcs.mismatch import ColumnMux, Mismatch
from jaxaimc.adcs.noise import ChargeNoise, ConversionNoise, FullScaleNoise, MacroNoise, NoNoise, StepNoise
from jaxaimc.adcs.ranges import FullRange, PositiveRange, Range, RangedADC, Span, StepRange, Symmetric, TileRange
from jaxaimc.adcs.residue import Cyclic, Pipeline
from jaxaimc.adcs.uniform import Uniform
from jaxaimc.adcs.voting import Hybrid, Mean, Mode, Vote, Voting

__all__ = [
    "ADC",
    "CCO",
    "SAR",
    "BothEnds",
    "ChargeNoise",
    "CodeTable",
    "Codes",
    "ColumnMux",
    "ConversionNoise",
    "Cyclic",
    "Floor",
    "FullRange",
    "FullScaleNoise",
    "GaussianADC",
    "Hybrid",
    "IdealADC",
    "MacroNoise",
    "Mean",
    "MidRise",
    "MidTread",
    "Mismatch",
    "Mode",
    "Nearest",
    "NoNoise",
    "Pipeline",
    "PositiveRange",
    "Ramp",
    "Range",
    "RangedADC",
    "Readout",
    "Rounding",
    "Span",
    "StepNoise",
    "StepRange",
    "Stochastic",
    "Symmetric",
    "TileRange",
    "Truncate",
    "Uniform",
    "Vote",
    "Voting",
    "Wrapped",
    "read_table",
]
