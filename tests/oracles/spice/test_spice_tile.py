"""The whole read of a tile (drive, wires, integration) against pulses followed through time in the circuit."""

import jax
import nodal
import numpy as np
import pytest
import spice_cases
from spice_cases import CASES, conductances

from jaxaimc.adcs import IdealADC
from jaxaimc.cells import Differential
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange, SplitPWM
from jaxaimc.tile import Programmed, mvm, prepare
from jaxaimc.wires import Ladder, OpenIdle, Placement

T_LSB, V_READ, G_SPAN = 1e-9, 0.2, 25e-6


def tile_charge(g, k, drive, *, r=0.15, v_adc=0.4005, unused_rows=(0, 0), idle="held"):
    """Charges [C] that `prepare` and `mvm` give for conductances `g`, in float64, with an ideal ADC."""
    _, rows, cols = g.shape
    before, after = unused_rows
    with jax.enable_x64(True):
        as_array = lambda a: jax.numpy.asarray(a, "float64")  # noqa: E731
        config = AnalogConfig(
            cell=Differential(g_max=G_SPAN),
            device=IdealDevice(),
            wires=Ladder(r=r, v_adc=v_adc) if idle == "held" else OpenIdle(r=r, steps=drive.steps),
            drive=drive,
            adc=IdealADC(),
            rows=before + rows + after,
            cols=cols,
        )
        devices = as_array(g)[None, None, None]
        programmed = Programmed(
            key=jax.random.key(0),
            g=devices,
            g_programmed=devices,
            g_target=devices,
            w_scale=jax.numpy.ones((1, 1, cols)),
            t=as_array(0.0),
            n_in=rows,
            n_out=cols,
        )
        placement = Placement(rows=config.rows, cols=cols, row_start=before)
        y = mvm(config, prepare(config, programmed, placement), as_array(k) / drive.steps)
        return np.asarray(y) * drive.steps * drive.t_lsb * V_READ * G_SPAN


@pytest.mark.parametrize("name", [name for name, (kind, _) in CASES.items() if kind == "pwm"])
def test_tile_equals_stored_transient(name):
    _, inputs, _, results = spice_cases.load(name)
    steps = inputs.pop("steps", 127)
    bits = int(np.log2(steps + 1)) + 1
    drive = PWM(bits=bits, t_lsb=inputs.pop("t_lsb", T_LSB), v_read=V_READ, range=FixedRange(limit=1.0))
    found = tile_charge(inputs.pop("g"), inputs.pop("k"), drive, **inputs)
    np.testing.assert_allclose(found, results[0], rtol=0, atol=spice_cases.tolerance(name) * np.max(np.abs(results)))


def test_split_pulses_equal_two_reads_of_the_circuit():
    g, k = conductances(8, 3, 70), np.array([127, -127, 0, 5, -8, 100, -64, 37])
    high = np.sign(k) * (np.abs(k) // 8)
    expected = nodal.pwm_charge(g, k - 8 * high, steps=7, r=50.0) + 8 * nodal.pwm_charge(g, high, steps=15, r=50.0)
    drive = SplitPWM(bits=8, low_bits=3, t_lsb=T_LSB, v_read=V_READ, range=FixedRange(limit=1.0))
    found = tile_charge(g, k, drive, r=50.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.max(np.abs(expected)))
