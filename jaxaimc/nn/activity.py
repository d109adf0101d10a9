"""How active the rows of a network's layers are, for wires whose load depends on it."""

import warnings
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc import tile
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.hooks import refuse_stack, replace_products
from jaxaimc.nn.hosts.wrapped import groups_of
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.profile import Seen, Watch
from jaxaimc.nn.variables import ActivityProfile, Conductance, EffectiveMatrix
from jaxaimc.nn.walk import analog_layers, changed_layers
from jaxaimc.tile import Programmed
from jaxaimc.wires import MeanField, NoWires

# Numbers that are held of a layer's inputs: 16 MB in single precision.
_MOST = 2**22
# Vectors for which a method is compared with a finer one.
_FEW = 32
# Effect of wires that is taken for rounding, in units of it [1].
_ROUNDING = 32


class AssumedActivityWarning(UserWarning):
    """Wires by mean field of rows of which nobody knows how active they are."""


def with_activity(model: nnx.Module, inputs: Any) -> nnx.Module:
    """Find out from data how active the rows of every layer are, for wires whose load depends on it.

    Columns with open idle cells (`jaxaimc.wires.OpenIdle`) are loaded by the rows that are active. Their read noise,
    drift compensation and `MeanField` need the mean of that over data. The network is called once, not jitted, with the
    digital activations. `calibrate` does the same together with the choice of ranges, which comes first where there is
    a choice: how long pulses are depends on the input range. Layers with other wires are left as they are.

    Args:
        model: Result of `convert`, `program` or `drift`. It is not changed. A chip that it has stays the same, and is
            read with the new profile.
        inputs: Examples as the model takes them, a few dozen.

    Returns:
        The model with the profiles.

    Raises:
        ValueError: If a model with such wires has a layer that is not reached by the inputs, gets some that are not
            finite, is a stack, or has a chip without its devices (after `for_reading`).

    Example:
        >>> from jaxaimc import AnalogConfig, nn, wires
        >>> config = AnalogConfig(wires=wires.OpenIdle(method=wires.MeanField()))
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), config)
        >>> with_activity(analog, jax.random.normal(jax.random.key(0), (64, 8))).dot_general.profile[...].shape
        (1, 1, 4, 8)
    """
    profiled = [dot for _, dot in analog_layers(model) if dot.config.get_value().wires.profiled]
    if not profiled:
        return model
    for dot in profiled:
        if dot.prepared is not None and dot.programmed is None:
            raise ValueError(
                f"Layer {dot.path!r} has no devices any more (after `for_reading` or `with_effective`) and cannot be "
                "read with another profile; call `with_activity` before that."
            )
    return with_activity_of(model, layer_inputs(model, inputs))


def layer_inputs(model: nnx.Module, inputs: Any) -> dict[str, Float[Array, "vector n_in"]]:
    """Return the input vectors of every analog layer, or a sample of them, with digital activations.

    Args:
        model: Converted model.
        inputs: Examples as the model takes them.

    Raises:
        ValueError: If the model has no analog layer, or one is not reached by the inputs or gets some that are not
            finite.
    """
    seen = {
        dot.path: Seen(dot.path, most=max(1, _MOST // dot.host.kernel(layer).shape[-2]))
        for layer, dot in analog_layers(model)
    }
    watched: Any = replace_products(model, lambda dot: Watch(dot, seen[dot.path].add))
    watched(inputs)
    jax.effects_barrier()
    for path, what in seen.items():
        if not what.count:
            raise ValueError(f"Argument `inputs` must reach every analog layer, but layer {path!r} was not called.")
        if what.wrong:
            raise ValueError(
                f"Argument `inputs` must give every layer finite inputs, but in layer {path!r} {what.wrong} of "
                f"{what.size} are not."
            )
    return {path: jnp.asarray(what.vectors) for path, what in seen.items()}


def with_activity_of(model: nnx.Module, vectors: dict[str, Float[Array, "vector n_in"]]) -> nnx.Module:
    """Give layers the profile of their input vectors.

    Args:
        model: Converted model.
        vectors: Input vectors by path of the layer; layers that are not named, or whose wires have no profile, are left
            as they are.
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        config = dot.config.get_value()
        if dot.path not in vectors or not config.wires.profiled:
            return
        refuse_stack(dot, "have a profile of its rows' activity")
        profile = tile.activity_profile(config, vectors[dot.path], groups_of(dot.host.kernel(layer)))
        dot.profile = ActivityProfile(profile)
        if dot.programmed is None or dot.prepared is None:
            return
        programmed = replace(dot.programmed.get_value(), profile=profile)
        # Drift compensation acts on the scale.
        prepared = replace(tile.prepare(config, programmed), w_scale=dot.prepared.get_value().w_scale)
        dot.programmed, dot.prepared = Conductance(programmed), EffectiveMatrix(prepared)

    return changed_layers(model, one)


def known_activity(dot: AnalogDot, kernel: Float[Array, "*group n_in n_out"]) -> Any:
    """Return the profile that is known of a layer's rows, or `()`.

    Args:
        dot: Product of the layer.
        kernel: Its matrix.

    Warns:
        AssumedActivityWarning: If there is none, or one of other wires, drives or sizes, and the effective matrices
            follow from it.
    """
    config = dot.config.get_value()
    if not config.wires.profiled or dot.stack:
        return ()
    groups = groups_of(kernel)
    if dot.profile is not None:
        inputs = jax.ShapeDtypeStruct((1, groups * kernel.shape[-2]), kernel.dtype)
        wanted = jax.eval_shape(lambda x: tile.activity_profile(config, x, groups), inputs).shape
        profile = dot.profile.get_value()
        if profile.shape == wanted:
            return profile
    if isinstance(getattr(config.wires, "method", None), MeanField):
        warnings.warn(
            f"Layer {dot.path!r} is read by mean field, but how active its rows are is not known: all pulse lengths "
            "are taken to be as frequent. Call `jaxaimc.nn.calibrate` or `jaxaimc.nn.with_activity` with data.",
            AssumedActivityWarning,
            stacklevel=5,
        )
    return ()


def method_errors(model: nnx.Module, vectors: dict[str, Float[Array, "vector n_in"]]) -> dict[str, float]:
    """Return how far the wires' method is off in every layer, by a finer method for the same chip.

    Args:
        model: Result of `program`.
        vectors: Input vectors by path of the layer, of which a few are looked at.

    Returns:
        Error of the charges that converters get over the effect of the wires on them, both as root mean square, by path
        [1]; empty where wires are exact.
    """
    found = {}
    for _, dot in analog_layers(model):
        config = dot.config.get_value()
        if config.wires.finer is None or dot.programmed is None or dot.path not in vectors:
            continue
        x = vectors[dot.path][:_FEW]
        programmed = dot.programmed.get_value()
        own, finer, ideal = (
            _charges(replace(config, wires=wires), programmed, x)
            for wires in (config.wires, config.wires.finer, NoWires())
        )
        effect, off, size = (jnp.sqrt(jnp.mean(part**2)) for part in (finer - ideal, own - finer, ideal))
        # Of wires that do nothing but rounding there is nothing to be off from.
        acts = effect > _ROUNDING * jnp.finfo(effect.dtype).eps * size
        found[dot.path] = float(off / effect) if acts else 0.0
    return found


def _charges(config: AnalogConfig, programmed: Programmed, x: Float[Array, "vector n_in"]) -> Float[Array, "..."]:
    return tile.charges(config, tile.prepare(config, programmed), x)
