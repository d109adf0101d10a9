"""What whole networks on chips cost beside the same networks in float32: `python -m benchmarks.networks`.

all-MiniLM-L6-v2's sizes on 32 sentences of 64 tokens, and ResNet-20 on 128 images of 32 x 32 pixels, with random
weights: the time does not depend on them. Every product is on tiles of the tile circuit, with all effects, on a fixed
chip; every call draws fresh read noise. The input range of each layer is one that calibration found, and in the last
line every vector has its own. Ratios to the plain network that was timed in the same run, round after round in turn.
Parts of the circuit are taken out one by one to see what each costs.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from benchmarks._timing import medians
from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from models.encoder import Encoder
from models.minilm import MINILM
from models.resnet import cifar_resnet


def minilm(batch: int) -> tuple[nnx.Module, Array]:
    """Return the sentence encoder and token numbers of sentences.

    Args:
        batch: Sentences of 64 tokens.
    """
    tokens = jax.random.randint(jax.random.key(1), (batch, 64), 1, MINILM.vocabulary)
    return Encoder(MINILM, rngs=nnx.Rngs(0)), tokens


def resnet20(batch: int) -> tuple[nnx.Module, Array]:
    """Return the residual network in evaluation mode, and images.

    Args:
        batch: Images.
    """
    network = cifar_resnet(20, rngs=nnx.Rngs(0))
    network.eval()
    return network, jax.random.randint(jax.random.key(1), (batch, 32, 32, 3), 0, 256).astype(jnp.uint8)


def configs() -> dict[str, AnalogConfig]:
    """Return the tiles that are compared, all effects first."""
    whole = presets.tile_circuit()
    return {
        "all effects": whole,
        "without read noise": replace(whole, device=whole.device.with_(read_noise=IdealDevice().read_noise)),
        "without the converter": replace(whole, adc=IdealADC()),
    }


def timed(build: Callable[[int], tuple[nnx.Module, Array]], batch: int, rounds: int) -> None:
    """Print the table of a network.

    Args:
        build: Makes network and inputs.
        batch: Examples.
        rounds: Rounds over all functions.
    """
    network, inputs = build(batch)
    read_key = jax.random.key(3)
    functions = {"plain": _compiled(network, inputs, lambda model, x: model(x))}
    print(f"\n{build.__name__}, batch {batch}, {jax.default_backend()}", flush=True)
    whole = next(iter(configs().values()))
    compared = [(*item, True) for item in configs().items()] + [("all effects, a range for each vector", whole, False)]
    for name, config, by_data in compared:
        start = time.perf_counter()
        chip = nn.convert(network, config, jax.random.key(2))
        jax.block_until_ready(nnx.state(chip))
        programmed = time.perf_counter() - start
        if by_data:
            chip = nn.calibrate(chip, inputs[: batch // 4], jax.random.key(5))
        chip = nn.for_reading(chip)
        functions[name] = _compiled(chip, inputs, lambda model, x: nn.with_read_key(model, read_key)(x))
        start = time.perf_counter()
        jax.block_until_ready(functions[name]())
        print(f"  {name}: programmed in {programmed:.1f} s, first call {time.perf_counter() - start:.1f} s", flush=True)
    times = medians(functions, rounds, seconds=0.0)
    plain = times.pop("plain")
    print(f"  plain {plain * 1e3:.1f} ms")
    for name, seconds in times.items():
        print(f"  {name:38s} {seconds / plain:6.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  largest memory of the process so far {peak:.1f} GiB", flush=True)


def _compiled(network: nnx.Module, inputs: Array, call: Callable[[Any, Array], Array]) -> Callable[[], Array]:
    graph, state = nnx.split(network)
    run = jax.jit(lambda state, x: call(nnx.merge(graph, state, copy=True), x))
    return lambda: run(state, inputs)


def main() -> None:
    """Print the tables of both networks."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--sentences", type=int, default=32)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    timed(minilm, arguments.sentences, arguments.rounds)
    timed(resnet20, arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
