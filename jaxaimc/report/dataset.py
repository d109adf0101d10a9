"""A table of results as the report understands it: what was swept, what was measured, and what repeats."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl

Kind = Literal["evaluation", "sensitivity", "design", "sweep", "table"]
# A measured column over a field, over two fields, and two measured columns against each other.
View = Literal["curve", "grid", "front"]
# Columns of which more is better; less is, of all others.
_MORE_IS_BETTER = ("score", "accuracy", "tops", "r2", "f1", "snr", "psnr", "bleu", "auc", "utilisation")
# Beyond this ratio of the largest to the smallest value, a logarithmic axis is worth its effort.
_DECADES = 100.0


class ReportError(ValueError):
    """Results that cannot be reported; the message names the folder, what was found and what is allowed."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A value to compare with, such as the score of the digital network.

    Attributes:
        column: The measured column.
        label: What it is.
        value: The value.
    """

    column: str
    label: str
    value: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """One table of results: a row per design and chip.

    Attributes:
        kind: What kind of run it comes from. Only tables of one kind, title and columns are put together.
        title: Its heading.
        rows: The rows.
        fields: Columns that say what a design is: what was swept.
        measured: Columns that were measured, all numbers.
        shown: Other columns that the tables show, the same for all chips of a design.
        per: Column that tells the repetitions of a design apart, such as `chip`; None where there are none.
        units: Unit of each column that has one.
        higher: Measured columns of which more is better.
        about: Sentences to stand below the title.
        references: Values to compare with.
        views: Figures that say something of it, where it has the columns for them.
        x: Field to begin the horizontal axis with; None to choose.
        y: Measured column to begin with; None for the first.
        colour: Field to begin the colours with; None to choose, an empty text for none.
    """

    kind: Kind
    title: str
    rows: pl.DataFrame
    fields: tuple[str, ...]
    measured: tuple[str, ...]
    shown: tuple[str, ...] = ()
    per: str | None = None
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    higher: frozenset[str] = frozenset()
    about: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    views: tuple[View, ...] = ("curve", "grid", "front")
    x: str | None = None
    y: str | None = None
    colour: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column but the one of repetitions, as the tables show them."""
        return (*self.fields, *self.shown, *self.measured)

    @cached_property
    def designs(self) -> pl.DataFrame:
        """One row per design: fields, and of each measured column the mean over chips, and by `std` and `count` more.

        Deviations are those of a sample (n - 1), and null for one chip. Values that are missing do not count.
        """
        table = self.rows.select(*self.fields, *self.shown, *(pl.col(name).cast(pl.Float64) for name in self.measured))
        found = [
            column
            for name in self.measured
            for column in (
                pl.col(name).mean(),
                pl.col(name).std().alias(std(name)),
                pl.col(name).count().alias(count(name)),
            )
        ]
        if self.per is None:
            return table.with_columns(
                column
                for name in self.measured
                for column in (
                    pl.lit(None, pl.Float64).alias(std(name)),
                    pl.col(name).is_not_null().cast(pl.UInt32).alias(count(name)),
                )
            )
        first = [pl.col(name).first() for name in self.shown]
        if not self.fields:
            return table.select(*first, *found)
        return table.group_by(self.fields, maintain_order=True).agg(*first, *found)

    @property
    def chips(self) -> int:
        """The largest number of repetitions of a design."""
        if self.per is None:
            return 1
        return int(max(self.designs[count(name)].max() or 0 for name in self.measured))  # type: ignore[arg-type]

    @property
    def is_even(self) -> bool:
        """Whether every mean is over as many repetitions."""
        counts = self.designs.select(count(name) for name in self.measured)
        return bool(counts.to_numpy().min() == self.chips)

    def label(self, name: str) -> str:
        """Return a column's name with its unit."""
        return f"{name} [{self.units[name]}]" if self.units.get(name) else name

    def is_number(self, name: str) -> bool:
        """Return whether a column holds numbers, for which lines and axes have a meaning."""
        return name in self.measured or self.rows.schema[name].is_numeric()

    def levels(self, name: str) -> list:
        """Return the distinct values of a column: numbers by size, others as they come."""
        values = self.designs[name].drop_nulls().unique(maintain_order=True)
        if self.is_number(name):
            values = values.filter(values.is_finite()).sort() if values.dtype.is_float() else values.sort()
        return values.to_list()

    def problems(self) -> list[str]:
        """Say how many values are missing or no finite numbers, by measured column."""
        found = []
        for name in self.measured:
            column = self.rows[name].cast(pl.Float64)
            bad = len(column) - int(column.is_finite().fill_null(False).sum())
            if bad:
                found.append(f"{bad:,} of {len(column):,} values of {name} are missing or not finite, and not drawn.")
        return found


def std(name: str) -> str:
    """Return the column of `Dataset.designs` with the standard deviation of a measured column."""
    # With a space that no table's own "score std" has.
    return f"{name}\N{NO-BREAK SPACE}std"


def count(name: str) -> str:
    """Return the column of `Dataset.designs` that says over how many values a measured column's mean is."""
    return f"{name}\N{NO-BREAK SPACE}n"


def is_better_high(name: str) -> bool:
    """Return whether more of a measured column is better, as far as its name says.

    Args:
        name: The column.

    Example:
        >>> is_better_high("accuracy"), is_better_high("energy")
        (True, False)
    """
    return any(word in name.lower() for word in _MORE_IS_BETTER)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Return whether values are spaced so that a logarithmic axis spreads them more evenly than a linear one.

    Args:
        values: Values of a column; zero may be one of them, which then has a place of its own on the axis.

    Example:
        >>> is_logarithmic([1.0, 10.0, 100.0, 1000.0]), is_logarithmic([100.0, 200.0, 300.0])
        (True, False)
    """
    positive = np.unique([value for value in values if math.isfinite(value) and value > 0])
    if len(positive) < 3 or any(value < 0 for value in values):
        return False
    if positive[-1] / positive[0] < 10:
        return False

    def unevenness(steps: np.ndarray) -> float:
        return float(steps.std() / steps.mean())

    return unevenness(np.diff(np.log(positive))) < unevenness(np.diff(positive))


def spans_decades(values: Sequence[float]) -> bool:
    """Return whether measured values differ so much that a logarithmic axis shows more."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) >= _DECADES


def joined(datasets: Sequence[tuple[str, Dataset]]) -> list[Dataset]:
    """Put datasets of one kind, title and columns into one, told apart by a field `run`.

    Args:
        datasets: Name of its run and dataset.

    Returns:
        The datasets, in order of appearance; those that are alone say of which run they are, if there are several.
    """
    groups: dict[tuple, list[tuple[str, Dataset]]] = {}
    for name, one in datasets:
        groups.setdefault((one.kind, one.title, one.fields, one.measured, one.shown, one.per), []).append((name, one))
    several = len({name for name, _ in datasets}) > 1
    return [_joined(group) if len(group) > 1 else _alone(*group[0], several) for group in groups.values()]


def _alone(name: str, one: Dataset, several: bool) -> Dataset:
    return dataclasses.replace(one, about=(f"Of {name}.", *one.about)) if several else one


def _joined(group: list[tuple[str, Dataset]]) -> Dataset:
    first = group[0][1]
    run = next(word for word in ("run", "results", "report of") if word not in (*first.columns, first.per))
    rows = pl.concat(
        [
            one.rows.select(pl.lit(name).alias(run), *one.columns, *([one.per] if one.per else []))
            for name, one in group
        ],
        how="vertical_relaxed",
    )
    return dataclasses.replace(
        first,
        rows=rows,
        fields=(run, *first.fields),
        units={key: unit for _, one in group for key, unit in one.units.items()},
        about=tuple(dict.fromkeys(f"{name}: {line}" for name, one in group for line in one.about)),
        references=tuple(
            dataclasses.replace(reference, label=f"{reference.label}, {name}")
            for name, one in group
            for reference in one.references
        ),
        colour=first.colour if first.x is None else run,
    )
