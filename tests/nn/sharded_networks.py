"""A program of its own, because the number of devices is chosen when JAX starts: `python sharded_networks.py`.

Every kind of layer is read with its batch, and then its columns, divided between eight devices, and programmed from
kernels that are divided; the numbers are those of one device.
"""

import sys

import jax
import numpy as np
from analog_networks import CHIP, READ
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from layer_kinds import KINDS, made

from jaxaimc import nn

DEVICES = jax.make_mesh((8,), ("part",), axis_types=(AxisType.Auto,))


def placed(array, *axes):
    return jax.device_put(array, NamedSharding(DEVICES, P(*axes)))


def by_columns(leaf):
    """Divide the last axis of an array between the devices where they can share it, and copy others to all."""
    shape = getattr(leaf, "shape", ())
    divided = len(shape) >= 2 and shape[-1] % 8 == 0
    return placed(leaf, *[None] * (len(shape) - 1), "part") if divided else placed(leaf)


def read(chip, x, key):
    return nn.with_read_key(chip, key)(x)


def check(kind):
    blank, x = made(kind)
    chip = nn.program(blank, CHIP)
    graph, state = nnx.split(chip)
    kernels = jax.tree.map(by_columns, nnx.split(blank)[1])
    programmed = nn.program(nnx.merge(nnx.split(blank)[0], kernels), CHIP)
    apart = nnx.merge(graph, jax.tree.map(by_columns, state))
    assert any(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(nnx.state(apart, nn.EffectiveMatrix)))
    expected = read(chip, x, READ)
    ways = {
        "batch, eager": lambda: read(chip, placed(x, "part"), READ),
        "batch": lambda: nnx.jit(read)(chip, placed(x, "part"), READ),
        "columns": lambda: nnx.jit(read)(apart, placed(x), READ),
        "programmed from columns": lambda: nnx.jit(read)(programmed, placed(x), READ),
    }
    for name, way in ways.items():
        np.testing.assert_allclose(way(), expected, rtol=1e-4, atol=1e-4, err_msg=f"{kind}: {name}")


if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        check(kind)
