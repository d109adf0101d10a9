"""Times and amplitudes: what a level means to wires that are solved at every read."""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, mvm, prepare, program
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange, VoltageDAC
from jaxaimc.wires import (
    Centred,
    Left,
    Mesh,
    NonlinearMesh,
    OpenIdle,
    Placement,
    PolynomialIV,
    Staggered,
)

PLACE = Placement(rows=4, cols=3)
CONDUCTANCES = np.random.default_rng(0).uniform(1e-5, 1e-4, (1, 4, 3))


def ratio(drive, x):
    config = AnalogConfig(
        device=IdealDevice(),
        wires=NonlinearMesh(mesh=Mesh(r_row=0.0, r_col=0.0), iv=PolynomialIV(c3=10.0)),
        drive=drive,
        adc=IdealADC(),
        rows=1,
        cols=1,
    )
    prepared = prepare(config, program(config, jnp.ones((1, 1)), jax.random.key(0)))
    return mvm(config, prepared, jnp.asarray(x)[:, None])[:, 0] / jnp.asarray(x)


def test_c2_pulses_do_not_bend_with_the_curve_and_amplitudes_do():
    pulses = PWM(v_read=0.5, range=FixedRange(limit=1.0))
    x = np.array([1.0, 64 / 127, 16 / 127])
    np.testing.assert_allclose(ratio(pulses, x), 3.5, rtol=1e-5)
    levels = VoltageDAC(v_read=0.5, range=FixedRange(limit=1.0))
    np.testing.assert_allclose(ratio(levels, x), 1 + 10 * (0.5 * x) ** 2, rtol=1e-5)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(7, id="fewer_rows_than_steps", marks=pytest.mark.slow),
        pytest.param(3, id="more_rows_than_steps"),
    ],
)
def test_c2_timed_pulses_are_the_sum_over_time_of_what_is_on(x64, steps):
    wires = NonlinearMesh(mesh=Mesh(r_row=300.0, r_col=200.0), iv=PolynomialIV(c3=3.0), signs=(1.0,))
    circuit = wires.effective(jnp.asarray(CONDUCTANCES), (1.0,), PLACE).circuit
    k = np.array([[3, -1, 0, 2], [2, 2, -3, 1]]) * (steps // 3)
    charge = circuit.charge(jnp.asarray(k / steps), steps=steps, timed=True, v_read=0.5)
    for vector, found in zip(k, charge, strict=True):
        on = [np.sign(vector) * (np.abs(vector) > t) for t in range(steps)]
        expected = (
            np.mean([wires.read(jnp.asarray(CONDUCTANCES)[0], 0.5 * jnp.asarray(d)).current for d in on], axis=0) / 0.5
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.max(np.abs(expected)))


@pytest.mark.slow
def test_c2_gradients_of_timed_pulses_against_finite_differences(x64):
    wires = NonlinearMesh(mesh=Mesh(r_row=300.0, r_col=200.0), iv=PolynomialIV(c3=3.0), signs=(1.0,))

    @jax.jit
    def f(level, scale):
        circuit = wires.effective(jnp.asarray(CONDUCTANCES) * scale, (1.0,), PLACE).circuit
        return jnp.sum(jnp.sin(2e4 * circuit.charge(level, steps=0, timed=True, v_read=0.5)))

    level = jnp.asarray([0.31, -0.82, 0.54, 0.07])
    slope = jax.jit(jax.grad(f, (0, 1)))(level, 1.0)
    h = 1e-5
    for i, e in enumerate(np.eye(4)):
        np.testing.assert_allclose(slope[0][i], (f(level + h * e, 1.0) - f(level - h * e, 1.0)) / (2 * h), rtol=1e-5)
    np.testing.assert_allclose(slope[1], (f(level, 1 + h) - f(level, 1 - h)) / (2 * h), rtol=1e-5)


def test_c2_rows_driven_with_amplitudes_stay_connected(x64):
    # Against the circuit without its idle rows, driven with shares of the voltage for the whole pulse.
    circuit = OpenIdle(r=500.0, alternate=False).effective(jnp.asarray(CONDUCTANCES), (1.0,), PLACE).circuit
    level = jnp.asarray([0.25, 0.0, -1.0, 0.5])
    found = circuit.charge(level, steps=4, timed=False, v_read=0.2)
    connected = jnp.asarray(level != 0, float)
    held = Mesh(r_row=0.0, r_col=500.0, col_lead=0.5)
    expected = held.read(jnp.asarray(CONDUCTANCES)[0] * connected[:, None], level).current
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    timed = circuit.charge(level, steps=4, timed=True, v_read=0.2)
    assert float(jnp.max(jnp.abs(timed / found - 1))) > 1e-2


@pytest.mark.parametrize("alignment", [Left(), Centred(), Staggered()], ids=lambda a: type(a).__name__)
def test_c13_the_drives_own_steps_are_the_default_and_exact(x64, alignment):
    level = jnp.asarray([3, -7, 2, 5]) / 7
    own, fine = (
        OpenIdle(r=5000.0, alignment=alignment, steps=steps).effective(jnp.asarray(CONDUCTANCES), (1.0,), PLACE).circuit
        for steps in (None, 28)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        charge = own.charge(level, steps=7, timed=True, v_read=0.2)
        expected = fine.charge(level, steps=7, timed=True, v_read=0.2)
    np.testing.assert_allclose(charge, expected, rtol=1e-11)


def test_c13_steps_that_do_not_meet_the_edges_of_pulses_say_so():
    for alignment, steps in itertools.product((Left(), Centred()), (127, 16)):
        circuit = OpenIdle(alignment=alignment, steps=steps).effective(jnp.asarray(CONDUCTANCES), (1.0,), PLACE).circuit
        with pytest.warns(
            UserWarning, match=rf"Field `steps` of OpenIdle is {steps}, but the drive's pulses start and"
        ):
            circuit.charge(jnp.ones(4), steps=7, timed=True, v_read=0.2)
