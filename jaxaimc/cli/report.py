"""`jaxaimc report`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from tyro.conf import Positional

from jaxaimc.cli.record import say

if TYPE_CHECKING:
    from jaxaimc.report import Dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Show results on one HTML page that needs no network, and as figures for papers.

    Tables that can be sorted and filtered, measured columns over swept fields with bands over chips, heat maps, Pareto
    fronts, and what the numbers rest on. Results of the same kind stand together. Of an unfinished run there is what is
    finished.

    Args:
        folders: Folders of jaxaimc evaluate, sensitivity, design and sweep, and Parquet or CSV tables.
        output: The page.
        figures: Folder for figures as wide as a column of a paper; none by default.
        format: Format of the figures.
        title: Heading of the page.
        x: Column on the horizontal axis at first; chosen by default.
        y: Measured column at first; the first one by default.
        colour: Field told apart by colour at first; chosen by default.
        measured: Measured columns of Parquet and CSV tables, where names and values do not tell them.
        higher: Measured columns of which more is better, beside scores, accuracies and efficiencies.
    """

    folders: Positional[tuple[Path, ...]]
    output: Path = Path("report.html")
    figures: Path | None = None
    format: Literal["png", "pdf"] = "png"
    title: str = "Results"
    x: str | None = None
    y: str | None = None
    colour: str | None = None
    measured: tuple[str, ...] = ()
    higher: tuple[str, ...] = ()

    def run(self) -> None:
        """Run the command."""
        from jaxaimc.report import read, write_figures, write_page

        if self.output.is_dir():
            raise ValueError(f"Argument `output` must be a file, but {str(self.output)!r} is a folder.")
        choice = {name: getattr(self, name) for name in ("x", "y", "colour", "measured", "higher")}
        report = read(self.folders, **choice)
        console = Console()
        for run in report.runs:
            rows = ", ".join(map(_counted, run.datasets))
            say(console, f"{run.name} ({run.kind}): {rows}")
            for line in run.missing:
                say(console, f"  {line}")
            if run.kind == "table":
                for line in run.ground["How the columns were read"]:
                    say(console, f"  {line}")
        self.output.parent.mkdir(parents=True, exist_ok=True)
        write_page(report, self.output, self.title)
        say(console, f"page:    {self.output} ({self.output.stat().st_size / 1e6:.1f} MB)")
        if self.figures is not None:
            for path in write_figures(report, self.figures, self.format):
                say(console, f"figure:  {path}")


def _counted(dataset: "Dataset") -> str:
    count = len(dataset.rows)
    title = dataset.title[:1].lower() + dataset.title[1:]
    return f"{count:,} row{'' if count == 1 else 's'} of {title}"
