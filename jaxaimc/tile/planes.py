"""Charges of planes of pulses: products with the effective matrix, several planes in one where that is exact."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.rounding import round_ste
from jaxaimc._core.xla import packed_product, planes_per_product, product
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.drives import PWM, Drive, Pulses, SplitPWM
from jaxaimc.tile.state import Prepared


def parts_of_planes(config: AnalogConfig, tile: Prepared, pulses: Pulses) -> list[slice]:
    """Return which planes are read together: all, or equally many in each part where several parts share a product.

    Args:
        config: The tile.
        tile: One row of tiles.
        pulses: The pulses.
    """
    planes = pulses.level.shape[-2]
    together = 1
    if tile.exact and config.drive.digit > 0 and not config.drive.accumulates:
        together = planes_per_product(tile.matrix.shape[0] * config.drive.digit, pulses.level.dtype)
    size = -(-planes // together)
    return [slice(first, min(first + size, planes)) for first in range(0, planes, size)]


def pulses_of_part(pulses: Pulses, part: slice) -> Pulses:
    """Return some of the planes."""
    return pulses._replace(level=pulses.level[..., part, :], duration=pulses.duration[..., part, :])


def charges_of_parts(
    config: AnalogConfig, tile: Prepared, pulses: Pulses, parts: list[slice]
) -> tuple[Float[Array, "*batch plane out"], ...]:
    """Return `u W_eff` for parts of the planes, in fully driven cells, without what idle columns add."""
    rows, slices, cols = tile.matrix.shape
    if tile.circuit is not None:
        return (_solved_charge(config, tile, pulses.level),)
    matrix = tile.matrix.reshape(rows, slices * cols)
    if len(parts) == 1:
        return (product(pulses.level, matrix),)
    digit = config.drive.digit
    # The parts have equally many planes but for the last one, which is filled up.
    size = parts[0].stop - parts[0].start
    steps = tuple(_filled(round_ste(digit * pulses.level[..., part, :]), size) for part in parts)
    charges = packed_product(steps, matrix, rows * digit)
    return tuple(q[..., : part.stop - part.start, :] / digit for part, q in zip(parts, charges, strict=True))


def _filled(planes: Float[Array, "*batch plane rows"], size: int) -> Float[Array, "*batch size rows"]:
    """Add idle planes up to a number of planes."""
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, size - planes.shape[-2]), (0, 0)])


def _solved_charge(
    config: AnalogConfig, tile: Prepared, level: Float[Array, "*batch plane rows"]
) -> Float[Array, "*batch plane out"]:
    """Return the charges of wires that are not linear, in fully driven cells: one solve per vector, plane and slice."""
    _, slices, cols = tile.matrix.shape
    steps, timed = _steps(config.drive, level.shape[-2])

    def of_planes(level: Array, steps: int) -> Array:
        # Tiles side by side share no wire: each is solved by itself, and a last one's unused columns are dropped.
        one = lambda circuit: circuit.charge(level, steps=steps, timed=timed, v_read=config.drive.v_read)  # noqa: E731
        charge = jax.vmap(jax.vmap(one))(tile.circuit)
        return jnp.moveaxis(charge, (1, 0), (-3, -2)).reshape(*level.shape[:-1], slices, -1)[..., :cols]

    if len(set(steps)) == 1:
        charge = of_planes(level, steps[0])
    else:
        charge = jnp.concatenate([of_planes(level[..., [k], :], count) for k, count in enumerate(steps)], axis=-3)
    return charge.reshape(*level.shape[:-1], slices * cols) / config.cell.g_span


def _steps(drive: Drive, planes: int) -> tuple[tuple[int, ...], bool]:
    """Return the whole steps of each plane's full-scale pulse, and whether levels are times."""
    if isinstance(drive, SplitPWM):
        return (2**drive.low_bits - 1, 2 ** (drive.bits - 1 - drive.low_bits) - 1), True
    return (drive.digit,) * planes, isinstance(drive, PWM)
