"""What an evaluation shows while it runs."""

from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jaxaimc.studies.results import EvaluationProgress, Row, summarise
from jaxaimc.studies.tables import drift_table, effect_table, resistance_table

_TABLES: dict[str, Callable[[str, Sequence[Row]], Table]] = {
    "effect": effect_table,
    "drift": drift_table,
    "resistance": resistance_table,
}


class Screen:
    """Tables that fill, one study after the other, above a bar with the time left; use it in a `with` statement.

    On a terminal the table of the study under way grows in place. Elsewhere each finished row is a line at once.
    Either way the complete table follows when its study is done.

    Args:
        console: Where to.
        metric: Name of the metric.
        scores: Score rows of an earlier, interrupted run.
    """

    def __init__(self, console: Console, metric: str, scores: Sequence[Row] = ()):
        self._console = console
        self._metric = metric
        self._summary = summarise(list(scores))
        # A study of one's own has no table: its rows are in the files.
        self._study: str | None = None
        self._printed: set[str] = set()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("passes"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._row = self._bar.add_task("compiling", total=None)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Screen":
        """Start to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        """Stop; what there is of the tables that were not printed follows."""
        self._live.stop()
        self._print(list(_TABLES))

    def update(self, progress: EvaluationProgress) -> None:
        """Take in where the evaluation stands."""
        self._bar.update(self._row, description=progress.scenario, completed=progress.done, total=progress.total)
        if progress.row is None:
            return
        study = progress.row["study"]
        self._study = study if study in _TABLES else None
        if self._study is not None:
            # Scenarios come study by study, so whatever an earlier run left out of those before is there now.
            self._print(list(_TABLES)[: list(_TABLES).index(self._study)])
        self._summary.append(progress.row)
        if not self._console.is_terminal:
            self._console.print(_line(progress), highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> Group:
        tables = [] if self._study is None else [_TABLES[self._study](self._metric, self._summary)]
        return Group(*tables, self._bar)

    def _print(self, studies: Sequence[str]) -> None:
        """Print the tables of some studies, each once."""
        for study in studies:
            if study not in self._printed and any(row["study"] == study for row in self._summary):
                self._printed.add(study)
                self._console.print(_TABLES[study](self._metric, self._summary), "")


def _line(progress: EvaluationProgress) -> str:
    row = progress.row
    assert row is not None
    share = 100 * progress.done / max(progress.total, 1)
    spread = "" if row["std"] is None else f" ± {row['std']:.4f}"
    where = "" if row["r"] is None else f", {row['r']:g} ohm per segment"
    how = ", compensated" if row["compensated"] else ""
    return f"{share:3.0f} %  {row['name']}{where}{how}: {row['mean']:.4f}{spread}"
