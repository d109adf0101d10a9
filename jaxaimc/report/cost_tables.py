"""What an inference costs, from the record of an evaluation, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from jaxaimc.report.dataset import Dataset

UNITS = {"energy": "J", "latency": "s", "area": "m^2"}


def costs(cost: Mapping[str, Any], products: Sequence[Mapping[str, Any]]) -> list[Dataset]:
    """Return the cost by layer, with what each layer takes of a chip, and by part.

    Args:
        cost: As `NetworkCost.facts` gives it.
        products: Rows of the network's summary.
    """
    by_path = {row.get("path"): row for row in products}
    rows = []
    for layer, figures in cost.get("layers", {}).items():
        product = by_path.get(layer, {})
        shape = "x".join(map(str, product.get("shape", [])))
        chip = {name: product.get(name) for name in ("tiles", "devices", "utilisation") if name in product}
        rows.append({"layer": layer, "weights": shape, **chip, **figures})
    found = []
    if rows:
        table = pl.DataFrame(rows, infer_schema_length=None)
        shown = tuple(name for name in ("weights", "tiles", "devices") if name in table.columns)
        numbers = [name for name in table.columns if name not in ("layer", *shown)]
        found.append(
            Dataset(kind="evaluation", title="Cost of each layer", rows=table, fields=("layer",), shown=shown,
                    measured=tuple(sorted(numbers, key=lambda name: name != "energy")), units=UNITS,
                    higher=frozenset({"utilisation"}), about=("Of one inference, products on tiles.",),
                    views=("curve",), x="layer")
        )  # fmt: skip
    parts, areas = cost.get("energy_by_part", {}), cost.get("area_by_part", {})
    if parts:
        table = pl.DataFrame([{"part": part, "energy": parts[part], "area": areas.get(part)} for part in parts])
        found.append(
            Dataset(kind="evaluation", title="Cost of each part of the circuit", rows=table, fields=("part",),
                    measured=("energy", "area"), units=UNITS, about=("Of one inference, all layers.",),
                    views=("curve",), x="part")
        )  # fmt: skip
    return found
