"""Chips in and out: conductances for a programmer, measured ones from it, and maps of a chip's faults.

Arrays have the layout of `Programmed.g`, one per layer: (tile_row, tile_col, slice, polarity, rows, cols), in siemens.
A tile's block sits in the middle of the physical rows, from row `(config.rows - rows) // 2` on, and in the first
columns.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Key

from jaxaimc import nn, tile
from jaxaimc._core.arguments import check_key
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.chip import over_stack, put_chip
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.walk import analog_layers, changed_layers
from jaxaimc.tile import Programmed
from jaxaimc.wires import check_residual


def conductances(model: nnx.Module, which: Literal["now", "programmed", "target"] = "now") -> dict[str, np.ndarray]:
    """Return the conductances of a programmed model's devices.

    Args:
        model: Result of `nn.program` or `nn.drift`.
        which: `"now"`, right after `"programmed"`, or the `"target"` that a programmer is to reach.

    Returns:
        Conductances [S] by layer path, in the layout of `Programmed.g`; a stack of layers has its axes in front.

    Raises:
        ValueError: If the model has no analog layer, is not programmed or has no devices any more, or `which` is
            something else.

    Example:
        >>> import jax
        >>> from jaxaimc import AnalogConfig, nn
        >>> chip = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(), key=jax.random.key(1))
        >>> {path: g.shape for path, g in conductances(chip, "target").items()}
        {'': (1, 1, 1, 2, 8, 3)}
    """
    names = {"now": "g", "programmed": "g_programmed", "target": "g_target"}
    if which not in names:
        raise ValueError(f"Argument `which` must be {', '.join(map(repr, names))}, but is {which!r}.")
    layers = list(analog_layers(model))
    if not layers:
        raise ValueError("The model has no analog layer; call `jaxaimc.nn.convert(model, rules)` first.")
    return {dot.path: np.asarray(getattr(_devices(dot), names[which])) for _, dot in layers}


def with_measured(model: nnx.Module, measured: Mapping[str, Any], key: Key[Array, ""]) -> nnx.Module:
    """Put a model on a chip that was measured.

    Args:
        model: Result of `nn.convert`. It is not changed. Its kernels say what programming aimed at, and the digital
            scales.
        measured: Conductance of every device [S] by layer path, for every analog layer, in the layout of
            `conductances`.
        key: Chip key, for what was not measured: mismatch of the converters, and drift from here on.

    Returns:
        The model on that chip, at time zero.

    Raises:
        ValueError: If a layer is missing or unknown, or its conductances have another shape or unit, see
            `tile.with_conductances`; and as `nn.program`.
        ConvergenceError: If the wires of a layer cannot be solved.
    """
    check_key("key", key)
    programmed = nn.program(model, key)
    _check_paths(programmed, "measured", measured, every=True)
    return _changed(programmed, measured, tile.with_conductances)


def with_faults(model: nnx.Module, faults: Mapping[str, Any]) -> nnx.Module:
    """Let devices of a model's chip be stuck where a map says so, now and at any time that it drifts to.

    Args:
        model: Result of `nn.program`, `nn.drift` or `with_measured`. It is not changed. Programming it anew makes
            another chip, without these faults.
        faults: Conductance at which devices are stuck [S] by layer path, NaN for those that work, in the layout of
            `conductances`. Layers that it does not name have no faults.

    Returns:
        The model on the chip with these faults.

    Raises:
        ValueError: If there is no such layer, the model is not programmed, or a map has another shape or unit.
        ConvergenceError: If the wires of a layer cannot be solved.
    """
    _check_paths(model, "faults", faults, every=False)
    return _changed(model, faults, tile.with_stuck_devices)


def _changed(
    model: nnx.Module, arrays: Mapping[str, Any], change: Callable[[AnalogConfig, Programmed, Any], Programmed]
) -> nnx.Module:
    """Change the devices of some layers and fold their wires in anew."""

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.path not in arrays:
            return
        config, before = dot.config.get_value(), _devices(dot)
        axes = len(dot.host.stack(layer))
        array = np.asarray(arrays[dot.path])
        try:
            after = _each(change, config, before, array, axes) if axes else change(config, before, array)
        except ValueError as error:
            raise ValueError(f"Layer {dot.path!r}: {error}") from error
        prepared = over_stack(tile.prepare, axes)(config, after)
        check_residual(f"layer {dot.path!r}", prepared.residual)
        put_chip(layer, dot, after, prepared)

    return changed_layers(model, one)


def _each(change: Callable[..., Programmed], config: Any, before: Any, array: np.ndarray, axes: int) -> Any:
    """Change the devices of every layer of a stack, each with its own checks."""
    shape = before.g.shape[:axes]
    if array.shape[:axes] != shape:
        raise ValueError(f"the conductances must have the axes {shape} of the stack in front, but have {array.shape}.")
    pick = lambda tree, index: jax.tree.map(lambda leaf: leaf[index], tree)  # noqa: E731
    found = [change(pick(config, i), pick(before, i), array[i]) for i in np.ndindex(shape)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves).reshape(*shape, *leaves[0].shape), *found)


def _devices(dot: AnalogDot) -> Programmed:
    if dot.programmed is None:
        dot.chip()  # raises where there is none
        raise ValueError(f"Layer {dot.path!r} has no devices any more; call `jaxaimc.nn.program(model, key)` first.")
    return dot.programmed.get_value()


def _check_paths(model: nnx.Module, name: str, arrays: Mapping[str, Any], *, every: bool) -> None:
    known = [dot.path for _, dot in analog_layers(model)]
    listed = ", ".join(map(repr, known)) or "none; call `jaxaimc.nn.convert` first"
    unknown = [path for path in arrays if path not in known]
    if unknown:
        raise ValueError(f"Argument `{name}` has the layer {unknown[0]!r}, but the analog layers are: {listed}.")
    missing = [path for path in known if every and path not in arrays]
    if missing:
        raise ValueError(f"Argument `{name}` must have every analog layer, but lacks {', '.join(map(repr, missing))}.")
