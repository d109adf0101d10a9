"""A measure that costs nothing, for tests of what stands around it."""

import dataclasses

import jax


@dataclasses.dataclass(frozen=True)
class Cheap:
    """`r + rows + noise` and its square."""

    offset: float = 0.0
    columns = {"sum": "ohm", "square": ""}

    def facts(self):
        return {"cheap": self.offset}

    def __call__(self, config, key_chip, key_read):
        total = config.wires.r + config.rows + self.offset + jax.random.normal(key_chip) + jax.random.uniform(key_read)
        return {"sum": total, "square": total**2}
