"""Calls that engines make in other processes, which import them from here."""

import os
import time
from concurrent.futures import Executor

import jax
import jax.numpy as jnp
import numpy as np
from cheap import Cheap
from jax.sharding import NamedSharding, PartitionSpec

from jaxaimc import AnalogConfig
from jaxaimc.sweeps import LayerError, Plan, Range, Values


def plan():
    """Six chunks of one or two designs, of two structures."""
    return Plan(AnalogConfig(), [Values("rows", [64, 128]), Range("wires.r", 0.5, 2.5, 5)], chips=3, seed=1, chunk=2)


def layer_plan():
    """Three chunks, the last one short, of 15 evaluations in all."""
    return Plan(AnalogConfig(rows=16), [Range("wires.r", 5.0, 500.0, 5)], chips=3, seed=1, chunk=2)


def layer():
    """A small layer on two tiles."""
    random = np.random.default_rng(0)
    return LayerError.of(random.normal(size=(24, 4)), random.normal(size=(3, 24)))


measure = Cheap(offset=0.5)


def dtype():
    return str(jnp.ones(1).dtype)


def refuse(number):
    raise ValueError(f"Argument `number` must be 3, but is {number}.")


def die(number):
    os.kill(os.getpid(), 9)


def slowly(seconds, function=None, *arguments):
    time.sleep(seconds)
    return function(*arguments) if function else seconds


class Slowed(Executor):
    """An executor whose calls take their time."""

    def __init__(self, executor, seconds):
        self.executor, self.seconds = executor, seconds

    def submit(self, fn, /, *args):
        return self.executor.submit(slowly, self.seconds, fn, *args)


def on_all(values, failing=None, dying=None):
    """Sines of numbers that all processes share; one of them fails or dies."""
    from jaxaimc.sweeps.distributed import gathered, place

    sharding = NamedSharding(jax.make_mesh((len(jax.devices()),), ("design",)), PartitionSpec("design"))

    def call():
        if jax.process_index() == failing:
            raise MemoryError("no room")
        if jax.process_index() == dying:
            os._exit(9)
        placed = place(values, sharding)
        assert len(placed.addressable_shards) < len(jax.devices()) or jax.process_count() == 1
        return jax.jit(lambda x: {"sine": jnp.sin(x), "count": jnp.ones_like(x)}, out_shardings=sharding)(placed)

    return {name: np.asarray(value) for name, value in gathered(call).items()}
