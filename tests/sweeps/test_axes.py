"""Axes against numpy, itertools and scipy; axes as texts and in files."""

import json

import numpy as np
import pytest
from scipy.stats import qmc

from jaxaimc import AnalogConfig, devices
from jaxaimc.sweeps import Range, Samples, Together, Values
from jaxaimc.sweeps.plan_files import axis_facts, axis_of, read_axes
from jaxaimc.sweeps.texts import axes_of


def test_ranges_are_those_of_numpy():
    assert Range("wires.r", 0.1, 10.0, 7).columns()["wires.r"] == tuple(np.linspace(0.1, 10, 7))
    assert Range("wires.r", 0.1, 10.0, 7, "log").columns()["wires.r"] == tuple(np.geomspace(0.1, 10, 7))


def test_samples_are_those_of_scipy_and_more_of_them_keep_the_first():
    ranges = {"wires.r": (0.1, 10.0, "log"), "adc.bits": (4.0, 8.0)}
    found = Samples(ranges, 12, seed=3).columns()
    unit = qmc.Sobol(2, scramble=True, seed=np.random.default_rng(3)).random_base2(4)[:12]
    np.testing.assert_allclose(found["wires.r"], 10 ** (-1 + 2 * unit[:, 0]), rtol=1e-12)
    np.testing.assert_allclose(found["adc.bits"], 4 + 4 * unit[:, 1], rtol=1e-12)
    more = Samples(ranges, 100, seed=3).columns()
    assert all(more[path][:12] == found[path] for path in ranges)
    assert Samples(ranges, 12, seed=4).columns() != found


@pytest.mark.parametrize(
    "axis",
    [
        Values("rows", [64, 128]),
        Values(["wires.r", "adc.bits"], [1.0, float("inf")]),
        Values("device", {"quiet": devices.IdealDevice(), "noisy": devices.PCM()}),
        Range("wires.r", 0.1, 10.0, 7, "log"),
        Samples({"wires.r": (0.1, 10.0), "adc.bits": (4.0, 8.0, "log")}, 12, seed=3, scale="log"),
        Together([Values("rows", [64, 128]), Values("column_scales", [True, False])]),
    ],
    ids=lambda axis: type(axis).__name__,
)
def test_axes_come_back_from_json(axis):
    assert axis_of(json.loads(json.dumps(axis_facts(axis)))).columns() == axis.columns()


def test_texts():
    axes = axes_of(
        ["wires.r=0.1:10", "rows=64,128", "adc.ramp,adc.gain=0:1:3:linear", "device=devices.PCM,devices.IdealDevice"],
        AnalogConfig(), samples=8, seed=2,
    )  # fmt: skip
    assert axes[0] == Values("rows", [64, 128])
    assert axes[1] == Range(["adc.ramp", "adc.gain"], 0.0, 1.0, 3)
    assert [named.value for named in axes[2].columns()["device"]] == [devices.PCM(), devices.IdealDevice()]
    assert axes[3] == Samples({"wires.r": (0.1, 10.0)}, 8, seed=2)
    assert axes_of(["column_scales=true,False"], AnalogConfig()) == [Values("column_scales", [True, False])]


def test_a_plan_file_is_read_as_toml_and_as_json(tmp_path):
    (tmp_path / "plan.toml").write_text(
        'schema = 1\n[[axes]]\npath = "wires.r"\nlow = 0.1\nhigh = 10\npoints = 3\nscale = "log"\n'
        '[[axes]]\npath = "device"\n[axes.values]\nquiet = { type = "devices.IdealDevice" }\n'
    )
    axes = read_axes(tmp_path / "plan.toml")
    assert axes == [Range("wires.r", 0.1, 10.0, 3, "log"), Values("device", {"quiet": devices.IdealDevice()})]
    (tmp_path / "plan.json").write_text(json.dumps({"schema": 1, "axes": [axis_facts(axis) for axis in axes]}))
    assert read_axes(tmp_path / "plan.json") == axes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Values("wires.r", []), r"`values` of Values for 'wires.r' must hold at least one value"),
        (lambda: Values("wires.r", [1.0, 2.0, 1.0]), r"must hold every value once, but holds 1.0 twice"),
        (lambda: Values("wires.r", "abc"), r"must be a list or a mapping"),
        (lambda: Values("", [1]), r"`path` of Values must be names of fields"),
        (
            lambda: Range("wires.r", 2.0, 1.0, 3),
            r"`low` of Range for 'wires.r' must be less than `high`, .* 2 and .* 1",
        ),
        (lambda: Range("wires.r", 0.0, 1.0, 3, "log"), r"must be above 0 on a logarithmic scale, but is 0"),
        (lambda: Range("wires.r", 0.0, 1.0, 1), r"`points`"),
        (lambda: Range("wires.r", 0.0, float("nan"), 2), r"`high` of Range for 'wires.r' must be a finite number"),
        (lambda: Range("wires.r", 0.0, 1.0, 2, "cubic"), r"must be 'linear' or 'log', but is 'cubic'"),
        (lambda: Samples({}, 8), r"intervals by path, at least one"),
        (lambda: Samples({"a": (1.0,)}, 8), r"must hold \(low, high\) or \(low, high, scale\) for 'a'"),
        (lambda: Samples({"a": (1.0, 2.0)}, 0), r"`n`"),
        (lambda: Together([Values("a", [1]), Values("b", [1, 2])]), r"equally many values, but 'a' has 1, 'b' has 2"),
        (lambda: Together([Values("a", [1]), Values("a", [2])]), r"names 'a' twice"),
        (lambda: Together([]), r"must be axes, at least one"),
    ],
)
def test_bad_axes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("texts", "samples", "message"),
    [
        (["wires.r"], None, r"must hold texts such as PATH=a,b,c, .* but holds 'wires.r'"),
        (["wires.r="], None, r"but holds 'wires.r='"),
        (["wires.r=1,,2"], None, r"must hold values between commas"),
        (["wires.r=1:2:3:4:log"], None, r"must hold texts such as"),
        (["wires.r=1:x:3"], None, r"must hold numbers between colons, but holds 'wires.r=1:x:3'"),
        (["wires.r=1:2:3.5"], None, r"whole number of points"),
        (["wires.r=1:2:log"], None, r"how many points 'wires.r' has, such as wires.r=1:2:16:log, or `samples`"),
        (["wires.r=1:2:3"], 8, r"`samples` needs intervals"),
        (["wires.r=1:2", "wires.r=1:3"], 8, r"names 'wires.r' twice"),
        (["wirs.r=1,2"], None, r"has no field at the path 'wirs.r' \(did you mean 'wires.r'\?\)"),
        (["device=PCM"], None, r"the class 'PCM' is not known \(did you mean 'devices.PCM'\?\)"),
    ],
)
def test_bad_texts(texts, samples, message):
    with pytest.raises(ValueError, match=message):
        axes_of(texts, AnalogConfig(), samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"axes": []}, r"has no 'schema'"),
        ({"schema": 2, "axes": []}, r"`schema` must be 1"),
        ({"schema": 1}, r"`axes` must be a list of at least one axis"),
        ({"schema": 1, "axes": [], "chips": 2}, r"unknown key 'chips'"),
        ({"schema": 1, "axes": [{"path": "wires.r"}]}, r"axes\[0\] must hold one of 'values', .* but holds only path"),
        ({"schema": 1, "axes": [{"path": "wires.r", "value": [1]}]}, r"axes\[0\] must hold one of 'values'"),
        ({"schema": 1, "axes": [{"path": "a", "low": 1, "points": 2}]}, r"axes\[0\] needs the key 'high'"),
        ({"schema": 1, "axes": [{"path": "a", "values": [1], "scal": 1}]}, r"axes\[0\] has no key 'scal'"),
        ({"schema": 1, "axes": [{"path": "a", "values": [{"type": "devices.PMC"}]}]}, r"did you mean 'devices.PCM'"),
        ({"schema": 1, "axes": [{"path": "a", "low": "x", "high": 2, "points": 2}]}, r"must be a finite number"),
        ({"schema": 1, "axes": [{"path": 3, "values": [2]}]}, r"`path` of Values must be names of fields"),
    ],
)
def test_bad_plan_files(content, message, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_axes(path)
    assert str(path) in str(caught.value)
