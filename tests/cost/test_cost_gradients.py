"""Energy, latency and area by every leaf of a config and of the hardware, against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxaimc import cost, presets, program
from jaxaimc.config.paths import as_arrays, with_at
from jaxaimc.cost.tile import quiet_of_tile
from jaxaimc.tile.prepare import prepare_unchecked

STEP = 1e-4
# What is small for leaves that are zero.
ZERO = {"r_out": 1.0}


def three(both, w, x, key):
    """Return energy, latency and area, each in a unit that makes it a number near one."""
    config, hardware = both
    programmed = program(config, w, key)
    found = quiet_of_tile(config, programmed, prepare_unchecked(config, programmed), x, hardware, 3.0)
    return jnp.stack([found.energy.total * 1e10, found.latency * 1e7, found.area.total * 1e7])


def check(config, hardware, x):
    """Compare every number in both, and return the names of those with an influence."""
    w = jax.random.normal(jax.random.key(0), (x.shape[1], 5))
    named, tree = jax.tree_util.tree_flatten_with_path((as_arrays(config), as_arrays(hardware)))
    leaves, seen = [leaf for _, leaf in named], set()
    function = jax.jit(lambda leaves: three(jax.tree.unflatten(tree, leaves), w, x, jax.random.key(1)))
    for number, (gradient, (path, leaf)) in enumerate(zip(jax.jacrev(function)(leaves), named, strict=True)):
        name = jax.tree_util.keystr(path[1:], simple=True, separator=".")
        for index in np.ndindex(leaf.shape):
            found, value = gradient[(slice(None), *index)], float(leaf[index])
            if not np.isfinite(value):
                np.testing.assert_array_equal(found, 0.0, err_msg=name)
                continue
            scale = abs(value) or ZERO.get(name.split(".")[-1], 1e-3)
            changed = [leaf.at[index].add(k * STEP * scale) for k in (-1, 0, 1, 2)]
            moved = [function([*leaves[:number], new, *leaves[number + 1 :]]) for new in changed]
            # Zero may be the lowest value: the derivative to the right, to second order as well.
            right, centred = 4 * moved[2] - 3 * moved[1] - moved[3], moved[2] - moved[0]
            expected = (centred if value else right) / (2 * STEP)
            np.testing.assert_allclose(found * scale, expected, rtol=2e-5, atol=1e-8, err_msg=name)
            if np.any(found):
                seen.add(name)
    return seen


def test_tile_circuit(x64):
    seen = set()
    # At zero and at `g_max` the devices' laws have kinks, where JAX's derivative is the mean of both sides.
    config = with_at(presets.tile_circuit(), {"rows": 16, "cols": 8, "cell.g_min": 1e-7, "cell.g_max": 24e-6})
    seen = check(config, cost.Hardware(), jax.random.normal(jax.random.key(2), (3, 24)))
    influence = {"cell.g_max", "wires.r", "drive.t_lsb", "drive.v_read", "adc.f_adc", "adc.i_ref", "counter.v_dd"}
    assert influence <= seen, influence - seen
    assert "adc.c_bit" not in seen
    assert "dac.c_bit" not in seen


def test_asim(x64):
    config = presets.asim(weight_bits=3, input_bits=3, adc_bits=5.3, rows=16, cols=8, group=2)
    hardware = cost.Hardware(pipelined=True, columns_per_converter=4)
    seen = check(config, hardware, jnp.abs(jax.random.normal(jax.random.key(2), (3, 24))))
    influence = {"cell.g_max", "drive.t_pulse", "drive.v_read", "adc.bits", "adc.c_bit", "dac.c_bit", "driver.c_gate"}
    assert influence <= seen, influence - seen
