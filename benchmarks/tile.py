"""What a tile costs beside the plain matrix product: `python -m benchmarks.tile`.

One 512 x 512 tile, a batch of 128 vectors, float32. Every line is a ratio to the plain `x @ w` (or, for gradients, to
the plain layer's value and gradient) that was timed in the same run, round after round in turn.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks._timing import medians
from jaxaimc import AnalogConfig, tile
from jaxaimc.adcs import Symmetric, Uniform
from jaxaimc.devices import Device, IdealDevice, PCMFlickerNoise

# Ratio that must be reached and the ambitious one.
GOALS = {
    "prepared MVM, IR drop + CCO": (1.5, 1.1),
    "prepared MVM, IR drop + uniform ADC": (1.5, 1.1),
    "+ read noise, 1/f": (3.5, 2.5),
    "+ read noise, by pulse duration": (3.5, 2.5),
    "prepare + MVM each call": (2.5, 1.8),
}


def cases(rows: int, cols: int, batch: int) -> dict[str, Callable[[], Any]]:
    """Return the timed functions by name, the plain products first.

    Args:
        rows: Rows of the tile.
        cols: Columns of the tile.
        batch: Input vectors.

    Returns:
        Functions without arguments.
    """
    w_key, x_key, chip_key, read_key = jax.random.split(jax.random.key(0), 4)
    w = jax.random.normal(w_key, (rows, cols))
    x = jax.random.normal(x_key, (batch, rows))
    silent = AnalogConfig(device=IdealDevice(), rows=rows, cols=cols)
    limit = Symmetric(limit=20.0)
    flicker = Device(read_noise=PCMFlickerNoise())

    def programmed(config: AnalogConfig) -> tile.Programmed:
        return tile.drift(config, tile.program(config, w, chip_key), 3600.0)

    def mvm(config: AnalogConfig) -> Callable[[], Array]:
        prepared = tile.prepare(config, programmed(config))
        run = jax.jit(tile.mvm)
        return lambda: run(config, prepared, x, read_key)

    def prepare_and_mvm(config: AnalogConfig) -> Callable[[], Array]:
        devices = programmed(config)
        run = jax.jit(lambda config, devices, x: tile.mvm(config, tile.prepare(config, devices), x))
        return lambda: run(config, devices, x)

    plain = jax.jit(lambda x, w: jnp.matmul(x, w, precision=jax.lax.Precision.HIGHEST))
    plain_gradient = jax.jit(jax.value_and_grad(lambda w, x: jnp.sum(jnp.square(plain(x, w)))))
    analog_gradient = jax.jit(
        jax.value_and_grad(lambda w, x, config, key: jnp.sum(jnp.square(tile.analog_matmul(config, w, x, key))))
    )
    trained = AnalogConfig(device=flicker, rows=rows, cols=cols)
    return {
        "plain": lambda: plain(x, w),
        "plain value and gradient": lambda: plain_gradient(w, x),
        "prepared MVM, IR drop + CCO": mvm(silent),
        "prepared MVM, IR drop + uniform ADC": mvm(replace(silent, adc=Uniform(bits=8, range=limit))),
        "+ read noise, 1/f": mvm(replace(silent, device=flicker)),
        "+ read noise, by pulse duration": mvm(AnalogConfig(rows=rows, cols=cols)),
        "prepare + MVM each call": prepare_and_mvm(silent),
        "value and gradient (w), IR drop + CCO": lambda: analog_gradient(w, x, silent, read_key),
        "value and gradient (w), + read noise, 1/f": lambda: analog_gradient(w, x, trained, read_key),
        "value and gradient (w), everything": lambda: analog_gradient(
            w, x, AnalogConfig(rows=rows, cols=cols), read_key
        ),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--cols", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    times = medians(cases(arguments.rows, arguments.cols, arguments.batch), arguments.rounds)
    plain, plain_gradient = times.pop("plain"), times.pop("plain value and gradient")
    print(f"{arguments.rows} x {arguments.cols}, batch {arguments.batch}, float32, {jax.devices()[0].device_kind}")
    print(f"plain x @ w {1e3 * plain:.3f} ms, its value and gradient {1e3 * plain_gradient:.3f} ms\n")
    print(f"{'case':44s} {'ratio':>6s} {'goal':>6s} {'ambitious':>10s}")
    for name, seconds in times.items():
        ratio = seconds / (plain_gradient if name.startswith("value") else plain)
        must, ambitious = (f"{goal:.1f}" for goal in GOALS[name]) if name in GOALS else ("", "")
        print(f"{name:44s} {ratio:6.2f} {must:>6s} {ambitious:>10s}")


if __name__ == "__main__":
    main()
