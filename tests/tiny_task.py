"""A task of seconds for the training tests: which of three noisy corners of a cube a point belongs to."""

import jax
import numpy as np
from flax import nnx

from jaxaimc.tasks import Recipe, Split, Task, accuracy, cross_entropy


class Perceptron(nnx.Module):
    """Two layers with dropout and running statistics, so that training changes more than parameters."""

    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(3, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, inputs):
        return self.head(self.dropout(jax.nn.relu(self.norm(self.hidden(inputs)))))


def split(name):
    rng = np.random.default_rng({"train": 1, "test": 2}[name])
    targets = rng.integers(0, 3, 640 if name == "train" else 101)
    inputs = np.eye(3)[targets] + 0.2 * rng.normal(size=(len(targets), 3))
    return Split(inputs.astype(np.float32), targets.astype(np.int32))


def jitter(key, inputs):
    return inputs + 0.01 * jax.random.normal(key, inputs.shape)


def task(data=None):
    del data
    return Task(
        name="corners",
        build=lambda key: Perceptron(nnx.Rngs(key)),
        split=split,
        loss=cross_entropy,
        score=accuracy,
        metric="accuracy",
        chance=1 / 3,
        recipe=Recipe(epochs=3, batch=8, learning_rate=1e-2, augment=jitter),
        assets={"corners": "unit vectors"},
    )
