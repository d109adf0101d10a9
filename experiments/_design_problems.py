"""Tiles, variables and examples of the experiment on design by gradient."""

import dataclasses
import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxaimc import AnalogConfig, adcs, design, presets
from jaxaimc import nn as analog
from jaxaimc.design.variables import Configs
from jaxaimc.tasks import Split, Task, load_model, load_task
from jaxaimc.tasks.demo import DEMO
from jaxaimc.units import GHz, V, ns, uS

# The published tile, cut to the longest columns of the network.
_SIDE = 128
# The test images: the network was trained on none of them. The first serve the ordinary evaluation alone.
_EVALUATED, _HELD_OUT, _DESIGNED = 0, 3000, 5120


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much is computed.

    Args:
        evaluations: Network evaluations of every method.
        images: Images of an evaluation.
        held_out: Chips on which incumbents are evaluated again, each with images of its own.
        wire_steps: Steps of each weight of the fronts of wires.
        grid: Resistances of the grid that the fronts are held against.
        wire_weights: Weights of the logarithm of the area.
        joint_steps: Steps of the design of weights and hardware together.
        joint_batch: Images of such a step.
        layers: Layers on tiles, from the first; None for all.
        chips: Fresh chips of the ordinary evaluation.
        examples: Images of the ordinary evaluation.
    """

    evaluations: int = 120
    images: int = 256
    held_out: int = 4
    wire_steps: int = 40
    grid: int = 16
    wire_weights: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    joint_steps: int = 150
    joint_batch: int = 64
    layers: int | None = None
    chips: int = 4
    examples: int = 1000


FULL = Settings()
QUICK = Settings(
    evaluations=9, images=16, held_out=1, wire_steps=2, grid=3, wire_weights=(0.1, 1.0), joint_steps=2, joint_batch=4,
    layers=2, chips=1, examples=20,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Problem:
    """Fields to choose on tiles of a network.

    Args:
        name: Name of the problem.
        config: Where the design starts.
        variables: What may change.
        shared: The same with one value for all layers: what a grid can afford.
        weight: Weight of the logarithm of the energy against the loss.
    """

    name: str
    config: Configs
    variables: tuple[design.Variable, ...]
    shared: tuple[design.Variable, ...]
    weight: float = 0.5


def tile() -> AnalogConfig:
    """Return the published tile of phase-change memory and oscillators, smaller, and away from its bounds."""
    whole = presets.tile_circuit()
    return dataclasses.replace(whole, rows=_SIDE, cols=_SIDE).with_(cell=whole.cell.with_(g_max=20 * uS))


def converter_tile() -> AnalogConfig:
    """Return the same tile with converters of a resolution and a range, as in mixed precision."""
    return dataclasses.replace(tile(), adc=adcs.Uniform(bits=8.0, range=adcs.Symmetric(limit=8.0)))


def on_tiles(config: AnalogConfig, settings: Settings) -> Configs:
    """Return what puts the layers of the settings on a tile: the tile itself where these are all."""
    if settings.layers is None:
        return config
    return {**_layers(config, settings), ".*": None}


def _layers(config: AnalogConfig, settings: Settings) -> dict[str, AnalogConfig | None]:
    paths = [product.path for product in analog.products(network())]
    return {re.escape(path): config for path in paths[: settings.layers]}


def one_tile(settings: Settings) -> Problem:
    """Return the problem with one tile for all layers: four variables of the published circuit."""
    variables = (
        design.Variable("cell.g_max", 2 * uS, 25 * uS),
        design.Variable("drive.v_read", 0.02 * V, 0.4 * V),
        design.Variable("drive.t_lsb", 0.25 * ns, 4 * ns),
        design.Variable("adc.f_adc", 1 * GHz, 12 * GHz),
    )
    return Problem("one tile", on_tiles(tile(), settings), variables, variables)


def each_layer(settings: Settings, start_bits: float = 8.0) -> Problem:
    """Return the problem in which every layer chooses its own conductances, resolution and range.

    Args:
        settings: How much.
        start_bits: Resolution at the start [bit].
    """
    config = converter_tile()
    config = config.with_(adc=config.adc.with_(bits=start_bits))
    shared = (
        design.Variable("adc.bits", 2.0, 12.0),
        design.Variable("adc.range.limit", 0.5, 32.0),
        design.Variable("cell.g_max", 2 * uS, 25 * uS),
    )
    layers = _layers(config, settings)
    each = tuple(dataclasses.replace(one, layer=layer) for layer in layers for one in shared)
    rest = {} if settings.layers is None else {".*": None}
    return Problem("each layer", {**layers, **rest}, each, shared)


PROBLEMS = {"tile": one_tile, "layers": each_layer}


@functools.cache
def task() -> Task:
    """Return the embedded task."""
    return load_task(DEMO)


def network() -> nnx.Module:
    """Return the embedded network with its trained weights."""
    return load_model(task())


def images(start: int, count: int) -> Split:
    """Return some of the test images."""
    whole = task().split("test")
    stop = start + count
    if stop > len(whole):
        raise ValueError(f"Argument `count` must leave {stop} within the {len(whole)} test images, but is {count}.")
    return Split(whole.inputs[start:stop], whole.targets[start:stop])


def designed(seed: int, count: int) -> Split:
    """Return the images that designs of a seed are found with."""
    return images(_DESIGNED + seed * count, count)


def all_held_out(settings: Settings) -> list[Split]:
    """Return the images of every held-out chip."""
    return [images(_HELD_OUT + number * settings.images, settings.images) for number in range(settings.held_out)]


def with_images(objective: design.NetworkObjective, split: Split) -> design.NetworkObjective:
    """Return an objective with other images. The inputs of which the energy is reckoned stay, so that it is the same
    function of the hardware."""
    return dataclasses.replace(objective, inputs=jnp.asarray(split.inputs), targets=jnp.asarray(split.targets))


def trained() -> Split:
    """Return the images that weights and hardware are found with together: none of those of the evaluation."""
    return images(_DESIGNED, len(task().split("test")) - _DESIGNED)


def evaluated(count: int) -> Split:
    """Return the images of the ordinary evaluation."""
    return images(_EVALUATED, count)


def held_out_key(number: int) -> Any:
    """Return the key of a held-out chip: the same for all methods and seeds."""
    return jax.random.fold_in(jax.random.key(2**31 - 1), number)
