"""What read noise and device sweeps cost: `python -m benchmarks.devices`.

One 512 x 512 tile without wires, ideal converters, 128 vectors, float32. Ratios to the plain `x @ w` that was timed in
the same run, round after round in turn. Drawing the noise at the output is compared with drawing every device for every
vector, for which it stands. On a machine that others use too, `--cpu` compares processor seconds.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks._timing import medians
from benchmarks.converters import processor_medians
from jaxaimc import AnalogConfig, devices, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.wires import NoWires

GOALS = {"noise-free": 1.5, "1/f noise at the output": 3.5, "noise by pulse duration at the output": 3.5}


def cases(rows: int, cols: int, batch: int, sampled: int) -> dict[str, Callable[[], Any]]:
    """Return the timed functions by name, the plain products first.

    Args:
        rows: Rows of the tile.
        cols: Columns of the tile.
        batch: Input vectors.
        sampled: Vectors for which every device is drawn (the time is scaled to the batch).

    Returns:
        Functions without arguments.
    """
    keys = jax.random.split(jax.random.key(0), 4)
    w, x = jax.random.normal(keys[0], (rows, cols)), jax.random.normal(keys[1], (batch, rows))
    config = AnalogConfig(wires=NoWires(), adc=IdealADC(), rows=rows, cols=cols)

    def read(device: devices.Device) -> Callable[[], Any]:
        own = replace(config, device=device)
        prepared = tile.prepare(own, tile.drift(own, tile.program(own, w, keys[2]), 3600.0))
        run = jax.jit(lambda prepared, x, key: tile.mvm(own, prepared, x, key))
        return lambda: run(prepared, x, keys[3])

    noisy = replace(config, device=devices.PCM(read_noise=devices.PCMFlickerNoise()))
    programmed = tile.drift(noisy, tile.program(noisy, w, keys[2]), 3600.0)
    spread = jnp.sqrt(noisy.device.read_noise.variance(programmed.g, programmed.g_target, programmed.t)[0, 0])

    @jax.jit
    def brute(g: Any, x: Any, key: Any) -> Any:
        def one(arguments: tuple) -> Any:
            vector, key = arguments
            drawn = g + spread * jax.random.normal(key, g.shape)
            return vector @ (drawn[0] - drawn[1])

        return jax.lax.map(one, (x, jax.random.split(key, len(x))))

    few = x[:sampled]
    plain = jax.jit(lambda x, w: jnp.matmul(x, w, precision=jax.lax.Precision.HIGHEST))
    return {
        "plain": lambda: plain(x, w),
        "noise-free": read(devices.IdealDevice()),
        "1/f noise at the output": read(devices.PCM(read_noise=devices.PCMFlickerNoise())),
        "noise by pulse duration at the output": read(devices.PCM()),
        "every device drawn for every vector": lambda: brute(programmed.g[0], few, keys[3]),
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the tile")
    parser.add_argument("--batch", type=int, default=128, help="input vectors")
    parser.add_argument("--sampled", type=int, default=4, help="vectors for which every device is drawn")
    parser.add_argument("--rounds", type=int, default=15, help="rounds over all functions")
    parser.add_argument("--cpu", action="store_true", help="compare processor seconds instead of elapsed ones")
    options = parser.parse_args(arguments)
    measure = processor_medians if options.cpu else medians
    times = measure(cases(options.size, options.size, options.batch, options.sampled), options.rounds)
    times["every device drawn for every vector"] *= options.batch / options.sampled
    plain = times.pop("plain")
    print(f"{options.size} x {options.size}, batch {options.batch}, float32, {jax.devices()[0].device_kind}; ", end="")
    print(f"plain x @ w {1e3 * plain:.3f} ms\n")
    print(f"{'case':40s} {'ratio':>8s} {'goal':>6s}")
    for name, seconds in times.items():
        goal = f"{GOALS[name]:.1f}" if name in GOALS else ""
        print(f"{name:40s} {seconds / plain:8.2f} {goal:>6s}")


if __name__ == "__main__":
    main()
