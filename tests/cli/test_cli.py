"""The command line: real commands of seconds, and one clear line for everything a user can get wrong."""

import contextlib
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import polars as pl
import pytest
from processes import run_command

from jaxaimc import cli, presets
from jaxaimc.cli import parser, signals, startup
from jaxaimc.config import dumps, loads

TESTS = Path(__file__).parent.parent
EVALUATE = ["evaluate", "tiny_task:task", "--examples", "20", "--chips", "2", "--times", "3600", "--resistances"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Commands set variables of the process and import from the current directory."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def _signals():
    """A shell lets its background jobs ignore Ctrl-C, `nohup` a hangup, and so would these tests."""
    heeded = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in heeded.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train the tiny task through the command line."""
    output = tmp_path_factory.mktemp("train")
    done = run_command(["train", "tiny_task:task", "--output", str(output), "--epochs", "4"], TESTS)
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def test_train_writes_weights_and_says_where(trained):
    output, text = trained
    assert "accuracy on the test examples: 0.9" in text or "accuracy on the test examples: 1.0" in text
    assert str(output / "model.safetensors") in "".join(text.split("\n"))
    assert (output / "model.safetensors").is_file()


def test_config_prints_the_schema_of_config_files(capsys):
    cli.main(["config", "--schema"])
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "wires.Ladder" in json.dumps(schema)


def test_evaluate_writes_tables_and_figure_and_resumes(trained, tmp_path):
    arguments = [*EVALUATE, "0", "50", "--checkpoint", str(trained[0] / "model.safetensors"), "--output", str(tmp_path)]
    done = run_command(arguments, TESTS)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("corners-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "chunks",
        "figure.png",
        "layers.parquet",
        "run.json",
        "scores.parquet",
        "settings.json",
    ]
    scores = pl.read_parquet(folder / "scores.parquet")
    assert scores["examples"].unique().to_list() == [20]
    everything = scores.filter((pl.col("study") == "effect") & (pl.col("name") == "everything"))
    assert f"{everything['score'].mean():.4f}" in done.stdout
    for part in (
        "Effects",
        "Everything, after a time",
        "1 hour",
        "50 ohm",
        "Output error of each layer",
        "Cost of an inference",
        "TOPS/W",
        "figure.png",
    ):
        assert part in done.stdout
    assert json.loads((folder / "run.json").read_text())["command"][:3] == ["jaxaimc", "evaluate", "tiny_task:task"]

    record = json.loads((folder / "run.json").read_text())
    assert (record["analog_products"], record["digital_products"]) == (2, 0)
    assert "2 of 2 products on tiles" in done.stdout
    assert 0 < record["cost"]["energy"] == pytest.approx(sum(record["cost"]["energy_by_part"].values()))
    assert set(record["cost"]["layers"]) == {product["path"] for product in record["products"]}

    # Tables are lost, and two scenarios; the same command computes these two alone.
    (folder / "scores.parquet").unlink()
    for chunk in (folder / "chunks").iterdir():
        if 50.0 in pl.read_parquet(chunk)["r"]:
            chunk.unlink()
    again = run_command(arguments, TESTS)
    assert again.returncode == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if " %  " in line] == [
        line for line in again.stdout.splitlines() if "50 ohm per segment" in line
    ]
    assert pl.read_parquet(folder / "scores.parquet").equals(scores)


def test_config_prints_a_file_that_can_be_read(capsys):
    cli.main(["config"])
    assert loads(capsys.readouterr().out) == presets.tile_circuit()


def _refused(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.err.startswith("Error: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["config", "toaster"], "Argument `name` must be one of "),
        (["evaluate", "models.vit"], "must have the form 'package.module:factory', but is 'models.vit'"),
        (["evaluate", "no_such_package:task"], "there is no module 'no_such_package'"),
        (["evaluate", "tiny_task:absent"], "module 'tiny_task' has no attribute 'absent'"),
        (["evaluate", "--data", "/no/such/folder"], "Argument `data` must be an existing folder"),
        (["evaluate", "--checkpoint", "absent.safetensors"], "There is no checkpoint 'absent.safetensors'"),
        (["evaluate", "--config", "absent.json"], "There is no config file 'absent.json'"),
        (["evaluate", "--examples", "0"], "Field `examples` of Settings must be an integer in [1, inf), but is 0"),
        (["evaluate", "--chips", "0"], "Field `chips` of Settings must be an integer in [1, inf), but is 0"),
        (["evaluate", "--resistances", "-1"], "Field `resistances` of Settings must hold values in [0, inf) ohm"),
        (["evaluate", "tiny_task:task"], "Task 'corners' comes without trained weights"),
        (["evaluate", "--resistances", "1e39"], "that float32 can hold"),
        (["train", "tiny_task:task", "--output", "unused", "--epochs", "0"], "Field `epochs` of the recipe"),
        (
            ["train", "tiny_task:task", "--output", "unused", "--epochs", "1000000000"],
            "give fewer than 2**31 steps",
        ),
    ],
)
def test_bad_arguments(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.syspath_prepend(TESTS.parent)
    monkeypatch.chdir(tmp_path)
    assert message in _refused(capsys, arguments)
    assert list(tmp_path.iterdir()) == []


def test_bad_config_value(capsys, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(TESTS.parent)
    config = json.loads(dumps(presets.tile_circuit()))
    config["config"]["wires"]["r"] = -0.15
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert "Field `r` of Ladder must be in [0, " in _refused(capsys, ["evaluate", "--config", str(path)])


def test_bad_checkpoint_of_another_network(capsys, monkeypatch, trained):
    monkeypatch.syspath_prepend(TESTS.parent)
    message = _refused(capsys, ["evaluate", "--checkpoint", str(trained[0] / "model.safetensors")])
    assert "does not fit: tensor 'blocks.0.attention" in message


def test_bad_checkpoint_truncated(capsys, monkeypatch, trained, tmp_path):
    monkeypatch.syspath_prepend(TESTS.parent)
    path = tmp_path / "half.safetensors"
    path.write_bytes((trained[0] / "model.safetensors").read_bytes()[:500])
    message = _refused(capsys, ["evaluate", "tiny_task:task", "--checkpoint", str(path)])
    assert "is truncated or no safetensors file (500 bytes)" in message


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match=r"Argument `name` must be one of .*tile_circuit"):
        cli.main(["config", "toaster", "--debug"])


def test_interruption_says_what_is_kept(capsys, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt("Interrupted: 3 finished rows are kept")

    monkeypatch.setattr(parser, "run", interrupted)
    with pytest.raises(SystemExit) as stop:
        cli.main(["config"])
    assert stop.value.code == 130
    assert "3 finished rows are kept" in capsys.readouterr().err


def test_missing_extras_are_named(capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tyro" else find(name))
    message = _refused(capsys, ["config"])
    assert "needs tyro: pip install 'jaxaimc[app]'" in message


def test_a_users_own_flags_stay(monkeypatch):
    monkeypatch.setattr(startup, "entry_points", lambda group: ())
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
    startup.prefer_short_compilation()
    assert os.environ["XLA_FLAGS"] == "--xla_backend_optimization_level=3"
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    startup.prefer_short_compilation()
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=x --xla_backend_optimization_level=1"


def test_accelerators_keep_their_optimisation(monkeypatch):
    monkeypatch.setattr(startup, "entry_points", lambda group: ("cuda",))
    monkeypatch.setenv("XLA_FLAGS", "")
    startup.prefer_short_compilation()
    assert os.environ["XLA_FLAGS"] == ""


TASK = """
import dataclasses
import tiny_task
{top}

def task(data=None):
    {body}
    return dataclasses.replace(tiny_task.task(), name="a [/red] task", metric="[bold]")
"""


@pytest.mark.parametrize(
    ("top", "body", "message"),
    [
        ("def oops(:", "", "SyntaxError in {file}, line 4: "),
        ("1 / 0", "", "ZeroDivisionError in {file}, line 4: division by zero"),
        ("", "undefined", "NameError in {file}, line 7: name 'undefined' is not defined"),
        ("", "task()", "RecursionError in {file}, line 7: maximum recursion depth"),
        ("", "raise SystemExit(0)", "SystemExit in {file}, line 7: 0"),
        ("", "raise ValueError", "ValueError in {file}, line 7: no message"),
        ("", "assert data", "AssertionError in {file}, line 7: no message"),
        ("import csv, io", "next(csv.reader(io.StringIO('x' * 200_000)))", "Error in {file}, line 7: field larger"),
        ("", "raise MemoryError", "There is not enough memory: lower --batch or --chips."),
    ],
)
def test_s4_faults_of_a_task_module_are_one_line(capsys, monkeypatch, tmp_path, top, body, message):
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"faulty_{abs(hash((top, body)))}.py"
    file.write_text(TASK.format(top=top, body=body))
    text = _refused(capsys, ["evaluate", f"{file.stem}:task"])
    assert message.format(file=file) in text
    assert len(text.splitlines()) == 1


def test_s4_faults_of_the_program_show_their_traceback(monkeypatch):
    monkeypatch.setattr(parser, "Annotated", {})
    with pytest.raises(KeyError):
        cli.main(["config"])


def test_s4_config_that_nests_too_deep(capsys, tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    assert "deep.json': objects and lists are nested more than 50 deep" in _refused(
        capsys, ["evaluate", "--config", str(path)]
    )


def test_s8_more_chips_than_memory_holds_are_refused_before_anything_is_made(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    message = _refused(capsys, ["evaluate", "--chips", "1000000000"])
    assert "Field `chips` of Settings must be at most " in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_s6_a_signal_that_a_callback_swallows_ends_the_command_at_the_next_step(capsys, monkeypatch, name, status):
    def swallowing(arguments):
        with signals.gently():
            with contextlib.suppress(KeyboardInterrupt):  # as a callback of JAX does
                signal.raise_signal(getattr(signal, name))
            signals.check()
        raise AssertionError("went on")

    monkeypatch.setattr(parser, "run", swallowing)
    before = signal.getsignal(getattr(signal, name))
    with pytest.raises(SystemExit) as stop:
        cli.main(["config"])
    assert stop.value.code == status
    assert capsys.readouterr().err == "Interrupted.\n"
    assert signal.getsignal(getattr(signal, name)) is before


@pytest.mark.usefixtures("_signals")
def test_s6_an_interruption_that_becomes_another_error_is_still_one(capsys, monkeypatch):
    def converting(arguments):
        try:
            with signals.gently():
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy could not be imported") from None

    monkeypatch.setattr(parser, "run", converting)
    with pytest.raises(SystemExit) as stop:
        cli.main(["config"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_s6_what_is_ignored_from_the_start_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.watched():
            signal.raise_signal(signal.SIGHUP)
            signals.check()
    finally:
        signal.signal(signal.SIGHUP, before)
