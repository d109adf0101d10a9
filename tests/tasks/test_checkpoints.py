import json
import os
import tracemalloc

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from tiny_task import Perceptron

from jaxaimc import AnalogConfig, component
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


def large_file(path, header):
    """A valid file of 6 GB, with nothing on the disk but its header."""
    text = json.dumps(
        {"__metadata__": header, "w": {"dtype": "F32", "shape": [1500000000], "data_offsets": [0, 6000000000]}}
    )
    text += " " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text.encode())
        file.truncate(8 + len(text) + 6_000_000_000)


def memory_of(function):
    """Largest memory that Python's and NumPy's allocations of a call took [bytes]."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_s7_metadata_and_misfits_come_from_the_header_alone(tmp_path):
    large_file(tmp_path / "large", {"jaxaimc": '{"format_version": 1, "note": "much"}'})
    assert memory_of(lambda: checkpoints.metadata(tmp_path / "large")) < 1e6
    assert checkpoints.metadata(tmp_path / "large")["note"] == "much"

    def refused():
        with pytest.raises(checkpoints.CheckpointError, match=r"'w' must have shape \(2,\), but has shape \(1500"):
            checkpoints.load(tmp_path / "large", {"w": jnp.ones(2)})

    assert memory_of(refused) < 1e6


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 8 + b"{}",
        (2**40).to_bytes(8, "little") + b"{}",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        (10).to_bytes(8, "little") + b'{"w": null',
        (0).to_bytes(8, "little"),
    ],
)
def test_s7_files_with_other_headers_are_named(tmp_path, content):
    (tmp_path / "odd").write_bytes(content)
    for read in (checkpoints.metadata, lambda path: checkpoints.load(path, {"w": jnp.ones(2)})):
        with pytest.raises(checkpoints.CheckpointError, match=r"'.*odd' is truncated or no safetensors file"):
            read(tmp_path / "odd")


@pytest.mark.parametrize("version", [0, -1, 3, True, "1", 1.5, None])
def test_s7_other_format_versions_are_refused(tmp_path, version):
    header = {"jaxaimc": json.dumps({"format_version": version})}
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, tmp_path / "other", header)
    with pytest.raises(checkpoints.CheckpointError, match=r"format version -?\d+; .* reads 1 to 2|unreadable"):
        checkpoints.load(tmp_path / "other", {"w": jnp.ones(2)})


def test_s7_files_of_the_first_format_are_read(tmp_path):
    header = {"jaxaimc": json.dumps({"format_version": 1})}
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, tmp_path / "first", header)
    np.testing.assert_array_equal(checkpoints.load(tmp_path / "first", {"w": jnp.zeros(2)})["w"], 1.0)


@pytest.mark.parametrize("entry", ["jaxaimc", "jaxaimc.structure", "jaxaimc.variables"])
@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "3"])
def test_s7_headers_that_are_no_json_objects_are_named(tmp_path, entry, text):
    header = {"jaxaimc": json.dumps({"format_version": 2}), entry: text}
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, tmp_path / "odd", header)
    with pytest.raises(checkpoints.CheckpointError, match=f"unreadable '{entry}' entry"):
        checkpoints.metadata(tmp_path / "odd")


@pytest.mark.parametrize(
    "structure",
    [
        {"w": "texts"},
        {"w": {"type": 3}},
        {"w": {"type": "os.system", "static": {}, "fields": {}}},
        {"w": {"type": "jaxaimc.config.analog.AnalogConfig", "static": {"rows": []}, "fields": {}}},
        {"w": {"type": "jaxaimc.adcs.uniform.Uniform", "static": {"rows": 3}, "fields": {}}},
        {"w": {"key": "no such generator"}},
        {"w": "float"},
        {"v": "float"},
        {"w": None},
        {"w": {"tuple": [{"tuple": ["array"]}]}},
    ],
)
def test_s7_structures_that_cannot_be_are_one_line(tmp_path, structure):
    header = {"jaxaimc": json.dumps({"format_version": 2}), "jaxaimc.structure": json.dumps(structure)}
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, tmp_path / "odd", header)
    for like in (jnp.zeros(2), 1.0, AnalogConfig()):
        with pytest.raises(checkpoints.CheckpointError, match=r"'.*odd' (does not fit|is damaged): ") as caught:
            checkpoints.load(tmp_path / "odd", {"w": like})
        assert "\n" not in str(caught.value)


def test_s7_numbers_that_do_not_fit_are_refused(tmp_path):
    values = {
        "large": (np.array([1.0, 1e300]), jnp.float32, r"'large' must fit into float32, but holds 1e\+300"),
        "half": (np.array([7e4], np.float32), jnp.float16, "'half' must fit into float16, but holds 70000.0"),
        "complex": (np.array([1 + 2j], np.complex64), jnp.float32, "'complex' must hold float32, but holds complex64"),
        "whole": (np.array([2**40]), jnp.int32, f"'whole' must fit into int32, but holds {2**40}"),
        "negative": (np.array([-1], np.int32), jnp.uint32, "'negative' must fit into uint32, but holds -1"),
        "flag": (np.array([2], np.int32), jnp.bool_, "'flag' must hold bool, but holds int32"),
    }
    for name, (value, dtype, message) in values.items():
        checkpoints.save(tmp_path / name, {name: value})
        with pytest.raises(checkpoints.CheckpointError, match=message):
            checkpoints.load(tmp_path / name, {name: jax.ShapeDtypeStruct(value.shape, dtype)})


def test_s7_complex_numbers_and_short_floats_come_back(tmp_path):
    tree = {"c": jnp.array([1 + 2j]), "b": jnp.array([1.5], jnp.bfloat16), "i": jnp.array([-3], jnp.int8)}
    checkpoints.save(tmp_path / "tree", tree)
    chex.assert_trees_all_equal(checkpoints.load(tmp_path / "tree", tree), tree, strict=True)
    with jax.enable_x64(True):
        for dtype in (jnp.complex128, jnp.float8_e4m3fn, jnp.int4):
            name = jnp.dtype(dtype).name
            with pytest.raises(ValueError, match=f"Leaf 'w' must be of a type that safetensors holds, .* is {name}"):
                checkpoints.save(tmp_path / "other", {"w": jnp.ones(1, dtype)})
    assert not (tmp_path / "other").exists()


def test_s2_numbers_among_the_leaves_come_back_as_numbers(tmp_path):
    tree = {"a": 0.1, "n": 3, "on": True, "w": jnp.ones(2), "large": 1e300}
    checkpoints.save(tmp_path / "tree", tree)
    loaded = checkpoints.load(tmp_path / "tree", tree)
    assert {**loaded, "w": None} == {**tree, "w": None}
    assert [type(loaded[name]) for name in ("a", "n", "on")] == [float, int, bool]
    # Arrays where the file has numbers, and the other way round.
    assert checkpoints.load(tmp_path / "tree", {**tree, "a": jnp.zeros(())})["a"].dtype == jnp.float32
    checkpoints.save(tmp_path / "arrays", {"a": jnp.float32(0.5)})
    assert checkpoints.load(tmp_path / "arrays", {"a": 0.0}) == {"a": 0.5}
    with pytest.raises(checkpoints.CheckpointError, match=r"'a' must have shape \(2,\), but has shape \(\)"):
        checkpoints.load(tmp_path / "arrays", {"a": jnp.zeros(2)})
    with pytest.raises(checkpoints.CheckpointError, match="'a' must hold int, but holds float32"):
        checkpoints.load(tmp_path / "arrays", {"a": 1})


def test_s2_leaves_that_are_no_arrays_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"Leaf 'a\.b' must be an array, a number or a random key, but is a str"):
        checkpoints.save(tmp_path / "tree", {"a": {"b": "text"}})
    checkpoints.save(tmp_path / "tree", {"a": 1.0})
    with pytest.raises(ValueError, match=r"Leaf 'a' of argument `like` must be an array or a number, but is a str"):
        checkpoints.load(tmp_path / "tree", {"a": "text"})
    with pytest.raises(ValueError, match="must not have the entry 'format_version'"):
        checkpoints.save(tmp_path / "tree", {"a": 1.0}, {"format_version": 7})


def test_a_field_named_value_keeps_its_name():
    @component
    class Reading:
        value: float = 0.0

    assert list(checkpoints.names({"reading": Reading()})) == ["reading.value"]
    assert list(checkpoints.names({"w": nnx.Param(jnp.ones(1))})) == ["w"]


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
