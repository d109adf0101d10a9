"""Configurations of aihwkit, against its published formulas: fields, defaults and equations of github.com/IBM/aihwkit
(`simulator/parameters/io.py`, `simulator/tiles/analog_mvm.py`, `inference/noise/pcm.py`)."""

import enum
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import analog_matmul, charges, interop, prepare, presets, program
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.devices import IdealDevice, PCMDrift, PCMFlickerNoise, SumOfReadNoises
from jaxaimc.interop.foreign import Fields
from jaxaimc.units import uS

# `StandardHWATrainingPreset` (`simulator/presets/inference.py`, with `PresetIOParameters`): what it sets.
STANDARD = {
    "mapping": {
        "weight_scaling_omega": 1.0, "weight_scaling_columnwise": True, "max_input_size": 512, "max_output_size": 0,
        "digital_bias": True, "learn_out_scaling": True, "out_scaling_columnwise": True,
    },
    "forward": {
        "inp_res": 254.0, "inp_sto_round": False, "out_res": 254.0, "bound_management": "NONE", "nm_thres": 1.0,
        "noise_management": "Constant", "w_noise": 0.0175, "w_noise_type": "PCMRead", "ir_drop": 1.0,
        "out_noise": 0.04, "out_bound": 10.0,
    },
    "remap": {"remapped_wmax": 1.0, "type": "ChannelwiseSymmetric"},
    "noise_model": {"class": "PCMLikeNoiseModel"},
    "drift_compensation": {"class": "GlobalDriftCompensation"},
    "pre_post": {"input_range": {"enable": True, "init_value": 3.0, "init_from_data": 100, "decay": 0.001}},
    "clip": {"type": "FixedValue", "fixed_value": 1.0},
}  # fmt: skip


def with_forward(**forward):
    return {**STANDARD, "forward": {**STANDARD["forward"], **forward}}


def test_the_standard_preset_is_ours():
    found = interop.from_aihwkit(STANDARD)
    ours = presets.standard_aimc()
    for name in ("cell", "drive", "adc", "rows", "column_scales"):
        assert getattr(found.config, name) == getattr(ours, name), name
    # The paper prints the default's 1 / 0.35 / 5e-6 as 571428.57.
    assert found.config.wires.scale == pytest.approx(ours.wires.scale, rel=1e-8)
    assert found.config.device.read_noise == SumOfReadNoises(
        first=ours.device.read_noise, second=PCMFlickerNoise(g_max=25 * uS, t_read=250e-9)
    )
    assert found.config.device.drift == PCMDrift(g_max=25 * uS)
    assert (found.config.cols, found.compensation) == (65536, GlobalCompensation())
    assert set(found.elsewhere) == {
        "clip.type", "remap.type", "mapping.learn_out_scaling", "pre_post.input_range.init_from_data",
    }  # fmt: skip


def forward(w, x, *, n_in, n_out, bound, scale=None, ir_drop=False):
    """The product as aihwkit computes it, without noise; float64."""
    peak = np.abs(w).max(axis=0)
    w = w / peak
    scale = np.abs(x).max(axis=1, keepdims=True) if scale is None else scale
    step = 2 / n_in
    driven = np.clip(np.round(x / scale / step) * step, -1, 1)
    y = driven @ w
    if ir_drop:
        rows = len(w)
        a = rows / (1 / 0.35 / 5e-6) * (np.abs(driven) @ np.abs(w))
        place = 1 - (1 - np.arange(rows) / rows) ** 2
        y = y - (a * (a * (0.05 * a - 0.2) + 0.5)) * ((driven * place) @ w)
    step = 2 * bound / n_out
    return np.clip(np.round(y / step) * step, -bound, bound) * scale * peak, step * np.max(scale) * peak


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"noise_management": "AbsMax", "nm_thres": 0.0}, {}),
        ({"noise_management": "CONSTANT", "nm_thres": 2.0, "inp_res": 1 / 62, "out_res": 1 / 1022, "out_bound": 6.0},
         {"n_in": 62, "n_out": 1022, "bound": 6.0, "scale": 2.0}),
        ({"noise_management": "AbsMax", "nm_thres": 0.0, "ir_drop": 1.0}, {"ir_drop": True}),
    ],
    ids=["each vector", "fixed range", "IR drop"],
)  # fmt: skip
def test_outputs_are_those_of_its_formula(changes, known):
    source = with_forward(**{"out_noise": 0.0, "w_noise": 0.0, "ir_drop": 0.0, **changes})
    source["pre_post"] = {}
    config = replace(interop.from_aihwkit(source).config, device=IdealDevice())
    random = np.random.default_rng(0)
    w, x = random.normal(size=(300, 20)), random.normal(size=(16, 300))
    found = analog_matmul(config, jnp.asarray(w), jnp.asarray(x), jax.random.key(0))
    wanted, step = forward(w, x, **{"n_in": 254, "n_out": 254, "bound": 10.0, **known})
    off = np.abs(np.asarray(found) - wanted) / step
    # In single precision a charge beside a tie may fall to its other code.
    assert off.max() < 1.01
    assert (off > 0.01).mean() < 0.01


@pytest.mark.parametrize("kind", ["PosNegSeparate", "PosNegSeparateDigitalSum"])
def test_two_passes_have_one_conversion_or_two(kind):
    config = interop.from_aihwkit(with_forward(mv_type=kind, ir_drop=0.0)).config
    prepared = prepare(config, program(config, jnp.ones((4, 1)), jax.random.key(0)))
    seen = charges(config, prepared, jnp.array([3.0, -3.0, -3.0, 1.5]))
    assert seen.shape[1] == (1 if kind == "PosNegSeparate" else 2)


@pytest.mark.parametrize(("kind", "power"), [("PCMRead", 1), ("AdditiveConstant", 0)])
def test_noise_of_the_weights(kind, power):
    """`w_noise sqrt(sum |w| x^2)`, and `w_noise sqrt(sum x^2)`."""
    config = interop.from_aihwkit({**with_forward(w_noise_type=kind, w_noise=0.02), "noise_model": None}).config
    config = replace(config, wires=presets.isaac().wires)
    w = np.random.default_rng(1).uniform(-1, 1, size=(40, 3))
    w[0] = 1.0
    prepared = prepare(config, program(config, jnp.asarray(w), jax.random.key(0)))
    of_weights = np.asarray(prepared.variance).sum(axis=1)[0, :, 0]
    np.testing.assert_allclose(of_weights, 0.02**2 * np.abs(w) ** power, rtol=1e-4)


def test_programming_noise_has_its_polynomial():
    """`sigma = g_max / 25 (0.26348 + 1.965 r - 1.1731 r^2)` in uS at 0, 1, 5, 12.5 and 25 uS, and scaled to 50 uS."""
    parts = {"class": "PCMLikeNoiseModel", "prog_noise_scale": 2.0, "t_0": 30.0, "drift_scale": 0.5}
    known = np.array([0.2635, 0.3402, 0.6096, 0.9527, 1.0554])
    for g_max in (25.0, 50.0):
        model = {**parts, "g_max": g_max}
        model["g_converter"] = {"class": "SinglePairConductanceConverter", "g_max": g_max, "g_min": 0.0}
        config = interop.from_aihwkit({**STANDARD, "noise_model": model}).config
        target = jnp.array([0.0, 1.0, 5.0, 12.5, 25.0]) * g_max / 25
        sigma = config.device.programming.sigma(target * 1e-6) * 1e6
        np.testing.assert_allclose(sigma, 2 * g_max / 25 * known, atol=3e-4)
        assert float(config.cell.g_max) == pytest.approx(g_max * 1e-6)
        assert (config.device.drift.t0, config.device.drift.factor) == (30.0, 0.5)
    own = interop.from_aihwkit({**STANDARD, "noise_model": {**parts, "prog_coeff": [0.5], "g_max": 50.0}}).config
    assert float(own.device.programming.sigma(jnp.array(1e-6))) == pytest.approx(2 * 0.5e-6)


class BoundManagementType(enum.Enum):
    ITERATIVE = "Iterative"


@dataclass
class IOParameters:
    out_noise_std: float = 0.3
    out_nonlinearity: float = 0.1
    inp_res: float = -1.0
    bound_management: BoundManagementType = BoundManagementType.ITERATIVE


class ReRamNoiseModel:
    def __init__(self):
        self.noise_scale = 1.0


@dataclass
class InferenceRPUConfig:
    tile_class: type = int
    forward: IOParameters = field(default_factory=IOParameters)
    noise_model: ReRamNoiseModel = field(default_factory=ReRamNoiseModel)
    drift_compensation: None = None
    surprise: int = 3


def test_every_field_without_a_counterpart_is_listed():
    """A configuration as an object, as aihwkit has them."""
    with pytest.raises(interop.ConversionError) as error:
        interop.from_aihwkit(InferenceRPUConfig())
    assert {one.name for one in error.value.unmatched} == {
        "mapping.weight_scaling_omega", "forward.inp_res", "forward.out_noise_std", "forward.out_nonlinearity",
        "forward.bound_management", "noise_model.class", "surprise",
    }  # fmt: skip
    text = str(error.value)
    assert text.startswith("The aihwkit configuration has 7 fields without a counterpart here.\n")
    assert "Field `forward.bound_management` must be 'None', as an input is read once" in text
    assert "but is 'Iterative'." in text
    assert "Field `forward.inp_res` must be 2^b - 2 or 1/(2^b - 2) for a whole number b of 2 to 16 bits" in text


def test_fields_are_left_out_when_named():
    source = {**with_forward(out_noise_std=0.3), "surprise": 1}
    left = ["forward.out_noise_std", "surprise"]
    assert interop.from_aihwkit(source, leave_out=left).config == interop.from_aihwkit(STANDARD).config
    with pytest.raises(ValueError, match=r"`leave_out` must name fields that .* but has 'forward.out_bound'"):
        interop.from_aihwkit(source, leave_out=[*left, "forward.out_bound"])


def test_bad_sources_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`source` must be a configuration of aihwkit"):
        interop.from_aihwkit(3)
    (tmp_path / "config.json").write_text("{forward: 1}")
    with pytest.raises(ValueError, match=r"File '.*config.json' must be JSON, but is not"):
        interop.from_aihwkit(tmp_path / "config.json")
    with pytest.raises(interop.ConversionError, match=r"`forward.ir_drop_rs` must be None, .*tile_circuit\(\)"):
        interop.from_aihwkit(with_forward(ir_drop_rs=0.15))
    with pytest.raises(ValueError, match="`leave_out` must be a collection of paths"):
        Fields("aihwkit", {}, "forward")
