"""Networks and tiles that the tests of `jaxaimc.nn` share."""

import jax
from flax import nnx

from jaxaimc import AnalogConfig
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.wires import NoWires

CHIP, READ = jax.random.split(jax.random.key(7))
NEARLY_DIGITAL = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(bits=16))
# Devices alone: they program with errors, drift, and are read with noise.
DEVICES = AnalogConfig(wires=NoWires(), adc=IdealADC())


class Net(nnx.Module):
    """A linear layer, attention, and one layer that is used twice."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, keep_rngs=False, rngs=rngs)
        self.shared = nnx.Linear(8, 8, rngs=rngs)
        self.again = self.shared

    def __call__(self, x):
        x = self.attention(self.first(x))
        return self.again(jax.nn.relu(self.shared(x)))


class Pair(nnx.Module):
    """Two linear layers."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        return self.head(jax.nn.relu(self.first(x)))


ALL = {"first", "again", *(f"attention/{part}" for part in ("query", "key", "value", "out"))}


def analog_paths(model):
    """Return the paths of the analog layers."""
    from jaxaimc import nn

    return {module.path for _, module in nnx.iter_modules(model) if isinstance(module, nn.AnalogDot)}
