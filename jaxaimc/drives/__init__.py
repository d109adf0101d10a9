"""Drives: how digital inputs become pulses on the input lines."""

from jaxaimc.drives.base import Drive, Pulses
from jaxaimc.drives.planes import Amplitude, BitGroups, BitSerial
from jaxaimc.drives.pwm import PWM, SplitPWM
from jaxaimc.drives.ranges import AbsoluteMaximum, FixedRange, InputRange, LearnedRange, PerVector
from jaxaimc.drives.signs import Polarity, Signs, TwoPasses, TwosComplement, Unsigned

__all__ = [
    "PWM",
    "AbsoluteMaximum",
    "Amplitude",
    "BitGroups",
    "BitSerial",
    "Drive",
    "FixedRange",
    "InputRange",
    "LearnedRange",
    "PerVector",
    "Polarity",
    "Pulses",
    "Signs",
    "SplitPWM",
    "TwoPasses",
    "TwosComplement",
    "Unsigned",
]
