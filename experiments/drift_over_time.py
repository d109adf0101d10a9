"""Accuracy of the embedded vision transformer from a second to a year after programming, on many chips.

    python -m experiments.drift_over_time --out results           # 500 test images
    python -m experiments.drift_over_time --out results --full    # all 10,000

Every linear layer sits on tiles of the tile-circuit preset whose memory is one of four published devices. Each chip is
programmed once and read at every time, without and with global drift compensation; all chips and times of a device are
one compiled call. Joshi et al. 2020 (Nature Communications 11, 2473) made this study for phase-change memory.
"""

import argparse
import csv
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc import devices, nn
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.cells import Differential
from jaxaimc.config import AnalogConfig
from jaxaimc.presets import tile_circuit
from jaxaimc.tasks import Split, Task, load_model, load_task
from jaxaimc.tasks.chips import chip_keys
from jaxaimc.tasks.score import mean_score
from jaxaimc.units import day, hour, minute, month, s, uS, year

TASK = "models.vit:fashion_mnist"


@dataclass(frozen=True)
class Memory:
    """A device as it is used here.

    Args:
        name: What to call it in table and figure.
        device: What it does.
        g_min: Conductance of a weight of zero [S].
        g_max: Conductance of a weight of one [S].
        measured: Last time that a published table covers [s]; beyond it the model stays as it was there.
    """

    name: str
    device: devices.Device
    g_min: float
    g_max: float
    measured: float = float("inf")

    def config(self) -> AnalogConfig:
        """Return the tile-circuit preset with this memory."""
        return replace(tile_circuit(), cell=Differential(g_min=self.g_min, g_max=self.g_max), device=self.device)


MEMORIES = (
    Memory("PCM (Joshi 2020)", devices.PCM(read_noise=devices.PCMFlickerNoise()), 0.0, 25 * uS),
    Memory("HERMES PCM, 2 devices (Le Gallo 2023)", devices.HermesPairPCM(), 0.0, 20.7 * uS),
    Memory("RRAM (Wan 2022)", devices.WanRRAM(), 0.0, 40 * uS, 2 * day),
    Memory("CMO/HfOx RRAM (Falcone)", devices.CMOHfOx(), 9 * uS, 88.2 * uS),
)


@partial(jax.jit, static_argnums=0)
def sweep(
    score: Any,
    blank: nn.Blank,
    keys: tuple[Key[Array, " chip"], Key[Array, " chip"]],
    times: Float[Array, " time"],
    inputs: Array,
    targets: Array,
) -> Float[Array, "chip time correction"]:
    """Score every chip at every time, without and with compensation, in one compiled call.

    Args:
        score: Scores of examples from outputs and targets.
        blank: The converted network.
        keys: Chip keys and read keys.
        times: Times since programming [s].
        inputs: Examples, in blocks `[block, example, ...]` that are computed one after the other.
        targets: Their targets, `[block, example]`.

    Returns:
        Mean score; the last axis is without and with compensation.
    """

    def one(chip_key: Key[Array, ""], read_key: Key[Array, ""]) -> Float[Array, "time correction"]:
        chip = nn.program(blank.model(), chip_key)

        def mean_score(matrices: Any) -> Array:
            def block(examples: tuple[Array, Array, Array]) -> Array:
                images, labels, index = examples
                model = blank.on_chip(matrices, jax.random.fold_in(read_key, index))
                return jnp.mean(score(model(images), labels))

            return jnp.mean(jax.lax.map(block, (inputs, targets, jnp.arange(len(inputs)))))

        def at(t: Array) -> Array:
            corrections = (None, GlobalCompensation())
            return jnp.stack([mean_score(nn.effective(nn.drift(chip, t, c))) for c in corrections])

        return jax.lax.map(at, times)

    return jax.vmap(one)(*keys)


def run(
    task: Task,
    model: nn.Module,
    memory: Memory,
    times: Float[np.ndarray, " time"],
    chips: int,
    test: Split,
    block: int,
    seed: int = 0,
) -> Float[np.ndarray, "chip time correction"]:
    """Run the sweep of one memory.

    Args:
        task: Gives the score.
        model: Trained network.
        memory: The device.
        times: Times since programming [s].
        chips: Number of chips.
        test: Examples; a last block that is not full is left out.
        block: Examples computed at once on each chip.
        seed: Seed of chips and reads.

    Returns:
        Mean score of each chip at each time, without and with compensation.
    """
    blank = nn.Blank.of(nn.convert(model, memory.config()))
    whole = len(test) // block * block
    inputs, targets = (jnp.asarray(a[:whole]).reshape(-1, block, *a.shape[1:]) for a in (test.inputs, test.targets))
    keys = chip_keys(seed, chips)
    return np.asarray(sweep(task.score, blank, keys, jnp.asarray(times, jnp.float32), inputs, targets))


def write_table(path: Path, times: Float[np.ndarray, " time"], results: dict[str, np.ndarray]) -> None:
    """Write one line per memory, time, correction and chip.

    Args:
        path: CSV file.
        times: Times since programming [s].
        results: Scores `[chip, time, correction]` by memory.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["memory", "t_s", "compensated", "chip", "accuracy"])
        for name, scores in results.items():
            for chip, k, c in np.ndindex(scores.shape):
                writer.writerow([name, f"{times[k]:.6g}", bool(c), chip, f"{scores[chip, k, c]:.6f}"])


def draw(path: Path, times: Float[np.ndarray, " time"], results: dict[str, np.ndarray], digital: float) -> None:
    """Draw accuracy against time, one panel per memory, mean and standard deviation over chips.

    Args:
        path: PNG file.
        times: Times since programming [s].
        results: Scores `[chip, time, correction]` by memory.
        digital: Score of the digital network.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(3.6 * len(results), 3.4), sharey=True, layout="constrained")
    marks = {"1 s": s, "1 min": minute, "1 h": hour, "1 d": day, "1 mo": month, "1 y": year}
    for axis, (name, scores) in zip(np.atleast_1d(axes), results.items(), strict=True):
        axis.axhline(100 * digital, color="0.4", linestyle=":", linewidth=1, label="digital")
        for c, (label, colour) in enumerate((("no compensation", "C3"), ("global compensation", "C0"))):
            mean, spread = 100 * scores[..., c].mean(0), 100 * scores[..., c].std(0, ddof=1)
            axis.plot(times, mean, color=colour, marker=".", label=label)
            axis.fill_between(times, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        measured = next(memory.measured for memory in MEMORIES if memory.name == name)
        if measured < times[-1]:
            axis.axvspan(measured, times[-1], color="0.93", zorder=0)
            axis.text(measured * 1.3, 20, "not measured:\nheld as it was", fontsize=8, color="0.4")
        axis.set(xscale="log", xlabel="time since programming", title=name, xlim=(times[0], times[-1]))
        axis.title.set_fontsize(9)
        axis.set_xticks(list(marks.values()), list(marks), fontsize=8)
        axis.minorticks_off()
    np.atleast_1d(axes)[0].set_ylabel("accuracy [%]")
    np.atleast_1d(axes)[0].legend(fontsize=8, loc="lower left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of table and figure")
    parser.add_argument("--examples", type=int, default=500, help="test examples")
    parser.add_argument("--full", action="store_true", help="all test examples, instead of `--examples`")
    parser.add_argument("--chips", type=int, default=32, help="chips of each memory")
    parser.add_argument("--times", type=int, default=20, help="times from a second to a year")
    parser.add_argument("--block", type=int, default=50, help="examples computed at once on each chip")
    options = parser.parse_args(arguments)
    task = load_task(TASK)
    model = load_model(task)
    test = task.split("test")
    if not options.full:
        test = test.first(options.examples)
    times = np.geomspace(1 * s, year, options.times)
    options.out.mkdir(parents=True, exist_ok=True)
    digital = mean_score(task, model, test)
    results = {}
    print(f"digital: {100 * digital:.2f} % of {len(test)} examples")
    for memory in MEMORIES:
        start = time.perf_counter()
        results[memory.name] = run(task, model, memory, times, options.chips, test, options.block)
        first, last = 100 * results[memory.name].mean(0)[[0, -1]]
        print(
            f"{memory.name}: {first[0]:.2f} % at 1 s; after a year {last[0]:.2f} % alone, {last[1]:.2f} % compensated "
            f"({time.perf_counter() - start:.0f} s)",
            flush=True,
        )
        write_table(options.out / "drift_over_time.csv", times, results)
        draw(options.out / "drift_over_time.png", times, results, digital)


if __name__ == "__main__":
    main()
