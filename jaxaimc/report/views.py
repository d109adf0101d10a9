"""What a figure shows of a dataset: curves with bands, grids of two fields, Pareto fronts. Nothing is drawn here."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from jaxaimc.report.dataset import Dataset, is_logarithmic, spans_decades, std

# More values than these are not held fixed one by one, nor told apart by colour.
MOST_HELD, MOST_COLOURS = 50, 6
# More points than these are a cloud, which a line would hide.
MOST_JOINED = 1000


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a figure begins with.

    Attributes:
        x: Column on the horizontal axis.
        y: Measured column.
        colour: Field told apart by colour; empty for none.
        held: Value of each other field that is held fixed.
    """

    x: str
    y: str
    colour: str
    held: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points of one colour.

    Attributes:
        label: Value of the colour's field; empty without.
        x: Values, or names.
        mean: Means over chips.
        std: Standard deviation over chips; NaN for one.
        is_line: Whether the points are a function of x, so that a line between them means something.
    """

    label: str
    x: list
    mean: Float[np.ndarray, " points"]
    std: Float[np.ndarray, " points"]
    is_line: bool


def companions(dataset: Dataset, name: str) -> tuple[str, ...]:
    """Return the fields that change together with a field: each value of one goes with one value of the other.

    Wires of rows and columns that are swept as one are such. Numbers must rise or fall strictly, so that points drawn
    at random are not taken for it.

    Args:
        dataset: The dataset.
        name: The field.
    """
    table = dataset.designs
    found = []
    for other in dataset.fields:
        if other == name:
            continue
        pairs = table.select(name, other).unique().drop_nulls()
        if not len(pairs) or len(pairs) != pairs[name].n_unique() or len(pairs) != pairs[other].n_unique():
            continue
        if dataset.is_number(name) and dataset.is_number(other):
            steps = np.diff(pairs.sort(name)[other].to_numpy().astype(float))
            if len(steps) and ((steps > 0).all() or (steps < 0).all()):
                found.append(other)
        elif 1 < len(pairs) < len(table):
            found.append(other)
    return tuple(found)


def choose(dataset: Dataset, x: str | None = None, y: str | None = None, colour: str | None = None) -> Choice:
    """Choose what a figure begins with: the field with most values, told apart by one with few, others held.

    Args:
        dataset: The dataset.
        x: A column to take; None to choose.
        y: A measured column to take; None to choose.
        colour: A field to take, an empty text for none; None to choose.

    Returns:
        The choice; other fields of a grid are held at their middle number, or their last name.
    """
    y = y or dataset.y or dataset.measured[0]
    x = x or dataset.x or _widest(dataset)
    together = (x, *companions(dataset, x))
    free = [name for name in dataset.fields if name not in together and len(dataset.levels(name)) > 1]
    colour = dataset.colour if colour is None else colour
    if colour is None or colour in together:
        # Few values first: they are told apart best.
        few = [name for name in free if len(dataset.levels(name)) <= MOST_COLOURS]
        colour = next(iter(few or free), "")
    held = {}
    for name in free:
        levels = dataset.levels(name)
        if name not in (colour, *companions(dataset, colour)) and len(levels) <= MOST_HELD and name not in (y, x):
            held[name] = levels[len(levels) // 2] if dataset.is_number(name) else levels[-1]
    return Choice(x, y, colour, held)


def curves(dataset: Dataset, choice: Choice) -> list[Curve]:
    """Return the points of a figure, by colour.

    Args:
        dataset: The dataset.
        choice: What it shows.

    Returns:
        Means and deviations over chips of every design whose held fields have their values: numbers by size. Where a
        field that is neither axis, colour nor held differs between designs, they stay points of their own.
    """
    table = _kept(dataset, choice)
    groups: list[tuple[Any, pl.DataFrame]] = [("", table)]
    if choice.colour:
        groups = [(level, table.filter(pl.col(choice.colour) == level)) for level in dataset.levels(choice.colour)]
        missing = table.filter(pl.col(choice.colour).is_null())
        groups += [("none", missing)] if len(missing) else []
    free = [name for name in dataset.fields if name not in (choice.x, choice.colour, *companions(dataset, choice.x))]
    found = []
    for level, rows in groups:
        if dataset.is_number(choice.x):
            rows = rows.sort(choice.x)
        single = rows[choice.x].n_unique() == len(rows) and all(rows[name].n_unique() <= 1 for name in free)
        is_line = single and 1 < len(rows) <= MOST_JOINED and choice.x in dataset.fields and dataset.is_number(choice.x)
        mean = rows[choice.y].to_numpy()
        spread = rows[std(choice.y)].fill_null(np.nan).to_numpy()
        if len(rows):
            found.append(Curve(text(level), rows[choice.x].to_list(), mean, spread, is_line))
    return found


def grid(dataset: Dataset, x: str, y: str, z: str, held: Mapping[str, Any]) -> Float[np.ndarray, "y x"] | None:
    """Return the means of a measured column by two fields.

    Args:
        dataset: The dataset.
        x: First field.
        y: Second field.
        z: The measured column.
        held: Values of other fields that are held fixed.

    Returns:
        One entry for each pair of `dataset.levels`, NaN where there is no design; None where a pair has several
        designs, or most have none, so that points show more.
    """
    table = _kept(dataset, Choice(x, z, y, held))
    columns, rows = dataset.levels(x), dataset.levels(y)
    if not len(table) or len(table) < len(columns) * len(rows) / 4:
        return None
    found = np.full((len(rows), len(columns)), np.nan)
    places = {}
    for a, b, value in table.select(x, y, z).iter_rows():
        place = rows.index(b), columns.index(a)
        if place in places:
            return None
        places[place] = found[place] = value
    return found


def pair(dataset: Dataset) -> tuple[str, str] | None:
    """Return the measured columns of a front to begin with: a cost, and what it is paid for.

    Args:
        dataset: The dataset.

    Returns:
        The column on the horizontal axis and that on the vertical one; None where there are not two.
    """
    if len(dataset.measured) < 2 or "front" not in dataset.views:
        return None
    first = dataset.y or next((name for name in dataset.measured if name in dataset.higher), dataset.measured[0])
    others = [name for name in dataset.measured if name != first]
    costs = [name for name in others if any(word in name for word in ("energy", "latency", "area", "power"))]
    return (costs or others)[0], first


def plane(dataset: Dataset, choice: Choice) -> tuple[str, str] | None:
    """Return the two fields of a heat map to begin with; None where no two vary on their own."""
    if "grid" not in dataset.views:
        return None
    varied = [name for name in dataset.fields if len(dataset.levels(name)) > 1]
    x = choice.x if choice.x in varied else next(iter(varied), None)
    free = [name for name in varied if x is not None and name not in (x, *companions(dataset, x))]
    if not free:
        return None
    assert x is not None
    y = choice.colour if choice.colour in free else free[0]
    # Names stand beside the map, where there is space for them.
    is_name = not dataset.is_number(x) and (dataset.is_number(y) or len(dataset.levels(x)) > len(dataset.levels(y)))
    return (y, x) if is_name else (x, y)


def front(values: Float[np.ndarray, "points columns"], higher: Sequence[bool]) -> Bool[np.ndarray, " points"]:
    """Return which points no other one dominates: none is as good in both columns, and better in one.

    Args:
        values: Two columns.
        higher: Of which of them more is better.

    Returns:
        Whether each point is on the front. Points that are not finite are not.

    Example:
        >>> front(np.array([[1.0, 0.9], [2.0, 0.9], [2.0, 0.95]]), higher=[False, True]).tolist()
        [True, False, True]
    """
    cost = np.where(np.asarray(higher), -values, values)
    order = np.lexsort((cost[:, 1], cost[:, 0]))
    best = np.zeros(len(values), bool)
    lowest, at = np.inf, np.nan
    for index in order:
        a, b = cost[index]
        if not (np.isfinite(a) and np.isfinite(b)):
            continue
        # Of equal first columns the one with the lowest second comes first; what equals it in both is as good.
        if b < lowest or (b == lowest and a == at):
            best[index] = True
            lowest, at = b, a
    return best


def is_log(dataset: Dataset, name: str) -> bool:
    """Return whether a column is drawn on a logarithmic axis at first."""
    if not dataset.is_number(name):
        return False
    if name in dataset.measured:
        return spans_decades(dataset.designs[name].to_list())
    return is_logarithmic(dataset.levels(name))


def text(value: Any) -> str:
    """Write a value of a field."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _widest(dataset: Dataset) -> str:
    numbers = [name for name in dataset.fields if dataset.is_number(name) and len(dataset.levels(name)) > 1]
    others = [name for name in dataset.fields if len(dataset.levels(name)) > 1]
    candidates = numbers or others or list(dataset.fields) or list(dataset.measured)
    return max(candidates, key=lambda name: len(dataset.levels(name)))


def _kept(dataset: Dataset, choice: Choice) -> pl.DataFrame:
    """Return the designs with the held values, and with numbers on both axes."""
    numbers = [name for name in (choice.x, choice.y) if dataset.is_number(name)]
    return dataset.designs.drop_nulls(choice.x).filter(
        pl.lit(True),
        *(pl.col(name) == value for name, value in choice.held.items()),
        *(pl.col(name).cast(pl.Float64).is_finite() for name in numbers),
    )
