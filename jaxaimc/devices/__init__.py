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
)
from jaxaimc.devices.conformance import ConformanceError, check_device
from jaxaimc.devices.curves import (
    Branches,
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
    SpreadSinceFirst,
    TimeCurve,
    Timeline,
)
from jaxaimc.devices.rram import CMOHfOx, CMOHfOxFine, MiloRRAM, WanRRAM, milo_current_coefficients
from jaxaimc.devices.sonos import SONOS
from jaxaimc.devices.stuck import StuckProgramming, StuckRetention, with_stuck
from jaxaimc.devices.table import Table, read_csv, write_csv
from jaxaimc.devices.verify import Outcome, ProgramAndVerify

__all__ = [
    "PCM",
    "SONOS",
    "Branches",
    "CMOHfOx",
    "CMOHfOxFine",
    "ClippedLogarithm",
    "ClippedPower",
    "CommonLogarithm",
    "ConformanceError",
    "Curve",
    "Device",
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
    "Outcome",
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
    "SpreadSinceFirst",
    "StuckProgramming",
    "StuckRetention",
    "Table",
    "Tabulated",
    "TimeCurve",
    "Timeline",
    "UniformProgramming",
    "WanRRAM",
    "check_device",
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
