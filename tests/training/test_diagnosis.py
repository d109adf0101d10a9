"""What is said of a loss that is not finite."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.training.fit.diagnosis import first_not_finite


class Gate(nnx.Module):
    def __init__(self, rngs):
        self.w = nnx.Param(rngs.params.normal((6, 4)))
        self.product = jnp.matmul

    def __call__(self, x):
        return self.product(x, self.w[...])


class GateHost(nn.Host):
    kind, parameter, slot = Gate, "w", "product"

    def kernel(self, layer):
        return layer.w[...]


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.gate = Gate(rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.gate(jnp.sqrt(x)))


def test_a_product_of_a_host_of_ones_own_is_named():
    rules = [nn.Rule("gate.*", AnalogConfig(), host=GateHost()), nn.Rule("head", AnalogConfig())]
    model = nn.with_read_key(nn.convert(Network(), rules, key=jax.random.key(0)), jax.random.key(1))
    inputs = -jnp.ones((3, 6))
    said = first_not_finite({}, inputs, lambda watched: watched(inputs).sum(-1), model)
    assert said == "layer 'gate/w' is the first whose inputs are not finite"
