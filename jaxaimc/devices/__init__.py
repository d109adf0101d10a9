"""Devices: target conductance -> programmed -> drifted -> noise of one read."""

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
from jaxaimc.devices.pcm import PCM, PCMDrift, PCMFlickerNoise, PCMProgrammingNoise, PCMPulseNoise

__all__ = [
    "PCM",
    "Device",
    "DriftLaw",
    "IdealDevice",
    "NoDrift",
    "NoProgrammingNoise",
    "NoReadNoise",
    "PCMDrift",
    "PCMFlickerNoise",
    "PCMProgrammingNoise",
    "PCMPulseNoise",
    "ProgrammingNoise",
    "ReadNoise",
]
