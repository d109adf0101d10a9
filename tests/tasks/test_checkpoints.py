import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from tiny_task import Perceptron

from jaxaimc.tasks import checkpoints


@pytest.fixture
def state():
    return nnx.state(Perceptron(nnx.Rngs(0)), nnx.Param)


def test_names_follow_the_path_and_files_keep_every_bit(state, tmp_path):
    path = tmp_path / "deep" / "model.safetensors"
    checkpoints.save(path, state, {"task": "corners", "score": 0.5})
    stored = safetensors.numpy.load_file(path)
    assert set(stored) == {f"{layer}.{x}" for layer in ("hidden", "head") for x in ("kernel", "bias")} | {
        "norm.scale",
        "norm.bias",
    }
    loaded = checkpoints.load(path, jax.tree.map(jnp.zeros_like, state))
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, loaded, state)
    assert checkpoints.metadata(path) == {"task": "corners", "score": 0.5, "format_version": 2}


def test_numbers_are_cast_to_the_wanted_precision(tmp_path):
    checkpoints.save(tmp_path / "half", {"w": jnp.ones(2, jnp.float16)})
    assert checkpoints.load(tmp_path / "half", {"w": jax.ShapeDtypeStruct((2,), jnp.float32)})["w"].dtype == jnp.float32
    with pytest.raises(checkpoints.CheckpointError, match="'w' must hold int32, but holds float16"):
        checkpoints.load(tmp_path / "half", {"w": jnp.ones(2, jnp.int32)})


def test_single_numbers_and_transposed_arrays_keep_their_shape(tmp_path):
    values = {"limit": jnp.float32(2.5), "w": np.arange(6.0, dtype=np.float32).reshape(2, 3).T}
    checkpoints.save(tmp_path / "c", values)
    loaded = checkpoints.load(tmp_path / "c", values)
    jax.tree.map(np.testing.assert_array_equal, loaded, values)
    assert loaded["limit"].shape == ()


def test_a_kernel_named_value_keeps_its_name():
    assert list(checkpoints.names({"attention": {"value": jnp.ones(1)}})) == ["attention.value"]
    with pytest.raises(ValueError, match=r"distinct paths, but has 'a\.b' twice"):
        checkpoints.names({"a.b": 1.0, "a": {"b": 2.0}})


def test_every_misfit_is_named_and_nothing_is_loaded(state, tmp_path):
    path = tmp_path / "model.safetensors"
    other = dict(checkpoints.names(state))
    other.pop("head.bias")
    other["tail.bias"] = jnp.zeros(3)
    other["hidden.kernel"] = jnp.zeros((3, 8))
    other["norm.scale"] = jnp.full(16, jnp.nan)
    checkpoints.save(path, other)
    before = jax.tree.map(np.array, state)
    with pytest.raises(checkpoints.CheckpointError) as caught:
        checkpoints.load(path, state)
    message = str(caught.value)
    assert "tensor 'head.bias' of shape (3,) is missing" in message
    assert "tensor 'tail.bias' of shape (3,) is unexpected" in message
    assert "tensor 'hidden.kernel' must have shape (3, 16), but has shape (3, 8)" in message
    assert "tensor 'norm.scale' must be finite" in message
    jax.tree.map(np.testing.assert_array_equal, before, state)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_files_are_refused(state, tmp_path, kept):
    path = tmp_path / "model.safetensors"
    checkpoints.save(path, state)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(checkpoints.CheckpointError, match="truncated or no safetensors file"):
        checkpoints.load(path, state)


def test_foreign_and_newer_files_are_refused(state, tmp_path):
    text, foreign, newer, broken = (tmp_path / name for name in ("text", "foreign", "newer", "broken"))
    text.write_text("not a checkpoint")
    safetensors.numpy.save_file({"w": np.ones(2)}, foreign)
    safetensors.numpy.save_file({"w": np.ones(2)}, newer, {"jaxaimc": json.dumps({"format_version": 99})})
    safetensors.numpy.save_file({"w": np.ones(2)}, broken, {"jaxaimc": "{"})
    for path, message in [
        (text, "truncated or no safetensors"),
        (foreign, "was not written by jaxaimc"),
        (newer, "has format version 99"),
        (broken, "unreadable 'jaxaimc' entry"),
    ]:
        with pytest.raises(checkpoints.CheckpointError, match=message):
            checkpoints.load(path, state)
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        checkpoints.metadata(tmp_path / "absent")


def test_a_failed_write_leaves_the_old_file_and_no_other(state, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    checkpoints.save(path, state, {"run": 1})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(path, state, {"run": 2})
    assert checkpoints.metadata(path)["run"] == 1
    assert os.listdir(tmp_path) == ["model.safetensors"]
