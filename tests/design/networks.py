"""A network of two small layers on tiles, trained in no time, for the tests of designs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxaimc import presets
from jaxaimc.config import with_at
from jaxaimc.tasks import Split, Task, accuracy, cross_entropy


class Network(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(4, 8, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, inputs):
        return self.head(jax.nn.relu(self.hidden(inputs)))


def split(name):
    rng = np.random.default_rng({"train": 1, "test": 2}[name])
    targets = rng.integers(0, 3, 48)
    inputs = np.eye(4)[targets] + 0.3 * rng.normal(size=(48, 4))
    return Split(inputs.astype(np.float32), targets.astype(np.int32))


def task(data=None):
    del data
    return Task(
        name="corners",
        build=lambda key: Network(nnx.Rngs(key)),
        split=split,
        loss=cross_entropy,
        score=accuracy,
        metric="accuracy",
        chance=1 / 3,
    )


@functools.cache
def trained():
    """Return the network after a hundred steps of plain gradient descent."""
    model, data = Network(nnx.Rngs(0)), split("train")
    graph, state = nnx.split(model)

    def loss(state):
        return jnp.mean(cross_entropy(nnx.merge(graph, state)(jnp.asarray(data.inputs)), jnp.asarray(data.targets)))

    step = jax.jit(lambda state: jax.tree.map(lambda a, g: a - 0.5 * g, state, jax.grad(loss)(state)))
    for _ in range(100):
        state = step(state)
    return nnx.merge(graph, state)


def tile(**changes):
    """Return a small tile with wires that matter."""
    return with_at(presets.tile_circuit(), {"rows": 8, "cols": 8, "wires.r": 20.0, **changes})
