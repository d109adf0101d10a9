"""How many ADC bits and how much noise a bit-serial macro bears: `python -m experiments.converter_sweep`.

The embedded vision transformer on the charge-domain SRAM macro of Zhang et al. 2024 (ASiM, arXiv 2411.11022), 8-bit
weights and inputs, with inputs driven one, two or four bits at a time. The paper finds a cliff: accuracy falls from
nearly that of the digital network to chance within one or two ADC bits, and within a factor of two of noise, and the
more bits are driven at once, the earlier. Writes a table (CSV) and a figure. Inputs are signed, so their sign bit is a
plane of its own; the macro has as many rows as the network's width, 64, so that its full scale is in use.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

from jaxaimc.adcs import FullScaleNoise, NoNoise
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import TwosComplement
from jaxaimc.presets import asim
from jaxaimc.studies import EvaluationProgress, Scenario, Settings, Study
from jaxaimc.tasks import load_model, load_task
from jaxaimc.tasks.demo import DEMO

GROUPS = {1: "bit-serial", 2: "2 bits at once", 4: "4 bits at once"}
ADC_BITS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)
# Standard deviation of a conversion [share of full scale].
NOISES = (0.0005, 0.001, 0.002, 0.004, 0.008)


def macro(group: int, bits: float, noise: float) -> AnalogConfig:
    """Return the macro of one point of the sweep.

    Args:
        group: Input bits driven at once.
        bits: ADC resolution [bit].
        noise: Standard deviation of a conversion [share of full scale].

    Returns:
        The config.
    """
    source = FullScaleNoise(rms=noise) if noise else NoNoise()
    return asim(adc_bits=bits, rows=64, cols=64, group=group, signs=TwosComplement(), noise=source)


def sweep(examples: int) -> list[dict[str, Any]]:
    """Return one row per point: study, group, ADC bits, noise and accuracy; the first is the digital network.

    Args:
        examples: Test images of every point.
    """
    task = load_task(DEMO)
    points = [{"study": "digital", "group": 0, "bits": "", "noise": ""}]
    scenarios = [Scenario(study="digital", name="digital", random=False)]
    for group in GROUPS:
        for study, bits, noise in [("ADC bits", bits, 0.0) for bits in ADC_BITS] + [
            ("noise", 10.0, noise) for noise in NOISES
        ]:
            points.append({"study": study, "group": group, "bits": bits, "noise": noise})
            name = f"{GROUPS[group]:15s} {bits:4.0f} bit  noise {100 * noise:5.2f} %"
            scenarios.append(Scenario(study=study, name=name, base=macro(group, bits, noise)))
    settings = Settings(examples=examples, chips=1, batch=50)
    scores = Study(task, load_model(task), scenarios, settings).run(progress=show).scores
    return [{**point, "accuracy": row["score"]} for point, row in zip(points, scores, strict=True)]


def show(progress: EvaluationProgress) -> None:
    """Print a finished scenario."""
    if progress.row is not None:
        print(f"{progress.row['name']}  accuracy {100 * progress.row['mean']:5.1f} %", flush=True)


def draw(rows: list[dict[str, Any]], examples: int, path: Path) -> None:
    """Draw both sweeps.

    Args:
        rows: Result of `sweep`.
        examples: Test images of every point.
        path: PNG file.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    digital = 100 * rows[0]["accuracy"]
    for axis, study, key, scale in ((axes[0], "ADC bits", "bits", 1.0), (axes[1], "noise", "noise", 100.0)):
        for (group, name), marker in zip(GROUPS.items(), "os^", strict=True):
            drawn = [row for row in rows if (row["study"], row["group"]) == (study, group)]
            points = [(scale * row[key], 100 * row["accuracy"]) for row in drawn]
            axis.plot(*zip(*points, strict=True), marker=marker, label=name)
        axis.axhline(digital, color="0.4", linestyle="--", linewidth=1, label="digital network")
        axis.axhline(10, color="0.4", linestyle=":", linewidth=1, label="guessing")
        axis.grid(alpha=0.3)
    axes[0].set(xlabel="ADC resolution [bit]", ylabel="accuracy [%]", title="without noise")
    axes[1].set(xlabel="noise of a conversion [% of full scale]", title="10-bit ADC", xscale="log")
    axes[1].set_xticks([100 * noise for noise in NOISES], [f"{100 * noise:g}" for noise in NOISES])
    axes[1].minorticks_off()
    axes[1].legend(loc="center right", fontsize=8)
    title = "Fashion-MNIST transformer on a 64-row SRAM macro, 8-bit weights and inputs"
    figure.suptitle(f"{title}, {examples} images", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Run the sweep and write `converter_sweep.csv` and `converter_sweep.png`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--output", type=Path, default=Path("results/converter_sweep"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = sweep(arguments.examples)
    with (arguments.output / "converter_sweep.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, arguments.examples, arguments.output / "converter_sweep.png")
    print(f"digital network {100 * rows[0]['accuracy']:.1f} %; table and figure in {arguments.output}")


if __name__ == "__main__":
    main()
