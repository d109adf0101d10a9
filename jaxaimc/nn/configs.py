"""Configs of a converted model, read and changed in one place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from jaxaimc._core.checks import concrete, shown
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import InputRange
from jaxaimc.nn.hosts import Host
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.variables import DeviceParam
from jaxaimc.nn.walk import changed_layers

# What a programmed chip was made with. The drive and the ADC act on each read.
_PROGRAMMED = ("cell", "device", "wires", "rows", "cols", "column_scales")

# Relative: a limit that equals the constant may be off by rounding to single precision.
_SLACK = 1e-6


def map_configs(model: nnx.Module, function: Callable[[str, AnalogConfig], AnalogConfig]) -> nnx.Module:
    """Change the configs of a model's analog layers.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed; the result shares its parameters and its chip.
        function: `(path, config) -> config`; in a stack it is called for each layer, with its number in the path,
            such as `"blocks/mlp[3]"`.

    Returns:
        The model with these configs.

    Raises:
        ValueError: If the model has no analog layer, what the function returns is no config or is out of range, or a
            layer's chip was programmed with other cells, devices, wires or sizes, or the input range of a layer ends
            below the constant input of its bias.

    Example:
        >>> from jaxaimc import nn
        >>> from jaxaimc.adcs import Uniform
        >>> model = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig())
        >>> model = map_configs(model, lambda path, config: config.with_(adc=Uniform(bits=6)))
        >>> model.dot_general.config.get_value().adc.bits
        6
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        dot.config = DeviceParam(_mapped(function, dot))

    return changed_layers(model, one)


def stacked(config: AnalogConfig, stack: tuple[int, ...]) -> AnalogConfig:
    """Return a config for a stack of layers: every leaf repeated along the axes of the stack.

    Args:
        config: The tile of each layer.
        stack: Axes of the stack, none for a layer of its own.
    """
    if not stack:
        return config
    repeat = lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (*stack, *jnp.shape(leaf)))  # noqa: E731
    return jax.tree.map(repeat, config)


def check_bias_input(path: str, config: AnalogConfig, host: Host) -> None:
    """Check that the drive expresses the constant input of a row that holds the bias.

    Args:
        path: Path of the layer, for the error.
        config: Its tile.
        host: Its host.

    Raises:
        ValueError: If the input range is narrower, as far as its limit is known.
    """
    constant, present = host.constant, getattr(config.drive, "range", None)
    if constant is None or not isinstance(present, InputRange):
        return
    bound = concrete(present.bound(jnp.full((1,), constant)))
    if bound is not None and bound < (1 - _SLACK) * constant:
        raise ValueError(
            f"Layer {path!r} must have an input range that holds the constant input {constant} of its bias, but "
            f"{type(present).__name__} ends at {float(bound):.4g}; choose `bias_input` of its rule up to that."
        )


def _mapped(function: Callable[[str, AnalogConfig], AnalogConfig], dot: AnalogDot) -> AnalogConfig:
    config = dot.config.get_value()
    if not dot.stack:
        return _checked(function(dot.path, config), config, dot)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(dot.stack) :]), config)
    parts = []
    for index in range(int(np.prod(dot.stack))):
        old = jax.tree.map(lambda leaf, i=index: leaf[i], flat)
        parts.append(_checked(function(f"{dot.path}[{index}]", old), old, dot))
    together = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *parts)
    return jax.tree.map(lambda leaf: leaf.reshape(*dot.stack, *leaf.shape[1:]), together)


def _checked(new: Any, old: AnalogConfig, dot: AnalogDot) -> AnalogConfig:
    if not isinstance(new, AnalogConfig):
        raise ValueError(f"Layer {dot.path!r} must get an AnalogConfig, but `function` returned {shown(new)}.")
    new.validate()
    check_bias_input(dot.path, new, dot.host)
    for name in _PROGRAMMED:
        if dot.prepared is not None and not _equal(getattr(new, name), getattr(old, name)):
            raise ValueError(
                f"Layer {dot.path!r} is on a chip that was programmed with another `{name}`; take the chip off "
                "(`jaxaimc.nn.without_chip(model)`), or change configs before `jaxaimc.nn.program`."
            )
    return new


def _equal(new: Any, old: Any) -> bool:
    """Whether two parts are the same as far as can be told; traced values are taken for equal."""
    if jax.tree.structure(new) != jax.tree.structure(old):
        return False
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    traced = lambda *leaves: any(isinstance(leaf, Tracer) for leaf in leaves)  # noqa: E731
    return all(a is b or traced(a, b) or np.array_equal(a, b) for a, b in pairs)
