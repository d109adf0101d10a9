"""Conventional and split pulse-width modulation on the tile circuit of Luquin et al. 2025 (arXiv 2506.00004).

Splitting the magnitude of an 8-bit input into its low bits and the rest replaces one pulse of up to 127 steps by two
short ones: 7 + 15 steps at 3 low bits. A product then takes a fraction of the time, but short pulses are read with
more noise, and what the converter truncates of the high pulse is multiplied by its significance. This study measures
the accuracy that each split costs on a network, with read noise alone and with every effect of the circuit.

Run `python -m experiments.tile_circuit`; it writes tile_circuit.csv and tile_circuit.png.
"""

import csv
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from jaxaimc import presets
from jaxaimc.cli import startup
from jaxaimc.drives import PWM, SplitPWM
from jaxaimc.studies import EvaluationProgress, Scenario, Settings, Study
from jaxaimc.studies.scenarios import EFFECTS
from jaxaimc.tasks import load_model, load_task
from jaxaimc.tasks.demo import DEMO
from jaxaimc.units import ns


@dataclass(frozen=True)
class Point:
    """One line of the result.

    Args:
        drive: Name of the drive.
        steps: Steps of all pulses of one product, the drive's time in units of `t_lsb`.
        effects: What acts.
        mean: Mean accuracy over chips.
        std: Standard deviation over chips.
    """

    drive: str
    steps: int
    effects: str
    mean: float
    std: float


def drives() -> dict[str, tuple[PWM | SplitPWM, int]]:
    """Return every drive by name, and how many steps all its pulses take."""
    conventional = PWM(bits=8, t_lsb=1 * ns)
    found: dict[str, tuple[PWM | SplitPWM, int]] = {"conventional": (conventional, conventional.steps)}
    for low in range(1, 7):
        found[f"split, {low} low bits"] = (SplitPWM(bits=8, low_bits=low), 2**low - 1 + 2 ** (7 - low) - 1)
    return found


def main(output: Path = Path("results/tile_circuit"), examples: int = 1000, chips: int = 4, seed: int = 0) -> None:
    """Compare the drives on the embedded vision transformer.

    Args:
        output: Folder of the table and the figure.
        examples: Test images.
        chips: Chips.
        seed: Seed of chips and reads.
    """
    startup.prefer_short_compilation()
    task = load_task(DEMO)
    scenarios = [
        Scenario(study=name, name=effects, base=replace(presets.tile_circuit(), drive=drive), acting=acting)
        for name, (drive, _) in drives().items()
        for effects, acting in (("read noise", ("read_noise",)), ("everything", EFFECTS))
    ]
    settings = Settings(examples=examples, chips=chips, seed=seed)
    rows = Study(task, load_model(task), scenarios, settings).run(progress=show).summary()
    points = [
        Point(row["study"], drives()[row["study"]][1], row["name"], row["mean"], row["std"] or 0.0) for row in rows
    ]
    output.mkdir(parents=True, exist_ok=True)
    with (output / "tile_circuit.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(points[0])))
        writer.writeheader()
        writer.writerows(map(asdict, points))
    draw(points).savefig(output / "tile_circuit.png", dpi=150)
    print(f"Table and figure: {output}")


def show(progress: EvaluationProgress) -> None:
    """Print a finished scenario."""
    if progress.row is not None:
        row = progress.row
        print(f"{row['study']:20} {row['name']:10}  {row['mean']:.4f} ± {row['std'] or 0.0:.4f}", flush=True)


def draw(points: list[Point]) -> Figure:
    """Draw accuracy against the time of a product.

    Args:
        points: Result.

    Returns:
        Figure.
    """
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(point.drive for point in points))
    for shift, effects, color, marker in ((-0.08, "read noise", "#009E73", "s"), (0.08, "everything", "#0072B2", "o")):
        chosen = [point for point in points if point.effects == effects]
        place = [names.index(point.drive) + shift for point in chosen]
        mean, std = [point.mean for point in chosen], [point.std for point in chosen]
        axes.errorbar(place, mean, std, fmt=marker, color=color, capsize=3, label=effects)
    steps = {point.drive: point.steps for point in points}
    labels = [f"{name.replace(', ', chr(10))}\n{steps[name]} ns" for name in names]
    axes.set_xticks(range(len(names)), labels, fontsize=8)
    axes.set_ylabel("accuracy")
    axes.set_xlabel("drive, and the longest time of its pulses at steps of 1 ns")
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend()
    return figure


if __name__ == "__main__":
    tyro.cli(main)
