"""Ranges of inputs and converters from data, for a whole network in one pass."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import check_key
from jaxaimc._core.checks import ClippedInputWarning, check_number, warn_of_lost_inputs
from jaxaimc._core.xla import add_up, grouped_product
from jaxaimc.calibration import NothingToCalibrateWarning, Percentile, RangeRule, has_range
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import InputRange
from jaxaimc.nn.chip import program, with_read_key
from jaxaimc.nn.configs import map_configs
from jaxaimc.nn.hooks import refuse_stack, tell
from jaxaimc.nn.op import AnalogDot, Call, Hook
from jaxaimc.nn.walk import analog_products, changed_layers, is_programmed, keep_activations_digital
from jaxaimc.tile import Prepared

_PERCENTILE = Percentile()


def calibrate(
    model: nnx.Module,
    inputs: Any,
    key: Key[Array, ""],
    *,
    input_percentile: float | None = 99.98,
    adc_rule: RangeRule | None = _PERCENTILE,
) -> nnx.Module:
    """Choose the input range and the converters' range of every analog layer from what they see on data.

    The network is called once, not jitted, with the digital activations, so that no layer's choice depends on
    another's. A layer's input range is a percentile of the magnitudes of its inputs; a learned range begins there.
    With that range set, the charges that its converters get from the model's chip are profiled with read noise, and
    the rule chooses from them. Converters without a range (`CCO`) keep what they have, and so does what a layer has
    already where it answers these inputs better by the rule's measure (for a fixed input range, the error that half of
    the inputs stay below).

    A chip that has drifted is recalibrated by the same call: `calibrate(drift(model, t), inputs, read_key,
    input_percentile=None)`.

    Args:
        model: Result of `convert`, `program` or `drift`. It is not changed; the result shares its parameters and its
            chip. Without a chip, one is programmed to be profiled and then forgotten.
        inputs: Examples as the model takes them, a few dozen: all charges of a layer are held in memory.
        key: Read key; programs the chip where the model has none.
        input_percentile: Percentage of input magnitudes that lie within a layer's range, in (50, 100]; the constant
            input of a row that holds the bias always does. None leaves the input ranges as they are.
        adc_rule: How converter ranges are chosen, such as `jaxaimc.calibration.Percentile()` (99.98 %, the rule of
            Xiao et al. 2022, arXiv 2109.01262) or `LeastError()`; None leaves them as they are.

    Returns:
        The model with the chosen ranges in the configs of its layers.

    Raises:
        ValueError: If the model has no analog layer, a layer is not reached by the inputs or gets some that are not
            finite, a percentile is out of range, a layer is a stack, or the key is not a single typed key.

    Warns:
        NothingToCalibrateWarning: If a layer's inputs are all zero; it keeps its ranges.
        ClippedInputWarning: If a layer's drive is unsigned and its inputs are not.

    Example:
        >>> from jaxaimc import AnalogConfig, nn
        >>> from jaxaimc.adcs import Uniform
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(adc=Uniform(bits=6)))
        >>> calibrated = calibrate(analog, jax.random.normal(jax.random.key(0), (64, 8)), jax.random.key(1))
        >>> config = calibrated.dot_general.config.get_value()
        >>> type(config.drive.range).__name__, config.adc.range.limit.shape
        ('FixedRange', (1, 1))
    """
    if input_percentile is not None:
        check_number("calibrate", "input_percentile", input_percentile, low=50.0, high=100.0, open_low=True)
    check_key("key", key)
    chip_key, read_key = jax.random.split(key)
    seen: dict[str, list[Array]] = {}

    def watch(layer: Any, dot: AnalogDot) -> None:
        refuse_stack(dot, "be calibrated")
        dot.analog_mode = "analog"
        dot.hooks = nnx.List([_Watch(seen.setdefault(dot.path, []).append)])

    watched = changed_layers(model if is_programmed(model) else program(model, chip_key), watch)
    keep_activations_digital(watched)
    with warnings.catch_warnings():
        # Said below, layer by layer.
        warnings.simplefilter("ignore", ClippedInputWarning)
        with_read_key(watched, read_key)(inputs)  # pyright: ignore[reportCallIssue]
    jax.effects_barrier()

    chips = {dot.path: dot.chip() for dot in analog_products(watched)}
    telling: dict[str, tuple[Array, Prepared, Array]] = {}
    constants = {dot.path: dot.host.constant or 0.0 for dot in analog_products(model)}
    for dot in analog_products(model):
        if not seen[dot.path]:
            raise ValueError(f"Argument `inputs` must reach every analog layer, but layer {dot.path!r} was not called.")
        x = jnp.concatenate(seen[dot.path])
        if _says_something(x, dot.path):
            warn_of_lost_inputs(dot.config.get_value().drive.lost(x), f"Layer {dot.path!r}")
            telling[dot.path] = x, chips[dot.path], dot.layer_key(read_key)

    def with_ranges(path: str, config: AnalogConfig) -> AnalogConfig:
        if path not in telling:
            return config
        x, prepared, layer_key = telling[path]
        if input_percentile is not None:
            config = _with_input_range(config, x, input_percentile, constants[path])
        if adc_rule is not None and has_range(config.adc):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ClippedInputWarning)
                config = adc_rule(config, prepared, x, layer_key)
        return config

    return map_configs(model, with_ranges)


class _Watch(Hook):
    """Keeps a layer's inputs and passes on the exact product."""

    needs_key = True

    def __init__(self, keep: Callable[[Array], None]):
        self.keep = keep

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        tell(self.keep, call.inputs.reshape(-1, call.inputs.shape[-1]))
        return grouped_product(call.inputs, call.kernel)


def _says_something(x: Float[Array, "vector n_in"], path: str) -> bool:
    """Return whether a layer's inputs say how large its ranges should be; refuse those from which none can follow."""
    finite = np.isfinite(np.asarray(x))
    if not finite.size or not finite.all():
        what = f"{np.sum(~finite)} of {finite.size} are not" if finite.size else "there are none"
        raise ValueError(f"Argument `inputs` must give every layer finite inputs, but in layer {path!r} {what}.")
    if not np.any(np.asarray(x)):
        warnings.warn(
            f"Layer {path!r} gets nothing but zeros, which say nothing about its ranges; it keeps those it has.",
            NothingToCalibrateWarning,
            stacklevel=3,
        )
        return False
    return True


def _with_input_range(
    config: AnalogConfig, x: Float[Array, "vector n_in"], percentile: float, least: float
) -> AnalogConfig:
    present = getattr(config.drive, "range", None)
    if not isinstance(present, InputRange):
        return config
    peak = np.percentile(np.abs(np.asarray(x, np.float32)), percentile)
    if not peak > 0:
        return config
    # The constant input of a row that holds the bias is one of few: a percentile may not see it.
    limit: Any = jnp.asarray(max(peak, least), jnp.float32)
    chosen = replace(config, drive=config.drive.with_(range=present.with_limit(limit)))
    # A range that follows each call has no limit that could be kept.
    fixed = type(present.with_limit(limit)) is type(present)
    return config if fixed and _input_error(config, x) < _input_error(chosen, x) else chosen


def _input_error(config: AnalogConfig, x: Float[Array, "vector n_in"]) -> Float[Array, ""]:
    """Return the error of the driven inputs that half of them stay below."""
    pulses = config.drive.encode(x)
    driven = add_up(pulses.level * pulses.significance[:, None], -2) * pulses.x_scale[..., None]
    return jnp.median(jnp.abs(driven - x))
