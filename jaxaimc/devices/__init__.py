"""Devices: target conductance -> programmed -> drifted -> noise of one read."""

from jaxaimc.devices import fit
from jaxaimc.devices.base import (
    Device,
    DriftLaw,
    IdealDevice,
    NoDrift,
    NoProgrammingNoise,
    NoReadNoise,
    ProgrammingNoise,
    ReadNoise,
    check_window,
)
from jaxaimc.devices.curves import (
    Branches,
    Chebyshev,
    ClippedLogarithm,
    ClippedPower,
    CommonLogarithm,
    Curve,
    Inverse,
    Polynomial,
    Saturating,
    Tabulated,
)
from jaxaimc.devices.generic import independent, inverse_proportional, proportional, uniform_read_noise
from jaxaimc.devices.hermes import HermesPairPCM, HermesSinglePCM
from jaxaimc.devices.laws import FlickerNoise, NormalProgramming, NormalReadNoise, PowerLawDrift, UniformProgramming
from jaxaimc.devices.pcm import (
    PCM,
    PCMDrift,
    PCMFlickerNoise,
    PCMJoshi,
    PCMJoshiProgrammingNoise,
    PCMProgrammingNoise,
    PCMPulseNoise,
)
from jaxaimc.devices.relaxation import (
    LogTime,
    NoChange,
    Relaxation,
    ShiftSinceFirst,
    StdSinceFirst,
    TimeCurve,
    Timeline,
)
from jaxaimc.devices.rram import CMOHfOx, CMOHfOxFine, MiloRRAM, WanRRAM, milo_current_coefficients
from jaxaimc.devices.sonos import SONOS
from jaxaimc.devices.stuck import StuckDevice, with_stuck
from jaxaimc.devices.table import DeviceTable, read_csv, write_csv
from jaxaimc.devices.verify import ProgramAndVerify, Verification

__all__ = [
    "PCM",
    "SONOS",
    "Branches",
    "CMOHfOx",
    "CMOHfOxFine",
    "Chebyshev",
    "ClippedLogarithm",
    "ClippedPower",
    "CommonLogarithm",
    "Curve",
    "Device",
    "DeviceTable",
    "DriftLaw",
    "FlickerNoise",
    "HermesPairPCM",
    "HermesSinglePCM",
    "IdealDevice",
    "Inverse",
    "LogTime",
    "MiloRRAM",
    "NoChange",
    "NoDrift",
    "NoProgrammingNoise",
    "NoReadNoise",
    "NormalProgramming",
    "NormalReadNoise",
    "PCMDrift",
    "PCMFlickerNoise",
    "PCMJoshi",
    "PCMJoshiProgrammingNoise",
    "PCMProgrammingNoise",
    "PCMPulseNoise",
    "Polynomial",
    "PowerLawDrift",
    "ProgramAndVerify",
    "ProgrammingNoise",
    "ReadNoise",
    "Relaxation",
    "Saturating",
    "ShiftSinceFirst",
    "StdSinceFirst",
    "StuckDevice",
    "Tabulated",
    "TimeCurve",
    "Timeline",
    "UniformProgramming",
    "Verification",
    "WanRRAM",
    "check_window",
    "fit",
    "independent",
    "inverse_proportional",
    "milo_current_coefficients",
    "proportional",
    "read_csv",
    "uniform_read_noise",
    "with_stuck",
    "write_csv",
]
