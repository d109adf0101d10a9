"""How much memory a large network on a chip takes: `python -m benchmarks.memory`.

An encoder of the sizes of BERT-base (110 million parameters, of which 85 million are on tiles) with random weights, all
effects of the tile circuit: built, programmed, kept for reading, read once. Printed are the process's largest memory
so far and the size of the arrays that are held, after each step.
"""

import argparse
import math
import resource
import time

import jax
from flax import nnx

from jaxaimc import nn, presets
from models.encoder import Encoder, EncoderConfig


def bert_base(blocks: int) -> EncoderConfig:
    """Return the sizes of BERT-base (Devlin et al. 2019), with another number of blocks if need be."""
    return EncoderConfig(
        vocabulary=30_522,
        width=768,
        embedding=768,
        blocks=blocks,
        layers=blocks,
        heads=12,
        hidden=3072,
        positions=512,
    )


def held(*trees: object) -> float:
    """Return the size of the arrays of some trees, each counted once [GB]."""
    leaves = {id(leaf): leaf.nbytes for leaf in jax.tree.leaves(trees) if hasattr(leaf, "nbytes")}
    return sum(leaves.values()) / 1e9


def per_weight(model: nnx.Module) -> float:
    """Return how many bytes a model on a chip holds of it for every weight on tiles, kernels not counted."""
    weights = sum(math.prod(product.shape) for product in nn.products(model) if product.analog)
    chip = nnx.state(model, nnx.Any(nn.Conductance, nn.EffectiveMatrix))
    return held(chip) * 1e9 / weights


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    start = time.perf_counter()

    def note(step: str, *trees: object) -> None:
        jax.block_until_ready(trees)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        seconds = time.perf_counter() - start
        print(f"{step:28s} held {held(trees):6.2f} GB, largest so far {peak:6.2f} GB, {seconds:6.1f} s", flush=True)

    note("imported")
    network = Encoder(bert_base(arguments.blocks), rngs=nnx.Rngs(0))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
    note(f"built, {parameters / 1e6:.0f} M parameters", nnx.state(network))
    chip = nn.convert(network, presets.tile_circuit(), jax.random.key(0))
    note("programmed", nnx.state(chip))
    print(f"  {per_weight(chip):.1f} bytes of the chip per weight on tiles")
    chip = nn.for_reading(chip)
    note("for reading", nnx.state(chip))
    print(f"  {per_weight(chip):.1f} bytes of the chip per weight on tiles")
    tokens = jax.random.randint(jax.random.key(1), (1, arguments.tokens), 1, 30_522)
    read = nnx.jit(lambda chip, tokens, key: nn.with_read_key(chip, key)(tokens))
    y = read(chip, tokens, jax.random.key(2))
    note("read once", nnx.state(chip), y)


if __name__ == "__main__":
    main()
