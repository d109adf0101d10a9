"""A folder of its own for each test of a command, with the weights of the tiny task."""

import os
import sys

import jax
import pytest
import tiny_task

from jaxaimc.tasks import checkpoints, weights


@pytest.fixture
def tiny_folder(monkeypatch, tmp_path):
    """Work in a new folder that has `c.safetensors`; what commands change in the environment is put back."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    checkpoints.save("c.safetensors", weights(tiny_task.task().build(jax.random.key(0))))
    return tmp_path
