"""What a design run found."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxaimc.design.variables import BoundVariable, Configs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """A found design; as text, a table of the variables.

    Attributes:
        config: The found config, or configs by rule: the best one where every step had the same chips, otherwise the
            last one, because the lowest of noisy objectives is the luckiest.
        values: The variables' values in it, by name, each in its field's unit.
        parameters: What was trained along, at this design; None for nothing.
        variables: The variables, with starts and bounds.
        steps: Steps done.
        history: Numbers before every step and after the last, by name: `objective` (mean over chips), its parts, `std`
            (over chips, where there are some), the largest violation of each constraint, `total` (with penalties), and
            every variable.
        row: Row of the history that `config` belongs to.
        best: The variables' values with the lowest `total`.
        last: The variables' values after the last step.
    """

    config: Configs
    values: Mapping[str, float]
    parameters: Any
    variables: tuple[BoundVariable, ...]
    steps: int
    history: Mapping[str, Float[np.ndarray, " row"]]
    row: int
    best: Mapping[str, float]
    last: Mapping[str, float]

    @property
    def objective(self) -> float:
        """The objective at the found design, without penalties."""
        return float(self.history["objective"][self.row])

    @property
    def parts(self) -> dict[str, float]:
        """Everything else in the history at the found design, but for the variables."""
        names = {one.name for one in self.variables}
        return {name: float(column[self.row]) for name, column in self.history.items() if name not in names}

    def __str__(self) -> str:
        """Return a line for each variable, and the objective before and after."""
        head = ["variable", "start", "found", "bounds"]
        rows = [[one.name, one.text(one.start), one.text(self.values[one.name]), bounds(one)] for one in self.variables]
        first = float(self.history["objective"][0])
        return table(head, rows) + f"\nobjective {first:.4g} -> {self.objective:.4g} in {self.steps} steps"


def bounds(one: BoundVariable) -> str:
    """Return the bounds of a variable with their unit.

    Args:
        one: The variable.
    """
    low, high = ("-" if bound is None else one.text(bound) for bound in (one.low, one.high))
    return f"{low} to {high}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns of text, the first to the left and the others to the right.

    Args:
        head: Names of the columns.
        rows: Entries.
    """
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    lines = [[text.ljust(w) if not k else text.rjust(w) for k, (text, w) in enumerate(zip(row, widths, strict=True))]
             for row in (head, *rows)]  # fmt: skip
    return "\n".join("  ".join(line).rstrip() for line in lines)
