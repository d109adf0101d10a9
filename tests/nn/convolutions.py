"""Convolutions on tiles without rounding, for several test files."""

import jax.numpy as jnp
import numpy as np
from analog_networks import CHIP, READ
from flax import nnx

from jaxaimc import adcs, nn
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.nn.hosts import ConvHost, ConvTransposeHost
from jaxaimc.wires import NoWires

# Inputs of whole steps are driven without rounding.
STEP = 1 / 8192
# Odd sizes, so that windows are cut in the middle of a position of the kernel.
IDEAL = AnalogConfig(
    device=IdealDevice(),
    wires=NoWires(),
    adc=adcs.IdealADC(),
    drive=PWM(bits=16, range=FixedRange(limit=32767 * STEP)),
    rows=5,
    cols=3,
)


run = nnx.jit(lambda layer, x: layer(x))


def data(*shape, seed=0):
    x = np.clip(np.random.default_rng(seed).normal(size=shape), -3.9, 3.9)
    return jnp.asarray(np.round(x / STEP) * STEP, jnp.float32)


def converted(layer, config=IDEAL, **host):
    """Return the layer on a chip; with limits of a host, on that host."""
    own = ConvTransposeHost if isinstance(layer, nnx.ConvTranspose) else ConvHost
    rules = [nn.Rule("0", config, host=own(**host) if host else None)]
    analog = nn.convert(nnx.List([layer]), rules, CHIP)
    return nn.with_read_key(analog, READ)[0]
