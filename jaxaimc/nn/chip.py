"""Chips of a converted model: programming, drift, read keys, and effective matrices on their own.

Layers that `nnx.vmap` has stacked have one chip each; every array of theirs has the stack's axes in front.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._core.arguments import check_key, check_matrix, check_time
from jaxaimc._core.checks import shown
from jaxaimc._core.random import fold_in
from jaxaimc.calibration import Compensation
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.activity import known_activity
from jaxaimc.nn.guard import checksums
from jaxaimc.nn.keys import key_of_each
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.variables import Checksum, Conductance, EffectiveMatrix, LayerError, ReadKey
from jaxaimc.nn.walk import analog_layers, changed_layers, copied, every_product
from jaxaimc.tile import Prepared, Programmed
from jaxaimc.wires import check_residual


def program(model: nnx.Module, key: Key[Array, ""]) -> nnx.Module:
    """Program every analog layer of a model from its kernel: one chip.

    Args:
        model: Result of `convert`. It is not changed.
        key: Chip key. `jax.vmap` over keys gives many chips.

    Returns:
        The model on that chip, right after programming.

    Raises:
        ValueError: If the model has no analog layer, a kernel is not finite or has a shape but no values, or the key is
            not a single typed key.
        ConvergenceError: If the wires of a layer cannot be solved.

    Warns:
        AssumedActivityWarning: If a layer is read by mean field (`jaxaimc.wires.MeanField`) and nothing is known of how
            active its rows are.
    """
    check_key("key", key)

    def one(layer: Any, dot: AnalogDot) -> None:
        _check_filled(layer, dot)

        def chip(config: AnalogConfig, kernel: Array, key: Key[Array, ""]) -> tuple[Programmed, Prepared]:
            programmed = replace(tile.program(config, kernel, key), profile=profile)
            return programmed, tile.prepare(config, programmed)

        config, kernel = dot.config.get_value(), dot.host.kernel(layer)
        check_matrix("w", kernel.reshape(-1, kernel.shape[-1]), "n_in, n_out")
        profile = known_activity(dot, kernel)
        keys = stack_keys(dot.layer_key(key_of_each(key, kernel, config)), dot.stack)
        programmed, prepared = over_stack(chip, len(dot.stack))(config, kernel, keys)
        check_residual(f"layer {dot.path!r}", prepared.residual)
        put_chip(layer, dot, programmed, prepared)

    return changed_layers(model, one)


def drift(model: nnx.Module, t: Float[Array, ""] | float, compensation: Compensation | None = None) -> nnx.Module:
    """Let the chip of a model drift to a time since programming.

    The chip remembers the key that it was programmed with: its devices have the same exponents at every time.

    Args:
        model: Result of `program`. It is not changed.
        t: Time since programming [s].
        compensation: Digital correction, such as `jaxaimc.calibration.GlobalCompensation()`; None for no correction.

    Returns:
        The model on the chip at time `t`.

    Raises:
        ValueError: If the model is not programmed, a kernel has changed since, `t` is negative or not finite, or
            `compensation` is no correction.
        ConvergenceError: If the wires of a layer cannot be solved.

    Example:
        >>> from jaxaimc import nn
        >>> chip = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(), jax.random.key(1))
        >>> later = drift(chip, 86400.0)
        >>> nn.with_read_key(later, jax.random.key(2))(jnp.ones((5, 8))).shape
        (5, 3)
    """
    if compensation is not None and not callable(compensation):
        raise ValueError(
            "Argument `compensation` must be a correction such as `GlobalCompensation()` or None, but is "
            f"{shown(compensation)}; the chip's own key is used."
        )
    check_time("t", t)

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.programmed is None:
            dot.chip()  # raises where there is none
            raise ValueError(
                f"Layer {dot.path!r} has no devices any more (after `for_reading` or `with_effective`); call "
                "`jaxaimc.nn.program(model, key)` first."
            )
        _check_weights(layer, dot)

        def chip(config: AnalogConfig, programmed: Programmed) -> tuple[Programmed, Prepared]:
            drifted = tile.drift(config, programmed, t)
            prepared = tile.prepare(config, drifted)
            return drifted, prepared if compensation is None else compensation(config, prepared, programmed)

        drifted, prepared = over_stack(chip, len(dot.host.stack(layer)))(
            dot.config.get_value(), dot.programmed.get_value()
        )
        check_residual(f"layer {dot.path!r}", prepared.residual)
        dot.programmed, dot.prepared = Conductance(drifted), EffectiveMatrix(prepared)

    return changed_layers(model, one)


def with_read_key(model: nnx.Module, key: Key[Array, "*keys"]) -> nnx.Module:
    """Give every analog layer its read key.

    Call it where the model is called, with a key that is an argument of the jitted function: a key that is captured
    as a constant would repeat the same noise in every call. Under `jax.vmap` over examples each gets noise of its own,
    and so does each time step of a recurrent layer (`nnx.RNN`), jitted or not.

    Args:
        model: Any model with analog layers. It is not changed.
        key: One key, or one for each example of the batch (then an example's noise does not depend on its batch).

    Returns:
        The model, ready to be called.

    Raises:
        ValueError: If the model has no analog layer, a kernel has changed since the chip was programmed, or the key
            is not typed.
    """
    check_key("key", key, batched=True)
    copy = copied(model)
    products = list(every_product(copy))
    if not products:
        raise ValueError("The model has no analog layer; call `jaxaimc.nn.convert(model, rules)` first.")
    stacks = {}
    for layer, dot in analog_layers(copy):
        _check_weights(layer, dot)
        stacks[dot.path] = dot.host.stack(layer)
    for product in products:
        stack = stacks.get(product.path, ()) if isinstance(product, AnalogDot) else ()
        product.read_key = ReadKey((stack_keys(product.layer_key(key), stack), jnp.zeros(stack, jnp.uint32)))
    return copy


def effective(model: nnx.Module) -> dict[str, Prepared]:
    """Return the effective matrices of a programmed model, all that its reads need.

    Args:
        model: Result of `program` or `drift`.

    Returns:
        Effective matrices by layer path: a pytree, for example the result of a function that is vmapped over chips.

    Raises:
        ValueError: If the model has no analog layer or is not programmed, or a kernel has changed since.
    """
    found = {}
    for layer, dot in analog_layers(model):
        prepared = dot.chip()
        _check_weights(layer, dot)
        found[dot.path] = prepared
    if not found:
        raise ValueError("The model has no analog layer; call `jaxaimc.nn.convert(model, rules)` first.")
    return found


def with_effective(model: nnx.Module, matrices: dict[str, Prepared]) -> nnx.Module:
    """Put a model on the chip that `effective` described.

    Args:
        model: Result of `convert`, programmed or not. It is not changed.
        matrices: Effective matrices by layer path.

    Returns:
        The model on that chip. The devices behind the matrices are not known to it: it cannot drift.

    Raises:
        ValueError: If the paths are not those of the model's analog layers.
    """
    remaining = dict(matrices)

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.path not in remaining:
            raise ValueError(f"Argument `matrices` must have layer {dot.path!r}, but has {', '.join(matrices)}.")
        take_chip(dot)
        dot.prepared = EffectiveMatrix(remaining.pop(dot.path))

    result = changed_layers(model, one)
    if remaining:
        raise ValueError(f"Argument `matrices` has layers that the model has not: {', '.join(remaining)}.")
    return result


def without_chip(model: nnx.Module) -> nnx.Module:
    """Take the chip off a programmed model; hooks such as column corrections stay.

    Args:
        model: Any model with analog layers. It is not changed.

    Returns:
        The model, unprogrammed.

    Raises:
        ValueError: If the model has no analog layer.
    """
    return changed_layers(model, lambda layer, dot: take_chip(dot))


def for_reading(model: nnx.Module) -> nnx.Module:
    """Drop the devices of a programmed model and keep what its products need.

    A layer's devices are four numbers or more per weight: each device of a pair now, as programmed, and its target. A
    read needs the effective matrix and as many noise factors as the read noise has, one to three numbers in all.
    Without its devices a chip cannot drift any more.

    Args:
        model: Result of `program` or `drift`. It is not changed.

    Returns:
        The model with the same answers.

    Raises:
        ValueError: If the model has no analog layer, or one is not programmed.
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        dot.chip()  # raises where there is none
        dot.programmed = nnx.data(None)

    return changed_layers(model, one)


def layer_errors(model: nnx.Module) -> dict[str, Float[Array, ""]]:
    """Return the relative output error of every analog layer, and of attention on tiles, gathered in mode `"probe"`.

    Args:
        model: A model that was called in view `analog_mode="probe"`: every layer saw the digital model's inputs.

    Returns:
        Root mean square of the layer's output error over that of its ideal output, by path; the layers of a stack
        have their number in it, such as `"blocks/mlp[3]"`.
    """
    errors = {}
    for dot in every_product(model):
        if isinstance(dot.error, LayerError):
            off, ideal = jnp.moveaxis(dot.error.get_value(), -1, 0)
            found = jnp.sqrt(off / jnp.where(ideal > 0, ideal, 1.0))
            names = [dot.path] if not dot.stack else [f"{dot.path}[{i}]" for i in range(math.prod(dot.stack))]
            errors.update(zip(names, found.reshape(len(names)), strict=True))
    return errors


def put_chip(layer: Any, dot: AnalogDot, programmed: Programmed, prepared: Prepared) -> None:
    """Put a layer on its part of a chip that was programmed from its weights.

    Args:
        layer: The layer.
        dot: Its product, which is changed.
        programmed: The devices.
        prepared: The effective matrix.
    """
    sums = checksums(dot.host.weights(layer), dot.host.stack(layer))
    dot.programmed, dot.prepared, dot.checksum = Conductance(programmed), EffectiveMatrix(prepared), Checksum(sums)


def take_chip(dot: AnalogDot) -> None:
    """Take the chip off a layer's product.

    Args:
        dot: It is changed.
    """
    dot.programmed, dot.prepared, dot.checksum = nnx.data(None), nnx.data(None), nnx.data(None)


def stack_keys(key: Key[Array, "*keys"], stack: tuple[int, ...]) -> Key[Array, "..."]:
    """Return a key of its own for every layer of a stack, or the key itself for a layer that is none.

    Args:
        key: Key or keys of the whole stack.
        stack: Axes of the stack.
    """
    if not stack:
        return key
    keys = jax.vmap(lambda index: fold_in(key, index))(jnp.arange(math.prod(stack)))
    return keys.reshape(*stack, *key.shape)


def over_stack(function: Callable[..., Any], axes: int) -> Callable[..., Any]:
    """Map a function of one layer's arrays over the axes of a stack.

    Args:
        function: Function of pytrees, all of which have the axes in front.
        axes: Number of axes.
    """
    for _ in range(axes):
        function = jax.vmap(function)
    return function


def _check_weights(layer: Any, dot: AnalogDot) -> None:
    dot.check_chip(dot.host.weights(layer), dot.host.stack(layer))


def _check_filled(layer: Any, dot: AnalogDot) -> None:
    if isinstance(getattr(layer, dot.host.parameter).get_value(), jax.ShapeDtypeStruct):
        raise ValueError(
            f"Layer {dot.path!r} has the shape of a kernel but no values, as after `nnx.eval_shape`; fill the model by "
            "`nnx.update(model, state)` first, or call `jaxaimc.nn.program` inside of `nnx.eval_shape` as well."
        )
