"""What a design varies: fields of configs by path, for all layers or for one, each with its interval."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxaimc._core.checks import SIZES, Limits, concrete, shown
from jaxaimc._core.component import Component
from jaxaimc.config.errors import nearest
from jaxaimc.config.paths import at, leaf_paths, with_at
from jaxaimc.design.bijections import Bijection, between
from jaxaimc.units import format_si

# One config for all layers, or configs by rule, in the order of `jaxaimc.nn.Rule`; None keeps layers digital.
Configs = Component | Mapping[str, Component | None]


@dataclasses.dataclass(frozen=True)
class Variable:
    """A continuous field that the design may choose.

    A field with an array, such as the ranges that `jaxaimc.nn.calibrate` has chosen for every tile, is one variable:
    its largest entry. The others keep their ratio to it.

    Args:
        path: The field, as in `jaxaimc.config.at`, such as `"wires.r"`.
        low: Lower bound in the field's unit; the field's own by default. The value stays above it.
        high: Upper bound in the field's unit; the field's own by default. The value stays below it.
        start: First value; that of the config by default.
        layer: Which of several configs by rule; by default one value for all of them that have the field.
        integer: Whether `rounded` makes it a whole number; by default where the field's unit is a bit.

    Raises:
        ValueError: If an argument is of another kind, not a number, or the interval is empty.

    Example:
        >>> Variable("adc.bits", low=3.0, high=10.0).name, Variable("wires.r", layer="head").name
        ('adc.bits', 'head:wires.r')
    """

    path: str
    low: float | None = None
    high: float | None = None
    start: float | None = None
    layer: str | None = None
    integer: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise ValueError(f"Field `path` of Variable must be names of fields joined by dots, but is {self.path!r}.")
        if self.layer is not None and not isinstance(self.layer, str):
            raise ValueError(f"Field `layer` of Variable must be a rule or None, but is {shown(self.layer)}.")
        if self.integer not in (None, True, False):
            raise ValueError(f"Field `integer` of Variable must be True, False or None, but is {shown(self.integer)}.")
        for field in ("low", "high", "start"):
            value = getattr(self, field)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
                raise ValueError(
                    f"Field `{field}` of Variable {self.name!r} must be a finite number or None, but is {shown(value)}."
                )
            object.__setattr__(self, field, float(value))
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(
                f"Field `low` of Variable {self.name!r} must be less than `high`, but low is {self.low:g} and high is "
                f"{self.high:g}."
            )

    @property
    def name(self) -> str:
        """The path, with the rule in front where it is for one."""
        return self.path if self.layer is None else f"{self.layer}:{self.path}"


@dataclasses.dataclass(frozen=True)
class BoundVariable:
    """A variable of given configs, with all that follows from them.

    Attributes:
        name: Its name in results.
        unit: Unit of the field; empty for a pure number.
        low: Lower bound; None for none.
        high: Upper bound; None for none.
        start: First value.
        integer: Whether `rounded` makes it a whole number.
        targets: The fields, each as the rule (None for a single config) and the whole path.
        bijection: Map from an unconstrained number.
        ratios: For each field, None for a number, or for an array its entries over the largest one, which is the value.
    """

    name: str
    unit: str
    low: float | None
    high: float | None
    start: float
    integer: bool
    targets: tuple[tuple[str | None, str], ...]
    bijection: Bijection
    ratios: tuple[Any, ...] = dataclasses.field(compare=False)

    def text(self, value: float) -> str:
        """Return a value of it with its unit."""
        return format_si(value, self.unit) if self.unit in SIZES else f"{value:.4g} {self.unit}".strip()

    def facts(self) -> dict[str, Any]:
        """Return what tells it apart, as JSON values."""
        return {"name": self.name, "low": self.low, "high": self.high, "start": self.start, "integer": self.integer}


def bind(config: Configs, variables: Sequence[Variable | str]) -> tuple[BoundVariable, ...]:
    """Find the fields of variables, and hold starts and bounds against what the fields allow.

    Args:
        config: One config, or configs by rule.
        variables: Variables, or their paths.

    Returns:
        The variables, bound.

    Raises:
        ValueError: If there is none, a path leads to no continuous field or to one that is not a single number, a field
            is named twice, a bound is outside of the field's own, or a start is not inside.
    """
    if isinstance(variables, (str, Variable)) or not variables:
        raise ValueError(
            f"Argument `variables` must be a list of Variable or paths, at least one, but is {shown(variables)}."
        )
    bound, owners = [], {}
    for given in variables:
        if not isinstance(given, (str, Variable)):
            raise ValueError(f"Argument `variables` must hold Variable or paths, but holds {shown(given)}.")
        one = _bound(config, Variable(given) if isinstance(given, str) else given)
        for target in one.targets:
            if target in owners:
                raise ValueError(
                    f"Variables {owners[target]!r} and {one.name!r} are the same field, {target[1]!r}"
                    f"{'' if target[0] is None else f' of {target[0]!r}'}; name it once."
                )
            owners[target] = one.name
        bound.append(one)
    return tuple(bound)


def _bound(config: Configs, variable: Variable) -> BoundVariable:
    found = {layer: _field(part, variable) for layer, part in _parts(config, variable).items()}
    values = {layer: value for layer, (_, value, _, _) in found.items()}
    limits = next(iter(found.values()))[2]
    if variable.start is None and len(set(values.values())) > 1:
        each = ", ".join(f"{value:g} in {layer!r}" for layer, value in values.items())
        raise ValueError(f"Variable {variable.name!r} needs a `start`, or a `layer`: the configs have {each}.")
    start = next(iter(values.values())) if variable.start is None else variable.start
    low, high = _interval(variable, [limits for _, _, limits, _ in found.values()])
    _check_start(variable, start, low, high, limits.unit)
    return BoundVariable(
        name=variable.name,
        unit=limits.unit,
        low=low,
        high=high,
        start=start,
        integer=limits.unit == "bit" if variable.integer is None else variable.integer,
        targets=tuple((layer, path) for layer, (path, _, _, _) in found.items()),
        bijection=between(low, high, start),
        ratios=tuple(ratio for _, _, _, ratio in found.values()),
    )


def _parts(config: Configs, variable: Variable) -> dict[str | None, Component]:
    """Return the configs that a variable is about."""
    if isinstance(config, Component):
        if variable.layer is not None:
            raise ValueError(
                f"Field `layer` of Variable {variable.name!r} must be None where there is one config for all layers; "
                "give configs by rule, such as {'head': config, '.*': config}."
            )
        return {None: config}
    if not isinstance(config, Mapping) or not all(
        part is None or isinstance(part, Component) for part in config.values()
    ):
        raise ValueError(f"Argument `config` must be a config or configs by rule, but is {shown(config)}.")
    parts: dict[str | None, Component] = {rule: part for rule, part in config.items() if part is not None}
    if not parts:
        raise ValueError("Argument `config` must have a config for at least one rule, but has none.")
    if variable.layer is None:
        return parts
    if variable.layer not in parts:
        known = [rule for rule in parts if rule is not None]
        raise ValueError(
            f"Field `layer` of Variable {variable.name!r} must be one of the rules with a config, "
            f"{', '.join(map(repr, known))}, but is {variable.layer!r}{nearest(variable.layer, known)}."
        )
    return {variable.layer: parts[variable.layer]}


def _field(part: Component, variable: Variable) -> tuple[str, float, Limits, Any]:
    """Return the whole path of a field, wrappers included, its value, its limits, and the ratios of an array."""
    value, marker = at(part, variable.path), np.float64(1.0)
    path, limits = None, Limits()
    try:
        marked = leaf_paths(with_at(part, {variable.path: marker}))
        path, limits = next(
            ((path, limits) for path, (found, limits) in marked.items() if found is marker), (None, limits)
        )
    except ValueError:  # a structural field does not take the number
        pass
    if path is None or value is None or isinstance(value, Component):
        kind = (
            "a part" if isinstance(value, Component) else "not set" if value is None else f"structure ({shown(value)})"
        )
        every = ", ".join(sorted(leaf_paths(part)))
        raise ValueError(
            f"Variable {variable.name!r} must be a continuous field, but is {kind}, of which there is no "
            f"gradient; choose structure by a search such as Optuna's. Continuous are: {every}."
        )
    number = concrete(value) if not isinstance(value, tuple) else None
    if number is None or not number.size or (number.shape and not np.all(number > 0)):
        raise ValueError(
            f"Variable {variable.name!r} must be a field with one number, or with an array of positive ones, but has "
            f"{shown(value)}."
        )
    largest = float(np.max(number))
    return path, largest, limits, np.asarray(number, float) / largest if number.shape else None


def _interval(variable: Variable, every: Sequence[Limits]) -> tuple[float | None, float | None]:
    """Return the bounds: the field's own, or narrower ones that were given."""
    lows = [low for limits in every if (low := _first(limits.low, limits.above)) is not None]
    highs = [high for limits in every if (high := _first(limits.high, limits.below)) is not None]
    least, most = max(lows, default=None), min(highs, default=None)
    unit = every[0].unit
    for field, given in (("low", variable.low), ("high", variable.high)):
        if given is not None and ((least is not None and given < least) or (most is not None and given > most)):
            left, right = ("-inf" if least is None else f"{least:g}"), ("inf" if most is None else f"{most:g}")
            raise ValueError(
                f"Field `{field}` of Variable {variable.name!r} must be within what the field allows, {left} to {right}"
                f"{f' {unit}' if unit else ''}, but is {given:g}."
            )
    low, high = _first(variable.low, least), _first(variable.high, most)
    if low == 0 and unit in SIZES:
        # What is smaller is refused as a slip of units.
        low = SIZES[unit][0]
    return low, high


def _check_start(variable: Variable, start: float, low: float | None, high: float | None, unit: str) -> None:
    inside = math.isfinite(start) and (low is None or start > low) and (high is None or start < high)
    if not inside:
        left, right = ("-inf" if low is None else f"{low:g}"), ("inf" if high is None else f"{high:g}")
        raise ValueError(
            f"Variable {variable.name!r} must start inside of ({left}, {right}){f' {unit}' if unit else ''}, not at a "
            f"bound, but starts at {start:g}; give another `start`."
        )


def _first(a: float | None, b: float | None) -> float | None:
    return b if a is None else a
