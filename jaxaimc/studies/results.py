"""What a study finds: rows of scores and of layers' errors, and where they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

Row = dict[str, Any]


class Rows(NamedTuple):
    """The rows of one finished scenario.

    Args:
        scores: One row per chip.
        layers: One row per layer and chip; none where layers are not measured.
    """

    scores: list[Row]
    layers: list[Row]


class EvaluationProgress(NamedTuple):
    """Where a study stands.

    Args:
        done: Network passes done (examples times chips).
        total: Network passes of this call; scenarios that the store already holds do not count.
        scenario: What is being computed.
        row: Summary of the scenario that was just finished, or None.
    """

    done: int
    total: int
    scenario: str
    row: Row | None = None


class Store(Protocol):
    """Keeps finished results, so that an interrupted study goes on where it stopped."""

    def open(self, keys: Sequence[str]) -> dict[str, Rows]:
        """Return what is there of these results; `add` keeps their order."""
        ...

    def add(self, key: str, rows: Rows) -> None:
        """Keep the rows of one finished scenario."""
        ...


@dataclass
class Memory:
    """A store that forgets with the process."""

    rows: dict[str, Rows] = field(default_factory=dict)

    def open(self, keys: Sequence[str]) -> dict[str, Rows]:
        """Return what is there of these results."""
        return {key: self.rows[key] for key in keys if key in self.rows}

    def add(self, key: str, rows: Rows) -> None:
        """Keep rows."""
        self.rows[key] = rows


@dataclass(frozen=True)
class Evaluation:
    """Result of a study.

    Args:
        task: Name of the task.
        metric: Name of the metric.
        chance: Metric of guessing.
        scores: One row per scenario and chip: study, name, sets (JSON of what was set, by path), t [s], compensated,
            r [ohm], random, chip, examples, score.
        layers: One row per effect, layer and chip: name, layer, chip, error (relative root mean square).
    """

    task: str
    metric: str
    chance: float
    scores: list[Row]
    layers: list[Row]

    def summary(self) -> list[Row]:
        """Return one row per scenario: its fields, and mean, standard deviation (None for one) and number of chips."""
        return summarise(self.scores)


def summarise(scores: Sequence[Row]) -> list[Row]:
    """Gather the chips of every scenario.

    Args:
        scores: One row per scenario and chip.

    Returns:
        One row per scenario, in order of appearance: its fields, and `chips`, `mean` and `std` (None for one chip).
    """
    groups: dict[tuple, list[Row]] = {}
    for row in scores:
        groups.setdefault(tuple((k, v) for k, v in row.items() if k not in ("chip", "score")), []).append(row)
    return [_summary(rows) for rows in groups.values()]


def _summary(rows: list[Row]) -> Row:
    values = np.array([row["score"] for row in rows])
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    kept = {key: value for key, value in rows[0].items() if key not in ("chip", "score")}
    return {**kept, "chips": len(rows), "mean": float(values.mean()), "std": spread}
