"""Profiles of the rows' activity against loops in NumPy, and on chips."""

import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, drift, mvm, prepare, program
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, BitSerial, SplitPWM
from jaxaimc.tile import activity_profile
from jaxaimc.wires import Blocks, EveryStep, Ladder, MeanField, OpenIdle, Staggered

BINS = 3
CONFIG = AnalogConfig(
    device=IdealDevice(), adc=IdealADC(), wires=OpenIdle(r=500.0, method=MeanField(bins=BINS)), rows=4, cols=3
)
INPUTS = jnp.maximum(jnp.asarray(np.random.default_rng(0).normal(size=(300, 22)), jnp.float32), -0.5)


def codes(config, x):
    """Pulses of (vector, plane, input), of which the drives' own tests say that they are right."""
    return np.asarray(config.drive.encode(x).level, np.float64)


def by_loops(level, groups, rows, tile_rows, edges, start):
    """For which share of each stretch each row is on: mean over vectors, one number after the other."""
    vectors, planes, n_in = level.shape
    found = np.zeros((groups * tile_rows, planes, len(edges) - 1, rows))
    for tile, plane, k, row in np.ndindex(*found.shape):
        group, place = divmod(tile, tile_rows)
        place = place * rows + row
        if place >= n_in // groups:
            continue
        for pulse in np.abs(level[:, plane, group * (n_in // groups) + place]):
            begin = start(row, pulse)
            on = min(begin + pulse, edges[k + 1]) - max(begin, edges[k])
            found[tile, plane, k, row] += max(on, 0) / (edges[k + 1] - edges[k]) / vectors
    return found


CLOSER = [(k / BINS) ** 1.7 for k in range(BINS + 1)]
EQUAL = [k / BINS for k in range(BINS + 1)]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("drive", "staggered"),
    [(PWM(), False), (PWM(), True), (SplitPWM(), False)],
    ids=["pulses", "staggered pulses", "split pulses"],
)
def test_profile_of_times_against_loops(drive, staggered, groups):
    wires = CONFIG.wires.with_(alignment=Staggered()) if staggered else CONFIG.wires
    config = replace(CONFIG, drive=drive, wires=wires)
    start = (lambda row, pulse: 1 - pulse if row % 2 else 0) if staggered else (lambda row, pulse: 0)
    tile_rows = {1: 6, 2: 3}[groups]
    expected = by_loops(codes(config, INPUTS), groups, 4, tile_rows, EQUAL if staggered else CLOSER, start)
    found = activity_profile(config, INPUTS, groups)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_profile_of_bit_planes_is_how_often_each_row_is_driven():
    config = replace(CONFIG, drive=BitSerial(bits=4))
    level = codes(config, INPUTS)
    found = activity_profile(config, INPUTS)
    assert found.shape == (6, level.shape[1], 1, 4)
    often = np.mean(level != 0, axis=0)
    expected = np.pad(often, ((0, 0), (0, 2))).reshape(-1, 6, 4).swapaxes(0, 1)
    np.testing.assert_allclose(found[:, :, 0], expected, atol=1e-6)


def test_methods_without_stretches_of_their_own_have_four():
    for method in (EveryStep(), Blocks(bins=9)):
        config = replace(CONFIG, wires=CONFIG.wires.with_(method=method))
        assert activity_profile(config, INPUTS).shape == (6, 1, 4, 4)


@pytest.mark.parametrize(
    ("x", "groups", "text"),
    [
        (np.zeros((0, 22)), 1, r"shape \(0, 22\)"),
        (np.zeros((3, 0)), 1, r"shape \(3, 0\)"),
        (np.float32(1.0), 1, r"shape \(\)"),
        (np.zeros((3, 7)), 2, r"2 groups, but has shape \(3, 7\)"),
        (np.zeros((3, 7), complex), 1, "Argument `x`"),
    ],
    ids=["no vector", "no input", "a number", "groups of unequal size", "complex"],
)
def test_bad_inputs_of_a_profile_are_refused(x, groups, text):
    with pytest.raises(ValueError, match=f"Argument `x` .*{text}" if "x" not in text else text):
        activity_profile(CONFIG, x, groups)


def test_bad_profile_of_linear_wires_is_refused():
    with pytest.raises(ValueError, match=r"wires whose load depends on the rows' activity, .* but has Ladder"):
        activity_profile(replace(CONFIG, wires=Ladder()), INPUTS)


def test_bad_profile_of_another_drive_or_matrix_is_refused():
    planes = replace(CONFIG, drive=BitSerial(bits=4))
    programmed = program(CONFIG, jnp.ones((22, 5)), jax.random.key(0))
    for profile in (activity_profile(planes, INPUTS), activity_profile(CONFIG, INPUTS[:, :12])):
        with pytest.raises(ValueError, match=r"`programmed` has a profile of shape .* drive is PWM, .* \(6, 1, bins, "):
            prepare(CONFIG, replace(programmed, profile=profile))


def answer(programmed):
    return mvm(CONFIG, prepare(CONFIG, programmed), INPUTS[:5])


def test_profile_travels_with_its_chip_and_mean_field_reads_with_it():
    programmed = program(CONFIG, jnp.asarray(np.random.default_rng(1).normal(size=(22, 5))), jax.random.key(0))
    sparse = activity_profile(CONFIG, jnp.where(jnp.arange(22) % 5 == 0, INPUTS, 0))
    known = replace(programmed, profile=sparse)
    y, expected = answer(programmed), answer(known)
    assert float(jnp.max(jnp.abs(y - expected))) > 1e-2 * float(jnp.max(jnp.abs(y)))
    later = drift(CONFIG, known, 60.0)
    for chip in (jax.jit(lambda chip: chip)(known), pickle.loads(pickle.dumps(known)), later):
        np.testing.assert_array_equal(chip.profile, sparse)
        np.testing.assert_allclose(answer(chip), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.jit(answer)(known), expected, rtol=1e-5, atol=1e-5)


def test_mean_field_with_the_profile_of_its_inputs_is_closer_to_every_step():
    config = replace(CONFIG, rows=64, wires=CONFIG.wires.with_(r=20.0))
    w, x = (jnp.asarray(np.random.default_rng(2).normal(size=shape), jnp.float32) for shape in ((64, 3), (64, 64)))
    x = jnp.maximum(x - jnp.arange(64) / 64, 0)
    programmed = program(config, w, jax.random.key(0))

    def read(method, profile):
        own = replace(config, wires=config.wires.with_(method=method))
        return mvm(own, prepare(own, replace(programmed, profile=profile)), x[:8])

    exact = read(EveryStep(), ())
    of_data, assumed = (read(MeanField(bins=BINS), p) for p in (activity_profile(config, x), ()))
    assert float(jnp.mean((of_data - exact) ** 2)) < 0.1 * float(jnp.mean((assumed - exact) ** 2))


@pytest.mark.parametrize("drive", [BitSerial(bits=4), SplitPWM()], ids=lambda drive: type(drive).__name__)
def test_every_plane_of_pulses_has_its_own_profile(drive):
    # With the profile of one vector, its mean field is its own; with planes exchanged it is not.
    programmed = program(CONFIG, jnp.asarray(np.random.default_rng(1).normal(size=(22, 5))), jax.random.key(0))

    def read(method, profile):
        config = replace(CONFIG, drive=drive, wires=OpenIdle(r=500.0, method=method))
        return mvm(config, prepare(config, replace(programmed, profile=profile)), INPUTS[:1])

    fine = MeanField(bins=48)
    profile = activity_profile(replace(CONFIG, drive=drive, wires=OpenIdle(method=fine)), INPUTS[:1])
    exact = read(EveryStep(), ())
    largest = float(jnp.max(jnp.abs(exact)))
    np.testing.assert_allclose(read(fine, profile), exact, atol=1e-3 * largest)
    assert float(jnp.max(jnp.abs(read(fine, profile[:, ::-1]) - exact))) > 4e-3 * largest
