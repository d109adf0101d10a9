"""One suite over all devices, and proof that it catches devices that break a rule."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import check_refusals, names_of, public
from tiers import mostly_slow

from jaxaimc import component, devices
from jaxaimc.devices import (
    PCM,
    SONOS,
    CMOHfOx,
    CMOHfOxFine,
    Device,
    DeviceTable,
    HermesPairPCM,
    HermesSinglePCM,
    IdealDevice,
    MiloRRAM,
    NormalProgramming,
    NormalReadNoise,
    PCMFlickerNoise,
    PCMJoshi,
    PCMProgrammingNoise,
    PCMPulseNoise,
    ProgramAndVerify,
    SumOfReadNoises,
    UniformProgramming,
    WanRRAM,
    independent,
    inverse_proportional,
    proportional,
    with_stuck,
)
from jaxaimc.devices.base import DriftLaw, ProgrammingNoise, ReadNoise
from jaxaimc.testing import ConformanceError, check_device

TABLE = DeviceTable(
    times=np.array([0.0, 1.0, 1e4]),
    targets=np.array([0.0, 10e-6, 25e-6]),
    mean=np.array([[0.1, 10.0, 25.0], [0.2, 9.8, 25.0], [0.4, 9.5, 24.0]]) * 1e-6,
    std=np.array([[0.2, 0.5, 1.0], [0.3, 0.9, 1.1], [0.3, 0.8, 1.4]]) * 1e-6,
)


def generic(curve, distribution=NormalProgramming):
    noise = NormalReadNoise(std=curve, g_max=25e-6, factor=0.3)
    return Device(programming=distribution(std=curve, g_max=25e-6), read_noise=noise)


DEVICES = {
    "ideal": (IdealDevice(), 25e-6),
    "pcm": (PCM(), 25e-6),
    "pcm flicker": (PCM(read_noise=PCMFlickerNoise()), 25e-6),
    "pcm joshi": (PCMJoshi(), 25e-6),
    "hermes pair": (HermesPairPCM(), 20.7e-6),
    "hermes single": (HermesSinglePCM(), 10.35e-6),
    "wan": (WanRRAM(), 40e-6),
    "milo": (MiloRRAM(), 225e-6),
    "cmo": (CMOHfOx(), 88.2e-6),
    "cmo fine": (CMOHfOxFine(), 88.2e-6),
    "sonos": (SONOS(), 16e-6),
    "independent": (generic(independent(0.05)), 25e-6),
    "proportional": (generic(proportional(0.05)), 25e-6),
    "inverse": (generic(inverse_proportional(0.01, smallest=0.1)), 25e-6),
    "uniform": (generic(independent(0.05), UniformProgramming), 25e-6),
    "table": (TABLE.device(), 25e-6),
    "stuck": (with_stuck(PCM(), on=0.1, off=0.2), 25e-6),
    "verified": (PCM(programming=ProgramAndVerify(first=PCMProgrammingNoise(), tolerance=0.3e-6)), 25e-6),
    "two read noises": (PCM(read_noise=SumOfReadNoises(first=PCMPulseNoise(), second=PCMFlickerNoise())), 25e-6),
    "beyond its fit": (PCM(), 100e-6),
}


def test_every_device_is_here():
    assert public(devices, Device) == names_of(device for device, _ in DEVICES.values())


@pytest.mark.parametrize("name", mostly_slow(DEVICES, lambda name: name in list(DEVICES)[::2]))
def test_device(name):
    check_device(*DEVICES[name])


@pytest.mark.parametrize("name", DEVICES)
def test_bad_numbers_are_refused_in_every_field(name):
    """Whatever continuous field is not a number, `validate` names it."""
    check_refusals(DEVICES[name][0])


@pytest.mark.parametrize("name", mostly_slow(["pcm", "hermes pair", "sonos", "table"], lambda name: name == "pcm"))
def test_device_in_double_precision(name, x64):
    check_device(*DEVICES[name])


@component
class Broken(ProgrammingNoise, DriftLaw, ReadNoise):
    """Every part at once, doing nothing; the tests break one thing at a time."""

    def program(self, target, key):
        return target

    def drift(self, programmed, target, t, key):
        return programmed

    def variance(self, g, target, t):
        return jnp.zeros((1, *g.shape), g.dtype)


def broken(name, function):
    """Return a device with one wrong method."""
    part = component(type("Broken", (Broken,), {name: function}))()
    return Device(programming=part, drift=part, read_noise=part)


def test_the_unbroken_part_passes():
    part = Broken()
    check_device(Device(programming=part, drift=part, read_noise=part), 25e-6)


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("program", lambda self, target, key: target - 1e-6, "negative"),
        ("program", lambda self, target, key: target / target * 1e-6, "finite"),
        ("program", lambda self, target, key: target[0], "shape"),
        ("program", lambda self, target, key: target.astype(jnp.float16), "precision"),
        ("drift", lambda self, programmed, target, t, key: programmed * 0.9, "time zero"),
        ("drift", lambda self, programmed, target, t, key: programmed * (1 - t / 1e6), "negative"),
        ("variance", lambda self, g, target, t: jnp.zeros((1, *g.shape), jnp.float16), "precision"),
    ],
)
def test_bad_device_is_caught(name, function, message):
    with pytest.raises(ConformanceError, match=message):
        check_device(broken(name, function), 25e-6)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("variance", lambda self, g, target, t: jnp.ones((2, *g.shape), g.dtype)),
        ("weight", lambda self, duration: jnp.ones((2, *duration.shape), duration.dtype)),
        ("weight", lambda self, duration: jnp.ones_like(duration)),
    ],
)
def test_bad_number_of_noise_terms_s2(name, function):
    """Refused with the device, before any tile adds up the wrong factors or fails with shapes."""
    weight = {"weight": lambda self, duration: jnp.ones((1, *duration.shape), duration.dtype)}
    part = component(type("Uneven", (Broken,), {**weight, name: function}))()
    with pytest.raises(ValueError, match=r"one factor in `weight` for each in `variance`, but Uneven returns shape"):
        Device(read_noise=part).validate()


@pytest.mark.parametrize("count", [-1, 1, 2])
def test_bad_number_of_small_noise_terms(count):
    part = component(type("Uneven", (Broken,), {"small_terms": property(lambda self: count)}))()
    with pytest.raises(ValueError, match=f"but Uneven has 1 terms and says that {count} are small"):
        Device(read_noise=part).validate()


def test_weights_are_ones_for_as_many_terms_as_the_variance_has():
    part = component(
        type("Two", (Broken,), {"variance": lambda self, g, target, t: jnp.ones((2, *g.shape), g.dtype)})
    )()
    np.testing.assert_array_equal(part.weight(jnp.ones(3)), np.ones((2, 3)))
    assert part.terms == 2


@pytest.mark.parametrize(
    ("kind", "method"), [(ProgrammingNoise, "program"), (DriftLaw, "drift"), (ReadNoise, "variance")]
)
def test_bad_part_without_its_method_s2(kind, method):
    """It cannot be made; in the old protocols it was refused in the middle of a tile, for lack of `validate`."""
    part = component(type("Unfinished", (kind,), {}))
    with pytest.raises(TypeError, match=f"Unfinished is not a whole {kind.__name__} yet: it lacks `def {method}"):
        part()


def test_bad_part_of_no_kind_s2():
    """A class with the right methods that derives from nothing is told what to derive from."""
    part = component(type("Stranger", (), {"program": lambda self, target, key: target}))()
    with pytest.raises(ValueError, match=r"`programming` of Device must be a ProgrammingNoise of `jaxaimc\.devices`"):
        Device(programming=part).validate()
    with pytest.raises(ValueError, match=r"`drift` of Device must be a DriftLaw .* but is a PCMProgrammingNoise"):
        Device(drift=PCMProgrammingNoise())


def test_bad_device_that_says_exact_is_caught():
    for name, function in (
        ("program", lambda self, target, key: target + 1e-9),
        ("drift", lambda self, programmed, target, t, key: programmed + 1e-9 * jnp.minimum(t, 1.0)),
    ):
        part = component(type("Claims", (Broken,), {name: function, "exact": property(lambda self: True)}))()
        with pytest.raises(ConformanceError, match="`exact`"):
            check_device(Device(programming=part, drift=part, read_noise=part), 25e-6)


@component
class OneKey(Device):
    """A device that programs and drifts from the chip key itself, as tiles did before they owned their chip's key."""

    def program(self, target, key):
        return self.programming.program(target, key)

    def at(self, programmed, target, t, key):
        return self.drift.drift(programmed, target, t, key)


@pytest.mark.parametrize("name", ["pcm", "wan", "cmo", "sonos", "table"])
def test_bad_device_that_uses_one_key_twice_is_caught_k1(name):
    device, g_max = DEVICES[name]
    parts = {part: getattr(device, part) for part in ("programming", "drift", "read_noise")}
    with pytest.raises(ConformanceError, match=r"OneKey breaks a rule: .*one chip key must not be correlated"):
        check_device(OneKey(**parts), g_max)


def test_bad_device_whose_parts_cannot_be_told_apart_is_caught():
    class Stubborn(Device):
        def only(self, *parts):
            return self

    stubborn = component(Stubborn)(programming=PCMProgrammingNoise())
    with pytest.raises(ConformanceError, match="without its programming must hold the targets"):
        check_device(stubborn, 25e-6)


def test_bad_device_with_a_hidden_state_is_caught():
    calls = []

    def program(self, target, key):
        calls.append(key)
        return target * (1 + 0.01 * len(calls))

    with pytest.raises(ConformanceError, match="same key"):
        check_device(broken("program", program), 25e-6)


def test_bad_device_with_an_infinite_derivative_is_caught():
    """A square root at zero: finite itself, its derivative is not."""

    def program(self, target, key):
        return jnp.sqrt(target * 1e-6)

    with pytest.raises(ConformanceError, match="derivatives"):
        check_device(broken("program", program), 25e-6)


def test_bad_device_with_a_negative_variance_is_caught():
    def variance(self, g, target, t):
        return -jnp.ones((1, *g.shape), g.dtype)

    def weight(self, duration):
        return jnp.ones((1, *duration.shape), duration.dtype)

    part = component(type("Negative", (Broken,), {"variance": variance, "weight": weight}))()
    with pytest.raises(ConformanceError, match="must not be negative"):
        check_device(replace(IdealDevice(), read_noise=part), 25e-6)


def test_bad_fields_are_refused_at_the_door():
    with pytest.raises(ValueError, match="`g_max`"):
        check_device(PCM(), 0.0)
    with pytest.raises(ValueError, match="`factor` of PCMProgrammingNoise"):
        check_device(PCM(programming=PCMProgrammingNoise(factor=-1.0)), 25e-6)


def test_chips_differ_and_times_do_not_redraw():
    """The key is the chip: another key is another chip, and the same chip keeps its exponents at every time."""
    device, g_max = DEVICES["pcm"]
    target = jnp.full(1000, g_max / 2)
    keys = jax.random.split(jax.random.key(0), 2)
    one, other = (device.drift.drift(target, target, 1e4, key) for key in keys)
    assert not np.array_equal(one, other)
    later = device.drift.drift(target, target, 1e6, keys[0])
    exponents = [-np.log(g / target) / np.log1p(t / 20) for g, t in ((one, 1e4), (later, 1e6))]
    np.testing.assert_allclose(*exponents, rtol=1e-4)
