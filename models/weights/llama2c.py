"""Weights in the format of llama2.c (Karpathy, https://github.com/karpathy/llama2.c, version 0 of its export).

Seven little-endian 32-bit integers say the sizes: width, features within the perceptron, blocks, query heads, heads of
keys and values, vocabulary (negative where the head has weights of its own) and longest text. Then follow 32-bit
floating-point numbers, each kind of tensor for all blocks together, matrices as `[out, in]`:

    embedding; attention norms; query; key; value; out; perceptron norms; gate; down; up; last norm;
    cosines and sines of the rotary positions (not used: they follow from the sizes); the head, where it has its own.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flax import nnx

from jaxaimc.tasks import hub

from ..llama import Llama
from .names import Name, fill

_HEADER = np.dtype("<i4"), 7
_LARGEST = 2**24  # of any size in the header; a foreign file has arbitrary ones


@dataclass(frozen=True)
class Sizes:
    """Header of a file.

    Attributes:
        width: Features of a token.
        hidden: Features within the perceptron of a block.
        layers: Number of blocks.
        heads: Query heads.
        kv_heads: Heads of keys and values.
        vocabulary: Number of tokens.
        length: Longest text in tokens.
        tied: Whether the head uses the embedding's vectors.
    """

    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    length: int
    tied: bool

    def network(self, rngs: nnx.Rngs) -> Llama:
        """Return an untrained network of these sizes."""
        return Llama(
            vocabulary=self.vocabulary, length=self.length, width=self.width, layers=self.layers, heads=self.heads,
            kv_heads=self.kv_heads, hidden=self.hidden, tied=self.tied, rngs=rngs,
        )  # fmt: skip

    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return names and shapes of the tensors, in the file's order; `*` stands for the number of the block."""
        n, width, features = self.layers, self.width, self.width // self.heads
        kv, half = self.kv_heads * features, features // 2
        head = [] if self.tied else [("head/kernel", (self.vocabulary, width))]
        return [
            ("embedding/embedding", (self.vocabulary, width)),
            ("blocks/*/attention_norm/scale", (n, width)),
            ("blocks/*/attention/query/kernel", (n, width, width)),
            ("blocks/*/attention/key/kernel", (n, kv, width)),
            ("blocks/*/attention/value/kernel", (n, kv, width)),
            ("blocks/*/attention/out/kernel", (n, width, width)),
            ("blocks/*/mlp_norm/scale", (n, width)),
            ("blocks/*/mlp/gate/kernel", (n, self.hidden, width)),
            ("blocks/*/mlp/down/kernel", (n, width, self.hidden)),
            ("blocks/*/mlp/up/kernel", (n, self.hidden, width)),
            ("norm/scale", (width,)),
            ("cosines", (self.length, half)),
            ("sines", (self.length, half)),
            *head,
        ]


def read(path: str | Path) -> tuple[Sizes, dict[str, np.ndarray]]:
    """Read a file's sizes and tensors.

    Args:
        path: The file.

    Returns:
        Sizes, and tensors by the paths that they have in `models.llama.Llama`, matrices as `[out, in]` as in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated or of another format.
    """
    path = hub.file(path, ["*.bin"])
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {str(path)!r}.")
    content = path.read_bytes()
    sizes = _sizes(path, content)
    shapes = sizes.shapes()
    wanted = 28 + 4 * sum(math.prod(shape) for _, shape in shapes)
    if len(content) != wanted:
        raise ValueError(
            f"Weights file {str(path)!r} must hold {wanted} bytes by its header ({sizes}), but holds {len(content)}: "
            "it is truncated or not in the format of llama2.c."
        )
    tensors, place = {}, 28
    for name, shape in shapes:
        count = math.prod(shape)
        stack = np.frombuffer(content, "<f4", count, place).reshape(shape)
        place += 4 * count
        if "*" in name:
            tensors |= {name.replace("*", str(i)): stack[i] for i in range(sizes.layers)}
        else:
            tensors[name] = stack
    return sizes, tensors


def load(path: str | Path) -> Llama:
    """Read a network.

    Args:
        path: File in the format of llama2.c.

    Returns:
        The network with the file's weights.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated or of another format.
    """
    sizes, tensors = read(path)
    features = sizes.width // sizes.heads

    def split_outputs(w: np.ndarray) -> np.ndarray:
        return w.T.reshape(sizes.width, -1, features)

    rules = [
        Name(r"(.*/(?:query|key|value)/kernel)", r"\1", split_outputs),
        Name(r"(.*/out/kernel)", r"\1", lambda w: w.T.reshape(-1, features, sizes.width)),
        Name(r"(.*/kernel)", r"\1", "transpose"),
        Name(r"(.*/(?:embedding|scale))", r"\1"),
    ]
    return fill(sizes.network(nnx.Rngs(0)), tensors, rules, ignore=["cosines", "sines"])


def _sizes(path: Path, content: bytes) -> Sizes:
    if len(content) < 28:
        raise ValueError(
            f"Weights file {str(path)!r} must begin with seven 32-bit integers (the header of llama2.c), but holds "
            f"{len(content)} bytes."
        )
    numbers = np.frombuffer(content, *_HEADER).tolist()
    width, hidden, layers, heads, kv_heads, vocabulary, length = numbers
    positive = all(0 < number < _LARGEST for number in (*numbers[:5], abs(vocabulary), length))
    if not positive or width % heads or heads % kv_heads or (width // heads) % 2:
        raise ValueError(
            f"Weights file {str(path)!r} must begin with seven sizes that fit each other (the header of llama2.c: "
            f"width, hidden, layers, heads, kv heads, vocabulary, length), but begins with {numbers}."
        )
    return Sizes(width, hidden, layers, heads, kv_heads, abs(vocabulary), length, vocabulary > 0)
