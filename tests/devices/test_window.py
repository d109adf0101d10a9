"""How far a device was measured, and the refusal of cells that ask for more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_parts import TABLE

from jaxaimc.cells import Differential, Offset
from jaxaimc.devices import (
    PCM,
    SONOS,
    CMOHfOx,
    CMOHfOxFine,
    Device,
    FlickerNoise,
    HermesPairPCM,
    HermesSinglePCM,
    IdealDevice,
    LogTime,
    MiloRRAM,
    NormalProgramming,
    NormalReadNoise,
    PCMDrift,
    PCMJoshi,
    PCMProgrammingNoise,
    Polynomial,
    ProgramAndVerify,
    Relaxation,
    UniformProgramming,
    WanRRAM,
    check_window,
    independent,
    inverse_proportional,
    proportional,
    with_stuck,
)
from jaxaimc.units import uS

PUBLISHED = [
    (PCM(), 25),
    (PCMJoshi(), 25),
    (HermesPairPCM(), 20.7),
    (HermesSinglePCM(), 10.35),
    (WanRRAM(), 40),
    (MiloRRAM(), 225),
    (CMOHfOx(), 88.2),
    (CMOHfOxFine(), 88.2),
    (SONOS(), 16),
    (TABLE.device(), 30),
    (with_stuck(SONOS(), on=0.1), 16),
]


@pytest.mark.parametrize(("device", "window"), PUBLISHED, ids=lambda x: type(x).__name__)
def test_c9_window_of_published_devices(device, window):
    assert device.window == pytest.approx(window * uS, rel=1e-9)
    for part in ("programming", "drift", "read_noise"):
        own = getattr(device, part).window
        assert own is None or own == pytest.approx(window * uS, rel=1e-9), part


@pytest.mark.parametrize(
    "device",
    [
        IdealDevice(),
        Device(programming=NormalProgramming(std=proportional(0.05))),
        Device(programming=UniformProgramming(std=independent(0.05))),
        Device(read_noise=NormalReadNoise(std=inverse_proportional(0.01, smallest=0.1))),
        Device(read_noise=FlickerNoise(amplitude=independent(0.01))),
        Device(drift=Relaxation(std=LogTime(slope=0.01, offset=0.1))),
    ],
)
def test_c9_laws_that_hold_for_any_conductance_have_no_window(device):
    assert device.window is None
    check_window(Differential(g_max=1.0), device)


def test_c9_a_cell_beyond_the_window_is_refused():
    """The fault: the default cell on HERMES devices, which end at 20.7 uS, was taken without a word."""
    with pytest.raises(
        ValueError,
        match=r"Field `cell` .* `g_min \+ g_span` of Differential is 25 uS and `programming` of HermesPairPCM, a "
        r"NormalProgramming, was measured up to 20\.7 uS: write a cell with `g_max=2\.07e-05`",
    ):
        check_window(Differential(), HermesPairPCM())
    stuck = with_stuck(Device(programming=ProgramAndVerify(first=PCMProgrammingNoise())), on=0.1)
    with pytest.raises(ValueError, match="`programming` of StuckDevice, a ProgramAndVerify, was measured up to 25 uS"):
        check_window(Offset(g_min=1e-6, g_max=26e-6), stuck)


@pytest.mark.parametrize(("device", "window"), PUBLISHED, ids=lambda x: type(x).__name__)
def test_c9_a_cell_of_the_whole_window_passes(device, window):
    """Whatever `g_min`, and whatever rounding does to the sum of `g_min` and the span."""
    for g_min in (0.0, 0.1, 9.0):
        check_window(Differential(g_min=g_min * uS, g_max=window * uS), device)
        check_window(Differential(g_min=np.float32(g_min * uS), g_max=np.float32(window * uS)), device)


def test_c9_parts_of_different_windows():
    """Sibling: each part has its own scale, the smallest counts, and the refusal names the part."""
    half = PCM(programming=PCMProgrammingNoise(g_max=50e-6))
    assert half.window == pytest.approx(25e-6)
    with pytest.raises(ValueError, match="`drift` of PCM, a PCMDrift, was measured up to 25 uS"):
        check_window(Differential(g_max=50e-6), half)
    whole = Device(programming=PCMProgrammingNoise(g_max=50e-6), drift=PCMDrift(g_max=50e-6))
    check_window(Differential(g_max=50e-6), whole)


def test_c9_a_fit_ends_with_its_last_state():
    part = NormalProgramming(std=Polynomial(coefficients=(0.1, 0.2), high=0.8), g_max=100e-6)
    assert part.window == pytest.approx(80e-6)


def test_c9_traced_fields_are_not_checked():
    @jax.jit
    def reach(g_max):
        check_window(Differential(g_max=g_max), PCM())
        device = Device(programming=PCMProgrammingNoise(g_max=g_max))
        check_window(Differential(), device)
        return device.program(jnp.ones(2) * g_max, jax.random.key(0))

    assert reach(50e-6).shape == (2,)
