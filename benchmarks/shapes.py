"""Large layers, single vectors and many chips beside the plain product: `python -m benchmarks.shapes`.

A layer of 768 x 3072 with 1024 vectors, whose intermediate results fill more than 32 MB; one vector through a prepared
tile by the public verb as it is; and 64 chips of a 512 x 512 tile, programmed and read in one compiled call by
`jaxaimc.map_in_groups`, by `jax.lax.map` and by `jax.vmap` over chip keys, and by a Python loop over one jitted chip.
Every line is a ratio to the plain `x @ w` of that shape, for chips to as many of them. `--sizes` compares the map with
the loop for tiles of 64 to 1024 rows and batches of 1 to 1024 instead: ratios below one are in favour of the map.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks._timing import medians
from jaxaimc import AnalogConfig, analog_matmul, map_in_groups, mvm, prepare, program
from jaxaimc.devices import IdealDevice, NoReadNoise

_WHOLE = AnalogConfig()
_QUIET = replace(_WHOLE, device=IdealDevice())


def plain(x: Array, w: Array) -> Callable[[], Array]:
    """Return the plain product."""
    run = jax.jit(lambda x, w: jnp.matmul(x, w, precision=jax.lax.Precision.HIGHEST))
    return lambda: run(x, w)


def arrays(rows: int, cols: int, *batch: int) -> tuple[Array, Array]:
    """Return weights and inputs."""
    w_key, x_key = jax.random.split(jax.random.key(0))
    return jax.random.normal(w_key, (rows, cols)), jax.random.normal(x_key, (*batch, rows))


def large(rows: int = 768, cols: int = 3072, batch: int = 1024) -> dict[str, Callable[[], Any]]:
    """Return the functions of a large layer by name, the plain product first."""
    w, x = arrays(rows, cols, batch)
    run, whole = jax.jit(mvm), jax.jit(analog_matmul)
    key = jax.random.key(1)

    def reading(config: AnalogConfig) -> Callable[[], Array]:
        prepared = prepare(config, program(config, w, jax.random.key(2)))
        return lambda: run(config, prepared, x, key)

    silent = replace(_WHOLE, device=_WHOLE.device.with_(read_noise=NoReadNoise()))
    return {
        "plain": plain(x, w),
        "large layer, no read noise": reading(_QUIET),
        "large layer, PCM read noise": reading(_WHOLE),
        "large layer, new chip and one product": lambda: whole(silent, w, x, key),
        "large layer, new chip, one product, read noise": lambda: whole(_WHOLE, w, x, key),
    }


def vector(size: int = 512) -> dict[str, Callable[[], Any]]:
    """Return the functions of a single vector by name, the plain product first."""
    w, x = arrays(size, size)

    def reading(config: AnalogConfig) -> Callable[[], Array]:
        prepared = prepare(config, program(config, w, jax.random.key(2)))
        return lambda: mvm(config, prepared, x, key)

    key = jax.random.key(1)
    return {
        "plain": plain(x, w),
        "one vector, no read noise": reading(_QUIET),
        "one vector, all effects": reading(_WHOLE),
    }


def chips(rows: int = 512, batch: int = 128, count: int = 64) -> dict[str, Callable[[], Any]]:
    """Return the functions of many chips by name, the plain product first."""
    w, x = arrays(rows, rows, batch)
    keys = jax.random.split(jax.random.key(1), count)
    config = replace(_WHOLE, rows=rows, cols=rows)

    def one(key: Array) -> Array:
        chip_key, read_key = jax.random.split(key)
        return mvm(config, prepare(config, program(config, w, chip_key)), x, read_key)

    jitted, mapped = jax.jit(one), jax.jit(lambda keys: jax.lax.map(one, keys))
    together, grouped = jax.jit(jax.vmap(one)), jax.jit(lambda keys: map_in_groups(one, keys))
    return {
        "plain": plain(x, w),
        f"{count} chips, map_in_groups": lambda: grouped(keys),
        f"{count} chips, lax.map": lambda: mapped(keys),
        f"{count} chips, vmap": lambda: together(keys),
        f"{count} chips, loop of one jitted chip": lambda: [jitted(key) for key in keys],
    }


def show(times: Mapping[str, float], share: int = 1) -> None:
    """Print ratios to the plain product, or to as many of them."""
    plain = times["plain"]
    print(f"plain x @ w {1e3 * plain:.3f} ms")
    for name, seconds in times.items():
        if name != "plain":
            print(f"{name:48s} {seconds / plain / share:7.2f}  {1e3 * seconds:9.2f} ms", flush=True)


def of_sizes(rounds: int) -> None:
    """Print how long the map takes of what the loop takes."""
    for rows in (64, 256, 1024):
        for batch in (1, 32, 1024):
            count = 64 if rows < 1024 else 8
            found = chips(rows, batch, count)
            names = [f"{count} chips, map_in_groups", f"{count} chips, loop of one jitted chip"]
            times = medians({name: found[name] for name in names}, rounds, seconds=0.0)
            print(f"{rows} x {rows}, batch {batch:<30d} {times[names[0]] / times[names[1]]:7.2f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", action="store_true", help="the map against the loop for many sizes")
    arguments = parser.parse_args()
    if arguments.sizes:
        of_sizes(arguments.rounds)
        return
    show(medians(large(), arguments.rounds, seconds=0.0))
    show(medians(vector(), arguments.rounds))
    show(medians(chips(), arguments.rounds, seconds=0.0), 64)


if __name__ == "__main__":
    main()
