"""Chips that exist: devices that were measured, and devices that are known to be stuck."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.arguments import as_real
from jaxaimc._core.checks import concrete
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.tile.checks import check_programmed
from jaxaimc.tile.program import held
from jaxaimc.tile.state import Programmed, disconnected
from jaxaimc.units import format_si

# A measured conductance beyond so many times the cell's largest is a slip of units.
_BEYOND = 100.0
_AXES = "tile_row, tile_col, slice, polarity, rows, cols"


def with_conductances(
    config: AnalogConfig,
    programmed: Programmed,
    g: Float[Array, "tile_row tile_col slice polarity rows cols"] | np.ndarray,
) -> Programmed:
    """Put measured conductances in the place of simulated ones.

    The measured devices are those of time zero: `drift` lets them age from there as `config.device` does. What
    programming aimed at, the digital scales and the converters stay those of `programmed`. Cells that only fill up a
    tile are open, whatever was measured there.

    Args:
        config: The tile.
        programmed: The same matrix, programmed in simulation.
        g: Conductance of every device [S], in the layout of `programmed.g`.

    Returns:
        The measured devices, at time zero.

    Raises:
        ValueError: If `g` has another shape, is not finite, negative, or more than a hundred times what the cell holds,
            as it is in another unit, or `programmed` has the cells or tiles of another configuration.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, program
        >>> config = AnalogConfig()
        >>> programmed = program(config, jnp.eye(3), jax.random.key(0))
        >>> chip = with_conductances(config, programmed, jnp.full(programmed.g.shape, 5e-6))
        >>> bool((chip.g == jnp.float32(5e-6)).all())
        True
    """
    config.validate()
    check_programmed(config, programmed)
    measured = _checked(config, programmed, "g", g)
    measured = disconnected(measured, programmed.n_in, programmed.n_out, programmed.groups)
    measured = held(measured, programmed.stuck)
    return replace(programmed, g=measured, g_programmed=measured, t=jnp.zeros_like(programmed.t), exact=False)


def with_stuck_devices(
    config: AnalogConfig,
    programmed: Programmed,
    stuck: Float[Array, "tile_row tile_col slice polarity rows cols"] | np.ndarray,
) -> Programmed:
    """Let some devices of a chip be stuck: a map of its faults, beside the random ones of `devices.StuckDevice`.

    Stuck devices hold their conductance at every time; the noise of a read acts on them too. A further map replaces the
    one before, but does not bring the devices back that it held.

    Args:
        config: The tile.
        programmed: The chip, at any time.
        stuck: Conductance at which each device is stuck [S], NaN for those that work, in the layout of `programmed.g`.

    Returns:
        The chip with these faults.

    Raises:
        ValueError: If `stuck` has another shape, is infinite, negative, or more than a hundred times what the cell
            holds, as it is in another unit, or `programmed` has the cells or tiles of another configuration.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, drift, program
        >>> config = AnalogConfig()
        >>> programmed = program(config, jnp.eye(3), jax.random.key(0))
        >>> faults = jnp.full(programmed.g.shape, jnp.nan).at[0, 0, 0, 0, 1, 1].set(0.0)
        >>> chip = drift(config, with_stuck_devices(config, programmed, faults), 3600.0)
        >>> float(chip.g[0, 0, 0, 0, 1, 1])
        0.0
    """
    config.validate()
    check_programmed(config, programmed)
    stuck = _checked(config, programmed, "stuck", stuck, missing=True)
    # What is not connected cannot be stuck.
    stuck = jnp.where(jnp.isnan(stuck), stuck, disconnected(stuck, *_size(programmed)))
    g, first = (held(one, stuck) for one in (programmed.g, programmed.g_programmed))
    return replace(programmed, g=g, g_programmed=first, stuck=stuck, exact=False)


def _size(programmed: Programmed) -> tuple[int, int, int]:
    return programmed.n_in, programmed.n_out, programmed.groups


def _checked(config: AnalogConfig, programmed: Programmed, name: str, value: Any, *, missing: bool = False) -> Array:
    """Return conductances as an array of the chip's own kind."""
    array = as_real(name, value)
    if array.shape != programmed.g.shape:
        raise ValueError(
            f"Argument `{name}` must have shape ({_AXES}) = {programmed.g.shape}, that of the chip's devices, but has "
            f"shape {array.shape}."
        )
    known, full = concrete(array), concrete(config.cell.g_min + config.cell.g_span)
    if known is not None:
        bad = (known < 0) | np.isinf(known) | (False if missing else np.isnan(known))
        if full is not None:
            bad = bad | (known > _BEYOND * np.max(full))
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            most = "" if full is None else f" and at most {_BEYOND:g} times the cell's {format_si(float(full), 'S')}"
            raise ValueError(
                f"Argument `{name}` must hold conductances in S, 0 or greater{most}, but {int(bad.sum())} of "
                f"{known.size} are not, the first {known[where]:.6g} at {where}."
            )
    return array.astype(programmed.g.dtype)
