"""What the layers of a network get as inputs, in bounded memory."""

import zlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc.nn.hooks import WatchedProduct, tell
from jaxaimc.nn.hosts.base import Layout, Parts
from jaxaimc.nn.op import AnalogDot

# Numbers of one kind that are held of a layer: 64 MB in single precision.
MOST = 2**24


class Seen:
    """Input vectors of a layer: all of them, or a random sample once there are more than a bound.

    Args:
        path: Path of the layer, from which its random numbers follow.
        most: Number of vectors that are held.

    Attributes:
        count: Number of vectors so far; None before the first call.
        size: Number of their entries.
        wrong: How many of these are not finite.
        peak: Largest magnitude of an entry.
    """

    def __init__(self, path: str, most: int):
        self.most = most
        self.count: int | None = None
        self.size, self.wrong, self.peak = 0, 0, 0.0
        self._held: list[np.ndarray] = []
        self._tickets = np.zeros(0)
        self._random = np.random.default_rng(zlib.crc32(path.encode()))

    def add(self, vectors: Any) -> None:
        """Look at more vectors.

        Args:
            vectors: Array with the vectors on its last axis.
        """
        rows = np.asarray(vectors)
        rows = rows.reshape(-1, rows.shape[-1])
        self.count = (self.count or 0) + len(rows)
        self.size += rows.size
        self.wrong += int(rows.size - np.isfinite(rows).sum())
        self.peak = max(self.peak, float(np.abs(rows).max(initial=0)))
        # Each draws a ticket and the lowest ones are held: every vector is as likely to be among them.
        self._tickets = np.concatenate([self._tickets, self._random.random(len(rows))])
        self._held.append(rows)
        if len(self._tickets) > self.most:
            lowest = np.sort(np.argpartition(self._tickets, self.most - 1)[: self.most])
            self._tickets, self._held = self._tickets[lowest], [np.concatenate(self._held)[lowest]]

    @property
    def vectors(self) -> Float[np.ndarray, "vector n_in"]:
        """The vectors that are held, in the order in which they came."""
        return np.concatenate(self._held)


class Watch(WatchedProduct):
    """Hands on what goes into a layer, a convolution's windows in parts where these are too many to be held at once.

    Args:
        dot: The analog product of the layer.
        keep: What takes the vectors.
    """

    def __init__(self, dot: AnalogDot, keep: Callable[[Array], None]):
        super().__init__(dot)
        self.keep = keep

    def see(self, layout: Layout) -> None:
        """Look at one call.

        Args:
            layout: Its vectors and its matrix.
        """
        vectors = layout.vectors
        if isinstance(vectors, Parts):
            for index in range(vectors.count):
                tell(self.keep, vectors.vectors(jnp.asarray(index)))
        else:
            tell(self.keep, vectors)
