"""Does training on the real circuit close what Gaussian noise leaves open?

Run it with `python -m experiments.ir_drop_aware_training`.

Two vision transformers on Fashion-MNIST are put on 512-row tiles whose wires are much worse than the published 0.15 ohm
per segment: the embedded one (columns of 49 to 128 rows in the middle of a tile) and a wide one (columns of 196 to 512
rows). From the same digital weights, and for the same number of epochs, each is fine-tuned

- with Gaussian weight noise of several strengths; the one that scores best on the test chips is taken, in its favour;
- through the circuit at that resistance: wires, quantisers, programming and read noise, a fresh chip in every step;
- through the circuit, with a digital gain and offset per column that are trained along and start from the calibration
  of one chip.

Scores are on fresh chips with everything on. Networks that know nothing of the wires are scored a second time with a
per-column digital gain and offset fitted to the digital outputs after programming; for a network that was trained
through the circuit the digital outputs are no reference, and its own gains are the same for all chips. Every training
and every score is kept in the output folder, and the same command goes on from there.
"""

import argparse
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.task import Recipe, Task, load_task
from jaxaimc.training import calibration, chips, fit, load_model, objectives, weight_noise, weights
from jaxaimc.training.attach import without_chip
from models.transformer import PatchEmbedding, Transformer

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is computed.

    Args:
        resistances: Wire resistances of each network [ohm per segment].
        strengths: Gaussian noise strengths, relative to a column's largest weight.
        epochs: Epochs of every fine-tuning.
        wide_epochs: Epochs of the wide network's digital training.
        seeds: Seeds of every fine-tuning.
        chips: Fresh chips of every score.
        examples: Test examples of every score.
        calibration: Training examples that the per-column calibration reads.
    """

    resistances: dict[str, tuple[float, ...]]
    strengths: tuple[float, ...]
    epochs: int
    wide_epochs: int
    seeds: int
    chips: int
    examples: int
    calibration: int


REDUCED = Settings(
    resistances={"embedded": (3.0, 60.0), "wide": (2.0, 12.0)},
    strengths=(0.06, 0.15, 0.3),
    epochs=1,
    wide_epochs=6,
    seeds=1,
    chips=4,
    examples=2000,
    calibration=500,
)
FULL = Settings(
    resistances={"embedded": (2.0, 3.0, 6.0, 20.0, 40.0, 80.0), "wide": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)},
    strengths=(0.02, 0.04, 0.08, 0.15, 0.2, 0.3),
    epochs=10,
    wide_epochs=30,
    seeds=3,
    chips=16,
    examples=10_000,
    calibration=2000,
)


def wide_network(key: jax.Array) -> Transformer:
    """Make an untrained vision transformer with long columns: four tokens of 256 features, perceptrons of 512."""
    rngs = nnx.Rngs(key)
    patches = PatchEmbedding(size=28, patch=14, width=256, mean=0.2860, deviation=0.3530, rngs=rngs)
    return Transformer(patches, length=4, width=256, layers=2, heads=4, hidden=512, classes=10, rngs=rngs)


def network(name: str, settings: Settings, output: Path) -> tuple[Task, nnx.Module]:
    """Return the task of a network and its digitally trained weights.

    Args:
        name: `"embedded"` or `"wide"`; the latter is trained here.
        settings: How long.
        output: Folder of the experiment.
    """
    task = load_task("models.vit:fashion_mnist")
    if name == "embedded":
        return task, load_model(task)
    task = dataclasses.replace(task, name="fashion_mnist_wide", build=wide_network, default_checkpoint=None)
    recipe = dataclasses.replace(task.recipe, epochs=settings.wide_epochs, learning_rate=1e-3)
    return task, fit(task, recipe, directory=output / "wide").model


def tiles(r: float) -> AnalogConfig:
    """Return the tile circuit with another wire resistance [ohm per segment]."""
    config = presets.tile_circuit()
    return dataclasses.replace(config, wires=dataclasses.replace(config.wires, r=r))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Method:
    """A way of fine-tuning.

    Args:
        name: Name in the table.
        forward: How the network is seen in training.
        r: Wire resistance that training knows about [ohm per segment], None for none.
        gains: Whether a digital gain and offset per column are trained along.
    """

    name: str
    forward: objectives.Forward
    r: float | None = None
    gains: bool = False


def methods(settings: Settings, r: float) -> list[Method]:
    """Return the ways of fine-tuning for a wire resistance [ohm per segment]."""
    noises = [weight_noise.AdditiveNoise(scale=strength) for strength in settings.strengths]
    gaussian = [Method(f"Gaussian {noise.scale:g}", objectives.weight_noise(noise)) for noise in noises]
    through = objectives.circuit()
    return [*gaussian, Method("circuit", through, r), Method("circuit+gains", through, r, gains=True)]


def fine_tuned(
    task: Task, start: nnx.Module, method: Method, recipe: Recipe, folder: Path, references: list[jax.Array]
) -> nnx.Module:
    """Fine-tune a network from its digital weights; analog where gains are part of it, else digital."""
    converted = nn.convert(start, tiles(method.r or 0.0))
    if method.gains:
        key = jax.random.key(recipe.seed)
        chip = calibration.calibrate_columns(nn.program(converted, key), references, key)
        converted = without_chip(chip)
    trained = fit(
        task,
        recipe,
        directory=folder,
        model=converted,
        objective=objectives.objective(task.loss, method.forward),
        scorer=lambda task, model, split: float("nan"),  # scored below, on more than one chip
        notes={"method": method.name, "r": method.r},
    ).model
    if method.gains:
        return trained
    plain = task.build(jax.random.key(0))
    nnx.update(plain, weights(trained))
    return plain


def study(settings: Settings, output: Path, networks: list[str], report: Callable[[Row], None]) -> list[Row]:
    """Compute all rows that the output folder does not hold yet.

    Args:
        settings: How much.
        output: Folder of the experiment.
        networks: Which networks.
        report: Called with the summary of every new method.

    Returns:
        All rows: network, r [ohm], method, seed, calibrated, chip, score.
    """
    output.mkdir(parents=True, exist_ok=True)
    file = output / "scores.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    for name in networks:
        task, start = network(name, settings, output)
        test = task.split("test").first(settings.examples)
        references = [jnp.asarray(task.split("train").inputs[: settings.calibration])]

        def scored(
            model: nnx.Module, method: Method | None, r: float, seed: int, name: str = name, task: Task = task,
            test: Any = test, references: list[jax.Array] = references,
        ) -> list[Row]:  # fmt: skip
            analog = model if method is not None and method.gains else nn.convert(model, tiles(r))
            finishes = {False: None, True: functools.partial(_calibrated, references)}
            if method is not None and method.r is not None:
                del finishes[True]
            title = "digital" if method is None else method.name
            place = {"network": name, "r": r, "method": title, "seed": seed}
            return [
                {**place, "calibrated": calibrated, "chip": chip, "score": float(score)}
                for calibrated, finish in finishes.items()
                for chip, score in enumerate(chips.fresh_chips(task, analog, test, chips=settings.chips, finish=finish))
            ]

        for seed, r in itertools.product(range(settings.seeds), settings.resistances[name]):
            recipe = dataclasses.replace(task.recipe, epochs=settings.epochs, learning_rate=1e-3, warmup=0.1, seed=seed)
            for method in [*([] if seed else [None]), *methods(settings, r)]:
                title = "digital" if method is None else method.name
                if any(
                    (row["network"], row["r"], row["method"], row["seed"]) == (name, r, title, seed) for row in rows
                ):
                    continue
                if method is None:
                    model = start
                else:
                    where = "" if method.r is None else f" {method.r:g} ohm"
                    folder = output / name / f"{title}{where}, seed {seed}"
                    model = fine_tuned(task, start, method, recipe, folder, references)
                new = scored(model, method, r, seed)
                with file.open("a") as lines:
                    lines.write("".join(json.dumps(row) + "\n" for row in new))
                rows += new
                for row in summary(new):
                    report(row)
    return rows


def summary(rows: list[Row]) -> list[Row]:
    """Return mean, standard deviation over chips and seeds, and number of chips of every method."""
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["r"], row["method"], row["calibrated"]), []).append(row["score"])
    return [
        {
            "network": name,
            "r": r,
            "method": method,
            "calibrated": calibrated,
            "mean": float(np.mean(scores)),
            "std": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
            "scores": len(scores),
        }
        for (name, r, method, calibrated), scores in groups.items()
    ]


def best(rows: list[Row]) -> list[Row]:
    """Keep of the Gaussian strengths the best one for every network, resistance and calibration."""
    kept: dict[tuple, Row] = {}
    for row in rows:
        kind = row["method"].split()[0]
        place = (row["network"], row["r"], row["calibrated"], kind)
        if place not in kept or row["mean"] > kept[place]["mean"]:
            kept[place] = row
    return sorted(kept.values(), key=lambda row: (row["network"], row["r"], row["calibrated"]))


def show(row: Row) -> str:
    """Return a row of the table."""
    after = "per-column calibration" if row["calibrated"] else "as programmed"
    return (
        f"{row['network']:9s} {row['r']:5g} ohm  {row['method']:14s} {after:23s} "
        f"{100 * row['mean']:6.2f} ± {100 * row['std']:.2f} %  ({row['scores']} chips)"
    )


def figure(rows: list[Row], path: Path) -> None:
    """Draw accuracy over wire resistance, one panel per network."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(5.2 * len(names), 4.2), squeeze=False)
    curves = {
        ("digital", False): ("digital training", "0.4", "o", "-"),
        ("digital", True): ("digital training + column calibration", "0.4", "o", "--"),
        ("Gaussian", False): ("Gaussian noise, best strength", "tab:orange", "s", "-"),
        ("Gaussian", True): ("Gaussian noise + column calibration", "tab:orange", "s", "--"),
        ("circuit", False): ("through the circuit", "tab:blue", "D", "-"),
        ("circuit+gains", False): ("through the circuit, column gains trained", "tab:green", "^", "-"),
    }
    for axis, name in zip(axes[0], names, strict=True):
        for (kind, calibrated), (label, colour, marker, line) in curves.items():
            points = sorted(
                (row["r"], 100 * row["mean"], 100 * row["std"])
                for row in rows
                if (row["network"], row["calibrated"], row["method"].split()[0]) == (name, calibrated, kind)
            )
            if points:
                r, mean, std = zip(*points, strict=True)
                axis.errorbar(r, mean, std, color=colour, marker=marker, linestyle=line, capsize=3, label=label)
        axis.set_xscale("log")
        ticks = sorted({row["r"] for row in rows if row["network"] == name})
        axis.set_xticks(ticks, [f"{r:g}" for r in ticks])
        axis.minorticks_off()
        axis.set_title(f"{name} network")
        axis.set_xlabel("wire resistance [ohm per segment]")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("accuracy on fresh chips [%]")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Compute, print the table and draw the figure."""
    parser = argparse.ArgumentParser(
        description="Does training on the real circuit close what Gaussian noise leaves open?"
    )
    parser.add_argument("--output", type=Path, default=Path("results/ir_drop_aware_training"))
    parser.add_argument("--full", action="store_true", help="all resistances, strengths, seeds and test examples")
    parser.add_argument("--networks", nargs="+", choices=("embedded", "wide"), default=["embedded", "wide"])
    parser.add_argument("--seeds", type=int, help="seeds of every fine-tuning")
    parser.add_argument("--epochs", type=int, help="epochs of every fine-tuning")
    parser.add_argument("--wide-epochs", type=int, help="epochs of the wide network's digital training")
    parser.add_argument("--resistances", type=float, nargs="+", help="wire resistances [ohm per segment]")
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in ("seeds", "epochs", "wide_epochs") if getattr(arguments, name)}
    if arguments.resistances:
        given["resistances"] = dict.fromkeys(arguments.networks, tuple(arguments.resistances))
    settings = dataclasses.replace(FULL if arguments.full else REDUCED, **given)
    rows = study(settings, arguments.output, arguments.networks, lambda row: print(show(row), flush=True))
    chosen = best(summary(rows))
    table = "\n".join(show(row) for row in chosen)
    (arguments.output / "table.txt").write_text(table + "\n")
    figure(chosen, arguments.output / "figure.png")
    print(f"\n{table}\n\nTable and figure: {arguments.output}")


def _calibrated(references: list[jax.Array], chip: nnx.Module, key: jax.Array) -> nnx.Module:
    return calibration.calibrate_columns(chip, references, key)


if __name__ == "__main__":
    main()
