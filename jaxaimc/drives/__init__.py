"""Drives: how digital inputs become pulses on the input lines."""

from jaxaimc.drives.base import Drive, Pulses
from jaxaimc.drives.planes import BitGroups, BitSerial, PlaneDrive, VoltageDAC
from jaxaimc.drives.pwm import PWM, SplitPWM
from jaxaimc.drives.ranges import AbsoluteMaximum, FixedRange, InputRange, LearnedRange, PerVector
from jaxaimc.drives.signs import SignMagnitude, Signs, TwoPasses, TwosComplement, Unsigned

__all__ = [
    "PWM",
    "AbsoluteMaximum",
    "BitGroups",
    "BitSerial",
    "Drive",
    "FixedRange",
    "InputRange",
    "LearnedRange",
    "PerVector",
    "PlaneDrive",
    "Pulses",
    "SignMagnitude",
    "Signs",
    "SplitPWM",
    "TwoPasses",
    "TwosComplement",
    "Unsigned",
    "VoltageDAC",
]
