"""The training program around noisy objectives: killed and resumed, spread over devices, cut into parts, diverging."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest
import tiny_task
from flax import nnx

from jaxaimc import nn, presets
from jaxaimc.nn.hooks import as_digital, attach
from jaxaimc.training import TrainingDivergedError, fit
from jaxaimc.training.limits.ranges import learn_input_ranges
from jaxaimc.training.objectives import circuit, digital, many_chips, objective

TASK = tiny_task.task()
RECIPE = dataclasses.replace(TASK.recipe, epochs=2, batch=16)
SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import dataclasses, json, os, signal
import jax, jax.numpy as jnp
import tiny_task
from jaxaimc import nn, presets
from jaxaimc.training import fit
from jaxaimc.training.objectives import circuit, many_chips, objective
from jaxaimc.training.limits.ranges import learn_input_ranges
TASK = tiny_task.task()
RECIPE = dataclasses.replace(TASK.recipe, epochs=2, batch=16)
start = learn_input_ranges(nn.convert(TASK.build(jax.random.key(0)), presets.tile_circuit()), [jnp.eye(3)])
total = objective(TASK.loss, many_chips(circuit(), 2))
"""


def run(program, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run([sys.executable, "-c", SETUP + program], capture_output=True, text=True, env=environment)


def start():
    return learn_input_ranges(nn.convert(TASK.build(jax.random.key(0)), presets.tile_circuit()), [jnp.eye(3)])


def numbers(model):
    return jax.tree.map(np.asarray, nnx.state(model, nnx.Any(nnx.Param, nn.DigitalParam)))


@pytest.mark.slow
def test_a_killed_training_through_the_circuit_ends_with_the_same_numbers(tmp_path):
    killed = run(
        f"def stop(progress):\n"
        f"    if progress.step > progress.steps // 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"fit(TASK, RECIPE, model=start, objective=total, directory={str(tmp_path)!r}, progress=stop)\n"
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    total = objective(TASK.loss, many_chips(circuit(), 2))
    whole = fit(TASK, RECIPE, model=start(), objective=total)
    steps = []
    resumed = fit(
        TASK, RECIPE, model=start(), objective=total, directory=tmp_path, progress=lambda p: steps.append(p.step)
    )
    assert min(steps) > whole.steps // 2
    jax.tree.map(np.testing.assert_array_equal, numbers(resumed.model), numbers(whole.model))
    assert resumed.losses == whole.losses


EVALUATE = """
import jaxaimc.cli
replace, calls = os.replace, []
def killed_while_saving(source, target, **options):
    if os.path.basename(os.path.dirname(target)) == "chunks":
        calls.append(target)
        if len(calls) == {stop}:
            os.kill(os.getpid(), signal.SIGKILL)  # the chunk is written, but not in its place
    return replace(source, target, **options)
os.replace = killed_while_saving
jaxaimc.cli.main(["evaluate", "tiny_task:task", "--examples", "20", "--chips", "2", "--times", "3600",
    "--resistances", "0", "50", "--layer-examples", "10", "--checkpoint", {checkpoint!r}, "--output", {output!r}])
"""


@pytest.mark.slow
def test_a_killed_evaluation_ends_with_the_same_tables(tmp_path):
    checkpoint = fit(TASK, RECIPE, directory=tmp_path / "train").checkpoint

    def evaluated(output, stop):
        program = EVALUATE.format(stop=stop, checkpoint=str(checkpoint), output=str(tmp_path / output))
        return run(program, JAX_PLATFORMS="cpu"), next((tmp_path / output).iterdir())

    whole, expected = evaluated("whole", stop=0)
    assert whole.returncode == 0, whole.stderr
    killed, folder = evaluated("killed", stop=4)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    order = ["study", "name", "t", "compensated", "r", "chip"]
    scores = pl.read_parquet(expected / "scores.parquet").sort(order)
    assert 0 < len(pl.read_parquet(folder / "scores.parquet")) < len(scores)
    resumed, _ = evaluated("killed", stop=0)
    assert resumed.returncode == 0, resumed.stderr
    assert pl.read_parquet(folder / "scores.parquet").sort(order).equals(scores)
    layers = [pl.read_parquet(path / "layers.parquet") for path in (folder, expected)]
    assert layers[0].sort(layers[0].columns).equals(layers[1].sort(layers[1].columns))


@pytest.mark.slow
def test_one_device_and_eight_give_the_same_losses():
    program = (
        "mesh = jax.make_mesh((jax.device_count(),), ('data',))\n"
        "losses = []\n"
        "fit(TASK, RECIPE, model=start, objective=total, mesh=mesh, progress=lambda p: losses.append(p.loss))\n"
        "print(json.dumps([jax.device_count(), losses]))\n"
    )
    curves = {}
    for devices in (1, 8):
        done = run(program, XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}", JAX_PLATFORMS="cpu")
        assert done.returncode == 0, done.stderr
        found, losses = json.loads(done.stdout.splitlines()[-1])
        assert found == devices
        curves[devices] = losses
    # Sums in another order move a value across a step of an ADC here and there.
    np.testing.assert_allclose(curves[8], curves[1], rtol=2e-3)


class Plain(nnx.Module):
    """A network whose examples do not see each other, so that parts of a batch add up to the batch."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 8, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, inputs):
        return self.head(jnp.sqrt(jax.nn.relu(self.hidden(inputs)) + 1e-3))


def plain_task(**changes):
    recipe = dataclasses.replace(RECIPE, augment=None)
    changes = {"build": lambda key: Plain(nnx.Rngs(key)), "recipe": recipe, **changes}
    return dataclasses.replace(TASK, **changes)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole():
    # Few steps: each one lets the rounding of the sums grow.
    task = plain_task()
    recipe = dataclasses.replace(task.recipe, epochs=1, batch=64)
    whole, parts = (fit(task, recipe, optimizer=optax.sgd(0.1), microbatches=number) for number in (1, 4))
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)
    for found, wanted in zip(*(jax.tree.leaves(numbers(report.model)) for report in (parts, whole)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="must be a multiple of microbatches x devices, 5, but is 16"):
        fit(plain_task(), microbatches=5)


def diverging(spoil, optimizer=None, **changes):
    """Return the error of a training whose network was spoiled."""
    task = plain_task(**changes)
    model = task.build(jax.random.key(0))
    spoil(model)
    with pytest.raises(TrainingDivergedError) as caught:
        fit(task, model=model, optimizer=optimizer)
    return str(caught.value)


def test_divergence_names_parameter_layer_and_step():
    # One step with this rate leaves the range of float32.
    assert "at step 2: parameter 'head.bias' is not finite" in diverging(lambda model: None, optimizer=optax.sgd(1e40))

    def large(model):
        model.hidden.kernel[...] = model.hidden.kernel[...].at[:].set(3e38)
        model.hidden.bias[...] = jnp.full(8, 3e38)

    assert "at step 1: layer 'hidden' is the first whose outputs are not finite" in diverging(large)

    spoiled = dataclasses.replace(plain_task().recipe, augment=lambda key, inputs: inputs.at[3, 1].set(jnp.nan))
    message = diverging(lambda model: None, recipe=spoiled)
    assert "at step 1: the inputs are not finite, the first in example 3 of the batch" in message


def test_divergence_between_layers_and_in_the_gradient_alone():
    class Root(Plain):
        def __call__(self, inputs):
            return self.head(jnp.sqrt(self.hidden(inputs)))

    message = diverging(lambda model: None, build=lambda key: Root(nnx.Rngs(key)))
    assert "at step 1: layer 'head' is the first whose inputs are not finite" in message

    class Flat(Plain):
        def __call__(self, inputs):
            return self.head(jnp.sqrt(0.0 * self.hidden(inputs)))

    message = diverging(lambda model: None, build=lambda key: Flat(nnx.Rngs(key)))
    assert "the forward pass is finite, a gradient is not" in message


def test_divergence_is_found_behind_analog_layers_on_many_chips():
    class Root(Plain):
        def __call__(self, inputs):
            return self.head(jnp.sqrt(self.hidden(inputs)))

    task = plain_task(build=lambda key: Root(nnx.Rngs(key)))
    model = nn.convert(task.build(jax.random.key(0)), presets.tile_circuit())
    with pytest.raises(TrainingDivergedError, match="layer 'head' is the first whose inputs are not finite"):
        fit(task, model=model, objective=objective(task.loss, many_chips(circuit(), 2)))


class Seen(nn.Hook):
    """Records the types around an analog product when it is traced."""

    types = []  # noqa: RUF012

    def after(self, call, outputs):
        self.types.append((call.inputs.dtype, call.kernel.dtype, outputs.dtype))
        return outputs


@pytest.mark.slow
def test_only_the_digital_part_computes_in_a_shorter_type():
    seen = []

    class Normed(Plain):
        def __init__(self, rngs):
            super().__init__(rngs)
            self.norm = nnx.LayerNorm(8, rngs=rngs)

        def __call__(self, inputs):
            hidden = self.norm(self.hidden(inputs))
            seen.append(hidden.dtype)
            return self.head(jax.nn.relu(hidden))

    task = plain_task(build=lambda key: Normed(nnx.Rngs(key)))
    model = attach(nn.convert(task.build(jax.random.key(0)), presets.tile_circuit()), lambda dot: Seen())
    total = objective(task.loss, circuit())
    short, plain = (fit(task, model=model, objective=total, digital_dtype=dtype) for dtype in (jnp.bfloat16, None))
    assert {dtype.name for dtype in seen} == {"bfloat16", "float32"}
    # The drive takes what the digital part made; conductances and charges stay in single precision.
    assert {tuple(d.name for d in types) for types in Seen.types} == {("float32", "float32", "float32")}
    np.testing.assert_allclose(short.losses, plain.losses, rtol=0.02)
    assert short.losses != plain.losses
    assert {leaf.dtype for leaf in jax.tree.leaves(numbers(short.model))} == {np.dtype("float32")}
    seen.clear()
    as_digital(short.model)(jnp.ones((2, 3)))
    assert seen == [jnp.float32]
    digital_only = fit(task, digital_dtype=jnp.bfloat16)
    np.testing.assert_allclose(digital_only.losses, fit(task).losses, rtol=0.02)


def test_bad_types_are_refused():
    with pytest.raises(ValueError, match="must be a floating type, but is int32"):
        fit(TASK, digital_dtype=jnp.int32)


def test_the_digital_objective_ignores_the_tiles():
    analog = fit(TASK, RECIPE, model=nn.convert(TASK.build(jax.random.key(0)), presets.tile_circuit()))
    plain = fit(TASK, RECIPE, objective=objective(TASK.loss, digital))
    assert analog.losses == plain.losses
    assert analog.score == plain.score
