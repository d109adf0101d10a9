"""What a training run shows while it runs."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.progress import Progress


class TrainingProgress(NamedTuple):
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


def step_bar(what: str = "step") -> "Progress":
    """Make a bar of steps with a status and the time left; each of its tasks has a field `status`. Needs `rich`.

    Args:
        what: What is counted.

    Raises:
        ModuleNotFoundError: If `rich` is not installed.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    # The name of a task is text, never a format or markup.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(f"{what} {{task.completed:,.0f}}/{{task.total:,.0f}}"),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
    )


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[TrainingProgress], None]]:
    """Show a bar with epoch, loss, throughput and time left; needs `rich`.

    Args:
        description: Text in front of the bar.

    Yields:
        Function to hand to `fit` as `progress`.

    Raises:
        ModuleNotFoundError: If `rich` is not installed.
    """
    with step_bar() as bar:
        row = bar.add_task(description, total=1, status="compiling")

        def show(progress: TrainingProgress) -> None:
            status = f"epoch {progress.epoch}, loss {progress.loss:.4f}, {progress.examples_per_second:,.0f} examples/s"
            bar.update(row, completed=progress.step, total=progress.steps, status=status)

        yield show
