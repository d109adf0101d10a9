"""What a network takes of a chip: every product with weights, on tiles or not, with its tiles and conversions."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx

from jaxaimc._core import html
from jaxaimc.config import AnalogConfig
from jaxaimc.cost import Hardware
from jaxaimc.cost.result import format_mm2
from jaxaimc.nn.activations import ActivationProduct, activation_products, summed
from jaxaimc.nn.calls import vectors_per_call
from jaxaimc.nn.cost import cost
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.products import Product, products
from jaxaimc.nn.walk import analog_layers
from jaxaimc.tile import Footprint, footprint
from jaxaimc.units import format_si


class ProductSummary(NamedTuple):
    """A product of activations with weights, and what it takes of a chip.

    Numbers of tiles, cells, devices and conversions are None for a digital product. Those of a stack of layers are of
    all its layers together, except where one layer or tile is named.

    Attributes:
        path: Path of the layer, or of the parameter in a layer that holds its weights itself.
        layer: Type of the layer.
        shape: Shape of the weights.
        analog: Whether it is made on tiles.
        reason: Why it is digital; empty for an analog one.
        layers: Layers in a stack; one for a layer of its own.
        tile_rows: Tiles of a layer that share an output, one below the other; with groups, those of all of them.
        tile_cols: Tiles of a layer side by side.
        tiles: Tiles.
        rows: Rows that a tile uses.
        cols: Output columns that a tile uses.
        cells: Cells of the tiles, used or not.
        utilisation: Share of them that hold a weight or a bias [1].
        devices_per_weight: Devices that hold one weight: slices times polarities.
        devices: Devices in use.
        conversions: Conversions of a layer for one input vector.
        vectors: Input vectors in a call of the network; None without example inputs, or for a layer without a host.
        conversions_per_call: Conversions in a call of the network.
        energy: Energy of an inference [J]; None without hardware, or for a digital product.
        latency: Its time [s].
        area: Area of the tiles [m^2].
        bias: Where the bias of a layer on tiles is added: `"analog"` by a row of the tile, which counts among its rows,
            cells and devices, `"digital"` behind it; empty where there is none, or the layer's host knows of none.
    """

    path: str
    layer: str
    shape: tuple[int, ...]
    analog: bool
    reason: str
    layers: int = 1
    tile_rows: int | None = None
    tile_cols: int | None = None
    tiles: int | None = None
    rows: int | None = None
    cols: int | None = None
    cells: int | None = None
    utilisation: float | None = None
    devices_per_weight: int | None = None
    devices: int | None = None
    conversions: int | None = None
    vectors: int | None = None
    conversions_per_call: int | None = None
    energy: float | None = None
    latency: float | None = None
    area: float | None = None
    bias: str = ""

    @property
    def weights(self) -> int:
        """Number of weights, without the bias."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Summary:
    """The products of a network with weights, and totals; a table as text, for `rich.print` and in notebooks.

    Args:
        rows: One for each product, in the order of their paths: a data frame is made of them as they are, by
            `polars.DataFrame(summary.rows)` or `pandas.DataFrame(summary.rows)`.
        activations: Products of activations with each other, two for each layer of attention; totals are without them.
    """

    rows: tuple[ProductSummary, ...]
    activations: tuple[ActivationProduct, ...] = ()

    @property
    def analog(self) -> int:
        """Products on tiles."""
        return sum(row.analog for row in self.rows)

    @property
    def digital(self) -> int:
        """Products that are digital."""
        return len(self.rows) - self.analog

    @property
    def weights(self) -> int:
        """Weights of all products."""
        return sum(row.weights for row in self.rows)

    @property
    def analog_weights(self) -> int:
        """Weights on tiles."""
        return sum(row.weights for row in self.rows if row.analog)

    @property
    def tiles(self) -> int:
        """Tiles of all layers; a tile holds weights of one layer only."""
        return sum(row.tiles or 0 for row in self.rows)

    @property
    def devices(self) -> int:
        """Devices in use."""
        return sum(row.devices or 0 for row in self.rows)

    @property
    def utilisation(self) -> float | None:
        """Share of the cells of all tiles that hold a weight or a bias [1]; None without tiles."""
        cells = sum(row.cells or 0 for row in self.rows)
        return sum((row.utilisation or 0) * (row.cells or 0) for row in self.rows) / cells if cells else None

    @property
    def conversions_per_call(self) -> int | None:
        """Conversions in a call of the network; None without example inputs."""
        if any(row.analog and row.conversions_per_call is None for row in self.rows):
            return None
        return sum(row.conversions_per_call or 0 for row in self.rows)

    def __str__(self) -> str:
        """Return a table with a line for each product (conversions are those for one vector), and totals below it.

        A bias that has a row of the tile is named behind the weights.
        """
        columns, rows = self._shown()
        aligned = []
        for number, (title, left) in enumerate(columns):
            texts = (title, *(row[number] for row in rows))
            width = max(map(len, texts))
            aligned.append([text.ljust(width) if left else text.rjust(width) for text in texts])
        return "\n".join([*("  ".join(line).rstrip() for line in zip(*aligned, strict=True)), *self._totals()])

    def __rich__(self) -> Any:
        """Return the table as `rich.print` shows it in a terminal, digital products dimmed."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        columns, rows = self._shown()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, left in columns:
            table.add_column(Text(title), justify="left" if left else "right", overflow="fold")
        for row, product in zip(rows, self.rows, strict=True):
            table.add_row(*map(Text, row), style=None if product.analog else "dim")
        return Group(table, *map(Text, self._totals()))

    def _repr_html_(self) -> str:
        """Return the table as notebooks show it."""
        return html.table(*self._shown(), self._totals())

    def _shown(self) -> tuple[list[tuple[str, bool]], list[list[str]]]:
        """Return headings, with whether they are aligned on the left, and rows, without columns that are empty."""
        rows = [_texts(row) for row in self.rows]
        kept = [number for number in range(len(_COLUMNS)) if any(row[number] for row in rows)]
        columns = list(_COLUMNS.items())
        return [columns[number] for number in kept], [[row[number] for number in kept] for row in rows]

    def _totals(self) -> list[str]:
        share = self.analog_weights / self.weights if self.weights else 0.0
        on_tiles = f"{self.analog} of {len(self.rows)} products on tiles"
        lines = [f"{on_tiles}, with {_percent(share)} of {self.weights:,} weights"]
        if self.utilisation is not None:
            lines.append(f"{_counted(self.tiles, 'tile')}, {_percent(self.utilisation)} of their cells used")
        if self.conversions_per_call:
            lines.append(f"{_counted(self.conversions_per_call, 'conversion')} per call")
        return lines + summed(self.activations)


def summary(model: nnx.Module, inputs: Any = None, hardware: Hardware | None = None) -> Summary:
    """Summarise what a network takes of a chip.

    Everything follows from shapes and configs: no chip is needed, and none is programmed. Only costs follow from the
    devices of a chip and from values of inputs.

    Args:
        model: Any model, converted or not; without analog layers every product is digital.
        inputs: Examples as the model takes them, or their shapes (`jax.ShapeDtypeStruct`). They say how many vectors
            every layer multiplies in a call of the network, which is traced for that in evaluation mode. A loop whose
            number of rounds depends on values counts as one round, and a choice between branches as the one with more.
        hardware: What tiles are made of, for the cost of an inference of each layer, as `jaxaimc.nn.cost` has it; the
            model must then be on a chip, and inputs must have values.

    Returns:
        A row for each product with weights, totals, and the products of activations of layers of attention.

    Raises:
        ValueError: If a config is out of range, or does not fit its layer, or there is hardware but no chip or no
            inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxaimc import nn, presets
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(784, 64, rngs=rngs), nnx.Linear(64, 10, rngs=rngs))
        >>> rules = [nn.Rule("layers/0", presets.tile_circuit())]
        >>> analog = nn.convert(model, rules)
        >>> print(nn.summary(analog))  # doctest: +ELLIPSIS
        layer     type        weights   tiles  used of each  utilisation  devices  conversions  why digital
        layers/0  nnx.Linear  784 x 64  2 x 1  392 x 64           9.57 %        2          128
        layers/1  nnx.Linear  64 x 10                                                           no rule puts it ...
        1 of 2 products on tiles, with 98.7 % of 50,816 weights
        2 tiles, 9.57 % of their cells used
        >>> nn.summary(analog, jnp.ones((32, 784))).conversions_per_call
        4096
    """
    if hardware is not None and inputs is None:
        raise ValueError("Argument `inputs` must hold examples where there is `hardware`, as costs follow from them.")
    analog = {dot.path: (layer, dot) for layer, dot in analog_layers(model)}
    vectors = {} if inputs is None else vectors_per_call(model, inputs)
    costs = {} if hardware is None or not analog else cost(model, inputs, hardware).layers
    rows = []
    for product in products(model):
        layer, dot = analog.get(product.path, (None, None))
        row = _row(product, layer, dot, vectors.get(product.path))
        if product.path in costs:
            found = costs[product.path]
            numbers = (found.energy.total, found.latency, found.area.total)
            row = row._replace(**dict(zip(("energy", "latency", "area"), map(float, numbers), strict=True)))
        rows.append(row)
    return Summary(tuple(rows), tuple(activation_products(model, inputs)))


def _row(product: Product, layer: Any, dot: AnalogDot | None, vectors: int | None) -> ProductSummary:
    if dot is None:
        return ProductSummary(*product, vectors=vectors)
    found = layer_footprint(layer, dot)
    layers = math.prod(dot.stack)
    return ProductSummary(
        *product,
        layers=layers,
        tile_rows=found.tile_rows,
        tile_cols=found.tile_cols,
        tiles=layers * found.tile_rows * found.tile_cols,
        rows=found.rows,
        cols=found.cols,
        cells=layers * found.cells,
        utilisation=found.utilisation,
        devices_per_weight=found.devices_per_weight,
        devices=layers * found.devices,
        conversions=found.conversions,
        vectors=vectors,
        conversions_per_call=None if vectors is None else vectors * found.conversions,
        bias=_place_of_bias(layer, dot),
    )


def _place_of_bias(layer: Any, dot: AnalogDot) -> str:
    if dot.host.constant is not None:
        return "analog"
    return "" if jax.eval_shape(lambda: dot.host.bias(layer)) is None else "digital"


def layer_footprint(layer: Any, dot: AnalogDot) -> Footprint:
    """Return what one layer takes; the layers of a stack have configs and kernels of one structure and size.

    Args:
        layer: A layer, or a stack of them.
        dot: Its analog product.
    """
    first = (0,) * len(dot.stack)
    config: AnalogConfig = dot.config.get_value()
    config = jax.tree.map(lambda leaf: leaf[first], config) if dot.stack else config
    *groups, n_in, n_out = jax.eval_shape(lambda: dot.host.kernel(layer)).shape[len(dot.stack) :]
    count = math.prod(groups)
    return footprint(config, count * n_in, count * n_out, count)


# Headings of the table's columns, and whether their texts are aligned on the left.
_COLUMNS = {
    "layer": True,
    "type": True,
    "weights": True,
    "tiles": True,
    "used of each": True,
    "utilisation": False,
    "devices": False,
    "conversions": False,
    "vectors": False,
    "per call": False,
    "energy": False,
    "latency": False,
    "area": False,
    "why digital": True,
}


def _texts(row: ProductSummary) -> tuple[str, ...]:
    """Return a row of the table."""
    tiles = used = share = ""
    if row.utilisation is not None:
        tiles, used = f"{row.tile_rows} x {row.tile_cols}", f"{row.rows} x {row.cols}"
        tiles = tiles if row.layers == 1 else f"{row.layers} x ({tiles})"
        share = _percent(row.utilisation)
    numbers = (row.devices_per_weight, row.conversions, row.vectors, row.conversions_per_call)
    shape = " x ".join(map(str, row.shape)) + (" + bias" if row.bias == "analog" else "")
    costs = [
        "" if value is None else shown(value)
        for value, shown in (
            (row.energy, lambda energy: format_si(energy, "J", 3)),
            (row.latency, lambda latency: format_si(latency, "s", 3)),
            (row.area, format_mm2),
        )
    ]
    return row.path, row.layer, shape, tiles, used, share, *map(_number, numbers), *costs, row.reason


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
