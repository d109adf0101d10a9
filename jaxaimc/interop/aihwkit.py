"""Inference configurations of IBM's Analog Hardware Acceleration Kit (aihwkit).

Fields, defaults and meaning: `InferenceRPUConfig`, `IOParameters`, `MappingParameter`, `InputRangeParameter`,
`PCMLikeNoiseModel` and `SinglePairConductanceConverter` of github.com/IBM/aihwkit, version 1.1.0. The model behind them
is that of Rasch et al. 2023 (Nature Communications 14, 5282).
"""

import math
from collections.abc import Collection
from typing import Any

from jaxaimc.adcs import ADC, ChargeNoise, GaussianADC, IdealADC, MidTread, Nearest, NoNoise, Stochastic, Symmetric
from jaxaimc.adcs import Uniform as UniformADC
from jaxaimc.calibration import ColumnCompensation, Compensation, GlobalCompensation
from jaxaimc.cells import Differential
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import (
    Device,
    NoReadNoise,
    NormalReadNoise,
    PCMDrift,
    PCMFlickerNoise,
    PCMProgrammingNoise,
    Polynomial,
    ReadNoise,
    SumOfReadNoises,
    independent,
)
from jaxaimc.devices.curves import ClippedPower
from jaxaimc.drives import BitGroups, Drive, FixedRange, InputRange, LearnedRange, PerVector, TwoPasses, VoltageDAC
from jaxaimc.interop.foreign import Fields, Imported, word
from jaxaimc.units import uS
from jaxaimc.wires import NoWires, StaticFactor, Wires

# Fields that only `IOParametersIRDropT` has.
_CIRCUIT = (
    "ir_drop_rs", "ir_drop_segments", "ir_drop_time_step_resolution_scale", "ir_drop_v_read", "split_mode_bit_shift",
    "apply_xdep_pcm_read_noise", "xdep_pcm_read_noise_scale", "adc_quantization", "adc_frequency",
    "ir_drop_integration_sum",
)  # fmt: skip
# What a tile of unlimited size becomes: the largest that a config can say.
_UNLIMITED = 65536
_STEPS = "2^b - 2 or 1/(2^b - 2) for a whole number b of 2 to 16 bits"
_ONE_PASS, _IN_ANALOG, _DIGITAL_SUM = "onepass", "posnegseparate", "posnegseparatedigitalsum"


def from_aihwkit(source: Any, leave_out: Collection[str] = ()) -> Imported:
    """Convert an inference configuration of aihwkit.

    Args:
        source: The configuration itself, such as `StandardHWATrainingPreset()`; its fields as nested dictionaries,
            enumerations by name or value, objects that are no data classes with their class under `class`; or the path
            of a JSON file that holds these. Fields that it does not have take aihwkit's defaults.
        leave_out: Paths of fields, such as `forward.out_noise_std`, that are read as if they did nothing.

    Returns:
        The tile, the correction of drift, and the settings of training, which are no part of a tile.

    Raises:
        ConversionError: If fields have no counterpart; the message lists all of them.
        FileNotFoundError: If there is no such file.
        ValueError: If `source` is no configuration or `leave_out` has a field that cannot be left out.

    Example:
        >>> found = from_aihwkit({
        ...     "mapping": {"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True},
        ...     "forward": {"inp_res": 254.0, "out_res": 254.0, "out_bound": 10.0, "out_noise": 0.04,
        ...                 "bound_management": "None"},
        ... })
        >>> found.config.adc.bits, found.config.adc.range.limit, found.config.drive.bits
        (8.0, 10.0, 8)
    """
    fields = Fields("aihwkit", source, leave_out)
    g_min, g_max = _window(fields)
    mapping = _mapping(fields)
    drive = _drive(fields)
    config = {
        "cell": Differential(g_min=g_min, g_max=g_max),
        "device": _device(fields, g_max, g_max - g_min),
        "wires": _wires(fields, g_max),
        "drive": drive,
        "adc": _adc(fields),
        **mapping,
    }
    compensation = _compensation(fields)
    _training(fields)
    fields.check()
    tile = AnalogConfig(**config)
    tile.validate()
    return Imported(config=tile, compensation=compensation, elsewhere=fields.elsewhere)


def _mapping(fields: Fields) -> dict[str, Any]:
    fields.neutral(
        "mapping.weight_scaling_omega", 1.0, why="so that the largest weight of a tile is a full conductance"
    )
    if not fields.has("mapping.weight_scaling_omega"):
        fields.refuse("mapping.weight_scaling_omega", 0.0, "1.0 (left out, it is aihwkit's 0.0)")
    if not fields.flag("mapping.digital_bias", default=True):
        fields.elsewhere["mapping.digital_bias"] = 'nn.Rule(..., bias="analog")'
    if fields.flag("mapping.learn_out_scaling", default=False):
        fields.elsewhere["mapping.learn_out_scaling"] = "nn.with_column_correction(model)"
    fields.without_effect("mapping.weight_scaling_lr_compensation", "mapping.out_scaling_columnwise")
    sizes = {}
    for name, path in (("rows", "mapping.max_input_size"), ("cols", "mapping.max_output_size")):
        size = fields.take(path, 512)
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _UNLIMITED:
            fields.refuse(path, size, f"a whole number of 0 to {_UNLIMITED}")
            size = 0
        sizes[name] = size or _UNLIMITED
    return {**sizes, "column_scales": fields.flag("mapping.weight_scaling_columnwise", default=False)}


def _drive(fields: Fields) -> Drive:
    fields.neutral("forward.is_perfect", False, why="as every drive here has a resolution")
    fields.neutral("forward.inp_noise", 0.0)
    fields.neutral("forward.inp_sto_round", False)
    fields.neutral("forward.inp_asymmetry", 0.0)
    bits = _bits(fields, "forward.inp_res", 1 / 126)
    known = (_ONE_PASS, _IN_ANALOG, _DIGITAL_SUM)
    passes = fields.take("forward.mv_type", "OnePass")
    if word(passes) not in known:
        fields.refuse("forward.mv_type", passes, "'OnePass', 'PosNegSeparate' or 'PosNegSeparateDigitalSum'")
    bound = _input_range(fields)
    if word(passes) in (_IN_ANALOG, _DIGITAL_SUM):
        accumulates = word(passes) == _IN_ANALOG
        return BitGroups(widths=(bits - 1,), signs=TwoPasses(), accumulates=accumulates, range=bound)
    return VoltageDAC(bits=bits, range=bound)


def _bits(fields: Fields, path: str, default: float) -> int:
    """Return the resolution of which a field gives the steps, or their inverse."""
    value = fields.number(path, default, _STEPS)
    steps = 0.0 if value <= 0 else value if value > 1 else 1 / value
    bits = round(math.log2(steps + 2))
    if not 2 <= bits <= 16 or not math.isclose(steps, 2**bits - 2, rel_tol=1e-6):
        fields.refuse(path, value, _STEPS)
        return 8
    return bits


def _input_range(fields: Fields) -> InputRange:
    group = "pre_post.input_range"
    bound = fields.number("forward.inp_bound", 1.0)
    kind = fields.take("forward.noise_management", "AbsMax")
    threshold = fields.number("forward.nm_thres", 0.0)
    if bound <= 0:
        fields.refuse("forward.inp_bound", bound, "greater than 0")
    learned = fields.flag(f"{group}.enable", default=False)
    allowed = "'None' or 'Constant'" if learned else "'None', 'Constant' or 'AbsMax'"
    fixed = word(kind) in ("none", "constant")
    if not fixed and (learned or word(kind) != "absmax"):
        fields.refuse("forward.noise_management", kind, allowed)
    if not fixed and word(kind) == "absmax":
        if threshold:
            fields.refuse("forward.nm_thres", threshold, "0.0 where `forward.noise_management` is 'AbsMax'")
        if bound != 1:
            fields.refuse("forward.inp_bound", bound, "1.0 where `forward.noise_management` is 'AbsMax'")
    scale = threshold if word(kind) == "constant" and threshold > 0 else 1.0
    if not learned:
        fields.without_effect(group)
        return FixedRange(limit=scale * max(bound, 1e-6)) if fixed else PerVector()
    fields.neutral(f"{group}.manage_output_clipping", False)
    fields.neutral(f"{group}.gradient_scale", 1.0)
    fields.neutral(f"{group}.gradient_relative", True)
    limit = fields.number(f"{group}.init_value", 3.0) * scale * max(bound, 1e-6)
    if fields.take(f"{group}.init_from_data", 100):
        fields.elsewhere[f"{group}.init_from_data"] = "nn.calibrate(model, inputs, key)"
    decay, inside = fields.number(f"{group}.decay", 1e-3), fields.number(f"{group}.input_min_percentage", 0.95)
    learns = fields.flag(f"{group}.learn_input_range", default=True)
    fields.without_effect(group)
    return LearnedRange(limit=limit, decay=decay, inside=inside) if learns else FixedRange(limit=limit)


def _adc(fields: Fields) -> ADC:
    for name in ("out_noise_std", "out_asymmetry", "out_nonlinearity", "slope_calibration", "v_offset_std", "r_series"):
        fields.neutral(f"forward.{name}", 0.0)
    fields.neutral("forward.w_read_asymmetry_dtod", 0.0)
    fields.neutral("forward.out_scale", 1.0)
    fields.neutral("forward.bound_management", "None", why="as an input is read once, whatever its output")
    if not fields.has("forward.bound_management"):
        fields.refuse("forward.bound_management", "Iterative", "'None' (left out, it is aihwkit's 'Iterative')")
    fields.without_effect(
        "forward.max_bm_factor",
        "forward.max_bm_res",
        "forward.bm_test_negative_bound",
        "forward.out_nonlinearity_std",
        "forward.v_offset_w_min",
    )
    # A charge of one is an input at its bound times a weight of one.
    unit = max(fields.number("forward.inp_bound", 1.0), 1e-6)
    bound, noise = fields.number("forward.out_bound", 12.0) / unit, fields.number("forward.out_noise", 0.06) / unit
    rounds = fields.flag("forward.out_sto_round", default=False)
    if fields.number("forward.out_res", 1 / 510) <= 0 and bound <= 0:
        return GaussianADC(sigma=noise) if noise else IdealADC()
    if bound <= 0:
        fields.refuse("forward.out_bound", bound, "greater than 0 where `forward.out_res` is")
    return UniformADC(
        bits=float(_bits(fields, "forward.out_res", 1 / 510)),
        range=Symmetric(limit=bound if bound > 0 else 1.0),
        codes=MidTread(),
        rounding=Stochastic() if rounds else Nearest(),
        noise=ChargeNoise(rms=noise) if noise else NoNoise(),
    )


def _wires(fields: Fields, g_max: float) -> Wires:
    for name in _CIRCUIT:
        fields.neutral(f"forward.{name}", None, why="as a tile with wires and time is `presets.tile_circuit()`")
    ratio = fields.number("forward.ir_drop_g_ratio", 1 / 0.35 / 5e-6)
    strength = fields.number("forward.ir_drop", 0.0)
    if strength not in (0.0, 1.0):
        fields.refuse("forward.ir_drop", strength, "0.0 or 1.0")
    if ratio < 1:
        fields.refuse("forward.ir_drop_g_ratio", ratio, "1 or greater")
    return StaticFactor(scale=1 / max(ratio, 1.0), g_max=g_max) if strength else NoWires()


def _window(fields: Fields) -> tuple[float, float]:
    """Return the conductances of a weight of zero and of one [S]."""
    converter = fields.take("noise_model.g_converter.class", "SinglePairConductanceConverter")
    if word(converter) != "singlepairconductanceconverter":
        fields.refuse("noise_model.g_converter.class", converter, "'SinglePairConductanceConverter'")
        fields.without_effect("noise_model.g_converter")
        return 0.0, 25 * uS
    fields.without_effect("noise_model.g_converter.scale_ratio")
    own = None
    if fields.take("noise_model.g_max", None) is not None:
        own = fields.number("noise_model.g_max", 25.0)
    g_max = fields.take("noise_model.g_converter.g_max", None)
    g_max = (own or 25.0) if g_max is None else fields.number("noise_model.g_converter.g_max", 25.0)
    g_min = fields.number("noise_model.g_converter.g_min", 0.0)
    if own is not None and own != g_max:
        fields.refuse("noise_model.g_max", own, f"{g_max}, that of its `g_converter`")
    if not 0 <= g_min < g_max:
        fields.refuse("noise_model.g_converter.g_min", g_min, "0 or greater and less than `g_max`")
        return 0.0, 25 * uS
    return g_min * uS, g_max * uS


def _device(fields: Fields, g_max: float, g_span: float) -> Device:
    each_read = _weight_noise(fields, g_max, g_span)
    kind = fields.take("noise_model.class", "PCMLikeNoiseModel")
    if fields.has("noise_model") and fields.take("noise_model", None) is None:
        return Device(read_noise=each_read)
    if word(kind) != "pcmlikenoisemodel":
        fields.refuse("noise_model.class", kind, "'PCMLikeNoiseModel', or `noise_model` null")
        fields.without_effect("noise_model")
        return Device(read_noise=each_read)
    std, full_scale = _polynomial(fields, g_max)
    name = "noise_model.read_noise_scale"
    accumulated = PCMFlickerNoise(
        g_max=g_max, t_read=fields.number("noise_model.t_read", 250e-9), factor=fields.number(name, 1.0)
    )
    if accumulated.factor == 0:
        read_noise = each_read
    elif isinstance(each_read, NoReadNoise):
        read_noise = accumulated
    else:
        read_noise = SumOfReadNoises(first=each_read, second=accumulated)
    return Device(
        programming=PCMProgrammingNoise(
            std=std, g_max=g_max, full_scale=full_scale, factor=fields.number("noise_model.prog_noise_scale", 1.0)
        ),
        drift=PCMDrift(
            g_max=g_max,
            t0=fields.number("noise_model.t_0", 20.0),
            factor=fields.number("noise_model.drift_scale", 1.0),
        ),
        read_noise=read_noise,
    )


def _polynomial(fields: Fields, g_max: float) -> tuple[Polynomial, float]:
    """Return the standard deviation of programming over the state, and the largest conductance in its unit."""
    name = "noise_model.prog_coeff"
    given, reference = fields.take(name, None), fields.take("noise_model.prog_coeff_g_max_reference", None)
    if given is None:
        return Polynomial(coefficients=(0.26348, 1.9650, -1.1731)), 25.0
    numbers = isinstance(given, list) and all(type(one) in (int, float) for one in given) and given
    if not numbers:
        fields.refuse(name, given, "a list of numbers or null")
        return Polynomial(coefficients=(0.0,)), 25.0
    full_scale = g_max / uS if reference is None else fields.number("noise_model.prog_coeff_g_max_reference", 25.0)
    return Polynomial(coefficients=tuple(float(one) for one in given)), full_scale


def _weight_noise(fields: Fields, g_max: float, g_span: float) -> ReadNoise:
    """Return the noise of the weights that every product draws anew."""
    kind, strength = fields.take("forward.w_noise_type", "None"), fields.number("forward.w_noise", 0.0)
    if word(kind) == "none" or strength == 0:
        return NoReadNoise()
    if word(kind) == "additiveconstant":
        # Each of the two devices of a pair contributes half of the variance.
        return NormalReadNoise(std=independent(strength * math.sqrt(0.5) * g_span / g_max), g_max=g_max)
    if word(kind) != "pcmread":
        fields.refuse("forward.w_noise_type", kind, "'None', 'AdditiveConstant' or 'PCMRead'")
    elif g_span != g_max:
        fields.refuse("forward.w_noise_type", kind, "'None' or 'AdditiveConstant' where a zero weight conducts")
    return NormalReadNoise(std=ClippedPower(factor=strength, exponent=0.5, high=strength), g_max=g_max)


def _compensation(fields: Fields) -> Compensation | None:
    known = {
        "globaldriftcompensation": GlobalCompensation(),
        "globaldriftcompensationwithexactreference": GlobalCompensation(exact=True),
        "percolumndriftcompensation": ColumnCompensation(),
    }
    if fields.has("drift_compensation"):
        # Without fields of its own an object is its name.
        kind = fields.take("drift_compensation", None)
        path = "drift_compensation"
    else:
        path = "drift_compensation.class"
        kind = fields.take(path, "GlobalDriftCompensation")
    if kind is None:
        return None
    if word(kind) not in known:
        names = "'GlobalDriftCompensation', 'GlobalDriftCompensationWithExactReference', 'PerColumnDriftCompensation'"
        fields.refuse(path, kind, f"{names} or null")
        return None
    return known[word(kind)]


def _training(fields: Fields) -> None:
    """Note what acts in training only, and pass over what changes no output."""
    fields.neutral("modifier.enable_during_test", False)
    for group, counterpart in (
        ("clip", "training.limits, clipping of weights"),
        ("remap", "none is needed: weights are scaled to full conductances whenever they are programmed"),
        ("modifier", "training.noise, noise on weights"),
    ):
        kind = fields.take(f"{group}.type", "None")
        if word(kind) != "none":
            fields.elsewhere[f"{group}.type"] = counterpart
        fields.without_effect(group)
    fields.without_effect(
        "class", "device", "backward", "update", "runtime", "tile_class", "tile_array_class", "bindings_class"
    )
