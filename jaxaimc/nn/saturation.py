"""Which share of a chip's conversions and inputs lies beyond its ranges, layer by layer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._core.arguments import check_key
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import InputRange
from jaxaimc.nn.chip import program, with_read_key
from jaxaimc.nn.hooks import attach, refuse_stack
from jaxaimc.nn.op import AnalogDot, Call, Hook
from jaxaimc.nn.walk import analog_products, is_programmed

# Part of a range by which an input must lie beyond it: rounding in single precision is no clipping.
_SLACK = 1e-5


class Saturation(NamedTuple):
    """What of a layer lies beyond its ranges.

    Attributes:
        path: Path of the layer.
        vectors: Input vectors that it was asked for.
        conversions: Share of the conversions whose charge lies beyond the converter's range [1]; None where it has no
            range, or the layer was not called.
        inputs: Share of the inputs that lie beyond the input range, and are clipped [1]; None where the drive has no
            range, or the layer was not called.
        reason: Why a share is None; empty where there are both.
    """

    path: str
    vectors: int
    conversions: float | None
    inputs: float | None
    reason: str


def saturation(model: nnx.Module, inputs: Any, key: Key[Array, ""]) -> list[Saturation]:
    """Return which share of every analog layer's conversions saturates, and which share of its inputs is clipped.

    The network is called once on its chip, in evaluation mode, hooks and read noise included: every layer sees what the
    layers before it make of the inputs. A conversion saturates where its charge lies beyond the converter's range, so
    that the code at that end stands for it; end codes that are right, such as the zero of a range that begins there, do
    not count. An input range that follows every vector (`PerVector`) or call clips nothing.

    Args:
        model: Result of `convert`, `program`, `drift` or `calibrate`. It is not changed. Without a chip, one is
            programmed and then forgotten.
        inputs: Examples as the model takes them.
        key: Read key; programs the chip where the model has none.

    Returns:
        Shares of every analog layer, in the order of their paths.

    Raises:
        ValueError: If the model has no analog layer, a layer is a stack, or the key is not a single typed key.

    Example:
        >>> from jaxaimc import AnalogConfig, adcs, devices, nn
        >>> config = AnalogConfig(device=devices.IdealDevice(), adc=adcs.Uniform(range=adcs.Symmetric(limit=0.5)))
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), config)
        >>> [layer] = nn.saturation(analog, jax.random.normal(jax.random.key(1), (64, 8)), jax.random.key(2))
        >>> layer.vectors, 0.2 < layer.conversions < 0.9, layer.inputs
        (64, True, 0.0)
    """
    check_key("key", key)
    for dot in analog_products(model):
        refuse_stack(dot, "have its saturation counted")
    chip_key, read_key = jax.random.split(key)
    counted = attach(model if is_programmed(model) else program(model, chip_key), lambda dot: _Count())
    graph, state = nnx.split(nnx.view(counted, analog_mode="analog"))
    state = jax.jit(_called, static_argnums=0)(graph, state, read_key, inputs)
    found = [_of_layer(dot) for dot in analog_products(nnx.merge(graph, state))]
    return sorted(found, key=lambda layer: layer.path)


class _Count(Hook):
    """Adds up vectors, and over them the shares of saturated conversions and of clipped inputs."""

    needs_key = False

    def __init__(self) -> None:
        self.sums = nnx.Variable(jnp.zeros(3))

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Count and pass on what the layer answers."""
        vectors = call.inputs.size // call.inputs.shape[-1]
        if vectors:
            saturated = tile.saturation(call.config, call.prepared, call.inputs, call.key)
            found = jnp.stack([jnp.ones(()), saturated, _clipped(call.config, call.inputs)])
            self.sums.set_value(self.sums.get_value() + vectors * found.astype(jnp.float32))
        return outputs


def _called(graph: Any, state: Any, key: Key[Array, ""], inputs: Any) -> Any:
    model = nnx.merge(graph, state, copy=True)
    model.eval()
    with_read_key(model, key)(inputs)  # pyright: ignore[reportCallIssue]
    # The read key belongs to the copy only, so the structure of the state stays.
    return nnx.split(model)[1]


def _of_layer(dot: AnalogDot) -> Saturation:
    config = dot.config.get_value()
    [hook] = [hook for hook in dot.hooks if isinstance(hook, _Count)]
    vectors, saturated, clipped = map(float, hook.sums.get_value())
    reasons = []
    if not config.adc.saturates:
        reasons.append(f"{type(config.adc).__name__} has no range")
    if not isinstance(_input_range(config), InputRange):
        reasons.append(f"{type(config.drive).__name__} has no input range")
    if not vectors:
        reasons = ["is not called on these inputs"]
    return Saturation(
        path=dot.path,
        vectors=int(vectors),
        conversions=saturated / vectors if vectors and config.adc.saturates else None,
        inputs=clipped / vectors if vectors and isinstance(_input_range(config), InputRange) else None,
        reason="; ".join(reasons),
    )


def _input_range(config: AnalogConfig) -> Any:
    return getattr(config.drive, "range", None)


def _clipped(config: AnalogConfig, inputs: Float[Array, "*batch n_in"]) -> Float[Array, ""]:
    """Return the share of inputs beyond the input range."""
    present = _input_range(config)
    if not isinstance(present, InputRange):
        return jnp.zeros(())
    return jnp.mean(jnp.abs(inputs) > (1 + _SLACK) * present.bound(inputs)[..., None])
