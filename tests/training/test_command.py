"""`jaxaimc train` beyond the digital network: objectives, chips, parts, devices, and what it refuses."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxaimc import cli, presets
from jaxaimc.cli import parser
from jaxaimc.config import dumps
from jaxaimc.tasks import checkpoints

TESTS = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """The command sets variables of the process and imports from the current directory."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setattr(sys, "path", [str(TESTS), *sys.path])


def train(output, *arguments):
    parser.run(["train", "tiny_task:task", "--output", str(output), "--epochs", "1", "--batch", "16", *arguments])


@pytest.mark.slow
def test_training_through_the_circuit_from_a_checkpoint(tmp_path, capsys):
    train(tmp_path / "digital", "--learning-rate", "0.02")
    assert "fresh chips" not in capsys.readouterr().out
    config = tmp_path / "tile.json"
    config.write_text(dumps(presets.standard_aimc()))
    weights = tmp_path / "digital" / "model.safetensors"
    options = ["--objective", "circuit", "--chips", "2", "--microbatches", "2", "--bfloat16", "--fresh-chips", "2"]
    train(tmp_path / "circuit", *options, "--checkpoint", str(weights), "--config", str(config))
    text = capsys.readouterr().out
    assert "accuracy on 2 fresh chips: " in text
    facts = checkpoints.metadata(tmp_path / "circuit" / "model.safetensors")
    assert facts["notes"]["objective"] == "circuit"
    assert facts["notes"]["chips"] == 2
    assert facts["notes"]["digital_dtype"] == "bfloat16"
    assert facts["losses"][0] < checkpoints.metadata(weights)["losses"][0]
    # The same command finds everything done; another objective in the same folder is refused.
    before = (tmp_path / "circuit" / "model.safetensors").read_bytes()
    train(tmp_path / "circuit", *options, "--checkpoint", str(weights), "--config", str(config))
    assert (tmp_path / "circuit" / "model.safetensors").read_bytes() == before
    assert refused(capsys, tmp_path / "circuit", "--checkpoint", str(weights)).startswith("Error: Folder")


def test_gaussian_noise_of_strength_zero_is_digital_training(tmp_path):
    losses = {}
    for strength in ("0", "0.5"):
        train(tmp_path / strength, "--objective", "gaussian", "--strength", strength, "--fresh-chips", "1")
        losses[strength] = checkpoints.metadata(tmp_path / strength / "model.safetensors")["losses"]
    train(tmp_path / "digital")
    digital = checkpoints.metadata(tmp_path / "digital" / "model.safetensors")["losses"]
    np.testing.assert_allclose(losses["0"], digital, rtol=1e-5)
    assert losses["0.5"][0] > 1.01 * digital[0]


def refused(capsys, output, *arguments):
    """Return the one line with which the command stops."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "tiny_task:task", "--output", str(output), "--epochs", "1", *arguments])
    assert stop.value.code == 2
    streams = capsys.readouterr()
    return streams.err.strip() or streams.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objective", "magic"], "invalid choice 'magic'"),
        (["--strength", "0.1"], "Argument `strength` needs --objective gaussian, but that is digital."),
        (["--objective", "gaussian", "--chips", "2"], "Argument `chips` needs --objective circuit"),
        (["--ideal-backward"], "Argument `ideal_backward` needs --objective circuit, but that is digital."),
        (["--config", "tile.json"], "Argument `config` needs --objective gaussian or circuit, but that is digital."),
        (["--objective", "gaussian", "--strength", "-1"], "Field `scale` of AdditiveNoise must be in [0, inf)"),
        (["--objective", "circuit", "--chips", "0"], "Argument `chips` must be at least 1, but is 0."),
        (["--objective", "circuit", "--chips", "3"], "Argument `chips` must divide the batch of 8, but is 3."),
        (["--microbatches", "3"], "must be a multiple of microbatches x devices, 3, but is 8."),
        (["--devices", "64"], "but is 64; XLA_FLAGS=--xla_force_host_platform_device_count=64"),
        (["--objective", "circuit", "--config", "absent.json"], "absent.json"),
        (["--checkpoint", "absent.safetensors"], "absent.safetensors"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments, message, tmp_path, capsys):
    # tyro draws its own errors in a box, which breaks lines.
    assert message in " ".join(refused(capsys, tmp_path, *arguments).split())


def test_bad_config_and_foreign_checkpoint_are_refused(tmp_path, capsys):
    config = tmp_path / "tile.json"
    config.write_text("{ not json")
    assert "tile.json" in refused(capsys, tmp_path / "run", "--objective", "circuit", "--config", str(config))
    foreign = tmp_path / "foreign.safetensors"
    checkpoints.save(foreign, {"other": np.zeros(3, np.float32)}, {})
    assert "does not fit" in refused(capsys, tmp_path / "run", "--checkpoint", str(foreign))
