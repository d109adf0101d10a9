"""Runs of a sweep in processes that a test may kill."""

import importlib
import os
import subprocess
import sys
import time

import numpy as np
import polars as pl
from cheap import Cheap

from jaxaimc import AnalogConfig
from jaxaimc.sweeps import Plan, Range, Values, run

runs = importlib.import_module("jaxaimc.sweeps.run")
# 200 chunks.
PLAN = Plan(AnalogConfig(), [Values("rows", [64, 128]), Range("wires.r", 0.5, 10.0, 200)], chips=2, chunk=2)


def by_numpy(measure, chunk):
    """Compute a chunk without JAX."""
    rows = chunk.rows()
    total = np.sin(np.asarray(rows["wires.r"]) * (1 + np.asarray(rows["chip"]))) + chunk.base.rows
    return rows.with_columns(pl.Series("sum", total), pl.Series("square", total**2))


def whole(folder=None, *, jax, progress=None, pause=0.0):
    """Run the sweep to its end, with a pause before each chunk."""
    computing = runs.compute

    def slowly(measure, chunk):
        time.sleep(pause)
        return computing(measure, chunk) if jax else by_numpy(measure, chunk)

    runs.compute = slowly
    try:
        return run(PLAN, Cheap(), folder, progress=progress)
    finally:
        runs.compute = computing


class Child:
    """The sweep in a process of its own, which is ready and waits when this is made."""

    def __init__(self, folder, *, jax):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
        code = f"import killed; print('ready', flush=True); input(); killed.told({str(folder)!r}, {jax})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def go(self):
        """Let it begin."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self):
        """Kill it without a word."""
        self.process.kill()
        self.process.communicate()

    def computed(self):
        """Wait for its end, and return how much it computed."""
        output, _ = self.process.communicate()
        assert self.process.returncode == 0
        return int(output)


def told(folder, jax):
    """Run the sweep and print how much was computed."""
    computed = []
    whole(folder, jax=jax, progress=lambda progress: computed.append(progress.computed), pause=0.01)
    print(computed[-1])
