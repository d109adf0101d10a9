"""What bit-serial conversions cost beside the plain matrix product: `python -m benchmarks.converters`.

An SRAM macro of 8-bit inputs, bit by bit, times 8 weight planes: 64 products and conversions for each output of a
768 x 768 layer on tiles of 256 rows, batch 128, float32. Every line is a ratio to the plain `x @ w` that was timed in
the same run, round after round in turn. On a machine that others use too, `--cpu` compares processor seconds.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks._timing import medians
from jaxaimc import AnalogConfig, mvm, prepare, program
from jaxaimc.adcs import FullScaleNoise
from jaxaimc.drives import TwosComplement
from jaxaimc.presets import asim, collapsed_asim, crosssim_sonos
from jaxaimc.training import fast_key

GOALS = {
    "bit-serial, packed": 45.0,
    "bit-serial, a draw per conversion": 150.0,
    "bit-serial, a hashed draw per conversion": 150.0,
    "collapsed surrogate": 4.0,
    "collapsed surrogate, hashed draws": 4.0,
}


def cases(size: int, rows: int, batch: int) -> dict[str, Callable[[], Any]]:
    """Return the timed functions by name, the plain product first.

    Args:
        size: Rows and columns of the layer.
        rows: Rows of a tile.
        batch: Input vectors.

    Returns:
        Functions without arguments.
    """
    w_key, x_key, chip_key, read_key = jax.random.split(jax.random.key(0), 4)
    w = jax.random.normal(w_key, (size, size))
    x = jax.random.normal(x_key, (batch, size))
    macro = asim(rows=rows, cols=rows, signs=TwosComplement())
    noisy = asim(rows=rows, cols=rows, signs=TwosComplement(), noise=FullScaleNoise(rms=0.001))
    collapsed = collapsed_asim(rows=rows, cols=rows, signs=TwosComplement(), fixed=0.001)
    sliced = replace(crosssim_sonos(), rows=size)

    def reading(config: AnalogConfig, key: Array, *, whole: bool = True) -> Callable[[], Array]:
        prepared = prepare(config, program(config, w, chip_key))
        if not whole:
            prepared = replace(prepared, exact=False)
        return lambda: mvm(config, prepared, x, key)

    plain = jax.jit(lambda x, w: jnp.matmul(x, w, precision=jax.lax.Precision.HIGHEST))
    return {
        "plain": lambda: plain(x, w),
        "bit-serial, packed": reading(macro, read_key),
        "bit-serial, one product per plane": reading(macro, read_key, whole=False),
        "bit-serial, a draw per conversion": reading(noisy, read_key),
        "bit-serial, a hashed draw per conversion": reading(noisy, fast_key(read_key)),
        "collapsed surrogate": reading(collapsed, read_key),
        "collapsed surrogate, hashed draws": reading(collapsed, fast_key(read_key)),
        "SONOS, analog accumulation, read noise": reading(sliced, read_key),
    }


def processor_medians(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median processor time of each function, over all threads of this process [s].

    Args:
        functions: Functions without arguments that return JAX arrays.
        rounds: Rounds over all functions.
    """
    repeats = {}
    for name, function in functions.items():
        jax.block_until_ready(function())
        start = time.process_time()
        jax.block_until_ready(function())
        # Processor time advances in steps of a few milliseconds.
        repeats[name] = max(1, int(0.05 / max(time.process_time() - start, 1e-4)))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(repeats[name]):
                result = function()
            jax.block_until_ready(result)
            times[name].append((time.process_time() - start) / repeats[name])
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cpu", action="store_true", help="compare processor seconds instead of elapsed ones")
    arguments = parser.parse_args()
    measure = processor_medians if arguments.cpu else medians
    times = measure(cases(arguments.size, arguments.rows, arguments.batch), arguments.rounds)
    plain = times.pop("plain")
    print(
        f"{arguments.size} x {arguments.size}, tiles of {arguments.rows} rows, batch {arguments.batch}, float32, ",
        end="",
    )
    print(f"{jax.devices()[0].device_kind}; plain x @ w {1e3 * plain:.3f} ms\n")
    print(f"{'case':44s} {'ratio':>7s} {'goal':>6s}")
    for name, seconds in times.items():
        goal = f"{GOALS[name]:.0f}" if name in GOALS else ""
        print(f"{name:44s} {seconds / plain:7.2f} {goal:>6s}")


if __name__ == "__main__":
    main()
