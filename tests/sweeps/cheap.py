"""A measure that costs nothing, for tests of what stands around it."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxaimc.sweeps import Measure


@dataclasses.dataclass(frozen=True)
class Cheap(Measure):
    """`r + rows + noise`, infinite where r is `bad`, and its square."""

    offset: float = 0.0
    bad: float = -1.0
    columns: ClassVar[dict[str, str]] = {"sum": "ohm", "square": ""}

    def facts(self):
        return {"cheap": self.offset, "bad": self.bad}

    def __call__(self, config, key_chip, key_read):
        total = config.wires.r + config.rows + self.offset + jax.random.normal(key_chip) + jax.random.uniform(key_read)
        total = jnp.where(config.wires.r == self.bad, jnp.inf, total)
        return {"sum": total, "square": total**2}
