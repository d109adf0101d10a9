"""Ranges of inputs and converters from data, for a whole network in one pass."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import matrix
from jaxaimc._checks import check_number
from jaxaimc.adcs import Span, Symmetric
from jaxaimc.drives import FixedRange
from jaxaimc.nn.convert import over_analog_layers, program, with_read_key
from jaxaimc.nn.dot import AnalogDot, Call, Hook
from jaxaimc.nn.variables import DeviceParam
from jaxaimc.tile import AnalogConfig


def calibrate(
    model: nnx.Module,
    inputs: Any,
    key: Key[Array, ""],
    *,
    percentile: float = 99.98,
    input_ranges: bool = True,
    adc_ranges: bool = True,
) -> nnx.Module:
    """Choose the input range and the converters' range of every analog layer from what they see on data.

    The network is called once, not jitted, with the digital activations, so that no layer's choice depends on
    another's. A layer's input range is a percentile of the magnitudes of its inputs. With that range set, the charges
    that its converters would get from a chip of its own are profiled with read noise, and each slice's range is their
    percentile: symmetric where charges have both signs, else from zero. The percentile of 99.98 is that of Xiao et
    al. 2022 (arXiv 2109.01262). Converters without a range (`CCO`) keep what they have.

    Args:
        model: Result of `convert`. It is not changed; the result shares its parameters and its chip, if it has one.
        inputs: Examples as the model takes them.
        key: Programs the chip whose charges are profiled, and reads it.
        percentile: Percentage of values that lie within a range, in (50, 100].
        input_ranges: Whether input ranges are chosen.
        adc_ranges: Whether the converters' ranges are chosen.

    Returns:
        The model with the chosen ranges in the configs of its layers.

    Raises:
        ValueError: If the model has no analog layer, a layer is not reached by the inputs, or `percentile` is out of
            range.

    Example:
        >>> from jaxaimc import AnalogConfig, nn
        >>> from jaxaimc.adcs import Uniform
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(adc=Uniform(bits=6)))
        >>> calibrated = calibrate(analog, jax.random.normal(jax.random.key(0), (64, 8)), jax.random.key(1))
        >>> config = calibrated.dot_general.config.get_value()
        >>> type(config.drive.range).__name__, config.adc.range.limit.shape
        ('FixedRange', (1, 1))
    """
    check_number("calibrate", "percentile", percentile, low=50.0, high=100.0, open_low=True)
    chip_key, read_key = jax.random.split(key)
    chosen: dict[str, AnalogConfig] = {}

    def watch(layer: Any, dot: AnalogDot) -> None:
        dot.analog_mode = "analog"
        dot.hooks = nnx.List([_Choice(dot.path, chosen, percentile / 100, inputs=input_ranges, adc=adc_ranges)])

    watched = over_analog_layers(watch, program(model, chip_key))
    with_read_key(watched, read_key)(inputs)  # pyright: ignore[reportCallIssue]

    def set_ranges(layer: Any, dot: AnalogDot) -> None:
        if dot.path not in chosen:
            raise ValueError(f"Argument `inputs` must reach every analog layer, but layer {dot.path!r} was not called.")
        dot.config = DeviceParam(chosen[dot.path])

    return over_analog_layers(set_ranges, model)


class _Ranges:
    """Where a hook leaves the config that it chose, and how it chooses; opaque to Flax."""

    def __init__(self, path: str, chosen: dict[str, AnalogConfig], share: float, *, inputs: bool, adc: bool):
        self.path, self.chosen, self.share, self.inputs, self.adc = path, chosen, share, inputs, adc
        self.peak = self.low = self.high = np.zeros(())


class _Choice(Hook):
    """Looks at a layer's inputs and charges, and passes on the exact product."""

    needs_key = True

    def __init__(self, path: str, chosen: dict[str, AnalogConfig], share: float, *, inputs: bool, adc: bool):
        self.ranges = _Ranges(path, chosen, share, inputs=inputs, adc=adc)

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Choose the ranges. A layer that is called several times gets what its widest call needs."""
        ranges, config = self.ranges, call.config
        if ranges.inputs:
            ranges.peak = np.maximum(ranges.peak, _quantile(jnp.abs(call.inputs), ranges.share))
            limit = jnp.asarray(ranges.peak if ranges.peak > 0 else 1.0, jnp.float32)
            config = replace(config, drive=config.drive.with_range(FixedRange(limit=limit)))  # pyright: ignore
        if ranges.adc:
            config = replace(config, adc=config.adc.with_range(self._adc_range(config, call)))
        ranges.chosen[ranges.path] = config
        return jnp.matmul(call.inputs, call.kernel, precision=jax.lax.Precision.HIGHEST)

    def _adc_range(self, config: AnalogConfig, call: Call) -> Symmetric | Span:
        ranges = self.ranges
        charges = matrix.charges(config, call.prepared, call.inputs, call.key)
        per_slice = np.moveaxis(np.asarray(charges), -2, 0)
        per_slice = per_slice.reshape(len(per_slice), -1)
        ranges.low = np.minimum(ranges.low, _quantile(per_slice, 1 - ranges.share, axis=-1))
        ranges.high = np.maximum(ranges.high, _quantile(per_slice, ranges.share, axis=-1))
        limit = np.maximum(-ranges.low, ranges.high)
        # A slice that never carries a charge may have any range.
        limit = np.where(limit > 0, limit, 1.0)
        high = jnp.asarray(limit[:, None], jnp.float32)
        # Rounding may leave the charge of a weight of minus one in an offset cell a hair below zero.
        if np.any(ranges.low < -1e-3 * limit):
            return Symmetric(limit=high)  # pyright: ignore[reportArgumentType]
        return Span(low=jnp.zeros_like(high), high=high)  # pyright: ignore[reportArgumentType]


def _quantile(values: Any, share: float, axis: int | None = None) -> np.ndarray:
    return np.asarray(np.quantile(np.asarray(values, np.float32), share, axis=axis))
