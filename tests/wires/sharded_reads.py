"""A program of its own, because the number of devices is chosen when JAX starts: `python sharded_reads.py NAME`."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxaimc.wires import (
    Blocks,
    ConjugateGradient,
    Ladder,
    MeanField,
    Mesh,
    NonlinearMesh,
    OpenIdle,
    Placement,
    PolynomialIV,
)

PLACE = Placement(rows=6, cols=4)
CURVED = NonlinearMesh(mesh=Mesh(method=ConjugateGradient()), iv=PolynomialIV(c3=3.0), signs=(1.0,))


def solved_charge(wires, g, v):
    circuit = wires.effective(g[None], (1.0,), PLACE).circuit
    return circuit.charge(v, steps=7, timed=True, v_read=0.2)


READS = {
    "mesh": lambda g, v: Mesh().read(g, v).current,
    "matrix": lambda g, v: v @ Mesh(solve_up_to=0).effective(g[None], (1.0,), PLACE).matrix,
    "ladder": lambda g, v: v @ Ladder(r=10.0).effective(g[None], (1.0,), PLACE).matrix,
    "idle": lambda g, v: solved_charge(OpenIdle(r=10.0), g, v),
    "blocks": lambda g, v: solved_charge(OpenIdle(r=10.0, method=Blocks()), g, v),
    "mean field": lambda g, v: solved_charge(OpenIdle(r=10.0, method=MeanField(activities=(0.7, 1.4))), g, v),
    "curved": lambda g, v: CURVED.read(g, v).current,
    "pulses": lambda g, v: solved_charge(CURVED, g, v),
}


def check(read):
    """Shard vectors, then chips, then the gradients of chips, and compare with one device."""
    rng = np.random.default_rng(0)
    chips = jnp.asarray(rng.uniform(1e-6, 1e-4, (8, 6, 4)), jnp.float32)
    v = jnp.asarray(np.round(rng.uniform(-7, 7, (8, 6))) / 7, jnp.float32)
    devices = jax.make_mesh((8,), ("part",), axis_types=(AxisType.Auto,))

    def loss(g, v):
        return jnp.sum(jnp.square(1e4 * read(g, v)))

    def over_chips(f):
        return jax.jit(
            jax.shard_map(lambda g, v: f(g[0], v)[None], mesh=devices, in_specs=(P("part"), P()), out_specs=P("part"))
        )

    by_vector = jax.jit(jax.shard_map(read, mesh=devices, in_specs=(P(), P("part")), out_specs=P("part")))
    expected, slope = jax.jit(lambda g, v: (read(g, v), jax.grad(loss)(g, v)))(chips[3], v)
    for found in (by_vector(chips[3], v), over_chips(read)(chips, v)[3]):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.max(np.abs(expected)))
    np.testing.assert_allclose(over_chips(jax.grad(loss))(chips, v)[3], slope, atol=1e-4 * np.max(np.abs(slope)))


if __name__ == "__main__":
    check(READS[sys.argv[1]])
