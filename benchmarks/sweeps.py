"""Designs per second: `python -m benchmarks.sweeps`, in less than a minute with `--quick`.

Every design is a layer on one tile with IR drop, programming noise, read noise and a uniform converter of its own wire
resistance, conductance and bits; a chip is programmed for it, its wires are folded in, and a batch is multiplied.
`jaxaimc.sweeps.evaluate_designs` computes all designs in one compiled call. Beside it, in turn in the same run:

- a Python loop over one jitted call of the verbs, with the leaves as its arguments,
- `jax.vmap` of it over designs, in calls of 64,
- a Python loop of the verbs as they are.

Then accuracies of a whole network, each of a design on a chip, and whether one device and eight virtual ones give the
same table to the bit. On CPUs all cores are used as devices, unless `--devices 1` says otherwise.
"""

import argparse
import functools
import hashlib
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._timing import medians
from jaxaimc import AnalogConfig, mvm, prepare, program
from jaxaimc.adcs import Uniform
from jaxaimc.config import with_at
from jaxaimc.sweeps import LayerError, NetworkScore, evaluate_designs

NETWORK = "jaxaimc_models.vit:fashion_mnist"
BASE = AnalogConfig(adc=Uniform(bits=8.0))
# Size of the layer, batch, designs that the loops take, and the least gain over the loop of one jitted call.
CASES = ((64, 8, 256, 10), (512, 32, 32, 1))


def values(designs: int) -> dict[str, np.ndarray]:
    """Return the swept leaves.

    Args:
        designs: How many designs.
    """
    rng = np.random.default_rng(0)
    return {
        "wires.r": rng.uniform(0.1, 1.0, designs),
        "cell.g_max": rng.uniform(15e-6, 25e-6, designs),
        "adc.bits": rng.uniform(5.0, 9.0, designs),
    }


def layer(size: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and inputs.

    Args:
        size: Rows and columns.
        batch: Input vectors.
    """
    rng = np.random.default_rng(1)
    return rng.normal(size=(size, size)).astype(np.float32), rng.normal(size=(batch, size)).astype(np.float32)


def error(w: Any, x: Any, leaves: dict[str, Any], key: Any) -> Any:
    """Return the relative error of a design by the public verbs, as one would write it."""
    config = with_at(BASE, leaves)
    chip_key, read_key = jax.random.split(key)
    y = mvm(config, prepare(config, program(config, w, chip_key)), x, read_key)
    exact = x @ w
    return jnp.sqrt(jnp.sum((y - exact) ** 2) / jnp.sum(exact**2))


def compared(size: int, batch: int, designs: int, looped: int) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return the timed functions by name, with the designs that they take.

    Args:
        size: Rows and columns of the layer.
        batch: Input vectors.
        designs: Designs of the compiled call.
        looped: Designs of the loops.
    """
    w, x = layer(size, batch)
    measure, swept, key = LayerError.of(w, x), values(designs), jax.random.key(0)
    jitted, together = jax.jit(error), jax.jit(jax.vmap(error, (None, None, 0, None)))
    given = jnp.asarray(w), jnp.asarray(x)
    first = [{path: float(array[i]) for path, array in swept.items()} for i in range(looped)]
    block = {path: jnp.asarray(array[:64]) for path, array in swept.items()}
    return {
        "one compiled call": (lambda: evaluate_designs(measure, BASE, swept, 1, 0)["error"], designs),
        "loop of one jitted call": (lambda: [float(jitted(*given, leaves, key)) for leaves in first], looped),
        "vmap, 64 designs": (lambda: together(*given, block, key), 64),
        "loop of the verbs": (lambda: [float(error(*given, leaves, key)) for leaves in first[: max(1, looped // 8)]],
                              max(1, looped // 8)),
    }  # fmt: skip


def of_layers(designs: int, rounds: int) -> None:
    """Print designs per second and ratios for both sizes.

    Args:
        designs: Designs of the compiled call.
        rounds: Rounds over all functions.
    """
    for size, batch, looped, least in CASES:
        functions = compared(size, batch, designs, looped)
        start = time.perf_counter()
        functions["one compiled call"][0]()
        first = time.perf_counter() - start
        times = medians({name: function for name, (function, _) in functions.items()}, rounds, seconds=0.0)
        each = {name: seconds / functions[name][1] for name, seconds in times.items()}
        ours = each.pop("one compiled call")
        print(f"\n{size} x {size}, batch {batch}, {designs:,} designs in one compiled call")
        print(f"  {1 / ours:,.0f} designs per second, {1e6 * ours:.1f} us each; first call {first:.1f} s")
        for name, seconds in each.items():
            goal = {"loop of one jitted call": least, "loop of the verbs": 3}.get(name)
            note = "" if goal is None else f", at least {goal} wanted"
            print(f"  {name:26s} {1e6 * seconds:10.1f} us each, {seconds / ours:6.2f} times as long{note}", flush=True)


def of_network(examples: int, designs: int, chips: int) -> None:
    """Print accuracies per second of the embedded network.

    Args:
        examples: Test images.
        designs: Designs.
        chips: Chips of each.
    """
    measure = NetworkScore.of(NETWORK, examples=examples)
    swept = values(designs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        evaluate_designs(measure, BASE, swept, chips, 0)
        first = time.perf_counter() - start
        start = time.perf_counter()
        found = evaluate_designs(measure, BASE, swept, chips, 1)
    seconds = time.perf_counter() - start
    parameters = sum(np.size(leaf) for leaf in jax.tree.leaves(measure.state))
    print(f"\n{NETWORK}, {parameters:,} parameters, {len(measure.inputs):,} test images")
    print(f"  {designs} designs x {chips} chips in {seconds:.1f} s, first call {first:.1f} s")
    print(f"  {designs * chips / seconds:.2f} accuracies per second, mean {found['score'].mean():.3f}", flush=True)


def digests() -> str:
    """Return hashes of the table that one device computes, and of that of all."""
    w, x = layer(64, 8)
    table = functools.partial(evaluate_designs, LayerError.of(w, x), BASE, values(101), 3, 0)
    tables = [table(devices=jax.devices()[:1]), table()]
    hashes = [hashlib.sha256(b"".join(array.tobytes() for array in one.values())).hexdigest() for one in tables]
    return f"{len(jax.devices())} {' '.join(hashes)}"


def same_bits() -> None:
    """Print whether one device and eight virtual ones give the same table."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.sweeps", "--digests"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    devices, one, all_of_them = done.stdout.split()[-3:]
    same = "the same table to the bit" if one == all_of_them else "different tables"
    print(f"\n1 device and {devices} virtual ones (CPU): {same}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer designs, rounds and test images")
    parser.add_argument("--designs", type=int, help="designs of a layer: 10,000, or 1,000 with --quick")
    parser.add_argument("--rounds", type=int, help="rounds over all functions: 5, or 3 with --quick")
    parser.add_argument("--devices", type=int, help="devices of a CPU: as many as it has cores")
    parser.add_argument("--digests", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.digests:
        print(digests())
        return
    cores = options.devices or len(os.sched_getaffinity(0))
    jax.config.update("jax_num_cpu_devices", cores)
    device = jax.devices()[0]
    print(
        f"{len(jax.devices())} x {device.device_kind} ({device.platform}), {cores} CPU devices, jax {jax.__version__}"
    )
    of_layers(options.designs or (1000 if options.quick else 10_000), options.rounds or (3 if options.quick else 5))
    if options.quick:
        of_network(examples=500, designs=2, chips=2)
    else:
        of_network(examples=2000, designs=8, chips=4)
    same_bits()


if __name__ == "__main__":
    main()
