"""What a training run shows while it runs."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple


class Progress(NamedTuple):
    """Where a training run stands.

    Args:
        step: Steps done.
        steps: Steps in all.
        epoch: Epoch under way, from 1.
        loss: Mean loss of the last steps.
        examples_per_second: Throughput since the run was started or resumed.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    examples_per_second: float


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator:
    """Show a bar with epoch, loss, throughput and time left; needs `rich`.

    Args:
        description: Text in front of the bar.

    Yields:
        Function to hand to `fit` as `progress`.

    Raises:
        ModuleNotFoundError: If `rich` is not installed.
    """
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(description),
        BarColumn(),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns) as bar:
        row = bar.add_task(description, total=1, status="compiling")

        def show(progress: Progress) -> None:
            status = f"epoch {progress.epoch}, loss {progress.loss:.4f}, {progress.examples_per_second:,.0f} examples/s"
            bar.update(row, completed=progress.step, total=progress.steps, status=status)

        yield show
