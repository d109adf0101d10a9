"""What an inference of a network costs: energy, latency and area of its analog layers."""

import math
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc import cost as costs
from jaxaimc._core.component import component, static
from jaxaimc.config import AnalogConfig
from jaxaimc.cost.result import format_mm2
from jaxaimc.cost.tile import quiet_of_tile, warn_of
from jaxaimc.nn.activity import layer_inputs
from jaxaimc.nn.calls import vectors_per_call
from jaxaimc.nn.chip import over_stack
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.products import products
from jaxaimc.nn.walk import analog_layers
from jaxaimc.tile import Prepared, Programmed
from jaxaimc.units import format_si

# Vectors of a layer that are looked at: means over activities vary little from one to the next.
_FEW = 64
_DEFAULT = costs.Hardware()


class CostInputs(NamedTuple):
    """What a network's cost follows from besides its chip.

    Attributes:
        vectors: Some of the input vectors of every analog layer, by path.
        counts: Input vectors of an inference, by path; of a stack, those of all its layers.
        digital_macs: Multiplications with weights of products that are not on tiles, in an inference.
    """

    vectors: dict[str, Float[Array, "vector n_in"]]
    counts: dict[str, float]
    digital_macs: float


@component
class NetworkCost:
    """Cost of an inference of a network, layer by layer; as text, a table.

    Attributes:
        layers: Cost of every analog layer, by path.
        digital_macs: Multiplications with weights of products that are not on tiles. They are not in the costs.
    """

    layers: dict[str, Any]
    digital_macs: float = static(default=0.0)

    @property
    def total(self) -> costs.Cost:
        """All layers, one after the other."""
        return costs.added(list(self.layers.values()))

    def facts(self) -> dict[str, Any]:
        """Return the numbers as JSON values: those of all layers, their parts, and each layer's, in SI units."""
        total = self.total
        return {
            **_figures(total),
            "energy_by_part": {name: float(value) for name, value in total.energy.by_part().items()},
            "area_by_part": {name: float(value) for name, value in total.area.by_part().items()},
            "tops_per_watt": float(total.tops_per_watt),
            "tops_per_mm2": float(total.tops_per_mm2),
            "digital_macs": self.digital_macs,
            "notes": total.notes(),
            "layers": {path: _figures(one) for path, one in self.layers.items()},
        }

    def __str__(self) -> str:
        """Return a line for each layer, the parts of the total, and what to know of them."""
        total = self.total
        width = max(map(len, [*self.layers, "total"]))
        lines = [f"{'layer':{width}}{'energy':>12}{'share':>8}{'latency':>12}{'area':>15}{'TOPS/W':>9}"]
        for path, one in (*self.layers.items(), ("total", total)):
            energy = float(one.energy.total)
            lines.append(
                f"{path:{width}}{format_si(energy, 'J', 3):>12}{100 * energy / float(total.energy.total):>6.1f} %"
                f"{format_si(float(one.latency), 's', 3):>12}{format_mm2(float(one.area.total)):>15}"
                f"{float(one.tops_per_watt):>9.3g}"
            )
        return "\n".join([*lines, "", str(total)])


def _figures(one: costs.Cost) -> dict[str, float]:
    return {
        "energy": float(one.energy.total),
        "latency": float(one.latency),
        "area": float(one.area.total),
        "conversions": float(one.conversions),
        "macs": float(one.macs),
    }


def cost_inputs(model: nnx.Module, inputs: Any) -> CostInputs:
    """Return what `cost` needs to know of a network's activations, found by calling it once with digital products.

    Args:
        model: Result of `convert`, `program` or `drift`. It is not changed.
        inputs: Examples as the model takes them, along the leading axis; a dozen suffices.

    Returns:
        Input vectors of every layer, and how many there are in the inference of one example.

    Raises:
        ValueError: If the model has no analog layer, or one is not reached by the inputs or gets some that are not
            finite.
    """
    graph, state = nnx.split(model)
    network = nnx.merge(graph, state, copy=True)
    network.eval()
    examples = jax.tree.leaves(inputs)[0].shape[0]
    seen = layer_inputs(network, inputs)
    counts = {path: count / examples for path, count in vectors_per_call(model, inputs).items()}
    # Not the first ones, which would be the windows of one corner of one image.
    vectors = {path: x[:: -(-len(x) // _FEW)] for path, x in seen.items()}
    digital = [product for product in products(model) if not product.analog]
    macs = sum(math.prod(product.shape) * counts.get(product.path, 0) for product in digital)
    return CostInputs(vectors, counts, float(macs))


def cost(model: nnx.Module, inputs: Any, hardware: costs.Hardware = _DEFAULT) -> NetworkCost:
    """Return what an inference costs in the analog layers of a network on a chip.

    Each layer has tiles of its own; layers are computed one after the other, and so are the vectors of a layer. What is
    on no tile is not counted: digital products, activation functions, products of activations with each other.

    Args:
        model: Result of `program` or `drift`. It is not changed.
        inputs: Examples as the model takes them, along the leading axis, or a result of `cost_inputs`, with which the
            cost can be jitted and differentiated: where the chip is programmed within the differentiated function, in
            every leaf of the layers' configs and of the hardware, as `jaxaimc.cost.of_tile` has it.
        hardware: What tiles are made of.

    Returns:
        Costs of one inference, by layer and in all.

    Raises:
        ValueError: As `cost_inputs`, or if the model is not programmed, or has no devices any more (after
            `for_reading`).

    Warns:
        AssumedCostWarning: As `jaxaimc.cost.of_tile`.
        InvalidCostWarning: As `jaxaimc.cost.of_tile`.

    Example:
        >>> import warnings
        >>> from jaxaimc import nn, presets
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(784, 64, rngs=rngs), nnx.relu, nnx.Linear(64, 10, rngs=rngs))
        >>> chip = nn.convert(model, presets.tile_circuit(), jax.random.key(0))
        >>> with warnings.catch_warnings(action="ignore"):
        ...     found = nn.cost(chip, jax.random.normal(jax.random.key(1), (16, 784)))
        >>> list(found.layers), int(found.total.tiles), int(found.total.macs)
        (['layers/0', 'layers/2'], 3, 50816)
    """
    hardware.validate()
    known = inputs if isinstance(inputs, CostInputs) else cost_inputs(model, inputs)
    layers = {dot.path: _of_layer(dot, known, hardware) for _, dot in analog_layers(model)}
    if not layers:
        raise ValueError("The model has no analog layer; call `jaxaimc.nn.convert(model, rules)` first.")
    found = NetworkCost(layers=layers, digital_macs=known.digital_macs)
    warn_of(found.total)
    return found


def _of_layer(dot: AnalogDot, known: CostInputs, hardware: costs.Hardware) -> costs.Cost:
    if dot.programmed is None:
        dot.chip()  # raises where there is none
        raise ValueError(
            f"Layer {dot.path!r} has no devices any more (after `for_reading` or `with_effective`); call "
            "`jaxaimc.nn.program(model, key)` first."
        )
    layers = math.prod(dot.stack)
    # Hooks may hold the ranges that training has learned.
    config, x = dot.as_read(known.vectors[dot.path])

    def one(config: AnalogConfig, programmed: Programmed, prepared: Prepared) -> costs.Cost:
        # Every layer of a stack sees some of the inputs of all of them.
        return quiet_of_tile(config, programmed, prepared, x, hardware, known.counts[dot.path] / layers)

    each = over_stack(one, len(dot.stack))(config, dot.programmed.get_value(), dot.chip())
    if not dot.stack:
        return each
    flat = jax.tree.map(lambda a: a.reshape(layers, *a.shape[len(dot.stack) :]), each)
    return costs.added([jax.tree.map(lambda a, k=k: a[k], flat) for k in range(layers)])
