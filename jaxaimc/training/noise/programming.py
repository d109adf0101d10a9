"""The chip of a training step: programmed anew, its noise a constant of the step.

XLA fuses whatever is elementwise, and on CPUs it then computes the hash and the inverse error function of every
draw again in every loop that needs a conductance, in whatever memory order that loop has. That cost several times the
draws themselves; so conductances are put into memory once, on the way forward and on the way back.
"""

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc._core.hashed import fast_key
from jaxaimc.config import AnalogConfig
from jaxaimc.nn import AnalogDot
from jaxaimc.nn.activity import known_activity
from jaxaimc.nn.chip import put_chip
from jaxaimc.nn.hooks import refuse_stack
from jaxaimc.nn.walk import changed_layers
from jaxaimc.tile import Prepared, Programmed, prepare, program

# Weights of a layer up to which it is programmed together with others of its shape: the walks along the wires of so
# small an array take the time of starting their steps, not of computing them.
_SMALL = 2**16


class _Layer(NamedTuple):
    config: AnalogConfig
    kernel: Float[Array, "*group n_in n_out"]
    key: Key[Array, ""]
    profile: Any


def training_chip(model: nnx.Module, key: Key[Array, ""]) -> nnx.Module:
    """Program every analog layer for one training step, with hashed draws, its noise a constant of the step.

    A conductance is its target plus noise, and the noise does not move with the target: that the spread depends on
    the target, and that a device cannot go below zero, is left out of the gradient, not of the value.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        key: Chip key.

    Returns:
        The model on that chip: the conductances of `jaxaimc.nn.program` for `fast_key(key)`.

    Raises:
        ValueError: If the model has no analog layer.
    """
    chip_key = fast_key(key)
    layers: dict[str, _Layer] = {}

    def collect(layer: Any, dot: AnalogDot) -> None:
        refuse_stack(dot, "be trained with `training_chip`, only with `exact_noise`")
        kernel = dot.host.kernel(layer)
        layers[dot.path] = _Layer(dot.config.get_value(), kernel, dot.layer_key(chip_key), known_activity(dot, kernel))

    changed_layers(model, collect)
    chips: dict[str, tuple[Programmed, Prepared]] = {}
    for paths in _alike(layers):
        chips.update(zip(paths, _together([layers[path] for path in paths]), strict=True))

    def put(layer: Any, dot: AnalogDot) -> None:
        programmed, prepared = chips[dot.path]
        put_chip(layer, dot, programmed, prepared)

    return changed_layers(model, put)


def _alike(layers: dict[str, _Layer]) -> list[list[str]]:
    """Return the paths of layers that are programmed together."""
    groups: dict[Any, list[str]] = {}
    for path, (config, kernel, _, profile) in layers.items():
        kind = (jax.tree.structure(config), kernel.shape, kernel.dtype, getattr(profile, "shape", None))
        groups.setdefault(kind if kernel.size <= _SMALL else path, []).append(path)
    return list(groups.values())


def _together(layers: Sequence[_Layer]) -> list[tuple[Programmed, Prepared]]:
    if len(layers) == 1:
        return [_program(layers[0])]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *layers)
    chips = jax.vmap(_program)(stacked)
    return [jax.tree.map(operator.itemgetter(index), chips) for index in range(len(layers))]


def _program(layer: _Layer) -> tuple[Programmed, Prepared]:
    programmed = program(layer.config, layer.kernel, layer.key)
    noise = in_memory(jax.lax.stop_gradient(programmed.g - programmed.g_target))
    constant = replace(programmed, g=in_memory(programmed.g_target + noise), profile=layer.profile)
    return constant, prepare(layer.config, constant)


@jax.custom_vjp
def in_memory(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return `x`; neither `x` nor its cotangent is fused with what comes after it.

    Args:
        x: Array of one axis or more.
    """
    return _copied(x)


def _copied(x: Float[Array, "..."]) -> Float[Array, "..."]:
    rows = x.size // x.shape[-1] if x.size else 0
    if rows < 2:
        return x
    parts = next(number for number in range(2, rows + 1) if rows % number == 0)

    # A loop is what XLA does not fuse across; of an optimisation barrier nothing is left on CPUs. The test is
    # always true, but neither JAX nor XLA knows that.
    def copy(count: Array, part: Array) -> tuple[Array, Array]:
        return count + 1, jnp.where(count < parts, part, 0)

    _, copied = jax.lax.scan(copy, jnp.zeros((), jnp.int32), x.reshape(parts, rows // parts, x.shape[-1]))
    return copied.reshape(x.shape)


in_memory.defvjp(lambda x: (_copied(x), None), lambda _, g: (_copied(g),))
