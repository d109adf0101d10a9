"""Pareto fronts: designs for a sequence of weights, each begun at the last one's result."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax
from jaxtyping import Array, Key

from jaxaimc._core.checks import check_number, shown
from jaxaimc.design.constraints import Constraint
from jaxaimc.design.minimise import Progress, make_stepper, optimizer_of, run
from jaxaimc.design.result import Design, table
from jaxaimc.design.space import Numbers, Space
from jaxaimc.design.step import Objective
from jaxaimc.design.variables import Configs, Variable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A design of a front.

    Attributes:
        weight: Its weight.
        design: The design.
        smooth: The design before `finish`; the same one without.
        figures: What it is measured by: the parts of its objective, and what `check` found.
        dominated: Whether another point is at least as good in every figure of the front, and better in one.
    """

    weight: float
    design: Design
    smooth: Design
    figures: Mapping[str, float]
    dominated: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Front:
    """Designs over a weight; as text, a table.

    Attributes:
        points: In the order of the weights.
        names: Figures that are to be low, by which points dominate others.
    """

    points: tuple[Point, ...]
    names: tuple[str, ...]

    @property
    def best(self) -> tuple[Point, ...]:
        """The points that no other dominates."""
        return tuple(point for point in self.points if not point.dominated)

    def __str__(self) -> str:
        """Return a line for each point: weight, variables, figures of the front, and whether it is dominated."""
        variables = self.points[0].design.variables
        head = ["weight", *(one.name for one in variables), *self.names, ""]
        rows = [
            [
                f"{point.weight:g}",
                *(one.text(point.design.values[one.name]) for one in variables),
                *(f"{point.figures[name]:.4g}" for name in self.names),
                "dominated" if point.dominated else "",
            ]
            for point in self.points
        ]
        return table(head, rows)


def pareto(
    objective: Callable[[float], Objective],
    config: Configs,
    variables: Sequence[Variable | str],
    weights: Sequence[float],
    optimizer: optax.GradientTransformation | None = None,
    *,
    names: Sequence[str],
    steps: int,
    key: Key[Array, ""],
    chips: int = 1,
    fresh_chips: bool = True,
    constraints: Sequence[Constraint] = (),
    projection: Callable[[Any], Any] | None = None,
    parameters: Any = None,
    parameter_optimizer: optax.GradientTransformation | None = None,
    finish: Callable[[Design, Objective], Design] | None = None,
    check: Callable[..., Mapping[str, float]] | None = None,
    folder: str | Path | None = None,
    notes: Mapping[str, Any] | None = None,
    progress: Callable[[int], Progress | None] | None = None,
) -> Front:
    """Find designs for a sequence of weights by continuation: each begins where the last one ended.

    A weighted sum finds the convex part of a front only; what lies in a dent needs a constraint instead.

    Args:
        objective: Makes the objective of a weight, such as `NetworkObjective.with_weight`. Pytrees of one structure
            are compiled once.
        config: Where the first design starts, as in `minimise`.
        variables: As in `minimise`.
        weights: In the order of the continuation.
        optimizer: As in `minimise`; begun anew for each weight.
        names: Figures that are to be low, by which points dominate others: parts of the objective, or of `check`.
        steps: Steps for each weight.
        key: As in `minimise`; each weight gets the same.
        chips: As in `minimise`.
        fresh_chips: As in `minimise`.
        constraints: As in `minimise`.
        projection: As in `minimise`.
        parameters: As in `minimise`; each weight goes on with those of the one before.
        parameter_optimizer: As in `minimise`; begun anew for each weight.
        finish: What is made of every design, such as `rounded`; the next weight goes on from the design before.
        check: Further figures of a finished config, such as those of `evaluate(task, model, config)`; they take the
            place of parts of the same name. With `parameters` it is called with those of the design as second argument.
        folder: Where the states are kept, a file for each weight and where it began, and found again; None to keep
            none. With more steps the first weight goes on, and the others, which begin elsewhere then, begin anew.
        notes: As in `minimise`.
        progress: Gives what is called after every step, from the number of the weight.

    Raises:
        ValueError: If an argument is of another kind or out of range, or no figure has one of the names.
        DesignDivergedError: As `minimise`.

    Example:
        >>> import jax
        >>> from jax.tree_util import Partial
        >>> from jaxaimc import AnalogConfig, design
        >>> def total(weight, config, key):
        ...     loss, area = config.wires.r**2, 1 / config.wires.r
        ...     return loss + weight * area, {"loss": loss, "area": area}
        >>> front = design.pareto(lambda weight: Partial(total, weight), AnalogConfig(), ["wires.r"], [0.1, 1.0],
        ...                       names=["loss", "area"], steps=150, key=jax.random.key(0))
        >>> [round(point.design.values["wires.r"], 2) for point in front.best]  # (weight / 2)^(1/3)
        [0.37, 0.79]
    """
    if isinstance(weights, (str, float, int)) or not len(weights):
        raise ValueError(f"Argument `weights` must be a list of numbers, at least one, but is {shown(weights)}.")
    for weight in weights:
        check_number("pareto", "weights", weight, low=0.0)
    if isinstance(names, str) or not names:
        raise ValueError(f"Argument `names` must be a list of figures, at least one, but is {shown(names)}.")
    stepper = make_stepper(
        Space.of(config, variables), optimizer, chips=chips, fresh_chips=fresh_chips, constraints=constraints,
        projection=projection, parameter_optimizer=optimizer_of(parameters, parameter_optimizer),
    )  # fmt: skip
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    found: list[tuple[Design, Design, dict[str, float]]] = []
    numbers = stepper.space.start()
    for number, weight in enumerate(weights):
        of_weight = objective(float(weight))
        smooth = run(
            stepper,
            of_weight,
            steps=steps,
            key=key,
            numbers=numbers,
            parameters=parameters,
            file=None if folder is None else Path(folder) / _file_name(number, numbers),
            notes={**(notes or {}), "weight": float(weight)},
            progress=None if progress is None else progress(number),
        )
        design = smooth if finish is None else finish(smooth, of_weight)
        trained = () if parameters is None else (design.parameters,)
        figures = {**design.parts, **({} if check is None else dict(check(design.config, *trained)))}
        missing = [name for name in names if name not in figures]
        if missing:
            raise ValueError(
                f"Argument `names` must be figures of the designs, {', '.join(figures)}, but has {missing[0]!r}."
            )
        found.append((design, smooth, figures))
        numbers, parameters = stepper.space.numbers(smooth.values), smooth.parameters
    dominated = _dominated(np.array([[figures[name] for name in names] for _, _, figures in found]))
    points = [
        Point(weight=float(weight), design=design, smooth=smooth, figures=figures, dominated=bool(bad))
        for weight, (design, smooth, figures), bad in zip(weights, found, dominated, strict=True)
    ]
    return Front(points=tuple(points), names=tuple(names))


def _file_name(number: int, start: Numbers) -> str:
    """Return the file of a weight's state. Where the weight before ended elsewhere, it is another."""
    place = np.array([float(start[name]) for name in sorted(start)])
    return f"{number:02d}-{hashlib.sha256(place.tobytes()).hexdigest()[:8]}.npz"


def _dominated(figures: np.ndarray) -> np.ndarray:
    """Return which rows have another that is nowhere higher and somewhere lower."""
    no_higher = (figures[:, None] <= figures[None]).all(axis=-1)
    lower = (figures[:, None] < figures[None]).any(axis=-1)
    return np.asarray((no_higher & lower).any(axis=0))
