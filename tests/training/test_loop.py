import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_task
from flax import nnx

from jaxaimc.tasks import Split, checkpoints, load_model, weights
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import TrainingDivergedError, TrainingProgress, fit, progress_bar

TASK = tiny_task.task()
EPOCH = 78  # 80 batches, less the two that do not fill a third equal chunk
STEPS = 3 * EPOCH


@pytest.fixture(scope="module")
def uninterrupted():
    return fit(TASK)


def assert_same_network(model, other):
    state, expected = nnx.split(model)[1], nnx.split(other)[1]
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for leaf, wanted in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, wanted = jax.random.key_data(leaf), jax.random.key_data(wanted)
        np.testing.assert_array_equal(leaf, wanted)


def test_training_learns_the_task(uninterrupted):
    assert uninterrupted.score > 0.9
    assert uninterrupted.losses[-1] < 0.6 * uninterrupted.losses[0]
    assert len(uninterrupted.losses) == 3
    assert uninterrupted.steps == STEPS
    assert uninterrupted.checkpoint is None
    assert uninterrupted.seconds > 0
    assert uninterrupted.score == pytest.approx(mean_score(TASK, uninterrupted.model, TASK.split("test")))


class InterruptedError(Exception):
    pass


@pytest.mark.parametrize("stop", [EPOCH, 190])
def test_an_interrupted_run_ends_with_the_same_network(stop, uninterrupted, tmp_path):
    def interrupt(progress: TrainingProgress):
        if progress.step >= stop:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(TASK, directory=tmp_path, progress=interrupt)
    assert not (tmp_path / "model.safetensors").exists()
    steps = []
    resumed = fit(TASK, directory=tmp_path, progress=lambda progress: steps.append(progress.step))
    assert_same_network(resumed.model, uninterrupted.model)
    assert resumed.losses == uninterrupted.losses
    assert resumed.score == uninterrupted.score
    # Epochs that were complete are not computed again.
    assert min(steps) > EPOCH * ((stop - 1) // EPOCH)


def test_a_killed_process_leaves_a_run_that_can_go_on(uninterrupted, tmp_path):
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import tiny_task
from jaxaimc.training import fit
from jaxaimc.training.fit.resume import Saver
save = Saver.save
def killed_while_saving(self, epoch, saved):
    if epoch == 2:
        replace = os.rename
        os.rename = os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    save(self, epoch, saved)
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Saver.save = killed_while_saving
fit(tiny_task.task(), directory={str(tmp_path)!r})
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert any((tmp_path / "states").iterdir())
    assert_same_network(fit(TASK, directory=tmp_path).model, uninterrupted.model)


def test_a_finished_run_is_not_trained_again_and_its_checkpoint_loads(tmp_path):
    first = fit(TASK, directory=tmp_path, notes={"chip": "none"})
    again = fit(TASK, directory=tmp_path, notes={"chip": "none"}, progress=lambda _: pytest.fail("trained again"))
    assert_same_network(first.model, again.model)
    assert first.checkpoint is not None
    facts = checkpoints.metadata(first.checkpoint)
    assert facts["task"] == "corners"
    assert facts["score"] == first.score
    assert facts["notes"] == {"chip": "none"}
    assert facts["recipe"]["augment"] == "jitter"
    loaded = load_model(TASK, first.checkpoint)
    jax.tree.map(np.testing.assert_array_equal, weights(loaded), weights(first.model))
    assert not np.array_equal(loaded.norm.mean[...], TASK.build(jax.random.key(0)).norm.mean[...])
    assert mean_score(TASK, loaded, TASK.split("test")) == first.score
    with pytest.raises(checkpoints.CheckpointError, match="trained with another corners"):
        load_model(dataclasses.replace(TASK, assets={"corners": "others"}), first.checkpoint)
    with pytest.raises(FileNotFoundError, match="comes without trained weights"):
        load_model(TASK)
    with pytest.raises(ValueError, match=r"holds a training run with recipe .*delete that one"):
        fit(TASK, dataclasses.replace(TASK.recipe, epochs=4), directory=tmp_path, notes={"chip": "none"})


def test_the_model_one_starts_from_stays_as_it_is():
    model = TASK.build(jax.random.key(3))
    before = nnx.clone(model)
    report = fit(TASK, dataclasses.replace(TASK.recipe, epochs=1), model=model)
    assert_same_network(model, before)
    assert not np.array_equal(report.model.head.kernel[...], model.head.kernel[...])


def test_objective_and_optimizer_of_the_user_are_used():
    model = TASK.build(jax.random.key(0))

    def head_size(model, inputs, targets, key, step):
        return jnp.broadcast_to((model.head.kernel[...] ** 2).sum(), targets.shape)

    recipe = dataclasses.replace(TASK.recipe, epochs=1)
    report = fit(TASK, recipe, model=model, objective=head_size, optimizer=optax.sgd(0.01))
    np.testing.assert_allclose(report.model.head.kernel[...], 0.98**EPOCH * model.head.kernel[...], rtol=1e-4)
    np.testing.assert_array_equal(report.model.hidden.kernel[...], model.hidden.kernel[...])


def test_divergence_names_the_step_and_keeps_what_was_saved(tmp_path):
    train = TASK.split("train")
    inputs = train.inputs.copy()
    inputs[0] = 3e38  # finite, and beyond the largest number once it is weighted
    order = [np.random.default_rng([0, epoch]).permutation(640) for epoch in range(3)]
    bad = int(np.flatnonzero(order[0] == 0)[0]) // 8 + 1
    task = dataclasses.replace(TASK, split=lambda name: Split(inputs, train.targets))
    with pytest.raises(TrainingDivergedError, match=rf"The loss is nan at step {bad}:"):
        fit(task, directory=tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="Field `batch` of the recipe must be at most the 640"):
        fit(TASK, dataclasses.replace(TASK.recipe, batch=641))


@pytest.mark.parametrize("batch", [1, 7, 100, 101, 500])
def test_evaluation_does_not_depend_on_the_batch(batch, uninterrupted):
    test = TASK.split("test")
    scores = TASK.score(uninterrupted.model(jnp.array(test.inputs)), jnp.array(test.targets))
    assert mean_score(TASK, uninterrupted.model, test, batch=batch) == pytest.approx(float(scores.mean()), abs=1e-6)


def test_evaluation_refuses_an_empty_batch(uninterrupted):
    with pytest.raises(ValueError, match="Argument `batch` must be at least 1"):
        mean_score(TASK, uninterrupted.model, TASK.split("test"), batch=0)


def test_progress_bar_shows_loss_and_throughput(capsys):
    with progress_bar("corners") as show:
        show(TrainingProgress(step=32, steps=64, epoch=1, loss=0.5, examples_per_second=1234.0))
    shown = capsys.readouterr().out
    assert "loss 0.5000, 1,234 examples/s" in " ".join(shown.split())
