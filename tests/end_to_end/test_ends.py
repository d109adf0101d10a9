"""Commands that are killed, told to end, or run out of disk: what is kept, what is said, and how it goes on."""

import os
import signal
import time

import jax
import numpy as np
import polars as pl
import pytest
import safetensors.numpy
import tiny_task
from processes import run_command, start_command

from jaxaimc.tasks import checkpoints, weights

# The digital network and six effects on one chip.
EVALUATE = ["evaluate", "tiny_task:task", "--examples", "8", "--chips", "1", "--layer-examples", "8"]
NOTHING_ELSE = ["--times", "--resistances"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    task = tiny_task.task()
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    checkpoints.save(path, weights(task.build(jax.random.key(0))), {})
    return path


def evaluate(checkpoint, output):
    return [*EVALUATE, "--checkpoint", checkpoint, "--output", output, *NOTHING_ELSE]


def until(process, text):
    """Read the output up to a line that holds a text."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(process.stderr.read())


def test_s5_a_killed_run_leaves_whole_results_and_goes_on(checkpoint, tmp_path):
    process = start_command(evaluate(checkpoint, tmp_path), tmp_path)
    until(process, "input pulses only: ")
    process.kill()
    process.wait()
    (folder,) = tmp_path.iterdir()
    assert pl.read_parquet(folder / "scores.parquet")["name"].to_list()[:2] == ["digital", "input pulses only"]
    (folder / "chunks" / ".x.parquet.y.unfinished").write_bytes(b"half")
    os.utime(folder / "chunks" / ".x.parquet.y.unfinished", (0, 0))
    done = run_command(evaluate(checkpoint, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    computed = [line.split("%  ")[1].split(":")[0] for line in done.stdout.splitlines() if "%  " in line]
    assert "digital" not in computed
    assert computed[-1] == "everything"
    assert len(pl.read_parquet(folder / "scores.parquet")) == 7
    assert sorted(path.name for path in folder.iterdir()) == [
        "chunks", "figure.png", "layers.parquet", "run.json", "scores.parquet", "settings.json",
    ]  # fmt: skip
    assert len(list((folder / "chunks").iterdir())) == 7


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_s6_signals_end_an_evaluation_with_what_is_kept(name, status, checkpoint, tmp_path):
    process = start_command(evaluate(checkpoint, tmp_path), tmp_path)
    until(process, "digital: ")
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate()
    assert process.returncode == status
    (line,) = errors.splitlines()
    assert line.startswith("Interrupted: ")
    assert "finished rows are kept in" in line


@pytest.mark.parametrize("wait", [0.05, 0.5, 1.0, 1.5])
def test_s6_a_signal_during_imports_is_one_line(wait, tmp_path):
    code = "import jaxaimc.cli as cli; print('ready', flush=True); cli.main()"
    process = start_command(["evaluate", "--checkpoint", "absent"], tmp_path, code=code)
    until(process, "ready")
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert len(errors.splitlines()) == 1
    # On a fast machine the command may have ended by itself.
    assert (process.returncode, errors) == (130, "Interrupted.\n") or "There is no checkpoint" in errors


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [(["evaluate", "--checkpoint", "absent"], 2, "There is no checkpoint"), (["config"], 0, "AnalogConfig")],
)
def test_a_signal_after_the_end_says_nothing_and_loses_nothing(arguments, status, words, tmp_path):
    code = (
        "import atexit, os, signal, jaxaimc.cli as cli;"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT));"
        "cli.main()"
    )
    process = start_command(arguments, tmp_path, code=code)
    output, errors = process.communicate()
    assert process.returncode == status, errors
    assert words in (errors if status else output)
    assert len(errors.splitlines()) == bool(status)


def test_s4_a_full_disk_ends_an_evaluation_in_one_line_and_it_goes_on(checkpoint, small_disk, tmp_path):
    disk, grow = small_disk
    done = run_command(evaluate(checkpoint, disk), tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: [Errno 28] No space left on device: ")
    (folder,) = disk.iterdir()
    assert len(pl.read_parquet(folder / "scores.parquet")) >= 1
    assert grow().returncode == 0
    done = run_command(evaluate(checkpoint, disk), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(pl.read_parquet(folder / "scores.parquet")) == 7


def test_s6_a_full_disk_ends_training_in_one_line(small_disk, tmp_path):
    disk, _ = small_disk
    done = run_command(["train", "tiny_task:task", "--output", disk, "--epochs", "2"], tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: The state after epoch 1 could not be saved in ")


def test_s6_a_damaged_last_training_state_is_named_and_the_one_before_it_used(tmp_path):
    train = ["train", "tiny_task:task", "--output", tmp_path, "--epochs", "3"]
    assert run_command(train, tmp_path).returncode == 0
    model = tmp_path / "model.safetensors"
    trained = safetensors.numpy.load_file(model)
    model.unlink()
    for file in (path for path in (tmp_path / "states" / "3" / "facts").rglob("*") if path.is_file()):
        file.write_bytes(b"")
    again = run_command(train, tmp_path)
    assert again.returncode == 0, again.stderr
    (line,) = again.stderr.splitlines()
    assert line.startswith("Warning: The training state after epoch 3 in ")
    assert line.endswith("it was removed, and training goes on from epoch 2.")
    for name, tensor in safetensors.numpy.load_file(model).items():
        np.testing.assert_array_equal(tensor, trained[name])
