"""One chip key for programming and for every later time: no two draws of a chip share their numbers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_parts import TABLE
from tiers import mostly_slow

from jaxaimc._core import random
from jaxaimc.devices import (
    PCM,
    SONOS,
    CMOHfOx,
    CMOHfOxFine,
    Device,
    HermesPairPCM,
    HermesSinglePCM,
    MiloRRAM,
    PCMDrift,
    PCMJoshi,
    PCMProgrammingNoise,
    ProgramAndVerify,
    UniformProgramming,
    WanRRAM,
    fit,
    independent,
    laws,
    relaxation,
    table,
    verify,
    with_stuck,
)

CHIP = jax.random.key(7)
PROGRAMMING = {
    "pcm": PCM().programming,
    "joshi": PCMJoshi().programming,
    "hermes pair": HermesPairPCM().programming,
    "hermes single": HermesSinglePCM().programming,
    "wan": WanRRAM().programming,
    "milo": MiloRRAM().programming,
    "cmo": CMOHfOx().programming,
    "cmo fine": CMOHfOxFine().programming,
    "sonos": SONOS().programming,
    "uniform": UniformProgramming(std=independent(0.05)),
    "table": TABLE,
    # Verified to a tolerance far below what a pulse does: many pulses, each with numbers of its own.
    "verified": ProgramAndVerify(first=PCMProgrammingNoise(), tolerance=0.2e-6, verify_noise=0.1e-6, max_pulses=4),
}
DRIFT = {
    "pcm": PCM().drift,
    "hermes pair": HermesPairPCM().drift,
    "hermes single": HermesSinglePCM().drift,
    "wan": WanRRAM().drift,
    "cmo": CMOHfOx().drift,
    "sonos": SONOS().drift,
    "table": TABLE,
}
PAIRS = list(itertools.product(PROGRAMMING, DRIFT))
# Deviations and changes of one target: two independent sets correlate within 4 of their standard errors.
TARGET = jnp.full(10_000, 9e-6)
BOUND = 4 / 100


@pytest.fixture(scope="module")
def deviations():
    """What each programming part makes of the chip key, used the natural way."""
    parts = {name: Device(programming=part) for name, part in PROGRAMMING.items()}
    return {name: np.asarray(jax.jit(part.program)(TARGET, CHIP) - TARGET, float) for name, part in parts.items()}


@pytest.fixture(scope="module")
def changes():
    parts = {name: Device(drift=law) for name, law in DRIFT.items()}
    return {
        name: np.asarray(jax.jit(part.at)(TARGET, TARGET, 1e5, CHIP) - TARGET, float) for name, part in parts.items()
    }


def test_k1_programming_and_drift_of_one_chip_key_are_independent(deviations, changes):
    """The fault: both drawn from one key, they correlated by -0.94, and a day old chip was four times too good."""
    found = {pair: np.corrcoef(deviations[pair[0]], changes[pair[1]])[0, 1] for pair in PAIRS}
    assert max(abs(value) for value in found.values()) < BOUND, found


def test_k1_stuck_cells_are_independent_of_programming_and_drift(deviations, changes):
    stuck = with_stuck(Device(programming=PCMProgrammingNoise()), off=0.5)
    mask = np.asarray(stuck.program(TARGET, CHIP) == 0, float)
    assert mask.mean() == pytest.approx(0.5, abs=0.02)
    for name, values in (deviations | changes).items():
        assert abs(np.corrcoef(mask, values)[0, 1]) < BOUND, name


def drawn_from(device, monkeypatch):
    """Return the keys from which a device draws at programming and at a later time, in words."""
    keys = []

    def recorded(draw):
        def wrapped(key, *args, **kwargs):
            keys.append(tuple(np.asarray(jax.random.key_data(key)).tolist()))
            return draw(key, *args, **kwargs)

        return wrapped

    for module in (laws, relaxation, table, verify):
        monkeypatch.setattr(module, "standard_normal", recorded(random.standard_normal))
    monkeypatch.setattr(jax.random, "uniform", recorded(jax.random.uniform))
    target = jnp.full(40, 9e-6)
    with jax.disable_jit():
        programmed = device.program(target, CHIP)
        early = len(keys)
        device.at(programmed, target, 1e5, CHIP)
    return keys, early


@pytest.mark.parametrize("stuck", mostly_slow([False, True], lambda stuck: stuck), ids=["", "stuck"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_k1_no_two_draws_share_a_key(pair, stuck, monkeypatch):
    device = Device(programming=PROGRAMMING[pair[0]], drift=DRIFT[pair[1]])
    if stuck:
        device = with_stuck(device, on=0.1)
    keys, early = drawn_from(device, monkeypatch)
    if stuck:
        # The mask alone is drawn twice, from one key: the same cells are stuck at every time.
        assert keys[early - 1] == keys[-1]
        keys = keys[:-1]
    assert len(keys) == len(set(keys)) >= 2 + stuck
    # Nor is any of them the chip key itself, of which the parts of others are made.
    chip = tuple(np.asarray(jax.random.key_data(CHIP)).tolist())
    assert chip not in keys


def test_k1_every_pulse_of_program_and_verify_has_its_own_numbers(monkeypatch):
    device = Device(programming=ProgramAndVerify(first=PCMProgrammingNoise(), tolerance=0.0, max_pulses=6))
    keys, _ = drawn_from(device, monkeypatch)
    assert len(keys) == len(set(keys)) == 2 + 2 * 5


def test_k1_a_fitted_sample_does_not_share_numbers():
    data = fit.Measurements(np.full(20_000, 9e-6), np.repeat([0.0, 1e5], 10_000), np.zeros(20_000))
    drawn = fit.sample(PCM(), data, seed=3)
    first, later = drawn.g[:10_000], drawn.g[10_000:]
    alone = fit.sample(Device(drift=PCMDrift()), data, seed=3).g[10_000:]
    assert abs(np.corrcoef(first, alone)[0, 1]) < BOUND
    assert later.mean() < 0.8 * first.mean()


def test_k2_a_pair_of_keys_stands_for_the_chip_key():
    """Tiles fold their number into each half of the chip key, and hand both over as they are."""
    target, device = TARGET[:100], with_stuck(PCM(), off=0.3)
    pair = jax.random.split(CHIP)
    programmed = device.program(target, CHIP)
    np.testing.assert_array_equal(device.program(target, pair), programmed)
    for law in (device, PCM()):
        np.testing.assert_array_equal(law.at(programmed, target, 1e5, pair), law.at(programmed, target, 1e5, CHIP))


@pytest.mark.parametrize("device", [PCM(), WanRRAM(), SONOS(), TABLE.device(), with_stuck(PCM(), on=0.1)])
def test_draws_are_those_of_the_parts(device):
    """`programming_key, drift_key = jax.random.split(key)`: results of networks of before stay what they were."""
    target = TARGET[:100]
    programming_key, drift_key = jax.random.split(CHIP)
    healthy = np.asarray(device.program(target, CHIP) != 25e-6)
    programmed = device.programming.program(target, programming_key)
    np.testing.assert_array_equal(device.program(target, CHIP)[healthy], programmed[healthy])
    later = device.drift.drift(programmed, target, 1e5, drift_key)
    np.testing.assert_array_equal(device.at(programmed, target, 1e5, CHIP)[healthy], later[healthy])
