"""The circuits whose SPICE results are stored in `data/`, as inputs of the netlist writers."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxaimc import spice

DATA = Path(__file__).parent / "data"

# physics reference case of the column ladder: 4 outputs, 16 inputs, 8-bit pulses, 100 ohm, 25/0 uS, v_adc = v_idle
REFERENCE_K = [126, 69, -41, -120, -108, -14, 90, 126, 67, -43, -120, -107, -12, 91, 126, 65]
REFERENCE_W = np.round(np.sin(1.3 * np.arange(4) + 0.7 * np.arange(16)[:, None] + 0.2), 3)  # (inputs, outputs)
REFERENCE_Y = [-4.476740918, 0.019218464, 4.167680303, 2.249742366]


def one_sided(w, g_max=25e-6):
    return g_max * np.stack([np.maximum(w, 0), np.maximum(-w, 0)])


def conductances(rows, cols, seed, open_share=0.0):
    """Random devices between 0.1 and 25 uS, some of them open."""
    rng = np.random.default_rng(seed)
    g = np.round(rng.uniform(0.1, 25.0, (2, rows, cols)), 2) * 1e-6
    return np.where(rng.random(g.shape) < open_share, 0.0, g)


def all_signs(rows):
    return np.array(list(itertools.product([1, -1], repeat=rows)))


def some_idle(rows, seed, count=6):
    drawn = np.random.default_rng(seed).integers(-1, 2, (count, rows))
    return np.concatenate([drawn, np.zeros((1, rows), int)])


def _every_input(rows, seed):
    return np.concatenate([all_signs(rows), some_idle(rows, seed)])


def _open_devices():
    g = conductances(5, 4, 3, open_share=0.5)
    g[:, 2, :] = 0.0  # an empty row
    g[:, :, 3] = 0.0  # an empty column
    return g


def dc(**inputs):
    return "dc", inputs


def pwm(**inputs):
    return "pwm", inputs


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dc_6x4_150_mohm": dc(g=conductances(6, 4, 0), drive=_every_input(6, 10), r=0.15),
    "dc_6x4_10_ohm": dc(g=conductances(6, 4, 1), drive=_every_input(6, 11), r=10.0),
    "dc_6x4_100_ohm": dc(g=conductances(6, 4, 2), drive=_every_input(6, 12), r=100.0),
    "dc_open_devices": dc(g=_open_devices(), drive=some_idle(5, 13), r=100.0),
    "dc_no_wire_resistance": dc(g=conductances(5, 3, 4), drive=some_idle(5, 14), r=0.0),
    "dc_adc_resistance_alone": dc(g=conductances(5, 3, 5), drive=some_idle(5, 15), r=0.0, r_adc=1e3),
    "dc_wire_resistance_alone": dc(g=conductances(5, 3, 6), drive=some_idle(5, 16), r=50.0, r_adc=0.0),
    "dc_unused_rows": dc(g=conductances(5, 4, 7), drive=some_idle(5, 17), r=100.0, unused_rows=(3, 7)),
    "dc_same_end": dc(g=conductances(5, 2, 8), drive=some_idle(5, 18), r=100.0, alternate=False),
    "dc_one_cell": dc(g=conductances(1, 1, 9), drive=np.array([[1], [-1], [0]]), r=1e3),
    "dc_other_voltages": dc(
        g=conductances(4, 2, 20), drive=some_idle(4, 21), r=30.0, v_read=0.1, v_idle=-0.3, v_adc=0.02
    ),
    "pwm_8x3": pwm(g=conductances(8, 3, 22), k=np.array([127, -127, 0, 1, -1, 126, -64, 37]), r=10.0),
    "pwm_reference": pwm(g=one_sided(REFERENCE_W), k=np.array(REFERENCE_K), r=100.0, v_adc=0.4),
    "pwm_open_devices": pwm(g=_open_devices(), k=np.array([100, -3, 50, 0, -127]), r=100.0),
    "pwm_unused_rows": pwm(g=conductances(5, 2, 23), k=np.array([90, -5, 12, -110, 64]), r=100.0, unused_rows=(2, 4)),
    "pwm_4_bits": pwm(g=conductances(6, 2, 24), k=np.array([7, -7, 3, -1, 0, 5]), steps=7, t_lsb=4e-9, r=5.0),
    "pwm_no_wire_resistance": pwm(g=conductances(4, 2, 25), k=np.array([127, 20, -20, -1]), r=0.0),
    "open_reference": pwm(g=one_sided(REFERENCE_W), k=np.array(REFERENCE_K), r=100.0, v_adc=0.4, idle="open"),
    "open_unused_rows": pwm(
        g=conductances(5, 2, 26), k=np.array([90, -5, 0, -127, 64]), r=100.0, v_adc=0.4, unused_rows=(2, 4), idle="open"
    ),
    "open_4_bits": pwm(
        g=40 * conductances(6, 2, 27),
        k=np.array([7, -7, 3, -1, 0, 5]),
        steps=7,
        t_lsb=4e-9,
        r=40.0,
        v_adc=0.4,
        idle="open",
    ),
}
# What `wires.Ladder` simulates; the others are `wires.OpenIdle`'s.
HELD = [name for name, (_, inputs) in CASES.items() if inputs.get("idle") != "open"]
OPEN = [name for name in CASES if name not in HELD]

WRITERS = {"dc": spice.ladder_dc, "pwm": spice.ladder_pwm}


def write(kind, inputs):
    return WRITERS[kind](**inputs)


def stack(printed):
    """Results of `spice.run`, columns last: (inputs, cols) for operating points, (1, cols) for a charge."""
    return np.stack(list(printed.values()), axis=-1)


def load(name):
    """A stored record, its inputs as the writers take them and its results as an array with columns last."""
    record = json.loads((DATA / f"{name}.json").read_text())
    inputs: dict[str, Any] = {
        key: np.array(value) if key in ("g", "drive", "k") else value for key, value in record["inputs"].items()
    }
    return record["kind"], inputs, "\n".join(record["netlist"]) + "\n", stack(record["results"])


def tolerance(name):
    """What a transient run leaves: a gate's edge lasts a millionth of a step, and the switch opens somewhere in it."""
    return 1e-6 if name in OPEN else 1e-9
