"""Weights files: what is read from each kind, what does not fit a network, and files that are damaged or foreign."""

import contextlib
import pickle
import struct

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from onnx_files import field, model, node, tensor, varint

from models.weights import Name, fill, read

RNG = np.random.default_rng(0)
ARRAYS = {"a": RNG.normal(size=(3, 2)).astype(np.float32), "b.c": RNG.normal(size=4).astype(np.float16)}


def written(tmp_path, *parts):
    path = tmp_path / "model.onnx"
    path.write_bytes(model(*parts))
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16, np.int8])
def test_safetensors_of_every_precision_are_read(tmp_path, kind):
    array = (10 * RNG.normal(size=(5, 3))).astype(kind)
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file({"x": array}, path)
    found = read(path)["x"]
    assert found.dtype == kind
    np.testing.assert_array_equal(found.astype(np.float32), array.astype(np.float32))


def test_npz_archives_are_read(tmp_path):
    np.savez_compressed(tmp_path / "weights.npz", **ARRAYS)
    found = read(str(tmp_path / "weights.npz"))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_initialisers_of_an_onnx_model_are_read_in_every_encoding(tmp_path):
    x = ARRAYS["a"]
    packed = field(1, 3) + field(1, 2) + field(2, 1) + field(8, "packed") + field(4, x.tobytes())
    small = field(1, varint(2)) + field(2, 3) + field(8, "small") + field(5, -3) + field(5, 7)  # int8 in int32_data
    half = field(1, 2) + field(2, 16) + field(8, "half") + field(5, varint(0x3F80) + varint(0xC000))  # bits
    scalar = field(2, 7) + field(8, "scalar") + field(7, -5)
    path = written(tmp_path, [tensor("raw", x, 1), packed, small, half, scalar])
    found = read(path)
    assert list(found) == ["raw", "packed", "small", "half", "scalar"]
    np.testing.assert_array_equal(found["raw"], x)
    np.testing.assert_array_equal(found["packed"], x)
    assert found["small"].dtype == np.int8
    assert found["small"].tolist() == [-3, 7]
    assert found["half"].astype(float).tolist() == [1.0, -2.0]
    assert found["scalar"].shape == ()
    assert found["scalar"] == -5


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_whole_numbers_with_scales_become_weights(tmp_path, axis):
    q = RNG.integers(-128, 128, (3, 4)).astype(np.int8)
    scale = RNG.uniform(0.1, 1, q.shape[axis]).astype(np.float32)
    zero = RNG.integers(-5, 5, q.shape[axis]).astype(np.int8)
    tensors = [tensor("q", q, 3), tensor("s", scale, 1), tensor("z", zero, 3), tensor("last", ARRAYS["a"], 1)]
    path = written(tmp_path, tensors, [node("DequantizeLinear", ["q", "s", "z"], ["layer.weight"], axis=axis)])
    found = read(path)
    assert list(found) == ["layer.weight", "last"]
    along = (-1, 1) if axis == 0 else (1, -1)
    expected = (q.astype(np.float32) - zero.astype(np.float32).reshape(along)) * scale.reshape(along)
    np.testing.assert_array_equal(found["layer.weight"], expected)


def test_casts_that_are_scaled_become_weights_named_by_the_bias(tmp_path):
    q, bias = RNG.integers(-128, 128, (3, 4)).astype(np.int8), np.zeros(4, np.float32)
    scale = RNG.uniform(0.1, 1, (1, 4)).astype(np.float32)
    nodes = [
        node("Cast", ["val_1_q"], ["val_1_f"], to=1),
        node("Mul", ["val_1_f", "val_1_scale"], ["val_1"]),
        node("MatMul", ["x", "val_1"], ["val_2"]),
        node("Add", ["layer.dense.bias", "val_2"], ["y"]),
    ]
    tensors = [tensor("layer.dense.bias", bias, 1), tensor("val_1_q", q, 3), tensor("val_1_scale", scale, 1)]
    found = read(written(tmp_path, tensors, nodes))
    assert list(found) == ["layer.dense.bias", "layer.dense.kernel"]
    np.testing.assert_array_equal(found["layer.dense.kernel"], q.astype(np.float32) * scale)


def two_layers():
    rngs = nnx.Rngs(0)
    return nnx.Dict(
        layers=nnx.List([nnx.Linear(3, 2, rngs=rngs), nnx.Linear(2, 2, rngs=rngs)]), norm=nnx.BatchNorm(2, rngs=rngs)
    )


NAMES = (
    Name(r"(?:net\.)?(\d)\.weight", r"layers/\1/kernel", "transpose"),
    Name(r"(?:net\.)?(\d)\.bias", r"layers/\1/bias"),
    Name(r"norm\.weight", "norm/scale"),
    Name(r"norm\.(bias|mean|var)", r"norm/\1"),
    Name(r"norm\.std", "norm/var", np.square),
)


def tensors():
    shapes = {"net.0.weight": (2, 3), "net.0.bias": 2, "1.weight": (2, 2), "1.bias": 2}
    shapes |= {"norm.weight": 2, "norm.bias": 2, "norm.mean": 2, "norm.std": 2}
    return {name: RNG.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}


def test_a_network_is_filled_by_rules_and_stays_as_it_was():
    untrained, weights = two_layers(), tensors()
    before = np.array(untrained.layers[0].kernel[...])
    filled = fill(untrained, {**weights, "step": np.array(3)}, NAMES, ignore=["step", "never.*"])
    np.testing.assert_array_equal(untrained.layers[0].kernel[...], before)
    np.testing.assert_array_equal(filled.layers[0].kernel[...], weights["net.0.weight"].T.astype(np.float32))
    np.testing.assert_array_equal(filled.norm.var[...], np.square(weights["norm.std"]).astype(np.float32))
    assert filled.layers[1].kernel[...].dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1.bias": None}, r"missing: 'layers/1/bias'\.$"),
        ({"extra": np.zeros(2)}, r"unexpected: 'extra'\.$"),
        ({"2.bias": np.zeros(2)}, r"unexpected: '2\.bias' \(as 'layers/2/bias'\)"),
        ({"net.0.weight": np.zeros((3, 2))}, r"wrong: 'net\.0\.weight' as .* has shape \(2, 3\) instead of \(3, 2\)"),
        ({"net.0.bias": np.zeros(2, np.int8)}, ".* holds int8 instead of float32"),
        ({"norm.var": np.zeros(2)}, r"wrong: 'norm\.var' and 'norm\.std' are both 'norm/var'"),
        ({f"extra{i}": np.zeros(2) for i in range(9)}, "unexpected: 'extra0', 'extra1', 'extra2', 'extra3' and 5 more"),
        (
            {"1.bias": None, "extra": np.zeros(2), "norm.mean": np.zeros(3)},
            "missing: .*; unexpected: .*; wrong: .*",
        ),
    ],
)  # fmt: skip
def test_bad_tensors_are_listed_in_one_message(change, message):
    changed = {name: array for name, array in {**tensors(), **change}.items() if array is not None}
    with pytest.raises(ValueError, match=f"The tensors do not fit the network: {message}"):
        fill(two_layers(), changed, NAMES)


def test_bad_rules_are_refused():
    with pytest.raises(ValueError, match="Field `pattern` of Name must be a regular expression"):
        Name("(", "x")
    with pytest.raises(
        ValueError, match="Field `change` of Name must be 'transpose', a function or None, but is 'flip'"
    ):
        Name("a", "x", "flip")
    rules = [Name(r"(.*)\.weight", r"\1", lambda array: array.reshape(7)), *NAMES]
    with pytest.raises(ValueError, match=r"wrong: .*'net\.0\.weight' cannot be changed as its rule says"):
        fill(two_layers(), tensors(), [Name(r"net\.0\.weight", "layers/0/kernel", rules[0].change), *NAMES])


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no weights file '.*none\.npz'"):
        read(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"one of \.safetensors, \.npz, \.onnx, \.th, \.pt, \.bin, but is '.*\.h5'"):
        read(tmp_path / "weights.h5")


class Boom:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "onnx"])
def test_bad_files_give_one_sentence(tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    q = RNG.integers(-9, 9, (3, 4)).astype(np.int8)
    if suffix == "safetensors":
        safetensors.numpy.save_file(ARRAYS, path)
    elif suffix == "npz":
        np.savez(path, **ARRAYS)
    else:
        parts = [tensor("q", q, 3), tensor("s", np.ones(4, np.float32), 1)]
        path.write_bytes(model(parts, [node("DequantizeLinear", ["q", "s"], ["w"], axis=1)]))
    whole = path.read_bytes()
    foreign = [b"", b"PK\x03\x04", b"\x00" * 64, b"\xff" * 64, b"not weights at all", pickle.dumps(Boom())]
    foreign += [whole[: len(whole) * part // 23] for part in range(23)]
    for content in foreign:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"Weights file '.*\.{suffix}' is truncated.*\({len(content)} bytes\)"):
            read(path)
    for place in range(0, len(whole), max(1, len(whole) // 150)):  # any byte may be another one
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5B]) + whole[place + 1 :])
        with contextlib.suppress(ValueError):  # anything else would be the traceback of a parser
            read(path)


def test_bad_pickles_in_archives_are_not_run(tmp_path):
    np.savez(tmp_path / "weights.npz", x=np.array([Boom()], object))
    with pytest.raises(ValueError, match=r"Weights file .* holds Python objects"):
        read(tmp_path / "weights.npz")
    np.savez(tmp_path / "weights.npz", x=np.array(["text"]))
    with pytest.raises(ValueError, match="must hold arrays of numbers, but 'x' is <U4"):
        read(tmp_path / "weights.npz")


def test_bad_tensor_types_are_named(tmp_path):
    header = b'{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00")
    with pytest.raises(ValueError, match="but 'x' is of type F8_E4M3"):
        read(path)


@pytest.mark.parametrize(
    ("tensors", "nodes", "message"),
    [
        ([field(1, 2) + field(2, 1) + field(8, "x") + field(9, b"1234")], [], "'x' has 1 numbers for the shape"),
        ([field(2, 8) + field(8, "x")], [], "'x' is of the type number 8"),
        ([field(2, 1) + field(8, "x") + field(14, 1)], [], "'x' lies in another file"),
        (
            [tensor("q", np.zeros((2, 3), np.int8), 3), tensor("s", np.ones(2, np.float32), 1)],
            [node("DequantizeLinear", ["q", "s"], ["w"])],
            r"'w' has scales of shape \(2,\) for numbers of shape \(2, 3\)",
        ),
        (
            [tensor("q", np.zeros((2, 3), np.int8), 3), tensor("s", np.ones((1, 3), np.float32), 1)],
            [node("DequantizeLinear", ["q", "s"], ["w"], block_size=2)],
            "a scale for each block",
        ),
    ],
)  # fmt: skip
def test_bad_onnx_weights_say_what_is_wrong(tmp_path, tensors, nodes, message):
    with pytest.raises(
        ValueError, match=rf"Weights file '.*model\.onnx' .*: tensor .*{message}|Weights file.*{message}"
    ):
        read(written(tmp_path, tensors, nodes))
