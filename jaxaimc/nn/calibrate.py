"""Ranges of inputs and converters from data, for a whole network in one pass."""

import warnings
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._core.arguments import check_key
from jaxaimc._core.checks import ClippedInputWarning, check_number, warn_of_lost_inputs
from jaxaimc._core.xla import add_up
from jaxaimc.calibration import NothingToCalibrateWarning, Percentile, RangeRule, has_range
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import InputRange
from jaxaimc.nn.activity import with_activity_of
from jaxaimc.nn.chip import effective, program
from jaxaimc.nn.configs import map_configs
from jaxaimc.nn.hooks import refuse_stack, replace_products
from jaxaimc.nn.profile import MOST, Seen, Watch
from jaxaimc.nn.summary import layer_footprint
from jaxaimc.nn.walk import analog_layers, analog_products, is_programmed

_PERCENTILE = Percentile()
# Share of saturated conversions from which on a range that was kept is warned of [1].
_HEAVY = 0.01

Outcome = Literal["chosen", "kept", "none"]


class SaturatedRangeWarning(UserWarning):
    """A converter's range that was kept although much of what it gets lies beyond it."""


class Calibration(NamedTuple):
    """What calibration made of a layer's ranges.

    Attributes:
        path: Path of the layer.
        inputs: Whether its input range was chosen from the data or kept, or the drive has none that could be chosen.
        converters: The same of the converters' range.
        saturated: Share of the conversions of these inputs that lie beyond the converters' range now [1]; None where it
            has none, or the inputs say nothing.
        clipped: Share of the inputs beyond the input range now [1]; None where there is none, or they say nothing.
        reason: Why a range was kept, in words; empty where both were chosen.
    """

    path: str
    inputs: Outcome
    converters: Outcome
    saturated: float | None
    clipped: float | None
    reason: str


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
    the rule chooses from them. Where the load on wires depends on how active rows are (`OpenIdle`), their profile is
    found as well, see `with_activity`. Converters without a range (`CCO`) keep what they have, and so does what a
    layer has already where it answers these inputs better by the rule's measure (for a fixed input range, the error
    that half of the inputs stay below). `calibrate_and_report` says what became of every range.

    A chip that has drifted is recalibrated by the same call: `calibrate(drift(model, t), inputs, read_key,
    input_percentile=None)`.

    Args:
        model: Result of `convert`, `program` or `drift`. It is not changed; the result shares its parameters and its
            chip. Without a chip, one is programmed to be profiled and then forgotten.
        inputs: Examples as the model takes them, a few dozen. Of each layer's input vectors as many are held as have
            2^24 inputs or charges: of more, such as the windows of convolutions, a random sample stands for all, the
            same in every call; 100 as `input_percentile` is the largest input of all of them nevertheless.
        key: Read key; programs the chip where the model has none.
        input_percentile: Percentage of input magnitudes that lie within a layer's range, in (50, 100]; the constant
            input of a row that holds the bias always does. None leaves the input ranges as they are.
        adc_rule: How converter ranges are chosen, such as `jaxaimc.calibration.Percentile()` (99.98 %, the rule of
            Xiao et al. 2022, arXiv 2109.01262) or `LeastError()`; None leaves them as they are.

    Returns:
        The model with the chosen ranges in the configs of its layers.

    Raises:
        ValueError: If the model has no analog layer, a layer is not reached by the inputs or gets some that are not
            finite, a percentile is out of range, a layer is a stack, a kernel has changed since the chip was
            programmed, or the key is not a single typed key.

    Warns:
        NothingToCalibrateWarning: If a layer's inputs are all zero; it keeps its ranges.
        ClippedInputWarning: If a layer's drive is unsigned and its inputs are not.
        SaturatedRangeWarning: If the rule kept a converter's range beyond which more than 1 % of the charges lie.

    Example:
        >>> from jaxaimc import AnalogConfig, nn
        >>> from jaxaimc.adcs import Uniform
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(adc=Uniform(bits=6)))
        >>> calibrated = calibrate(analog, jax.random.normal(jax.random.key(0), (64, 8)), jax.random.key(1))
        >>> config = calibrated.dot_general.config.get_value()
        >>> type(config.drive.range).__name__, config.adc.range.limit.shape
        ('FixedRange', (1, 1))
    """
    return _calibrated(model, inputs, key, input_percentile, adc_rule, report=False)[0]


def calibrate_and_report(
    model: nnx.Module,
    inputs: Any,
    key: Key[Array, ""],
    *,
    input_percentile: float | None = 99.98,
    adc_rule: RangeRule | None = _PERCENTILE,
) -> tuple[nnx.Module, list[Calibration]]:
    """Do what `calibrate` does, and say what became of every layer's ranges and how much lies beyond them afterwards.

    Args:
        model: See `calibrate`.
        inputs: See `calibrate`.
        key: See `calibrate`.
        input_percentile: See `calibrate`.
        adc_rule: See `calibrate`.

    Returns:
        The model with the chosen ranges, and one entry for every analog layer, in the order of their paths. Each layer
        is looked at with the digital activations; `saturation` runs the network on its chip instead.

    Raises:
        ValueError: As `calibrate` does.

    Example:
        >>> from jaxaimc import AnalogConfig, nn
        >>> from jaxaimc.adcs import Uniform
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(adc=Uniform(bits=6)))
        >>> x = jax.random.normal(jax.random.key(0), (64, 8))
        >>> _, [layer] = calibrate_and_report(analog, x, jax.random.key(1))
        >>> layer.inputs, layer.converters, layer.saturated < 0.01
        ('chosen', 'chosen', True)
    """
    return _calibrated(model, inputs, key, input_percentile, adc_rule, report=True)


def _calibrated(
    model: nnx.Module,
    inputs: Any,
    key: Key[Array, ""],
    input_percentile: float | None,
    adc_rule: RangeRule | None,
    *,
    report: bool,
) -> tuple[nnx.Module, list[Calibration]]:
    if input_percentile is not None:
        check_number("calibrate", "input_percentile", input_percentile, low=50.0, high=100.0, open_low=True)
    check_key("key", key)
    chip_key, read_key = jax.random.split(key)
    seen: dict[str, Seen] = {}
    for layer, dot in analog_layers(model):
        refuse_stack(dot, "be calibrated")
        kernel = dot.host.kernel(layer)
        widest = max(layer_footprint(layer, dot).conversions, kernel.size // kernel.shape[-1])
        seen[dot.path] = Seen(dot.path, most=max(1, MOST // widest))
    watched: Any = replace_products(model, lambda dot: Watch(dot, seen[dot.path].add))
    watched(inputs)
    jax.effects_barrier()

    chips = effective(model if is_programmed(model) else program(model, chip_key))
    keys = {dot.path: dot.layer_key(read_key) for dot in analog_products(model)}
    configs = {dot.path: dot.config.get_value() for dot in analog_products(model)}
    constants = {dot.path: dot.host.constant or 0.0 for dot in analog_products(model)}
    outcomes = []
    for path, what in seen.items():
        if what.count is None:
            raise ValueError(f"Argument `inputs` must reach every analog layer, but layer {path!r} was not called.")
        if not _says_something(what, path):
            kept: tuple[Outcome, Outcome] = (_kept(_input_range(configs[path])), _kept(has_range(configs[path].adc)))
            outcomes.append(Calibration(path, *kept, None, None, "the layer gets nothing but zeros"))
            continue
        x = jnp.asarray(what.vectors)
        warn_of_lost_inputs(configs[path].drive.lost(x), f"Layer {path!r}")
        with warnings.catch_warnings():
            # Said above, layer by layer.
            warnings.simplefilter("ignore", ClippedInputWarning)
            chosen = configs[path]
            if input_percentile is not None:
                chosen = _with_input_range(chosen, x, what, input_percentile, constants[path])
            if adc_rule is not None and has_range(chosen.adc):
                chosen = adc_rule(chosen, chips[path], x, keys[path])
            found = _outcome(path, configs[path], chosen, input_percentile, adc_rule)
            if report or found.converters == "kept":
                found = _with_shares(found, chosen, chips[path], x, keys[path])
        configs[path] = chosen
        outcomes.append(found)
        _warn_of_kept(found, adc_rule)
    chosen = map_configs(model, lambda path, config: configs[path])
    vectors = {path: jnp.asarray(what.vectors) for path, what in seen.items() if what.count}
    return with_activity_of(chosen, vectors), sorted(outcomes)


def _outcome(
    path: str,
    old: AnalogConfig,
    new: AnalogConfig,
    input_percentile: float | None,
    adc_rule: RangeRule | None,
) -> Calibration:
    reasons = []
    inputs: Outcome = "none"
    if _input_range(old):
        inputs = "kept" if new.drive is old.drive else "chosen"
        if inputs == "kept":
            reasons.append(
                "`input_percentile` is None" if input_percentile is None else "the input range has a smaller error"
            )
    converters: Outcome = "none"
    if has_range(old.adc):
        converters = "kept" if new.adc is old.adc else "chosen"
        if converters == "kept":
            reasons.append(
                "`adc_rule` is None" if adc_rule is None else "the converters' range has a smaller error by the rule"
            )
    return Calibration(path, inputs, converters, None, None, "; ".join(reasons))


def _with_shares(
    found: Calibration, config: AnalogConfig, chip: tile.Prepared, x: Float[Array, "vector n_in"], key: Key[Array, ""]
) -> Calibration:
    saturated = float(tile.saturation(config, chip, x, key)) if config.adc.saturates else None
    present = getattr(config.drive, "range", None)
    if not isinstance(present, InputRange):
        return found._replace(saturated=saturated)
    beyond = jnp.abs(x) > (1 + 1e-5) * present.bound(x)[..., None]
    return found._replace(saturated=saturated, clipped=float(jnp.mean(beyond)))


def _warn_of_kept(found: Calibration, adc_rule: RangeRule | None) -> None:
    if adc_rule is not None and found.converters == "kept" and found.saturated is not None and found.saturated > _HEAVY:
        warnings.warn(
            f"Layer {found.path!r} keeps the converters' range that it has, whose error is smaller by the rule, but "
            f"{100 * found.saturated:.3g} % of these inputs' charges lie beyond it.",
            SaturatedRangeWarning,
            stacklevel=4,
        )


def _says_something(what: Seen, path: str) -> bool:
    """Return whether a layer's inputs say how large its ranges should be; refuse those from which none can follow."""
    if not what.size or what.wrong:
        words = f"{what.wrong} of {what.size} are not" if what.size else "there are none"
        raise ValueError(f"Argument `inputs` must give every layer finite inputs, but in layer {path!r} {words}.")
    if not what.peak > 0:
        warnings.warn(
            f"Layer {path!r} gets nothing but zeros, which say nothing about its ranges; it keeps those it has.",
            NothingToCalibrateWarning,
            stacklevel=4,
        )
        return False
    return True


def _kept(there: bool) -> Outcome:
    return "kept" if there else "none"


def _input_range(config: AnalogConfig) -> bool:
    return isinstance(getattr(config.drive, "range", None), InputRange)


def _with_input_range(
    config: AnalogConfig, x: Float[Array, "vector n_in"], what: Seen, percentile: float, least: float
) -> AnalogConfig:
    present = getattr(config.drive, "range", None)
    if not isinstance(present, InputRange):
        return config
    # The largest is known of all vectors, percentiles of those that are held.
    peak = what.peak if percentile == 100 else np.percentile(np.abs(np.asarray(x, np.float32)), percentile)
    if not peak > 0:
        return config
    # The constant input of a row that holds the bias is one of few: a percentile may not see it.
    limit: Any = jnp.asarray(max(peak, least), jnp.float32)
    chosen = config.with_(drive=config.drive.with_(range=present.with_limit(limit)))
    # A range that follows each call has no limit that could be kept.
    fixed = type(present.with_limit(limit)) is type(present)
    return config if fixed and _input_error(config, x) < _input_error(chosen, x) else chosen


def _input_error(config: AnalogConfig, x: Float[Array, "vector n_in"]) -> Float[Array, ""]:
    """Return the error of the driven inputs that half of them stay below."""
    pulses = config.drive.encode(x)
    driven = add_up(pulses.level * pulses.significance[:, None], -2) * pulses.x_scale[..., None]
    return jnp.median(jnp.abs(driven - x))
