"""What an inference costs: energy and area by part, latency, and what to know of the numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxaimc._core.component import component, static
from jaxaimc.units import format_si


@component
class _Parts:
    """Quantities that add up to a total."""

    array: Float[Array, "..."] | float
    driver: Float[Array, "..."] | float
    dac: Float[Array, "..."] | float
    adc: Float[Array, "..."] | float
    accumulator: Float[Array, "..."] | float
    buffer: Float[Array, "..."] | float
    digital: Float[Array, "..."] | float

    @property
    def total(self) -> Float[Array, "..."]:
        """Sum of all parts."""
        return jnp.asarray(sum(self.by_part().values()))

    def by_part(self) -> dict[str, Float[Array, "..."] | float]:
        """Return the quantities by part, in the order of the signal's way."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # pyright: ignore


@component
class Energy(_Parts):
    """Energy by part [J].

    Attributes:
        array: Delivered to devices and wires.
        driver: Charging row lines, and losses of their supply.
        dac: Amplitudes or timed pulses.
        adc: Conversions.
        accumulator: Adding conversions up.
        buffer: Reading inputs, writing outputs.
        digital: Scaling and adding the results of tiles.
    """


@component
class Area(_Parts):
    """Area by part [m^2].

    Attributes:
        array: Devices, used or not.
        driver: Drivers of the rows.
        dac: What makes their pulses.
        adc: Converters.
        accumulator: Adders of conversions.
        buffer: Inputs and outputs of a tile.
        digital: Vector units.
    """


@component
class Cost:
    """Cost of an inference in one matrix, or in all of a network: a pytree, whose arrays have leading axes under vmap.

    Attributes:
        energy: By part [J].
        area: By part [m^2].
        latency: Time from the first input to the last output [s].
        conversions: Conversions.
        macs: Multiplications with a weight.
        tiles: Tiles.
        reads: Reads of a tile that follow each other: vectors times planes, those of all layers.
        outside: Which of `limits` are left.
        limits: Ranges in which sources vouch for their parts.
        remarks: What else to know of the numbers: what is assumed, how supply power was found.
    """

    energy: Energy
    area: Area
    latency: Float[Array, "..."]
    conversions: Float[Array, "..."]
    macs: Float[Array, "..."]
    tiles: Float[Array, "..."]
    reads: Float[Array, "..."]
    outside: Bool[Array, "... limit"]
    limits: tuple[str, ...] = static(default=())
    remarks: tuple[str, ...] = static(default=())

    @property
    def tops_per_watt(self) -> Float[Array, "..."]:
        """Operations per energy, two for each multiplication with a weight [1e12 / J]."""
        return 2e-12 * self.macs / self.energy.total

    @property
    def tops(self) -> Float[Array, "..."]:
        """Operations in a second, one inference after the other [1e12 / s]."""
        return 2e-12 * self.macs / self.latency

    @property
    def tops_per_mm2(self) -> Float[Array, "..."]:
        """Operations in a second per area, one inference after the other [1e12 / (s mm^2)]."""
        return self.tops / (1e6 * self.area.total)

    def notes(self) -> list[str]:
        """Return what to know of the numbers: ranges that are left, then the remarks. Not for traced results."""
        left = np.asarray(self.outside)
        left = [bool(column.any()) for column in left.reshape(-1, len(self.limits)).T] if left.size else []
        notes = [f"{limit}, which is left here" for limit, is_left in zip(self.limits, left, strict=False) if is_left]
        return [*notes, *self.remarks]

    def __str__(self) -> str:
        """Return a table of the parts, and the figures below it."""
        energy, area = self.energy.by_part(), self.area.by_part()
        lines = [f"{'part':12}{'energy':>12}{'share':>8}{'area':>16}"]
        for name, value in (*energy.items(), ("total", self.energy.total)):
            own = area.get(name, self.area.total)
            share = f"{100 * float(value / self.energy.total):.1f} %"
            lines.append(f"{name:12}{format_si(float(value), 'J', 3):>12}{share:>8}{format_mm2(float(own)):>16}")
        lines.append(
            f"latency {format_si(float(self.latency), 's', 3)}, {float(self.tops_per_watt):.3g} TOPS/W, "
            f"{float(self.tops_per_mm2):.3g} TOPS/mm^2"
        )
        lines.append(f"{int(self.tiles):,} tiles, {int(self.conversions):,} conversions, {int(self.macs):,} MACs")
        return "\n".join(lines)


def format_mm2(area: float) -> str:
    """Write an area in square millimetres.

    Args:
        area: Area [m^2].
    """
    return f"{1e6 * area:.3g} mm^2"


def added(costs: list[Cost]) -> Cost:
    """Add the costs of layers that are computed one after the other, on tiles of their own.

    Args:
        costs: At least one.
    """
    first = costs[0]
    limits = tuple(dict.fromkeys(limit for cost in costs for limit in cost.limits))
    left = [
        sum(
            (cost.outside[..., cost.limits.index(limit)] for cost in costs if limit in cost.limits), jnp.zeros((), bool)
        )
        for limit in limits
    ]
    bare = [dataclasses.replace(cost, outside=first.outside, limits=(), remarks=()) for cost in costs]
    total = jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *bare)
    return dataclasses.replace(
        total,
        outside=jnp.stack(left, axis=-1) if left else jnp.zeros((0,), bool),
        limits=limits,
        remarks=tuple(dict.fromkeys(remark for cost in costs for remark in cost.remarks)),
    )
