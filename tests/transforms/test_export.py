"""Exported for CPUs, GPUs and TPUs, with batches of any size, reads give what they give here."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from jaxaimc import AnalogConfig, mvm, nn, prepare, presets, program
from jaxaimc.adcs import GaussianADC, IdealADC, Stochastic, Uniform
from jaxaimc.devices import IdealDevice
from jaxaimc.wires import Blocks, Ladder, MeanField, Mesh, NonlinearMesh, NoWires, OpenIdle

KEY, READ = jax.random.key(7), jax.random.key(8)
PLATFORMS = ("cpu", "cuda", "tpu")
SMALL = AnalogConfig(rows=8, cols=4)
CONFIGS = {
    "tile circuit": presets.tile_circuit(),
    "standard": presets.standard_aimc(),
    "SONOS": presets.crosssim_sonos(),
    "ISAAC": presets.isaac(),
    "PRIME": presets.prime(),
    "ASIM": presets.asim(),
    "ASIM, collapsed": presets.collapsed_asim(),
    "no wires": replace(SMALL, wires=NoWires()),
    "ladder": replace(SMALL, wires=Ladder(r=3.0)),
    "mesh": replace(SMALL, wires=Mesh(r_row=3.0, r_col=3.0)),
    "open idle cells": replace(SMALL, wires=OpenIdle(r=3.0)),
    "open idle cells, blocks": replace(SMALL, wires=OpenIdle(r=3.0, method=Blocks())),
    "open idle cells, mean field": replace(SMALL, wires=OpenIdle(r=3.0, method=MeanField(activities=(0.7, 1.4)))),
    "nonlinear mesh": replace(SMALL, wires=NonlinearMesh(mesh=Mesh(r_row=3.0, r_col=3.0))),
    "noisy converter": replace(SMALL, adc=GaussianADC(sigma=0.1)),
    "stochastic rounding": replace(SMALL, adc=Uniform(bits=6, rounding=Stochastic())),
}
# Inputs of one tile where a solve per vector compiles slowly, else of two tiles.
# CI reads one configuration of each kind of wires and converter.
SLOW = (
    "standard",
    "SONOS",
    "PRIME",
    "ASIM, collapsed",
    "no wires",
    "open idle cells",
    "open idle cells, mean field",
    "nonlinear mesh",
    "noisy converter",
)
CASES = [
    ("tile circuit", 6),
    *(
        pytest.param(name, 6 if name == "nonlinear mesh" else 11, marks=pytest.mark.slow if name in SLOW else ())
        for name in CONFIGS
    ),
]


def read(name, n_in):
    """A jitted read of a prepared matrix, of one tile or several."""
    config = replace(CONFIGS[name], rows=8, cols=4)
    w = jnp.asarray(np.random.default_rng(n_in).normal(size=(n_in, 3)).astype(np.float32))
    prepared = prepare(config, program(config, w, KEY))
    return jax.jit(lambda x, key: mvm(config, prepared, x, key))


def exported(function, shape, key=READ):
    arguments = jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct(key.shape, key.dtype)
    return export.export(function, platforms=PLATFORMS)(*arguments)


def inputs(shape):
    return jnp.asarray(np.random.default_rng(3).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("name", "n_in"), CASES)
def test_n7_reads_of_any_batch_lower_for_every_platform(name, n_in):
    run = read(name, n_in)
    program = exported(run, export.symbolic_shape(f"b, {n_in}"))
    assert program.platforms == PLATFORMS
    for batch in (2, 5) if name in ("tile circuit", "ladder") else (3,):
        x = inputs((batch, n_in))
        # A charge near a tie may fall to its other code; none does here.
        chex.assert_trees_all_close(program.call(x, READ), run(x, READ), rtol=1e-5, atol=2e-5)


def test_n7_two_unknown_batch_axes():
    run = read("tile circuit", 11)
    x = inputs((2, 3, 11))
    program = exported(run, export.symbolic_shape("b, s, 11"))
    chex.assert_trees_all_close(program.call(x, READ), run(x, READ), rtol=1e-5, atol=2e-5)


def test_batches_of_known_size_with_a_key_each():
    run, keys, x = read("tile circuit", 11), jax.random.split(READ, 3), inputs((3, 11))
    chex.assert_trees_all_close(exported(run, x.shape, keys).call(x, keys), run(x, keys), rtol=1e-5, atol=2e-5)


@pytest.mark.slow
def test_gradients_lower_for_every_platform():
    config = replace(SMALL, wires=Mesh(r_row=3.0, r_col=3.0), device=IdealDevice(), adc=IdealADC())
    w = inputs((6, 3))

    @jax.jit
    def slope(x, key):
        return jax.grad(lambda r: jnp.sum(mvm(c := replace(config, wires=Mesh(r_row=r)),
                                              prepare(c, program(c, w, KEY)), x, key)))(3.0)  # fmt: skip

    x = inputs((2, 6))
    chex.assert_trees_all_close(exported(slope, x.shape).call(x, READ), slope(x, READ), rtol=1e-5, atol=1e-6)


def test_n7_a_programmed_network_reads_batches_of_any_size():
    network = nnx.Sequential(nnx.Linear(11, 6, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(6, 3, rngs=nnx.Rngs(1)))
    graph, state = nnx.split(nn.program(nn.convert(network, SMALL), KEY))
    run = jax.jit(lambda x, key: nn.with_read_key(nnx.merge(graph, state), key)(x))
    program = exported(run, export.symbolic_shape("b, 11"))
    x = inputs((4, 11))
    chex.assert_trees_all_close(program.call(x, READ), run(x, READ), rtol=1e-5, atol=2e-4)
