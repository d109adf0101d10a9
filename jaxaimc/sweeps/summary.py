"""What a sweep's table says in short: means over chips, the best designs, those that no other dominates."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl

from jaxaimc._core.checks import shown

Way = Literal["low", "high"]


def means(table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return one row per design and network, with means over chips.

    Args:
        table: Result of `run`.
        columns: The measured columns.

    Returns:
        `design`, `network` where there are several, the swept paths, `chips` (how many are there), the mean of every
        measured column, and its standard deviation over chips as `std <column>` (None for one chip).

    Example:
        >>> table = pl.DataFrame({"design": [0, 0], "wires.r": [1.0, 1.0], "chip": [0, 1], "error": [1.0, 3.0]})
        >>> means(table, ["error"]).row(0)
        (0, 1.0, 2, 2.0, 1.4142135623730951)
    """
    kept = [name for name in table.columns if name not in ("chip", *columns)]
    return table.group_by(kept, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("chips"),
        *(pl.col(name).mean() for name in columns),
        *(pl.col(name).std().alias(f"std {name}") for name in columns),
    )


def pareto(table: pl.DataFrame, ways: Mapping[str, Way]) -> pl.DataFrame:
    """Return the rows that no other one dominates: none is at least as good in everything and better in something.

    Args:
        table: One row per design, as `means` returns it.
        ways: Which way is better, by column.

    Returns:
        Those rows, in order of the first column, of equal ones all. Rows in which a column is not finite are left out.

    Raises:
        ValueError: If there is no column, one is not in the table, or a way is another word.

    Example:
        >>> table = pl.DataFrame({"score": [0.9, 0.8, 0.7], "energy": [3.0, 1.0, 2.0]})
        >>> pareto(table, {"energy": "low", "score": "high"}).rows()
        [(0.8, 1.0), (0.9, 3.0)]
    """
    if not ways or any(way not in ("low", "high") for way in ways.values()):
        raise ValueError(
            f"Argument `ways` must say 'low' or 'high' of at least one column, but is {shown(dict(ways))}."
        )
    unknown = [name for name in ways if name not in table.columns]
    if unknown:
        raise ValueError(
            f"Argument `ways` must name columns among {', '.join(table.columns)}, but names {unknown[0]!r}."
        )
    finite = table.filter(pl.all_horizontal(pl.col(name).is_finite() for name in ways))
    signs = {name: 1.0 if way == "low" else -1.0 for name, way in ways.items()}
    finite = finite.sort([signs[name] * pl.col(name) for name in ways], maintain_order=True)
    costs = np.stack([signs[name] * finite[name].to_numpy() for name in ways], axis=1)
    front: list[int] = []
    for place, cost in enumerate(costs):
        # Sorted: only rows before can dominate, and of those only rows that are kept need be asked.
        before = costs[front]
        if not (np.all(before <= cost, axis=1) & np.any(before < cost, axis=1)).any():
            front.append(place)
    return finite[front].sort(next(iter(ways)), maintain_order=True)
