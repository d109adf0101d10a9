"""Per-column digital correction of a programmed chip, fitted from reference reads."""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import check_key
from jaxaimc._core.xla import grouped_product
from jaxaimc.calibration.columns import fitted_lines
from jaxaimc.nn.chip import with_read_key
from jaxaimc.nn.hooks import attach
from jaxaimc.nn.op import AnalogDot, Call, Hook
from jaxaimc.nn.variables import DigitalParam
from jaxaimc.nn.walk import matching


class ColumnCorrection(Hook):
    """A digital gain and offset per output column, `gain y + offset`; trainable.

    Args:
        gain: Gain of every column [1].
        offset: Offset of every column, in the unit of the outputs.
    """

    needs_vectors = False
    by_vector = True

    def __init__(self, gain: Float[Array, " n_out"], offset: Float[Array, " n_out"]):
        self.gain = DigitalParam(gain)
        self.offset = DigitalParam(offset)

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Return the corrected outputs."""
        return outputs * self.gain[...].astype(outputs.dtype) + self.offset[...].astype(outputs.dtype)


class _Moments(Hook):
    """Sums over vectors of the outputs, the ideal outputs and their products, per column."""

    def __init__(self, n_out: int):
        self.sums = nnx.Variable(jnp.zeros((5, n_out)))

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        ideal = grouped_product(call.inputs, call.kernel)
        y, ideal = (a.reshape(-1, a.shape[-1]) for a in (outputs, ideal))
        parts = (jnp.ones_like(y), y, ideal, y * y, y * ideal)
        self.sums.set_value(self.sums.get_value() + jnp.stack([jnp.sum(part, axis=0) for part in parts]))
        return outputs


def calibrate_columns(
    model: nnx.Module, batches: Iterable[Array], key: Key[Array, ""], *, offsets: bool = True, pattern: str = ".*"
) -> nnx.Module:
    """Correct every column of a programmed chip by the gain and offset that fit its ideal outputs best.

    Each analog layer answers the inputs that the digital network would give it; a least-squares line through its
    answers, read noise included, gives the correction. That undoes what is linear in a column: drift, the mean of IR
    drop, the ADC's offset. What differs between rows stays.

    Args:
        model: Result of `jaxaimc.nn.program` or `jaxaimc.nn.drift`. It is not changed.
        batches: Inputs of the network.
        key: Read key of the calibration.
        offsets: Whether offsets are fitted beside gains.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The chip with a `ColumnCorrection` on every matching layer. A column whose answers do not vary keeps gain one.

    Raises:
        ValueError: If no layer matches, the model is not programmed, there is no batch, or the key is not a
            single typed key.
    """
    check_key("key", key)
    widths = {}
    for dot in matching(model, pattern):
        widths[dot.path] = dot.chip().n_out
    measured = attach(model, lambda dot: _Moments(widths[dot.path]), pattern=pattern)
    graph, state = nnx.split(nnx.view(measured, analog_mode="probe"))
    count = 0
    for inputs in batches:
        state = _measure(graph, state, jax.random.fold_in(key, count), inputs)
        count += 1
    if not count:
        raise ValueError("Argument `batches` must hold at least one batch, but holds none.")
    sums = {
        dot.path: hook.sums[...]
        for dot in matching(nnx.merge(graph, state), pattern)
        for hook in dot.hooks
        if isinstance(hook, _Moments)
    }
    return attach(model, lambda dot: ColumnCorrection(*fitted_lines(sums[dot.path], offsets=offsets)), pattern=pattern)


def with_column_correction(model: nnx.Module, *, pattern: str = ".*") -> nnx.Module:
    """Give analog layers a trainable gain and offset per column that start at one and zero.

    Args:
        model: Result of `jaxaimc.nn.program`. It is not changed.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with a `ColumnCorrection` on every matching layer.

    Raises:
        ValueError: If no layer matches, or the model is not programmed.
    """

    def make(dot: AnalogDot) -> Hook:
        n_out = dot.chip().n_out
        return ColumnCorrection(jnp.ones(n_out), jnp.zeros(n_out))

    return attach(model, make, pattern=pattern)


@functools.partial(jax.jit, static_argnums=0)
def _measure(graph: Any, state: Any, key: Key[Array, ""], inputs: Array) -> Any:
    model = nnx.merge(graph, state, copy=True)
    model.eval()
    read: Any = with_read_key(model, key)
    read(inputs)
    # The read key belongs to the copy only, so the structure of the state stays.
    return nnx.split(model)[1]
