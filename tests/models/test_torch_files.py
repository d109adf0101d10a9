"""PyTorch's checkpoints, made by PyTorch itself (`torch_files/make.py`), and what others may put in their place."""

import collections
import io
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from models.weights import read
from models.weights.pickle_values import PickleError, read_pickle

FILES = Path(__file__).parent / "torch_files"
NAMES = ("archive.pt", "sequence.th")  # the format of today, and that before version 1.6
BASE = np.arange(24, dtype=np.float32)
WANTED = {
    "plain": BASE.reshape(2, 3, 4),
    "transposed": BASE.reshape(6, 4).T,
    "part": BASE[5:17].reshape(3, 4)[:, 1:3],
    "half": (BASE[:4] / 8).astype(np.float16),
    "bfloat": (BASE[:4] * 100).astype(ml_dtypes.bfloat16),
    "long": np.array([2**40, -3]),
    "count": np.array(7),
    "empty": np.zeros((0, 5), np.float32),
    "parameter": np.array([1.5, -2.5], np.float32),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_as_pytorch_wrote_it(name):
    found = read(FILES / name)
    assert list(found) == [f"module.{key}" for key in WANTED]  # other entries than tensors are left out
    for key, wanted in WANTED.items():
        array = found[f"module.{key}"]
        assert array.dtype == wanted.dtype
        np.testing.assert_array_equal(array, wanted, strict=True)
        assert array.flags.owndata  # or a view of one would keep the others in memory
        assert array.flags.writeable


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_ends_too_early_is_explained(name, tmp_path):
    content = (FILES / name).read_bytes()
    path = tmp_path / name
    for end in {*range(0, len(content), 41), len(content) - 1}:
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=rf"^Weights file '.*{name}' (?s:.*)\.$"):
            read(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_read_or_explained(name, tmp_path):
    content = (FILES / name).read_bytes()
    rng, path, refused = np.random.default_rng(0), tmp_path / name, 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(damaged)
        message = None
        try:
            read(path)
        except ValueError as error:
            message = str(error)
        assert message is None or message.startswith("Weights file '"), message
        refused += message is not None
    assert refused > 20


class Evil:
    """What a pickle can do: import any function and call it."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["archive", "sequence", "bare", "protocol 4"])
def test_nothing_in_a_file_is_run(form, tmp_path):
    marker, path = tmp_path / "run", tmp_path / "evil.pt"
    evil = {"state_dict": Evil(f"touch {marker}")}
    if form == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("evil/data.pkl", pickle.dumps(evil, 2))
    elif form == "sequence":
        parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, evil, [])
        path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    else:
        path.write_bytes(pickle.dumps(evil, 4 if form == "protocol 4" else 2))
    with pytest.raises(ValueError, match=r"evil\.pt' .*names the function '(posix|nt)\.system', which no checkpoint"):
        read(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(evil))
    assert marker.exists()  # so that the test would notice


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0.", "truncated or no pickle"),  # takes from an empty stack
        (b"(lp0.", "the pickle instruction LIST"),
        (b"cos\nsystem\n.", "names the function 'os.system'"),
        (b"(ios\nsystem\n.", "the pickle instruction INST"),
        (b"}(K\x01o.", "the pickle instruction OBJ"),
        (b"ctorch\nFloatStorage\n)\x81.", "the pickle instruction NEWOBJ"),
        (b"ctorch\nFloatStorage\n)R.", "calls what is no function"),
        (b"K\x01)R.", "calls what is no function"),
        (b"ccollections\nOrderedDict\nN}b.", "a dict is due where a NoneType"),
        (b"(ctorch._utils\n_rebuild_tensor\n(ttR.", "truncated or no pickle"),
        (b"}(K\x01u.", "truncated or no pickle"),
        (b"\x80\x02X\xff\xff\xff\x7fabc", "truncated or no pickle"),
        (b"\x80\x02}", "its pickle has no end|truncated"),
        (b"", "truncated"),
        (b"X\x01\x00\x00\x00\xff.", "truncated or no pickle"),  # no text
        (b")" + b"\x85" * 50_000 + b"}h\x00s.", "truncated or no pickle"),
        (b"}" + b")" + b"\x85" * 50_000 + b"Ns.", "has a tuple as a key"),  # too deep for Python to hash
    ],
)
def test_bad_pickles_are_explained(content, message):
    with pytest.raises(PickleError, match=message):
        read_pickle(io.BytesIO(content))


def test_what_python_pickles_comes_back():
    value = {"a": [1, 2.5, None, True, False, -(2**70), "ü"], "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), 3: {}}
    value["again"] = value["a"]
    value["ordered"] = collections.OrderedDict(x=1)
    for protocol in range(2, 6):
        assert read_pickle(io.BytesIO(pickle.dumps(value, protocol))) == value


def tensor(shape, strides, offset=0, numel=4, kind="FloatStorage", key="0"):
    """The pickle of {"w": a tensor}, by the instructions that PyTorch uses."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value):
        return b"J" + struct.pack("<i", value)

    def sizes(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + number(numel)
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + number(offset) + sizes(shape) + sizes(strides)
    return b"\x80\x02}(" + text("w") + rebuild + b"\x89}tRu."


def write_archive(path, pickled, numbers=bytes(16), **others):
    with zipfile.ZipFile(path, "w", others.pop("compression", zipfile.ZIP_STORED)) as archive:
        for name, content in {"data.pkl": pickled, "data/0": numbers, **others}.items():
            archive.writestr(f"w/{name}", content)


def test_bad_tensors_and_archives_are_explained(tmp_path):
    path = tmp_path / "w.pt"
    write_archive(path, tensor((2, 2), (2, 1)))
    np.testing.assert_array_equal(read(path)["w"], np.zeros((2, 2)))
    for pickled, message in [
        (tensor((5,), (1,)), "has a tensor 'w' of shape \\(5,\\)"),
        (tensor((2,), (1,), offset=3), "offset 3 in a storage of 4"),
        (tensor((2, 2), (4, 1)), "strides \\(4, 1\\)"),
        (tensor((2**30, 2**30), (0, 0)), "has a tensor 'w' of shape"),  # a few bytes that stand for 2**62
        (tensor((-1,), (1,)), "something else than a whole number"),
        (tensor((2,), (1, 1)), "1 axes and 2 strides"),
        (tensor((2,), (1,), numel=2**31 - 1), "not of the size that is due"),
        (tensor((2,), (1,), key="7"), "lacks its record 'data/7'"),
        (tensor((2,), (1,), kind="QInt8Storage"), "names the function 'torch.QInt8Storage'"),
        (pickle.dumps({"epoch": 3}), "holds no weights by name, neither on its own nor under 'state_dict'"),
        (pickle.dumps([1, 2]), "holds no weights by name"),
    ]:
        write_archive(path, pickled)
        with pytest.raises(ValueError, match=rf"^Weights file '.*w\.pt' .*{message}"):
            read(path)
    write_archive(path, tensor((4,), (1,)), byteorder=b"big")
    with pytest.raises(ValueError, match="big-endian order"):
        read(path)
    write_archive(path, tensor((4,), (1,)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed or not of the size"):
        read(path)
    write_archive(path, tensor((4,), (1,)), **{"other/data.pkl": b""})
    with pytest.raises(ValueError, match=r"2 records 'data\.pkl'"):
        read(path)
    shutil.make_archive(str(tmp_path / "w"), "zip", FILES, "make.py")
    (tmp_path / "w.zip").rename(path)
    with pytest.raises(ValueError, match=r"0 records 'data\.pkl'"):
        read(path)
    for content in (b"", b"<html>", np.random.default_rng(1).bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"w\.pt' is no PyTorch checkpoint \(read as a pickle, it"):
            read(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match="begins with another pickle than PyTorch's number"):
        read(path)
    with pytest.raises(FileNotFoundError, match="no weights file"):
        read(tmp_path / "absent.pt")
