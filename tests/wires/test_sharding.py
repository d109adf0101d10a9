"""N5: reads and gradients under `jax.shard_map` with its default checks, on eight virtual devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("idle", "blocks", "mean field", "matrix", "ladder", "curved", "pulses")
PROGRAM = Path(__file__).with_name("sharded_reads.py")


# Those of the fault are mesh, idle and curved; a process of its own compiles each for eight devices.
@pytest.mark.parametrize(
    "name",
    [
        "mesh",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_n5_wires_in_shard_map(name):
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, PROGRAM, name], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
