"""What open idle cells cost a network, over idle cells that are held: `python -m benchmarks.open_idle`.

Reading: one scenario of the embedded vision transformer, all effects, several chips, as `jaxaimc evaluate` computes it.
Training: whole steps (loss, gradient, AdamW) through the circuit, over the plain digital step. Every line is a ratio
within one run; memory is what XLA allots to the compiled step. Last, the error of each method on the network's layers,
over the effect of the wires, by a finer method.
"""

import argparse
import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._timing import medians
from benchmarks.training import step
from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.nn.activity import layer_inputs, method_errors, with_activity_of
from jaxaimc.tasks import Split, Task, load_model, load_task
from jaxaimc.tasks.chips import as_read, chip_keys, program_chips
from jaxaimc.tasks.score import chip_scores, total
from jaxaimc.training.objectives import Forward, circuit, digital
from jaxaimc.wires import Blocks, Ladder, MeanField, OpenIdle, Wires

RESISTANCE = 1.0
WIRES: dict[str, Wires] = {
    "held": Ladder(r=RESISTANCE, v_adc=0.4, v_idle=0.4),
    "mean field": OpenIdle(r=RESISTANCE, method=MeanField()),
    "mean field, three activities": OpenIdle(r=RESISTANCE, method=MeanField(activities=(0.7, 1.0, 1.4))),
    "blocks": OpenIdle(r=RESISTANCE, method=Blocks()),
    "blocks, error 0.1": OpenIdle(r=RESISTANCE, method=Blocks(error=0.1)),
}


def with_wires(wires: Wires) -> AnalogConfig:
    """Return the tile circuit with other wires."""
    return replace(presets.tile_circuit(), wires=wires)


def reading(task: Task, model: Any, split: Split, chips: int, rounds: int) -> None:
    """Print how long a scenario takes, programming included."""
    chip_key, read_key = chip_keys(0, chips)
    known = layer_inputs(nn.convert(model, with_wires(WIRES["held"])), jnp.asarray(split.first(64).inputs))

    def scenario(wires: Wires) -> float:
        config = with_wires(wires)
        programmed = program_chips(model, config, chip_key, None, compensated=False, layer_inputs=known)
        blank = as_read(model, config, programmed)
        return float(np.mean(total(task, list(chip_scores(task, blank, programmed, read_key, split)), split)))

    print(f"\n{len(split)} images on {chips} chips, {jax.devices()[0].device_kind}")
    times: dict[str, list[float]] = {name: [] for name in WIRES}
    scores = {name: scenario(wires) for name, wires in WIRES.items()}
    for _ in range(rounds):
        for name, wires in WIRES.items():
            start = time.perf_counter()
            scenario(wires)
            times[name].append(time.perf_counter() - start)
    held = float(np.median(times["held"]))
    for name, seconds in times.items():
        middle = float(np.median(seconds))
        print(f"{name:32s} {middle:7.2f} s {middle / held:6.2f}   score {scores[name]:.4f}", flush=True)
    for name, wires in WIRES.items():
        chip = nn.program(with_activity_of(nn.convert(model, with_wires(wires)), known), jax.random.key(0))
        errors = method_errors(chip, known)
        if errors:
            spread = ", ".join(f"{np.quantile(list(errors.values()), q):.3f}" for q in (0, 0.5, 1))
            print(f"{name:32s} error over effect, least, median and largest layer: {spread}", flush=True)


def training(task: Task, model: Any, split: Split, rounds: int) -> None:
    """Print how long a training step takes, and what memory."""
    inputs, targets = jnp.asarray(split.inputs), jnp.asarray(split.targets)
    cases: dict[str, tuple[Any, Forward]] = {"plain": (model, digital)}
    for name, wires in WIRES.items():
        cases[name] = (nn.with_activity(nn.convert(model, with_wires(wires)), inputs[:64]), circuit())
    steps = {name: step(*case, task.loss, inputs, targets) for name, case in cases.items()}
    times = medians({name: run for name, (run, _) in steps.items()}, rounds, seconds=0.0)
    print(f"\ntraining step, batch {len(split)}, plain {1e3 * times['plain']:.1f} ms")
    for name in WIRES:
        ratio, memory = times[name] / times["plain"], steps[name][1] / steps["plain"][1]
        print(f"{name:32s} time {ratio:6.2f}   memory {memory:6.2f}", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--chips", type=int, default=4)
    parser.add_argument("--batches", type=int, nargs="*", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    task = load_task("models.vit:fashion_mnist")
    model, test = load_model(task), task.split("test")
    if arguments.images:
        reading(task, model, test.first(arguments.images), arguments.chips, arguments.rounds)
    for batch in arguments.batches:
        training(task, model, test.first(batch), arguments.rounds)


if __name__ == "__main__":
    main()
