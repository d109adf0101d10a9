"""A story told by the same network in software and on analog chips.

    python -m experiments.story_on_a_chip --data FOLDER

The network is a LLaMA-type decoder of 260,000 parameters (`models.stories`). Every linear layer of it is on tiles of
phase-change memory of the tile-circuit preset, the output layer, which is tied to the embedding, as well. Each token is
taken from the chip's own logits, read with noise of its own, and becomes the next input, so that an error changes all
that follows. Where tokens are drawn at random all texts use the same random numbers: they differ by what the chips do
only. The loss on the stories of the folder says the same in a number.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Key

from jaxaimc import nn, presets
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.cli import startup
from jaxaimc.config import with_at
from jaxaimc.tasks import load_model
from jaxaimc.units import day
from models.decoder import Decoder, generate
from models.stories import TOKENIZER, data_folder, measure, stories260k
from models.weights import llama2c_tokens


def tell(
    model: Decoder,
    tokenizer: llama2c_tokens.Tokenizer,
    prompt: str,
    key: Key[Array, ""],
    *,
    tokens: int,
    temperature: float,
) -> str:
    """Return a prompt and what the network goes on with, up to the end of the story.

    Args:
        model: Network, in software or on a chip.
        tokenizer: Its tokenizer.
        prompt: Beginning of the story.
        key: Key of the tokens drawn and of the read noise.
        tokens: Number of tokens to draw.
        temperature: See `models.decoder.generate`.
    """
    begun = tokenizer.encode(prompt)
    drawn = generate(model, jnp.array([begun]), tokens, key, temperature=temperature)[0].tolist()
    marks = (llama2c_tokens.BEGIN, llama2c_tokens.END)
    end = next((place for place, token in enumerate(drawn) if token in marks), len(drawn))
    return tokenizer.decode([*begun, *drawn[:end]])


def networks(digital: Any, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield the network in software and on chips, with what to call each.

    Args:
        digital: The network.
        seed: Seed of the chip, whose devices have the same random numbers each time.
    """
    yield "in software", digital
    config, key = presets.tile_circuit(), jax.random.key(seed)
    chip = nn.convert(digital, config, key)
    yield "on a chip, right after programming", chip
    yield "on the same chip after a day", nn.drift(chip, 1 * day)
    yield "on the same chip after a day, drift compensated", nn.drift(chip, 1 * day, GlobalCompensation())
    yield "on a chip with wires of 3 ohm per segment", nn.convert(digital, with_at(config, {"wires.r": 3.0}), key)


def main(
    data: Path | None = None,
    prompt: str = "Once upon a time, there was a little girl named Lily.",
    tokens: int = 120,
    temperature: float = 0.0,
    seed: int = 0,
) -> None:
    """Tell the story.

    Args:
        data: Folder of the network, its tokenizer and a text, see `models.stories`.
        prompt: Beginning of the story.
        tokens: Number of tokens to draw.
        temperature: 0 takes the likeliest token, 1 draws from the network's own distribution.
        seed: Seed of chip, read noise and tokens.
    """
    startup.prefer_short_compilation()
    folder = data_folder(data)
    task = stories260k(folder)
    model: Any = load_model(task)
    split = task.split("test")
    tokenizer = llama2c_tokens.read(folder / TOKENIZER, model.vocabulary)
    key = jax.random.key(seed)
    for name, network in networks(model, seed):
        read = network if network is model else nn.with_read_key(network, jax.random.fold_in(key, 1))
        scores = measure(read, split)
        text = tell(network, tokenizer, prompt, key, tokens=tokens, temperature=temperature)
        print(
            f"{name} (loss {scores.loss:.3f}, next token right {100 * scores.accuracy:.1f} %):\n\n{text}\n", flush=True
        )


if __name__ == "__main__":
    tyro.cli(main)
