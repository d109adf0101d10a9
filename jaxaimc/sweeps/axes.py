"""What a sweep varies: axes, each a list of values for one path or for several that change together.

Axes multiply: a plan's designs are their grid. Paths are those of `jaxaimc.config.at`, such as `wires.r`, and lead to a
continuous field, to a structural one (`rows`), or to a part (`device`).
"""

import abc
import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jaxaimc._core.checks import check_integer, shown

Scale = Literal["linear", "log"]
Column = tuple[Any, ...]


class Axis(abc.ABC):
    """A list of settings of one or more fields."""

    @abc.abstractmethod
    def columns(self) -> dict[str, Column]:
        """Return the values of every path; all are equally many."""

    @property
    def rounded(self) -> frozenset[str]:
        """Paths where structural integers get the nearest whole number instead of a refusal."""
        return frozenset()


@dataclasses.dataclass(frozen=True)
class Values(Axis):
    """Given values of a field.

    Args:
        path: The field, or several fields that all get the same value.
        values: Numbers in base units, structural values, or parts. Parts, given as a mapping, are called by its keys in
            the table; otherwise by their classes.

    Raises:
        ValueError: If there is no value, or one is named twice.

    Example:
        >>> Values("adc.bits", [4, 6, 8]).columns()
        {'adc.bits': (4, 6, 8)}
    """

    path: str | Sequence[str]
    values: Sequence[Any] | Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _paths(self, self.path))
        if isinstance(self.values, (str, bytes)) or not hasattr(self.values, "__len__"):
            raise ValueError(
                f"Field `values` of Values for {_named(self)} must be a list or a mapping of parts by name, but is "
                f"{shown(self.values)}."
            )
        if not isinstance(self.values, Mapping):
            plain = [value.item() if isinstance(value, np.generic) else value for value in self.values]
            object.__setattr__(self, "values", tuple(plain))
        if not self.values:
            raise ValueError(f"Field `values` of Values for {_named(self)} must hold at least one value, but is empty.")
        values = list(self.values.values()) if isinstance(self.values, Mapping) else list(self.values)
        twice = [value for number, value in enumerate(values) if any(_same(value, one) for one in values[:number])]
        if twice:
            raise ValueError(
                f"Field `values` of Values for {_named(self)} must hold every value once, but holds {shown(twice[0])} "
                "twice."
            )

    def columns(self) -> dict[str, Column]:
        """Return the values of every path."""
        if isinstance(self.values, Mapping):
            entries = tuple(Named(str(name), value) for name, value in self.values.items())
        else:
            entries = tuple(self.values)
        return dict.fromkeys(self.path, entries)


@dataclasses.dataclass(frozen=True)
class Range(Axis):
    """Values from one to another, both included.

    Args:
        path: The field, or several fields that all get the same value.
        low: First value in base units.
        high: Last value.
        points: How many there are.
        scale: Whether their differences or their ratios are equal. Structural integers get the nearest whole number,
            which counts once.

    Raises:
        ValueError: If the range is empty or falls, or has no logarithm.

    Example:
        >>> Range("wires.r", 0.1, 10.0, 3, scale="log").columns()
        {'wires.r': (0.1, 1.0, 10.0)}
    """

    path: str | Sequence[str]
    low: float
    high: float
    points: int
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _paths(self, self.path))
        check_interval(f"Range for {_named(self)}", self.low, self.high, self.scale)
        check_integer("Range", "points", self.points, low=2)

    @property
    def rounded(self) -> frozenset[str]:
        """All paths."""
        return frozenset(self.path)

    def columns(self) -> dict[str, Column]:
        """Return the values of every path."""
        spaced = np.geomspace if self.scale == "log" else np.linspace
        return dict.fromkeys(self.path, tuple(spaced(self.low, self.high, self.points).tolist()))


@dataclasses.dataclass(frozen=True)
class Samples(Axis):
    """Points of a scrambled Sobol sequence in a box of several fields (Owen 1998; `scipy.stats.qmc.Sobol`).

    They fill the box evenly in every projection: the mean of a smooth result over them has an error that falls nearly
    as 1/n instead of 1/sqrt(n). More samples of the same seed keep the first ones, and a power of two of them is
    balanced.

    Args:
        ranges: Lowest and highest value by path, in base units, and optionally the scale of this path:
            `(0.1, 10.0, "log")`. Structural integers get the nearest whole number; designs that become equal by it
            count once.
        n: How many samples.
        seed: Seed of the scrambling.
        scale: Scale of the paths that name none.

    Raises:
        ValueError: If there is no range, one is empty, or there are more samples than the sequence has.

    Example:
        >>> axis = Samples({"wires.r": (0.1, 10.0, "log"), "adc.bits": (4.0, 8.0)}, n=4)
        >>> {path: len(values) for path, values in axis.columns().items()}
        {'wires.r': 4, 'adc.bits': 4}
    """

    ranges: Mapping[str, tuple[Any, ...]]
    n: int
    seed: int = 0
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        if not isinstance(self.ranges, Mapping) or not self.ranges:
            raise ValueError(
                f"Field `ranges` of Samples must be intervals by path, at least one, but is {shown(self.ranges)}."
            )
        ranges = {}
        for path, given in self.ranges.items():
            if isinstance(given, (str, bytes)) or not hasattr(given, "__len__") or len(given) not in (2, 3):
                raise ValueError(
                    f"Field `ranges` of Samples must hold (low, high) or (low, high, scale) for {path!r}, but holds "
                    f"{shown(given)}."
                )
            low, high, scale = (*given, self.scale)[:3]
            check_interval(f"Samples for {path!r}", low, high, scale)
            ranges[str(path)] = (float(low), float(high), scale)
        object.__setattr__(self, "ranges", ranges)
        check_integer("Samples", "n", self.n, low=1, high=2**30)
        check_integer("Samples", "seed", self.seed, low=0, high=2**32 - 1)

    @property
    def rounded(self) -> frozenset[str]:
        """All paths."""
        return frozenset(self.ranges)

    def columns(self) -> dict[str, Column]:
        """Return the values of every path."""
        return {
            path: tuple(_scaled(unit, *bounds).tolist())
            for (path, bounds), unit in zip(self.ranges.items(), self._unit_box().T, strict=True)
        }

    def _unit_box(self) -> np.ndarray:
        from scipy.stats import qmc

        # The name of the argument differs between versions of scipy, what a generator gives does not.
        name = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"
        source: dict[str, Any] = {name: np.random.default_rng(self.seed)}
        sequence = qmc.Sobol(len(self.ranges), scramble=True, **source)
        # A power of two, of which the first are taken: scipy warns of any other number, as it is not balanced.
        return sequence.random_base2(math.ceil(math.log2(self.n)))[: self.n]


@dataclasses.dataclass(frozen=True)
class Together(Axis):
    """Axes of one length whose values change together, instead of multiplying.

    Args:
        axes: The axes.

    Raises:
        ValueError: If there are none, their lengths differ, or two have the same path.

    Example:
        >>> Together([Values("rows", [64, 128]), Values("cols", [128, 64])]).columns()
        {'rows': (64, 128), 'cols': (128, 64)}
    """

    axes: Sequence[Axis]

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Sequence) or not self.axes or not all(isinstance(a, Axis) for a in self.axes):
            raise ValueError(f"Field `axes` of Together must be axes, at least one, but is {shown(self.axes)}.")
        object.__setattr__(self, "axes", tuple(self.axes))
        columns = [column for axis in self.axes for column in axis.columns().items()]
        lengths = {path: len(values) for path, values in columns}
        if len(lengths) < len(columns):
            raise ValueError(
                f"Field `axes` of Together must name every path once, but names {_twice(columns)!r} twice."
            )
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{path!r} has {length}" for path, length in lengths.items())
            raise ValueError(f"Field `axes` of Together must have equally many values, but {listed}.")

    @property
    def rounded(self) -> frozenset[str]:
        """Paths of ranges and samples."""
        return frozenset().union(*(axis.rounded for axis in self.axes))

    def columns(self) -> dict[str, Column]:
        """Return the values of every path."""
        return {path: values for axis in self.axes for path, values in axis.columns().items()}


@dataclasses.dataclass(frozen=True)
class Named:
    """A value with a name of its own in tables.

    Args:
        name: The name.
        value: The value.
    """

    name: str
    value: Any


def check_interval(what: str, low: Any, high: Any, scale: Any) -> None:
    """Check an interval.

    Args:
        what: What it is for, for the message.
        low: Lower end.
        high: Upper end.
        scale: `"linear"` or `"log"`.

    Raises:
        ValueError: If an end is not a number, they do not rise, or have no logarithm on a logarithmic scale.
    """
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
            raise ValueError(f"Field `{name}` of {what} must be a finite number, but is {shown(value)}.")
    if scale not in ("linear", "log"):
        raise ValueError(f"Field `scale` of {what} must be 'linear' or 'log', but is {shown(scale)}.")
    if low >= high:
        raise ValueError(f"Field `low` of {what} must be less than `high`, but low is {low:g} and high is {high:g}.")
    if scale == "log" and low <= 0:
        raise ValueError(f"Field `low` of {what} must be above 0 on a logarithmic scale, but is {low:g}.")


def _scaled(unit: np.ndarray, low: float, high: float, scale: Scale) -> np.ndarray:
    """Return points of the unit interval in an interval."""
    if scale == "log":
        # Kept inside: the exponential of a logarithm can end a bit beyond.
        return np.clip(np.exp(np.log(low) + unit * (np.log(high) - np.log(low))), low, high)
    return low + unit * (high - low)


def _paths(axis: Axis, path: Any) -> tuple[str, ...]:
    paths = (path,) if isinstance(path, str) else tuple(path) if isinstance(path, Sequence) else ()
    if not paths or not all(isinstance(one, str) and one for one in paths) or len(set(paths)) < len(paths):
        raise ValueError(
            f"Field `path` of {type(axis).__name__} must be names of fields joined by dots, or several different ones, "
            f"but is {shown(path)}."
        )
    return paths


def _named(axis: Any) -> str:
    return ", ".join(map(repr, axis.path))


def _same(a: Any, b: Any) -> bool:
    try:
        return type(a) is type(b) and bool(a == b)
    except ValueError:  # arrays in parts
        return a is b


def _twice(columns: Sequence[tuple[str, Any]]) -> str:
    paths = [path for path, _ in columns]
    return next(path for path in paths if paths.count(path) > 1)
