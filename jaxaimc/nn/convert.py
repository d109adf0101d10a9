"""Put layers of a Flax model on analog tiles, by path."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc.calibration import Compensation
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.dot import AnalogDot
from jaxaimc.nn.variables import Conductance, EffectiveMatrix, LayerError, ReadKey
from jaxaimc.tile import Prepared


@dataclass(frozen=True)
class Rule:
    """Which layers go on which tiles.

    Args:
        pattern: Regular expression that the whole path of a layer must match, such as `blocks/[0-9]+/attention/.*`.
        config: The tile, or None to keep the layer digital.
    """

    pattern: str
    config: AnalogConfig | None


# Kernel axes that are summed over, for every kind of layer that can be converted.
_CONTRACTED: dict[type[nnx.Module], Callable[..., int]] = {
    nnx.Linear: lambda layer: 1,
    nnx.LinearGeneral: lambda layer: len(layer.in_features),
}
_KERNEL_RANK: dict[type[nnx.Module], Callable[..., int]] = {
    nnx.Linear: lambda layer: 2,
    nnx.LinearGeneral: lambda layer: len(layer.in_features) + len(layer.out_features),
}


def convert(model: nnx.Module, rules: Sequence[Rule] | AnalogConfig, key: Key[Array, ""] | None = None) -> nnx.Module:
    """Attach analog tiles to the linear layers of a model.

    Layers stay where and what they are (`nnx.Linear`, `nnx.LinearGeneral`): only their `dot_general` is replaced, so
    parameter paths, checkpoints and shared layers are untouched, and the kernels are those of the digital model.

    Args:
        model: Any NNX model. It is not changed; the result shares its parameters.
        rules: First match by path wins, layers without a match stay digital; a bare config means every layer.
        key: Chip key: programs one chip at once (`program`). Without it the model can be trained (view `"train"`), or
            programmed later.

    Returns:
        The analog model, in mode `"analog"`.

    Raises:
        ValueError: If a rule matches no layer, or a layer cannot be converted.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxaimc import AnalogConfig, nn
        >>> digital = nnx.Linear(8, 3, rngs=nnx.Rngs(0))
        >>> analog = nn.convert(digital, AnalogConfig(), key=jax.random.key(1))
        >>> nn.with_read_key(analog, jax.random.key(2))(jnp.ones((5, 8))).shape
        (5, 3)
    """
    if isinstance(rules, AnalogConfig):
        rules = [Rule(".*", rules)]
    layers = dict(_linear_layers(model))
    chosen = {path: _first_match(rules, path) for path in layers}
    _check_all_used(rules, layers)
    for path, rule in chosen.items():
        if rule is not None and rule.config is not None:
            _check_convertible(path, layers[path])
            rule.config.validate()

    # A shared layer is visited once, under the first of its paths, here as in `_linear_layers`.
    def attach(path: tuple, node: Any) -> Any:
        rule = chosen.get(_join(path))
        if rule is not None and rule.config is not None:
            contracted = _CONTRACTED[type(node)](node)
            node.dot_general = nnx.data(AnalogDot(rule.config, path=_join(path), contracted=contracted))
        return node

    analog = nnx.recursive_map(attach, model)
    return analog if key is None else program(analog, key)


def program(model: nnx.Module, key: Key[Array, ""]) -> nnx.Module:
    """Program every analog layer of a model from its kernel: one chip.

    Args:
        model: Result of `convert`. It is not changed.
        key: Chip key. `jax.vmap` over keys gives many chips.

    Returns:
        The model on that chip, right after programming.

    Raises:
        ValueError: If the model has no analog layer, or a kernel is not finite.
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        config = dot.config.get_value()
        programmed = tile.program(config, dot.flat_kernel(layer.kernel[...]), dot.layer_key(key))
        dot.programmed = Conductance(programmed)
        dot.prepared = EffectiveMatrix(tile.prepare(config, programmed))

    return over_analog_layers(one, model)


def drift(
    model: nnx.Module,
    t: Float[Array, ""] | float,
    compensation: Compensation | None = None,
) -> nnx.Module:
    """Let the chip of a model drift to a time since programming.

    Args:
        model: Result of `program`. It is not changed.
        t: Time since programming [s].
        compensation: Digital correction, such as `jaxaimc.calibration.GlobalCompensation()`; None for no correction.

    Returns:
        The model on the chip at time `t`.

    Raises:
        ValueError: If the model is not programmed, or `t` is negative or not finite.
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.programmed is None:
            raise ValueError(f"Layer {dot.path!r} has no programmed chip; call `jaxaimc.nn.program(model, key)` first.")
        config = dot.config.get_value()
        programmed = dot.programmed.get_value()
        drifted = tile.drift(config, programmed, t)
        prepared = tile.prepare(config, drifted)
        if compensation is not None:
            prepared = compensation(config, prepared, programmed)
        dot.programmed = Conductance(drifted)
        dot.prepared = EffectiveMatrix(prepared)

    return over_analog_layers(one, model)


def with_read_key(model: nnx.Module, key: Key[Array, "*keys"]) -> nnx.Module:
    """Give every analog layer its read key.

    Call it where the model is called, with a key that is an argument of the jitted function: a key that is captured
    as a constant would repeat the same noise in every call.

    Args:
        model: Any model with analog layers. It is not changed.
        key: One key, or one for each example of the batch (then an example's noise does not depend on its batch).

    Returns:
        The model, ready to be called.
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        dot.read_key = ReadKey((dot.layer_key(key), jnp.zeros((), jnp.uint32)))

    return over_analog_layers(one, model)


def effective(model: nnx.Module) -> dict[str, Prepared]:
    """Return what the products of every analog layer need: all that differs between chips once they are programmed.

    Args:
        model: Result of `program` or `drift`.

    Returns:
        Effective matrices by layer path, a pytree; under `jax.vmap` over chip keys, those of many chips.

    Raises:
        ValueError: If a layer is not programmed.
    """
    found: dict[str, Prepared] = {}

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.prepared is None:
            raise ValueError(f"Layer {dot.path!r} has no programmed chip; call `jaxaimc.nn.program(model, key)` first.")
        found[dot.path] = dot.prepared.get_value()

    over_analog_layers(one, model)
    return found


def with_effective(model: nnx.Module, matrices: dict[str, Prepared]) -> nnx.Module:
    """Put a model on the chip that `effective` described.

    Args:
        model: Result of `convert`, programmed or not. It is not changed.
        matrices: Effective matrices by layer path.

    Returns:
        The model on that chip.

    Raises:
        ValueError: If the paths are not those of the model's analog layers.
    """
    remaining = dict(matrices)

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.path not in remaining:
            raise ValueError(f"Argument `matrices` must have layer {dot.path!r}, but has {', '.join(matrices)}.")
        dot.prepared = EffectiveMatrix(remaining.pop(dot.path))

    result = over_analog_layers(one, model)
    if remaining:
        raise ValueError(f"Argument `matrices` has layers that the model has not: {', '.join(remaining)}.")
    return result


def layer_errors(model: nnx.Module) -> dict[str, Float[Array, ""]]:
    """Return the relative output error of every analog layer, gathered in mode `"probe"`.

    Args:
        model: A model that was called in view `analog_mode="probe"`: every layer saw the digital model's inputs.

    Returns:
        Root mean square of the layer's output error over that of its ideal output, by path.
    """
    errors = {}
    for _, module in nnx.iter_modules(model):
        if isinstance(module, AnalogDot) and isinstance(module.error, LayerError):
            off, ideal = module.error.get_value()
            errors[module.path] = jnp.sqrt(off / jnp.where(ideal > 0, ideal, 1.0))
    return errors


def _join(path: tuple) -> str:
    return "/".join(str(part) for part in path)


def _linear_layers(model: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    for path, module in nnx.iter_modules(model):
        if type(module) in _CONTRACTED:
            yield _join(path), module


def _first_match(rules: Sequence[Rule], path: str) -> Rule | None:
    return next((rule for rule in rules if re.fullmatch(rule.pattern, path)), None)


def _check_all_used(rules: Sequence[Rule], layers: dict[str, nnx.Module]) -> None:
    for rule in rules:
        if not any(re.fullmatch(rule.pattern, path) for path in layers):
            raise ValueError(
                f"Rule {rule.pattern!r} matches no layer. Paths of the layers that can be converted: "
                f"{', '.join(map(repr, layers)) or 'none (nnx.Linear and nnx.LinearGeneral can)'}."
            )


def _check_convertible(path: str, layer: Any) -> None:
    rank = _KERNEL_RANK[type(layer)](layer)
    if getattr(layer, "batch_axis", None):
        raise ValueError(f"Layer {path!r} has batch axes {dict(layer.batch_axis)} and cannot be converted.")
    if layer.kernel[...].ndim != rank:
        raise ValueError(
            f"Layer {path!r} must have a kernel of {rank} axes, but its kernel has shape {layer.kernel[...].shape}; "
            "convert a stack of layers under `nnx.vmap`."
        )
    if getattr(layer, "dot_general_cls", None) is not None:
        raise ValueError(f"Layer {path!r} makes its own product by `dot_general_cls` and cannot be converted.")


def over_analog_layers(function: Callable[..., None], model: nnx.Module) -> nnx.Module:
    """Apply `function(layer, dot)` to every analog layer of a copy of the model that shares its variables."""
    found = False

    def visit(path: tuple, node: Any) -> Any:
        nonlocal found
        if type(node) in _CONTRACTED and isinstance(node.dot_general, AnalogDot):
            found = True
            function(node, node.dot_general)
        return node

    result = nnx.recursive_map(visit, model)
    if not found:
        raise ValueError("The model has no analog layer; call `jaxaimc.nn.convert(model, rules)` first.")
    return result
