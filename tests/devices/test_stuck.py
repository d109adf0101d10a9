"""Stuck devices: as many as said, the same ones at every time, and nothing of them in the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import component
from jaxaimc.devices import PCM, CMOHfOx, Device, IdealDevice, NoDrift, StuckDevice, WanRRAM, with_stuck

KEY = jax.random.key(0)
MANY = jnp.full(200_000, 10e-6)


def test_stuck_devices_are_as_many_as_said_and_stay_for_ever():
    """Relaxation would move a device at zero; a stuck one stays, a healthy one that was cut at zero does not."""
    device = with_stuck(WanRRAM(), on=0.1, off=0.2, g_on=40e-6)
    target = jnp.full(100_000, 0.2e-6)
    programmed = device.program(target, KEY)
    later = device.at(programmed, target, 2e5, KEY)
    on, off = np.asarray(programmed == 40e-6), np.asarray((programmed == 0) & (later == 0))
    assert on.mean() == pytest.approx(0.1, abs=0.004)
    np.testing.assert_array_equal(later[on], programmed[on])
    # Of the healthy ones a third is cut at zero, and half of those are cut again.
    healthy = WanRRAM().program(target, KEY) > 0
    assert np.mean(np.asarray(programmed == 0)[np.asarray(healthy) & ~on]) == pytest.approx(0.2 / 0.9, abs=0.01)
    cut = np.asarray(programmed == 0) & ~np.asarray(healthy)
    assert cut.mean() > 0.1
    assert np.mean(off[cut]) < 0.8


@pytest.mark.parametrize("t", [0.0, 1.0, 1e7])
def test_k1_the_same_devices_are_stuck_at_every_time(t):
    """The mask is the chip's own: it needs no look at the conductances, which may have been anything."""
    device = with_stuck(CMOHfOx(), on=0.2, off=0.2, g_on=88.2e-6, g_off=9e-6)
    target = jnp.full(10_000, 40e-6)
    programmed = device.program(target, KEY)
    later = device.at(target, target, t, KEY)
    for g in (88.2e-6, 9e-6):
        np.testing.assert_array_equal(programmed == jnp.float32(g), later == jnp.float32(g))


def test_k1_a_healthy_device_at_the_stuck_conductance_is_not_taken_for_a_stuck_one():
    """In the old code the last bit of the number told them apart, and moved healthy ones by one step."""
    device = with_stuck(Device(drift=PCM().drift), off=0.5, g_off=10e-6)
    programmed = device.program(MANY, KEY)
    np.testing.assert_array_equal(programmed, MANY)
    later = device.at(programmed, MANY, 1e6, KEY)
    assert float(jnp.mean(later == MANY)) == pytest.approx(0.5, abs=0.005)


def test_healthy_devices_keep_their_draws_beside_stuck_ones():
    """To the last bit: the mask takes nothing from the numbers of programming and drift."""
    device = with_stuck(PCM(), off=0.5)
    programmed, alone = device.program(MANY, KEY), PCM().program(MANY, KEY)
    healthy = np.asarray(programmed != 0)
    assert healthy.mean() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(programmed[healthy], alone[healthy])
    later, later_alone = (d.at(alone, MANY, 1e6, KEY) for d in (device, PCM()))
    np.testing.assert_array_equal(later[healthy], later_alone[healthy])
    # Which devices are stuck says nothing of what they would have been.
    assert abs(np.corrcoef(healthy, alone)[0, 1]) < 0.01
    assert abs(np.corrcoef(healthy, later_alone / alone)[0, 1]) < 0.01


def test_stuck_cells_stay_with_programming():
    device = with_stuck(PCM(), off=0.5)
    assert isinstance(device.only("programming"), StuckDevice)
    quiet = device.only("drift", "read_noise")
    assert not isinstance(quiet, StuckDevice)
    np.testing.assert_array_equal(quiet.program(MANY, KEY), MANY)
    assert device.only("read_noise").exact
    assert not device.exact
    assert device.with_(off=0.25).off == 0.25


def test_stuck_again_replaces_the_fractions():
    assert with_stuck(with_stuck(PCM(), on=0.5), off=0.25) == with_stuck(PCM(), off=0.25)


@component
class Doubling(Device):
    """A device that programs by itself."""

    def program(self, target, key):
        return 2 * target


@component
class StuckDoubling(StuckDevice, Doubling):
    """The same with stuck cells."""


def test_a_device_with_methods_of_its_own_can_be_stuck_too():
    with pytest.raises(ValueError, match="derive a class from StuckDevice and Doubling, in this order"):
        with_stuck(Doubling(), off=0.5)
    g = StuckDoubling(off=0.5).program(MANY, KEY)
    np.testing.assert_array_equal(jnp.unique(g), jnp.array([0.0, 20e-6], jnp.float32))


def test_bad_stuck_fractions_are_refused():
    with pytest.raises(ValueError, match=r"`on \+ off` of StuckDevice must be in \[0, 1\], but is 1.4"):
        with_stuck(PCM(), on=0.7, off=0.7)
    with pytest.raises(ValueError, match="`g_off` of StuckDevice"):
        with_stuck(IdealDevice(), off=0.1, g_off=-1e-6)
    with pytest.raises(ValueError, match="`off` of StuckDevice"):
        with_stuck(PCM(), off=1.5)


def test_stuck_cells_of_a_device_without_drift():
    device = with_stuck(Device(drift=NoDrift()), on=0.5)
    g = device.program(MANY, KEY)
    np.testing.assert_array_equal(device.at(g, MANY, 1e8, KEY), g)
