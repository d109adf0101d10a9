"""A GPU gives what the CPU beside it gives; skipped where there is none."""

import jax
import numpy as np
import pytest

from jaxaimc import analog_matmul, presets, tile
from jaxaimc.config import with_at


def gpus():
    try:
        return jax.devices("gpu")
    except RuntimeError:
        return []


def bit_serial(w, x):
    return analog_matmul(presets.asim(), w, x, jax.random.key(2))


def open_idle_cells(w, x):
    config = with_at(presets.tile_circuit(idle="open"), {"wires.r": 20.0})
    return tile.charges(config, tile.prepare(config, tile.program(config, w, jax.random.key(3))), x)


@pytest.mark.parametrize("read", [bit_serial, open_idle_cells])
def test_same_as_on_the_cpu(read):
    if not gpus():
        pytest.skip("JAX sees no GPU (JAX_PLATFORMS=cuda,cpu where there is one)")
    w = np.asarray(jax.random.normal(jax.random.key(0), (256, 64)))
    x = np.asarray(jax.random.normal(jax.random.key(1), (32, 256)))
    with jax.default_matmul_precision("highest"):
        found, expected = (
            np.asarray(jax.jit(read)(jax.device_put(w, device), jax.device_put(x, device)))
            for device in (gpus()[0], jax.devices("cpu")[0])
        )
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6 * np.abs(expected).max())
