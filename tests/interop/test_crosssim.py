"""Configurations of CrossSim, against its published formulas: github.com/sandialabs/cross-sim, `simulator/configs`,
`circuits/dac/quantizer_dac.py`, `circuits/adc/quantizer_adc.py`, `circuits/array_simulator.py` and `cores`."""

import copy
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import analog_matmul, drift, interop, presets, program
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.units import day

BASE = {
    "core": {
        "style": 1, "rows_max": 1152, "cols_max": 256, "weight_bits": 8, "complex_matrix": False,
        "balanced": {"style": 1, "interleaved_posneg": False, "subtract_current_in_xbar": True},
        "bit_sliced": {"style": 1, "num_slices": 2}, "offset": {"style": 1},
        "mapping": {
            "weights": {"clipping": True, "min": None, "max": None, "percentile": 1.0, "row_partition_priority": [],
                        "row_partition_strategy": 2, "col_partition_strategy": "EQUAL"},
            "inputs": {"_match": True, "mvm": {"clipping": False, "min": -2.0, "max": 2.0, "percentile": None}},
        },
    },
    "simulation": {"useGPU": False, "convolution": {"is_conv_core": False}, "Verr_th_mvm": 0.001},
    "xbar": {
        "device": {"cell_bits": 7, "Rmin": 1e5, "Rmax": 1e6, "time": 0, "infinite_on_off_ratio": False},
        "array": {"Icol_max": 0, "parasitics": {"enable": False, "Rp_row": 0, "Rp_col": 0, "gate_input": False}},
        "adc": {"mvm": {"model": "SignMagnitudeADC", "bits": 8, "signed": True, "calibrated_range": [-4.5, 4.5]}},
        "dac": {"mvm": {"model": "SignMagnitudeDAC", "bits": 8, "input_bitslicing": True, "slice_size": 1}},
    },
}  # fmt: skip


def changed(**changes):
    """A configuration with some fields set, by their paths with `__` for the dots."""
    source = copy.deepcopy(BASE)
    for path, value in changes.items():
        *groups, name = path.split("__")
        group = source
        for part in groups:
            group = group.setdefault(part, {})
        group[name] = value
    return source


def quantised(y, bits, low, high, *, sign_magnitude):
    steps = 2**bits - 2 if sign_magnitude else 2**bits - 1
    return low + np.round((np.clip(y, low, high) - low) * steps / (high - low)) * (high - low) / steps


def digits_of(x, bits, size):
    """Slices of signed inputs in [-1, 1], each over the largest digit."""
    k = np.round(np.abs(x) * (2 ** (bits - 1) - 1))
    for _ in range(-(-(bits - 1) // size)):
        yield np.sign(x) * (k % 2**size) / (2**size - 1)
        k = k // 2**size


def balanced(w, x, *, ratio, bits=8, size=1, states=128, convert):
    """A balanced core: one analog sum of all input slices, converted once; conductances over the largest."""
    w = w / np.abs(w).max()
    span = 1 - ratio
    pair = [np.round(np.maximum(sign * w, 0) * (states - 1)) / (states - 1) * span + ratio for sign in (1, -1)]
    total = sum(
        2 ** (size * i) * (2**size - 1) * (d @ (pair[0] - pair[1])) for i, d in enumerate(digits_of(x, bits, size))
    )
    return convert(total / (2 ** (bits - 1) - 1)) / span


def matrices(n_in=200, n_out=12):
    random = np.random.default_rng(2)
    return random.normal(size=(n_in, n_out)), random.uniform(-2, 2, size=(20, n_in))


def check_outputs(source, wanted, w, x, step):
    config = interop.from_crosssim(source).config
    found = analog_matmul(config, jnp.asarray(w), jnp.asarray(x), jax.random.key(0))
    off = np.abs(np.asarray(found) - wanted * 2 * np.abs(w).max()) / (step * 2 * np.abs(w).max())
    assert off.max() < 1.01
    assert (off > 0.01).mean() < 0.01


@pytest.mark.parametrize("size", [1, 3])
def test_balanced_core_with_analog_accumulation(size):
    w, x = matrices()
    wanted = balanced(w, x / 2, ratio=0.1, size=size, convert=lambda y: quantised(y, 8, -4.5, 4.5, sign_magnitude=True))
    check_outputs(changed(xbar__dac__mvm__slice_size=size), wanted, w, x, 9 / 254 / 0.9)


def test_a_range_that_is_not_about_zero():
    w, x = matrices()
    source = changed(xbar__adc__mvm={"model": "QuantizerADC", "bits": 6, "calibrated_range": [-2.5, 6.0]})
    wanted = balanced(w, x / 2, ratio=0.1, convert=lambda y: quantised(y, 6, -2.5, 6.0, sign_magnitude=False))
    check_outputs(source, wanted, w, x, 8.5 / 63 / 0.9)


def test_offset_slices_with_a_unit_column_as_in_isaac():
    """ISAAC.json: eight 2-bit slices of 16-bit weights, a conversion per input bit in the smallest product's steps."""
    source = changed(
        core__style=2, core__weight_bits=16, core__rows_max=128, core__bit_sliced={"style": 3, "num_slices": 8},
        core__offset__style=2, xbar__device={"cell_bits": 2, "Rmin": 2e3, "infinite_on_off_ratio": True},
        xbar__adc__mvm={"model": "SignMagnitudeADC", "bits": 9, "adc_per_ibit": True, "adc_range_option": 3},
        xbar__dac__mvm__bits=16,
    )  # fmt: skip
    config = interop.from_crosssim(source).config
    assert config.cell == replace(
        presets.isaac().cell, cell=replace(presets.isaac().cell.cell, g_max=1 / 2e3, g_min=0.0)
    )
    # ymin = 1/3, corrected by 2^15 / (2^15 - 1) for the input's bits, 255 steps of it on each side.
    assert float(config.adc.range.limit) == pytest.approx(255 / 3 * 32768 / 32767, rel=1e-6)
    w, x = np.random.default_rng(3).normal(size=(60, 5)), np.random.default_rng(4).uniform(-2, 2, (6, 60))
    found = analog_matmul(config, jnp.asarray(w), jnp.asarray(x), jax.random.key(0))
    np.testing.assert_allclose(found, x @ w, atol=2e-3 * np.abs(x @ w).max())


def test_offset_core_leaves_its_lowest_state_unused():
    """With two bits the window is compressed to two thirds, so that zero is a state: 5, 8.33 and 10 uS here."""
    source = changed(core__style=3, xbar__device__cell_bits=2, xbar__adc__mvm__adc_range_option="MAX",
                     xbar__adc__mvm__model="QuantizerADC", xbar__adc__mvm__bits=12)  # fmt: skip
    config = interop.from_crosssim(source).config
    g = program(config, jnp.array([[-1.0, 0.1, 1.0]]), jax.random.key(0)).g * 1e6
    np.testing.assert_allclose(np.ravel(g), [4.0, 7.0, 10.0], rtol=1e-5)
    w, x = matrices(30, 3)
    found = analog_matmul(config, jnp.sign(w), jnp.asarray(x), jax.random.key(0))
    np.testing.assert_allclose(found, x @ np.sign(w), atol=0.3)


def test_wires_are_in_units_of_the_smallest_resistance_in_version_3_0_and_in_ohms_later():
    """The numbers of the iteration of `mvm_parasitics`, carried to its fixed point."""
    # Conductances over the largest, (output, input), and the wires over the smallest resistance.
    w, x, r = np.array([[1.0, 0.5, 0.2], [0.3, 1.0, 0.9]]), np.array([1.0, 0.6, 0.8]), (0.002, 0.004)
    v = np.tile(x, (2, 1))
    for _ in range(200):
        i = w * v
        along = np.cumsum(np.cumsum(i, 1)[:, ::-1], 1)[:, ::-1]
        v = x - r[1] * along - r[0] * np.cumsum(np.cumsum(i[::-1], 0)[::-1], 0)
    wanted = (w * v).sum(axis=1)
    unit = {"enable": True, "Rp_row": r[0], "Rp_col": r[1], "gate_input": False}
    ohms = {"enable": True, "Rp_row": 1e5 * r[0], "Rp_col": 1e5 * r[1], "current_from_input": True}
    rest = {
        "xbar__device": {"Rmin": 1e5, "infinite_on_off_ratio": True}, "xbar__adc__mvm__bits": 0, "core__rows_max": 3,
        "core__cols_max": 2, "core__mapping__inputs__mvm": {"min": -1.0, "max": 1.0}, "xbar__dac__mvm__bits": 16,
    }  # fmt: skip
    found = interop.from_crosssim(changed(xbar__array__parasitics=unit, **rest))
    assert interop.from_crosssim(changed(xbar__array__parasitics=ohms, **rest)) == found
    assert "core.rows_max" in found.elsewhere
    y = analog_matmul(found.config, jnp.asarray(w.T), jnp.asarray(x), jax.random.key(0))
    np.testing.assert_allclose(y, wanted, rtol=1e-4)


def test_device_errors():
    source = changed(
        xbar__device__programming_error={"enable": True, "model": "UniformProportionalDevice", "magnitude": 0.1},
        xbar__device__read_noise={"enable": True, "model": "NormalIndependentDevice", "magnitude": 0.02},
        xbar__device__drift_error={"enable": False, "model": "SONOS", "magnitude": 0},
    )
    device = interop.from_crosssim(source).config.device
    g = jnp.full(20_000, 5e-6)
    programmed = device.program(g, jax.random.key(0))
    # Uniform within 5 % of the target; 2 % of the largest conductance, 10 uS, at any.
    assert float(jnp.abs(programmed / g - 1).max()) == pytest.approx(0.05, rel=1e-2)
    assert float(jnp.sqrt(device.read_noise.variance(g, g, 0.0)[0, 0])) == pytest.approx(0.2e-6)


def test_sonos_cells_after_a_day_as_in_sonos_tcas():
    """SONOS-TCAS.json: 1600 nA is the largest conductance, and drift after a day includes the errors of programming."""
    errors = {"enable": True, "model": "SONOS", "magnitude": 0}
    source = changed(
        xbar__device={"cell_bits": 7, "Rmin": 35000.0, "Rmax": 6e12, "time": 1, "programming_error": errors,
                      "drift_error": errors, "read_noise": {"enable": False, "model": "IdealDevice"}},
        xbar__adc__mvm__bits=0,
    )  # fmt: skip
    found = interop.from_crosssim(source)
    assert found.t == 1 * day
    config = found.config
    g_max = 1 / 35000
    assert float(config.device.programming.sigma(jnp.array(g_max / 2))) == pytest.approx(
        (19.88665 * (1 - np.exp(-800 / 176.3115))) / 1600 * g_max, rel=1e-3
    )
    chip = drift(config, program(config, jnp.ones((500, 256)), jax.random.key(0)), found.t)
    # Deviation after a day at 1600 nA: 25.59102 (1 - exp(-1600 / 186.85544)) nA.
    assert float(chip.g[..., 0, :, :].std()) == pytest.approx(25.586 / 1600 * g_max, rel=0.02)
    assert isinstance(config.adc, IdealADC)
    at_zero = interop.from_crosssim({**source, "xbar": {**source["xbar"], "device": {**source["xbar"]["device"],
                                                                                     "time": 0}}})  # fmt: skip
    assert at_zero.config.device.drift == IdealDevice().drift


def test_a_file_and_what_has_no_counterpart(tmp_path):
    """PRIME.json as it is, in what matters: slices with a bit to spare, pairs that are converted apart."""
    source = changed(
        core__style=2, core__balanced__subtract_current_in_xbar=False, core__bit_sliced__num_slices=2,
        xbar__device={"cell_bits": 4, "Rmin": 1000.0, "Rmax": 20000.0},
        xbar__adc__mvm={"model": "RampADC", "bits": 6, "gain_db": 40, "adc_per_ibit": True,
                        "calibrated_range": [[-36.75, 36.75], [-2.296875, 2.296875]]},
        xbar__dac__mvm={"model": "IdealDAC", "bits": 6, "input_bitslicing": True, "slice_size": 3},
    )  # fmt: skip
    path = tmp_path / "PRIME.json"
    path.write_text(json.dumps(source))
    with pytest.raises(interop.ConversionError) as error:
        interop.from_crosssim(path)
    names = [one.name for one in error.value.unmatched]
    assert set(names) >= {
        "core.balanced.subtract_current_in_xbar", "core.bit_sliced.num_slices", "xbar.adc.mvm.gain_db",
        "xbar.dac.mvm.model",
    }  # fmt: skip
    assert "Field `core.bit_sliced.num_slices` must be a divisor of the 7 magnitude bits and not of all 8" in str(
        error.value
    )
    source["core"]["bit_sliced"]["num_slices"] = 7
    source["xbar"]["adc"]["mvm"] |= {"gain_db": 100, "calibrated_range": [[-30.0, 30.0]] * 7}
    source["xbar"]["device"]["cell_bits"] = 1
    source["xbar"]["dac"]["mvm"]["model"] = "SignMagnitudeDAC"
    config = interop.from_crosssim(source, leave_out=["core.balanced.subtract_current_in_xbar"]).config
    assert config.cell.widths == (1,) * 7
    assert np.shape(config.adc.range.limit) == (7, 1)
