"""States of a training run that were damaged on the disk."""

import dataclasses
import shutil

import chex
import pytest
import tiny_task
from flax import nnx

from jaxaimc.training import fit

TASK = dataclasses.replace(tiny_task.task(), recipe=dataclasses.replace(tiny_task.task().recipe, epochs=3))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, nnx.state(fit(TASK, directory=folder).model, nnx.Param)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run's folder, whose states may be damaged, and its network."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run", finished[1]


def shorten(path):
    path.write_bytes(path.read_bytes()[:-40])


def damage(folder, epoch, what):
    state = folder / "states" / str(epoch)
    if what == "facts":
        shorten(state / "facts" / "metadata")
    elif what == "nothing left of the facts":
        (state / "facts" / "metadata").write_bytes(b"")
    elif what == "other losses":
        (state / "facts" / "metadata").write_text((state / "facts" / "metadata").read_text().replace("losses", "loss"))
    elif what == "arrays":
        for path in [*state.glob("state/ocdbt.process_0/d/*"), *state.glob("state/d/*")]:
            shorten(path)
    else:
        (state / "state" / "_METADATA").write_text("{")


@pytest.mark.parametrize("what", ["facts", "nothing left of the facts", "other losses", "arrays", "metadata"])
def test_s6_a_damaged_last_state_is_computed_anew_from_the_one_before(run, what):
    folder, network = run
    damage(folder, 3, what)
    epochs = []
    with pytest.warns(UserWarning, match=r"state after epoch 3 in '.*states' cannot be read .* goes on from epoch 2"):
        report = fit(TASK, directory=folder, progress=lambda progress: epochs.append(progress.epoch))
    chex.assert_trees_all_equal(nnx.state(report.model, nnx.Param), network)
    assert set(epochs) == {3}
    # The state is whole again.
    assert fit(TASK, directory=folder).losses == report.losses


def test_s6_where_no_state_can_be_read_the_folder_and_the_remedy_are_named(run):
    folder, _ = run
    for epoch in (2, 3):
        damage(folder, epoch, "facts")
    with pytest.raises(ValueError, match=r"No training state in '.*states' can be read .* delete that one"):
        fit(TASK, directory=folder)
    assert {path.name for path in (folder / "states").iterdir()} >= {"2", "3"}


def test_s6_a_run_goes_on_where_the_devices_it_was_saved_on_do_not_exist(run):
    folder, network = run
    for path in (folder / "states").glob("*/state/_sharding"):
        text = path.read_text()
        assert "cpu:0" in text
        path.write_text(text.replace("cpu:0", "cuda:9"))
    epochs = []
    report = fit(TASK, directory=folder, progress=lambda progress: epochs.append(progress.epoch))
    assert not epochs
    chex.assert_trees_all_equal(nnx.state(report.model, nnx.Param), network)
