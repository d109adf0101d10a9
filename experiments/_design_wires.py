"""Width of wires against area, under IR drop: a front by gradient and a grid of resistances.

A wire of half the resistance takes twice the width: a segment as long as the pitch `p` of the rows, of sheet
resistance `R`, is `w = R p / r` wide. The columns are as far apart as a cell is wide or as wire and gap need,
`w + w_0`, whichever is more; here smoothly, `sqrt(p^2 + (w + w_0)^2)`, so that even a thin wire costs a little. What
that adds to `p` in every column is the area beside that of `jaxaimc.cost`:

    area = area of all parts + cells p (sqrt(p^2 + (w + w_0)^2) - p)

`p` is the side of the square cell of `jaxaimc.cost.CellArray`; `R` and `w_0` are assumed (`_SHEET`, `_GAP`).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from experiments import _design_problems as problems
from jaxaimc import AnalogConfig, cost, design, nn, presets
from jaxaimc.design.network import rules
from jaxaimc.design.space import Space
from jaxaimc.units import ohm, uS

# Copper of 100 nm: bulk 1.7e-8 ohm m, doubled for scattering in narrow lines (assumed) [ohm a square].
_SHEET = 0.34
# Gap between two wires, as wide as the narrowest wire of a 28 nm process (assumed) [m].
_GAP = 50e-9
_START = 2.0
_LOW, _HIGH = 0.05, 50.0
VARIANTS = ("width", "width and conductance")


# Eight columns share a counter, so that the array is a good part of the area.
_HARDWARE = cost.Hardware(columns_per_converter=8)


def tile() -> AnalogConfig:
    """Return the published tile of 512 x 512 cells, away from its bounds."""
    whole = presets.tile_circuit()
    return whole.with_(wires=whole.wires.with_(r=_START * ohm), cell=whole.cell.with_(g_max=20 * uS))


def total_area(config: Any, area: Any, tiles: float) -> Any:
    """Return the area of all tiles with their wires [m^2].

    Args:
        config: The tile.
        area: That of all parts [m^2].
        tiles: How many there are.
    """
    devices = config.rows * config.cols * len(config.cell.signs)
    pitch = math.sqrt(float(_HARDWARE.array.area(1)))
    width = _SHEET * pitch / config.wires.r
    return area + tiles * devices * pitch * (jnp.sqrt(pitch**2 + (width + _GAP) ** 2) - pitch)


def _objective(weight: Any, of_network: Any, tiles: Any, config: Any, key: Any) -> Any:
    loss, parts = of_network(config, key)  # the weight of its own cost is zero
    one = config if isinstance(config, AnalogConfig) else next(iter(config.values()))
    area = total_area(one, parts["area"], tiles)
    return loss + weight * jnp.log(area), {"loss": loss, "area": area, "energy": parts["energy"]}


def compute(variant: str, settings: problems.Settings, seed: int = 0) -> dict[str, Any]:
    """Return the front of a variant, and with the width alone the grid.

    Args:
        variant: One of `VARIANTS`.
        settings: How much.
        seed: Of chip and images.
    """
    config, model = problems.on_tiles(tile(), settings), problems.network()
    split = problems.designed(seed, settings.images)
    of_network = design.NetworkObjective.of(
        model, config, split.inputs, split.targets, problems.task().loss, hardware=_HARDWARE
    )
    tiles = float(sum(row.tiles or 0 for row in nn.summary(nn.convert(model, rules(config))).rows))
    variables = [design.Variable("wires.r", _LOW, _HIGH)]
    if variant != "width":
        variables.append(design.Variable("cell.g_max", 2 * uS, 25 * uS))
    key = jax.random.fold_in(jax.random.key(0), seed)
    of_weight = lambda weight: Partial(_objective, jnp.asarray(weight, float), of_network, tiles)  # noqa: E731
    front = design.pareto(
        of_weight,
        config,
        variables,
        settings.wire_weights,
        optax.adam(optax.cosine_decay_schedule(0.3, settings.wire_steps)),
        names=["loss", "area"],
        steps=settings.wire_steps,
        key=key,
        fresh_chips=False,
    )
    space = Space.of(config, variables)
    score = jax.jit(lambda objective, values, key: objective(space.configs(values), key)[1])
    # As `of_weight(0.0)` with other images, so that one compilation serves all.
    held = [
        Partial(_objective, jnp.asarray(0.0, float), problems.with_images(of_network, split), tiles)
        for split in problems.all_held_out(settings)
    ]
    [chip] = jax.random.split(key, 1)

    def figures(values: dict[str, float]) -> dict[str, Any]:
        numbers = {name: jnp.asarray(value, float) for name, value in values.items()}
        own = _plain(score(of_weight(0.0), numbers, chip))
        others = [_plain(score(one, numbers, problems.held_out_key(k))) for k, one in enumerate(held)]
        mean = {name: float(np.mean([one[name] for one in others])) for name in own}
        return {"values": values, "own": own, "held_out": mean}

    names = [one.path for one in variables]
    found = [
        {"weight": point.weight, "steps": point.design.steps, "dominated": point.dominated,
         **figures({name: point.design.values[name] for name in names})}
        for point in front.points
    ]  # fmt: skip
    grid = []
    if variant == "width":
        grid = [figures({"wires.r": float(r)}) for r in np.geomspace(1.01 * _LOW, 0.99 * _HIGH, settings.grid)]
    return {"front": found, "grid": grid, "bare": float(of_network(config, chip)[1]["area"])}


def _plain(parts: Any) -> dict[str, float]:
    return {name: float(value) for name, value in jax.device_get(parts).items()}
