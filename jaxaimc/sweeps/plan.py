"""Plans: the designs of a sweep, and how they are cut into chunks of one structure each."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from jaxaimc._core.checks import check_integer, shown
from jaxaimc.config import AnalogConfig, with_at
from jaxaimc.sweeps.axes import Axis
from jaxaimc.sweeps.columns import RESERVED, Swept, swept
from jaxaimc.sweeps.values import broken_rule

# Pairs of design and chip in a chunk where neither plan nor measure says how many.
PAIRS = 256


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Designs of one structure on some chips: a unit of work, which can be pickled.

    Attributes:
        base: Their config, with all structure set; the swept leaves hold some value.
        values: Values of the swept leaves by path.
        numbers: Numbers of the designs in the plan.
        columns: What the table says of every design: all swept paths.
        chips: Numbers of the chips.
        seed: Seed of chips and reads.
    """

    base: AnalogConfig
    values: dict[str, Float[np.ndarray, " design"]]
    numbers: Int[np.ndarray, " design"]
    columns: pl.DataFrame
    chips: range
    seed: int

    def rows(self) -> pl.DataFrame:
        """Return one row per design and chip, chips last: the swept paths and `chip`."""
        chips = pl.DataFrame({"chip": pl.Series(list(self.chips), dtype=pl.Int64)})
        return self.columns.join(chips, how="cross", maintain_order="left_right")

    def part(self, designs: Sequence[int], chips: range) -> "Chunk":
        """Return some of the designs, by place, on some of the chips."""
        index = np.asarray(designs)
        values = {path: array[index] for path, array in self.values.items()}
        return dataclasses.replace(
            self, values=values, numbers=self.numbers[index], columns=self.columns[index.tolist()], chips=chips
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """All designs of a sweep, and on which chips they are measured.

    Chip number c has the same keys in all designs, so that differences between designs are not blurred by differences
    between chips.

    Args:
        base: The config that every design starts from.
        axes: What is varied. Axes multiply; the last one varies fastest.
        chips: Chips of every design.
        seed: Seed of chips and reads.
        chunk: Designs in a chunk, the unit of work that is computed and kept as a whole; by default as many as give
            some hundred pairs of design and chip, or what the measure asks for.

    Raises:
        ValueError: If there is no axis, a path leads nowhere or is named twice, a value is not allowed, or there is not
            enough memory for so many designs.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> from jaxaimc.sweeps import Plan, Range, Values
        >>> plan = Plan(AnalogConfig(), [Values("rows", [64, 128]), Range("wires.r", 0.5, 1.5, 3)], chips=2)
        >>> plan.designs.rows()
        [(0, 64, 0.5), (1, 64, 1.0), (2, 64, 1.5), (3, 128, 0.5), (4, 128, 1.0), (5, 128, 1.5)]
        >>> [len(chunk.columns) for chunk in plan.chunks()]
        [3, 3]
    """

    base: AnalogConfig
    axes: Sequence[Axis]
    chips: int = 1
    seed: int = 0
    chunk: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.axes, Axis):
            object.__setattr__(self, "axes", (self.axes,))
        if not isinstance(self.axes, Sequence) or not self.axes or not all(isinstance(a, Axis) for a in self.axes):
            raise ValueError(f"Field `axes` of Plan must be axes such as Values or Range, but is {shown(self.axes)}.")
        object.__setattr__(self, "axes", tuple(self.axes))
        check_integer("Plan", "chips", self.chips, low=1, high=2**31 - 1)
        check_integer("Plan", "seed", self.seed, low=0, high=2**32 - 1)
        if self.chunk is not None:
            check_integer("Plan", "chunk", self.chunk, low=1)
        self.base.validate()
        for group in self._groups:
            _check_group(group)

    @cached_property
    def paths(self) -> dict[str, Swept]:
        """The swept paths."""
        found: dict[str, Swept] = {}
        for axis in self.axes:
            for path, entries in axis.columns().items():
                if path in found:
                    raise ValueError(f"Field `axes` of Plan must vary every path once, but varies {path!r} twice.")
                if path in RESERVED:
                    raise ValueError(f"Path {path!r} is the name of another column of the table.")
                found[path] = swept(self.base, path, entries, rounded=path in axis.rounded)
        for path in found:
            inner = [other for other in found if other.startswith(f"{path}.")]
            if inner:
                raise ValueError(
                    f"Field `axes` of Plan must not vary {inner[0]!r} beside {path!r}, which replaces it; vary parts "
                    "with their fields set, or the field alone."
                )
        return found

    @cached_property
    def designs(self) -> pl.DataFrame:
        """One row per design: its number `design`, and a column per path."""
        self._check_memory()
        table = None
        for axis in self.axes:
            columns = pl.DataFrame([self.paths[path].series for path in axis.columns()])
            table = columns if table is None else table.join(columns, how="cross", maintain_order="left_right")
        assert table is not None
        return table.unique(maintain_order=True).with_row_index("design").cast({"design": pl.Int64})

    @property
    def units(self) -> dict[str, str]:
        """Unit of every path that has one."""
        return {path: column.unit for path, column in self.paths.items() if column.unit}

    @property
    def structures(self) -> int:
        """How many structures there are, each of which is compiled."""
        return len(self._groups)

    def chunks(self, pairs: int | None = None) -> list[Chunk]:
        """Return the work, cut where it stays cut when more designs are added at the end.

        Args:
            pairs: Pairs of design and chip in a chunk, where the plan does not say how many designs.

        Returns:
            Chunks of one structure each.
        """
        pairs = PAIRS if pairs is None else pairs
        designs = self.chunk or max(1, pairs // self.chips)
        at_once = self.chips if self.chunk else min(self.chips, pairs)
        found = []
        for group in self._groups:
            for start in range(0, len(group.numbers), designs):
                index = range(start, min(start + designs, len(group.numbers)))
                found += [group.part(index, chips) for chips in _cut(self.chips, at_once)]
        return found

    def config(self, design: int) -> AnalogConfig:
        """Return the config of a design.

        Args:
            design: Its number.

        Raises:
            ValueError: If there is no such design.
        """
        check_integer("Plan.config", "design", design, low=0, high=len(self.designs) - 1)
        row = self.designs.row(design, named=True)
        return with_at(self.base, {path: column.value(row[path]) for path, column in self.paths.items()})

    @cached_property
    def _groups(self) -> list[Chunk]:
        """All designs on all chips, by structure, in order of appearance."""
        structural = [path for path, column in self.paths.items() if not column.continuous]
        parts = self.designs.partition_by(structural, maintain_order=True) if structural else [self.designs]
        return [self._group(part, structural) for part in parts]

    def _group(self, designs: pl.DataFrame, structural: Sequence[str]) -> Chunk:
        first = designs.row(0, named=True)
        values = {path: designs[path].to_numpy() for path, column in self.paths.items() if column.continuous}
        sets = {path: column.value(first[path]) for path, column in self.paths.items()}
        try:
            base = with_at(self.base, sets)
        except ValueError as error:
            raise ValueError(f"Design {first['design']} ({listed(first)}): {error}") from error
        numbers = designs["design"].to_numpy()
        return Chunk(base, values, numbers, designs.drop("design"), range(self.chips), self.seed)

    def _check_memory(self) -> None:
        from jaxaimc.studies.memory import of_this_machine, readable

        counts = {", ".join(axis.columns()): len(next(iter(axis.columns().values()))) for axis in self.axes}
        designs = math.prod(counts.values())
        # Copies while tables are joined and sorted; the measure's columns are not known here.
        need = designs * (64 * len(self.paths) + self.chips * 32 * (len(self.paths) + 4))
        available = of_this_machine()
        if available is not None and need > available:
            product = " x ".join(f"{count:,} of {names}" for names, count in counts.items())
            raise ValueError(
                f"A plan of {designs:,} designs ({product}) on {self.chips:,} chips needs about {readable(need)} for "
                f"its table, but there are {readable(available)}; use fewer points, or Samples in place of a grid."
            )


def _cut(chips: int, at_once: int) -> Iterator[range]:
    for start in range(0, chips, at_once):
        yield range(start, min(start + at_once, chips))


def _check_group(group: Chunk) -> None:
    if broken := broken_rule(group.base, group.values):
        place, error = broken
        row = group.columns.row(place, named=True)
        raise ValueError(f"Design {group.numbers[place]} ({listed(row)}): {error}") from error


def listed(row: Mapping[str, Any]) -> str:
    """Return the values of a design as text.

    Args:
        row: Values by path; the number of the design is left out.
    """
    return ", ".join(
        f"{path} = {value:.6g}" if isinstance(value, float) else f"{path} = {value}"
        for path, value in row.items()
        if path != "design"
    )
