"""Many chips of one model at once: each step of a layer's programming is one compiled call for all of them.

Layers of one shape share it, and so do configs that differ in their numbers only. `jax.vmap` of `jaxaimc.nn.program`
gives the same chips, but traces every layer anew each time.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._core.ahead import Call, directly
from jaxaimc._core.arguments import check_matrix, check_time
from jaxaimc._core.random import fold_in
from jaxaimc.adcs import IdealADC
from jaxaimc.calibration import compensate_drift
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.activity import known_activity
from jaxaimc.nn.chip import over_stack, stack_keys
from jaxaimc.nn.walk import analog_layers
from jaxaimc.tile import Prepared, Programmed, as_programmed
from jaxaimc.wires import NoWires

# What of a layer's devices is the same on all chips.
_COMMON = ("g_target", "w_scale", "t", "profile")


def effective_of_chips(
    model: nnx.Module,
    keys: Key[Array, " chip"] | jax.ShapeDtypeStruct,
    t: float | None = None,
    *,
    compensated: bool = False,
    call: Call = directly,
) -> dict[str, Prepared]:
    """Program chips with a model and fold their wires in.

    Args:
        model: Result of `jaxaimc.nn.convert`.
        keys: Chip keys.
        t: Time of the read since programming [s]; None for right after it.
        compensated: Whether drift is compensated, as `jaxaimc.calibration.GlobalCompensation()` does.
        call: How compiled functions are called; with `jaxaimc._core.ahead.in_shapes`, keys may be a shape.

    Returns:
        Effective matrices by layer path, every array with a leading chip axis. Their residuals were not looked at.

    Raises:
        ValueError: If a kernel is not finite, or `t` is negative or not finite.

    Warns:
        AssumedActivityWarning: As `jaxaimc.nn.program`.
    """
    if t is not None:
        check_time("t", t)
    chips = {}
    for layer, dot in analog_layers(model):
        config, kernel, axes = dot.config.get_value(), dot.host.kernel(layer), len(dot.stack)
        check_matrix("w", kernel.reshape(-1, kernel.shape[-1]), "n_in, n_out")
        own = call(_keys_of_layer, keys, np.uint32(dot.number), dot.stack)
        programmed = call(_program, _programs(config), kernel, own, known_activity(dot, kernel), axes)
        now = programmed if t is None else call(_drift, _drifts(config), programmed, t, axes)
        prepared = call(_prepare, _prepares(config), now, axes)
        if t is not None and compensated:
            then = call(_prepare, _prepares(config), call(_fresh, programmed), axes)
            prepared = call(_compensate, _drifts(config), prepared, then, axes)
        chips[dot.path] = prepared
    return chips


# What a step has no use for is left out of its config, so that all of them share its programs.


def _programs(config: AnalogConfig) -> AnalogConfig:
    """Return the part of a tile that programming depends on."""
    # Whether all cells hold zeros and ones exactly is said of the whole device.
    device = config.device if config.cell.exact else config.device.only("programming")
    drawn = jax.eval_shape(lambda: config.adc.draw_mismatch(jax.random.key(0), 1, 1))
    same = isinstance(drawn, tuple) and not drawn
    return replace(config, device=device, wires=NoWires(), adc=IdealADC() if same else config.adc)


def _drifts(config: AnalogConfig) -> AnalogConfig:
    """Return the part of a tile that drift and its compensation depend on."""
    return replace(config, wires=NoWires(), adc=IdealADC())


def _prepares(config: AnalogConfig) -> AnalogConfig:
    """Return the part of a tile that folding its wires in depends on."""
    return replace(config, device=config.device.only("read_noise"), adc=IdealADC())


@partial(jax.jit, static_argnums=2)
def _keys_of_layer(keys: Key[Array, " chip"], number: Any, stack: tuple[int, ...]) -> Key[Array, "chip *stack"]:
    return jax.vmap(lambda key: stack_keys(fold_in(key, number), stack))(keys)


@partial(jax.jit, static_argnums=4)
def _program(config: AnalogConfig, kernel: Array, keys: Key[Array, "chip *stack"], profile: Any, axes: int) -> Any:
    def one(config: AnalogConfig, kernel: Array, key: Key[Array, ""]) -> Programmed:
        return replace(tile.program(config, kernel, key), profile=profile)

    many = over_stack(one, axes)
    chip = jax.eval_shape(many, config, kernel, jax.eval_shape(lambda keys: keys[0], keys))
    return jax.vmap(many, (None, None, 0), out_axes=_axes(chip))(config, kernel, keys)


@partial(jax.jit, static_argnums=3)
def _drift(config: AnalogConfig, programmed: Programmed, t: Float[Array, ""] | float, axes: int) -> Programmed:
    places = _axes(programmed)
    many = over_stack(lambda config, chip: tile.drift(config, chip, t), axes)
    return jax.vmap(many, (None, places), out_axes=places)(config, programmed)


@partial(jax.jit, static_argnums=2)
def _prepare(config: AnalogConfig, programmed: Programmed, axes: int) -> Prepared:
    return jax.vmap(over_stack(tile.prepare, axes), (None, _axes(programmed)))(config, programmed)


@partial(jax.jit, static_argnums=3)
def _compensate(config: AnalogConfig, prepared: Prepared, reference: Prepared, axes: int) -> Prepared:
    return jax.vmap(over_stack(compensate_drift, axes), (None, 0, 0))(config, prepared, reference)


_fresh = jax.jit(as_programmed)


def _axes(programmed: Programmed) -> Any:
    """Return where the axis of chips is: what all of them have in common has none."""
    common = lambda path: getattr(path[0], "name", None) in _COMMON  # noqa: E731
    return jax.tree_util.tree_map_with_path(lambda path, _: None if common(path) else 0, programmed)
