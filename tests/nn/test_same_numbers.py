"""A chip gives the same numbers wherever it is read: jitted, copied, taken apart, in both modes of Flax, on a mesh.

Where no other program is compiled the numbers are equal to the bit; where one is, to rounding.
"""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, READ
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from layer_kinds import KINDS, made

from jaxaimc import nn

PROGRAM = Path(__file__).with_name("sharded_networks.py")


def read(chip, x, key=READ):
    return nn.with_read_key(chip, key)(x)


def updated(chip, blank):
    """Return the network on another chip, after it was given everything that the first one holds."""
    other = nnx.clone(nn.program(blank, READ))
    nnx.update(other, nnx.state(chip))
    return other


def in_tree_mode(chip, x):
    with nnx.set_graph_mode(False), nnx.set_graph_updates(False):
        return read(nnx.merge(*nnx.split(chip)), x)


def jitted_apart(chip, x):
    graph, state = nnx.split(nn.with_read_key(chip, READ))
    return jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, x)


def programmed_in_tree_mode(blank, x):
    with nnx.set_graph_mode(False), nnx.set_graph_updates(False):
        return nnx.jit(lambda model, x, key: read(nn.program(model, key), x))(blank, x, CHIP)


EXACTLY = {
    "copied": lambda chip, x, blank: copy.deepcopy(nn.with_read_key(chip, READ))(x),
    "pickled": lambda chip, x, blank: read(pickle.loads(pickle.dumps(chip)), x),
    "updated": lambda chip, x, blank: read(updated(chip, blank), x),
    "tree mode": lambda chip, x, blank: in_tree_mode(chip, x),
}
TO_ROUNDING = {
    "jax.jit": lambda chip, x, blank: jitted_apart(chip, x),
    "programmed under nnx.jit, in tree mode": lambda chip, x, blank: programmed_in_tree_mode(blank, x),
}
# Others are made of the same layers, or share their host.
SLOW = {"lstm", "attention", "convolution", "transposed convolution", "low-rank branch"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind in KINDS])
def test_a_chip_gives_the_same_numbers_everywhere(kind):
    blank, x = made(kind)
    chip = nn.program(blank, CHIP)
    expected = read(chip, x)
    assert float(jnp.abs(read(chip, x, CHIP) - expected).max()) > 1e-3  # it has read noise
    for name, form in EXACTLY.items():
        np.testing.assert_array_equal(form(chip, x, blank), expected, err_msg=name)
    for name, form in TO_ROUNDING.items():
        np.testing.assert_allclose(form(chip, x, blank), expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "kind",
    [
        "linear",
        "grouped convolution",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("general", "einsum", "tied embedding")),
    ],
)
def test_a_mesh_with_explicit_axes_changes_nothing(kind):
    blank, x = made(kind)
    mesh = jax.make_mesh((1, 1), ("batch", "column"))
    assert all(kind == AxisType.Explicit for kind in mesh.axis_types)
    chip = nn.drift(nn.program(blank, CHIP), 10.0)
    expected = read(chip, x)
    with jax.set_mesh(mesh):
        divided = nnx.clone(blank)
        for path, parameter in nnx.to_flat_state(nnx.state(divided, nnx.Param)):
            axis = 0 if "embedding" in path else parameter.ndim - 1
            spec = P(*("column" if i == axis else None for i in range(parameter.ndim)))
            parameter.set_value(jax.device_put(parameter[...], NamedSharding(mesh, spec)))
        x = jax.device_put(x, NamedSharding(mesh, P("batch")))
        chip = nn.drift(nn.program(divided, CHIP), 10.0)
        for found in (read(chip, x), nnx.jit(read)(chip, x, READ)):
            assert jax.typeof(found).sharding.spec[0] == "batch"
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_layer_divides_its_outputs_as_its_call_says():
    blank, x = made("linear")
    chip = nn.with_read_key(nn.program(blank, CHIP), READ)
    expected = chip(x)
    mesh = jax.make_mesh((1, 1), ("batch", "column"))
    with jax.set_mesh(mesh):
        found = nn.with_read_key(chip, READ)(x, out_sharding=P("batch", "column"))
    assert jax.typeof(found).sharding.spec == P("batch", "column")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_references_as_values_of_variables_change_nothing():
    chip, x = made("linear")[0], made("linear")[1]
    expected = read(nn.program(chip, CHIP), x)
    with nnx.var_defaults(ref=True):
        behind, _ = made("linear")
        found = read(nn.drift(nn.program(behind, CHIP), 0.0), x)
    assert behind.kernel.ref
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kinds", [["grouped convolution"], pytest.param(list(KINDS), marks=pytest.mark.slow)])
def test_a_chip_gives_the_same_numbers_on_a_mesh_of_eight_devices(kinds):
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, PROGRAM, *kinds]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
