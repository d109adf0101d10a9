from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc._core.hashed import fast_key
from jaxaimc.nn import Rule
from jaxaimc.training.noise import programming
from jaxaimc.training.noise.programming import in_memory, training_chip
from jaxaimc.training.objectives import circuit
from jaxaimc.wires import Ladder

KEY = jax.random.key(3)
STEP = jnp.zeros((), jnp.int32)


class Network(nnx.Module):
    """Two layers of one shape and one of another."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(6, 6, rngs=rngs)
        self.second = nnx.Linear(6, 6, rngs=rngs)
        self.last = nnx.Linear(6, 4, rngs=rngs)

    def __call__(self, x):
        return self.last(jax.nn.gelu(self.second(jax.nn.gelu(self.first(x)))))


def tiles(r) -> AnalogConfig:
    return replace(presets.tile_circuit(), wires=Ladder(r=r), rows=4, cols=4)


def converted():
    """Layers of one shape on tiles with wires of different resistance."""
    return nn.convert(Network(), [Rule("first", tiles(50.0)), Rule(".*", tiles(200.0))])


@pytest.mark.parametrize("small", [0, 2**16])
def test_chip_of_a_step_is_the_chip_of_its_hashed_key(monkeypatch, small):
    monkeypatch.setattr(programming, "_SMALL", small)
    found = nn.effective(training_chip(converted(), KEY))
    expected = nn.effective(nn.program(converted(), fast_key(KEY)))
    assert set(found) == {"first", "second", "last"}
    for path, prepared in expected.items():
        assert jax.tree.structure(found[path]) == jax.tree.structure(prepared)
        for leaf, wanted in zip(jax.tree.leaves(found[path]), jax.tree.leaves(prepared), strict=True):
            np.testing.assert_allclose(leaf, wanted, rtol=2e-4, atol=1e-6)
    assert not np.allclose(found["first"].matrix, found["second"].matrix, rtol=0.1)


@pytest.mark.slow
def test_programmed_together_or_alone_the_gradients_are_the_same(monkeypatch):
    graph, state = nnx.split(converted())
    x = jax.random.normal(KEY, (5, 6))

    def gradient():
        def loss(state):
            return jnp.sum(jnp.square(circuit()(nnx.merge(graph, state, copy=True), x, KEY, STEP)))

        return jax.tree.leaves(jax.grad(loss, allow_int=True)(state))

    together = gradient()
    monkeypatch.setattr(programming, "_SMALL", 0)
    for found, expected in zip(together, gradient(), strict=True):
        if jnp.issubdtype(expected.dtype, jnp.floating):
            scale = float(jnp.abs(expected).max()) + 1e-12
            np.testing.assert_allclose(found / scale, expected / scale, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(1,), (3, 2), (7, 1), (1, 5), (0, 3), (2, 3, 4)])
def test_in_memory_changes_nothing(shape):
    x = jax.random.normal(KEY, shape)
    np.testing.assert_array_equal(jax.jit(in_memory)(x), x)
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(in_memory(x) ** 2))(x), 2 * x, rtol=1e-6)
