"""Configs as JSON: what is written is read back, and every file that is no config is refused with the reason."""

import functools
import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxaimc import AnalogConfig, _core, adcs, cells, component, config, devices, drives, leaf, presets, wires
from jaxaimc.config import ConfigFileError, parse
from jaxaimc.units import uS


@component
class HalvingADC(adcs.ADC):
    """A component of a user: digitises to half the charge."""

    factor: float = leaf(0.5, low=0.0, high=1.0)

    def convert(self, q, readout, key=None):
        return self.factor * q


@component
class BrokenADC(HalvingADC):
    """A component of a user whose check does not work."""

    def check(self):
        raise KeyError("too much")


CONFIGS = [
    AnalogConfig(),
    presets.tile_circuit(),
    AnalogConfig(wires=wires.NoWires(), adc=adcs.Uniform(bits=6.0), drive=drives.SplitPWM(low_bits=2), rows=64),
    AnalogConfig(adc=HalvingADC(factor=0.25)),
    AnalogConfig(adc=adcs.CCO(max_count=127.0)),
    AnalogConfig(adc=adcs.Mismatch(adc=adcs.Uniform(bits=np.float32(6.5)), gain=0.01)),
    AnalogConfig(cell=cells.DifferentialSlices(bits=5, widths=(2, 2)), drive=drives.BitGroups(widths=[2, 3])),
]


@pytest.mark.parametrize("written", CONFIGS)
def test_round_trip(written, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config.dumps(written))
    read = config.load(path)
    assert read == written
    assert config.dumps(read) == config.dumps(written)


def test_arrays_are_lists():
    written = AnalogConfig(adc=adcs.Uniform(range=adcs.Symmetric(limit=jax.numpy.array([[4.0], [2.0]]))))
    read = config.loads(config.dumps(written))
    np.testing.assert_array_equal(read.adc.range.limit, [[4.0], [2.0]])
    with pytest.raises(ValueError, match="Field `r` of Ladder must be one number"):
        config.dumps(AnalogConfig(wires=wires.Ladder(r=np.array([1.0, 2.0]))))


def test_the_text_is_plain_json_with_public_names():
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(config.dumps(presets.tile_circuit()), parse_constant=refuse)
    assert content["schema"] == 2
    assert content["config"]["type"] == "AnalogConfig"
    assert content["config"]["device"]["programming"]["std"]["type"] == "devices.Polynomial"
    assert content["config"]["adc"]["max_count"] == "inf"
    assert json.loads(config.dumps(CONFIGS[3]))["config"]["adc"]["type"] == f"{__name__}.HalvingADC"


def test_public_names_are_unique():
    taken = {}
    for part in component_classes():
        name = config.names.public_name(part)
        assert taken.setdefault(name, part) is part, name


def component_classes():
    definitions = config.schema()["$defs"]
    return [cls for name, cls in config.names.classes().items() if name in definitions]


def test_fields_left_out_keep_their_defaults():
    assert config.loads('{"schema": 2, "config": {"type": "AnalogConfig", "rows": 8}}') == AnalogConfig(rows=8)


def test_numbers_are_read_as_floats_and_lists_as_what_the_field_holds():
    text = _edited(lambda c: c["wires"].update(r=1))
    assert isinstance(config.loads(text).wires.r, float)
    assert config.loads(text).device.programming.std.coefficients == (0.26348, 1.965, -1.1731)


def _edited(change):
    content = json.loads(config.dumps(presets.tile_circuit()))
    change(content["config"])
    return json.dumps(content)


def _refused(text):
    """Return the message of a refused text: one line."""
    with pytest.raises(ConfigFileError) as caught:
        config.loads(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


_SPAN_WITHOUT_ENDS = {"type": "adcs.Uniform", "range": {"type": "adcs.Span", "low": 0.0}}
_LADDER = {"type": "wires.Ladder"}
_EMPTY = {"type": "devices.Polynomial", "coefficients": []}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        # Components in the wrong place: field, class and role.
        ("adc", 3, "config.adc: Field `adc` of AnalogConfig must be an ADC of `jaxaimc.adcs` ... but is 3."),
        ("adc", None, "Field `adc` of AnalogConfig must be an ADC of `jaxaimc.adcs` ... but is None."),
        ("adc", [{"type": "adcs.CCO"}], "Field `adc` of AnalogConfig must be an ADC"),
        ("adc", "adcs.CCO", "Field `adc` of AnalogConfig must be an ADC of `jaxaimc.adcs` ... but is 'adcs.CCO'."),
        (
            "wires",
            {"type": "adcs.CCO"},
            "Field `wires` of AnalogConfig must be a Wires of `jaxaimc.wires` ... but is a CCO, which is an ADC.",
        ),
        (
            "drive.range",
            _LADDER,
            "Field `range` of PWM must be an InputRange of `jaxaimc.drives` ... but is a Ladder, which",
        ),
        (
            "adc",
            {"type": "adcs.Uniform", "range": _LADDER},
            "config.adc.range: Field `range` of Uniform must be a Range of `jaxaimc.adcs`",
        ),
        ("device.programming.std", _LADDER, "Field `std` of PCMProgrammingNoise must be a Curve of `jaxaimc.devices`"),
        (
            "device",
            {"type": "devices.NoDrift"},
            "Field `device` of AnalogConfig must be a Device of `jaxaimc.devices` ... but is a NoDrift, which",
        ),
        ("wires.r", _LADDER, "config.wires.r: Field `r` of Ladder must be a number"),
        # Values that are none.
        ("column_scales", 0.5, "config: Field `column_scales` of AnalogConfig must be true or false, but is 0.5."),
        (
            "column_scales",
            float("nan"),
            "config.column_scales: Field `column_scales` of AnalogConfig must be true or false, but is NaN.",
        ),
        ("wires.alternate", 7, "config.wires: Field `alternate` of Ladder must be true or false, but is 7."),
        (
            "device.programming.std",
            _EMPTY,
            "config.device.programming.std: Field `coefficients` of Polynomial must hold at least one number",
        ),
        ("wires.r", [1.0, 2.0], "config.wires: Field `r` of Ladder must be one number, but has shape (2,)"),
        ("wires.r", [], "Field `r` of Ladder must"),
        ("wires.r", [[1.0], 2.0], "Field `r` of Ladder must be"),
        (
            "wires.r",
            "0.15",
            "config.wires.r: Field `r` of Ladder must be a number [ohm], but is '0.15'.",
        ),
        ("wires.r", None, "Field `r` of Ladder must be a number"),
        ("wires.r", True, "Field `r` of Ladder must be a number"),
        (
            "wires.r",
            {},
            "config.wires.r: Field `r` of Ladder must be a number [ohm], but is an object.",
        ),
        (
            "wires.r",
            float("nan"),
            "config.wires.r: Field `r` of Ladder must be a number [ohm], but is NaN.",
        ),
        (
            "wires.r",
            float("inf"),
            "config.wires.r: Field `r` of Ladder must be a number [ohm], but is Infinity.",
        ),
        ("wires.r", "inf", "config.wires: Field `r` of Ladder must be in [0, ... ohm, but is inf ohm."),
        ("wires.r", -1, "config.wires: Field `r` of Ladder must be in [0, ... ohm, but is -1 ohm."),
        ("wires.r", 10**4200, "Field `r` of Ladder must be a number"),
        ("rows", 10**4200, "Field `rows` of AnalogConfig must be"),
        ("rows", 0, "config: Field `rows` of AnalogConfig must be an integer in [1, 65536], but is 0."),
        ("rows", 8.0, "config: Field `rows` of AnalogConfig must be an integer in [1, 65536], but is 8.0."),
        ("rows", [8], "Field `rows` of AnalogConfig must be an integer"),
        ("drive.bits", 40, "config.drive: Field `bits` of PWM must be an integer in [2, 16], but is 40."),
        (
            "drive",
            {"type": "drives.SplitPWM", "bits": 4, "low_bits": 4},
            "Field `low_bits` of SplitPWM must be an integer in [1, 2], but is 4",
        ),
        ("cell.g_min", 30 * uS, "config.cell: Field `g_min` of Differential must be less than `g_max`"),
        # Values that single precision loses.
        (
            "cell.g_max",
            1e-30,
            "config.cell: Field `g_max` of Differential must be zero or 1e-15 to 1e+03 S in size, but is 1e-30 S",
        ),
        ("drive.t_lsb", 1e30, "Field `t_lsb` of PWM must be zero or 1e-15 to 1e+12 s in size, but is 1e+30 s"),
        ("adc.i_ref", 1e38, "Field `i_ref` of CCO must be zero or 1e-18 to 1e+03 A in size, but is 1e+38 A"),
        # Names.
        ("wires.ohms", 1, "config.wires has no field 'ohms'; Ladder has: r, "),
        ("wires.alternat", True, "config.wires has no field 'alternat' (did you mean 'alternate'?)"),
        (
            "device.retention",
            {"type": "devices.NoDrift"},
            "config.device has no field 'retention', which is 'drift' since schema 2.",
        ),
        ("wires", {"r": 1.0}, 'config.wires must name its class under "type", but has None there.'),
        ("wires.type", ["wires.Ladder"], 'config.wires must name its class under "type", but has'),
        (
            "wires.type",
            "wires.Laddr",
            "config.wires: the class 'wires.Laddr' is not known (did you mean 'wires.Ladder'?).",
        ),
        ("wires.type", "Ladder", "config.wires: the class 'Ladder' is not known (did you mean 'wires.Ladder'?)."),
        (
            "wires.type",
            "jaxaimc.wires.ladder.Ladder",
            "config.wires: the class 'jaxaimc.wires.ladder.Ladder' of schema 1 is \"wires.Ladder\" in schema 2.",
        ),
        (
            "wires.type",
            "wires.Gated",
            "config.wires: the class 'wires.Gated' of schema 1 is \"wires.OpenIdle\" in schema 2.",
        ),
        (
            "wires.type",
            "os.system",
            "config.wires: the class 'os.system' is not known: the module 'os' has no such component.",
        ),
        (
            "wires.type",
            "my_parts.deep.Wires",
            "the class 'my_parts.deep.Wires' is not known: import the module 'my_parts.deep' first, if it is yours.",
        ),
        ("wires.type", "wires.Wires", "config.wires: the class 'wires.Wires' is not known"),
        ("adc", _SPAN_WITHOUT_ENDS, "config.adc.range of class Span needs the field 'high'."),
        ("adc", {"type": f"{__name__}.BrokenADC"}, "config.adc: BrokenADC cannot be made: KeyError: 'too much'"),
    ],
)
def test_bad_config_s3_names_field_class_and_role(path, value, message):
    *owner, name = path.split(".")
    refused = _refused(_edited(lambda c: functools.reduce(dict.__getitem__, owner, c).update({name: value})))
    assert all(part in refused for part in message.split("...")), refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", 'must be an object with "schema": 2 and "config"'),
        ("3", "must be an object"),
        ("null", "must be an object"),
        ("{}", "must be an object"),
        ("", "not JSON: Expecting value at line 1"),
        ('{"schema": 2,\n', "not JSON: .* at line 2"),
        ('{"schema": 3, "config": {"type": "AnalogConfig"}}', r"but has schema 3\.$"),
        ('{"schema": true, "config": {"type": "AnalogConfig"}}', "but has schema True"),
        ('{"schema": 2.0, "config": {"type": "AnalogConfig"}}', "but has schema 2.0"),
        ('{"schema": "2", "config": {"type": "AnalogConfig"}}', "but has schema '2'"),
        ('{"schema": NaN, "config": {"type": "AnalogConfig"}}', "but has schema NaN"),
        ('{"schema": 2}', 'but has schema 2 and no "config"'),
        ('{"schema": 2, "config": 3}', "config must be an object of type 'AnalogConfig', but is 3"),
        ('{"schema": 2, "config": {"type": "wires.Ladder"}}', "of type 'AnalogConfig', but is Ladder"),
        ('{"schema": 2, "confg": 1, "config": {}}', r"unknown key 'confg' \(did you mean 'config'\?\)"),
        ('{"schema": 2, "rows": 1, "config": {}}', "unknown key 'rows' beside"),
        ('{"schema": 2, "schema": 2, "config": {"type": "AnalogConfig"}}', "the key 'schema' occurs twice"),
        ('{"schema": 2, "config": {"type": "AnalogConfig", "rows": 4, "rows": 8}}', "'rows' occurs twice .*AnalogCon"),
        ('{"schema": 2, "config": ' + '{"adc":' * 900 + "1" + "}" * 901, "nested more than 50 deep"),
        ('{"schema": 2, "config": ' + "[" * 100_000, "nested more than 50 deep"),
        ('{"schema": 1, "config": ' + "[" * 200 + "]" * 200 + "}", "nested more than 50 deep"),
        ('{"schema": 2, "config": {"type": "AnalogConfig", "\\ud800\\n": 4}}', r"no field '\\ud800\\n'"),
        (
            '{"schema": 2, "config": {"type": "AnalogConfig", "rows": 1e999}}',
            "Field `rows` of AnalogConfig .* is 1e999",
        ),
    ],
)
def test_bad_text_s3_is_refused_in_one_line(text, message):
    assert re.search(message, _refused(text))


def test_s3_reading_imports_nothing(tmp_path):
    (tmp_path / "trap.py").write_text("print('imported')\nclass Part: pass\n")
    text = _edited(lambda c: c["wires"].update(type="trap.Part"))
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from jaxaimc import config
before = set(sys.modules)
try:
    config.loads({text!r})
except config.ConfigFileError as error:
    print(error)
print(set(sys.modules) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, imported = done.stdout.splitlines()
    assert "import the module 'trap' first" in message
    assert imported == "set()"


def test_bad_path_and_bad_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="There is no config file"):
        config.load(tmp_path / "absent.json")
    with pytest.raises(FileNotFoundError, match="There is no config file"):
        config.load(tmp_path)
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigFileError, match="is not text"):
        config.load(path)
    monkeypatch.setattr(parse, "LARGEST_FILE", 2**20)
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(ConfigFileError, match="has 1 MiB, but a config file has at most 1"):
        config.load(path)


def test_a_byte_order_mark_is_no_riddle(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config.dumps(AnalogConfig()), encoding="utf-8-sig")
    assert config.load(path) == AnalogConfig()


def test_bad_classes_cannot_be_written(monkeypatch):
    monkeypatch.setattr(_core.component, "CLASSES", dict(_core.component.CLASSES))
    local = component(type("CCO", (adcs.CCO,), {}))
    mine = AnalogConfig(adc=local())
    assert config.loads(config.dumps(mine)) == mine
    taken = component(type("CCO", (adcs.CCO,), {"__module__": "adcs"}))
    with pytest.raises(ConfigFileError, match=r"The class 'adcs.CCO' cannot be written: another class has this name"):
        config.dumps(AnalogConfig(adc=taken()))
    assert config.loads(config.dumps(AnalogConfig())) == AnalogConfig()


def test_bad_config_in_python_s2_names_field_class_and_role():
    for make, message in (
        (lambda: AnalogConfig(adc=3), "Field `adc` of AnalogConfig must be an ADC of `jaxaimc.adcs` .* but is 3"),
        (lambda: AnalogConfig(adc=adcs.CCO), r"but is the class CCO itself: write `CCO\(...\)`"),
        (
            lambda: AnalogConfig(wires=adcs.CCO()),
            "Field `wires` of AnalogConfig must be a Wires .* CCO, which is an ADC",
        ),
        (lambda: AnalogConfig(drive=drives.PWM(range=adcs.FullRange())), "Field `range` of PWM must be an InputRange"),
        (lambda: AnalogConfig(device=devices.NoDrift()), "Field `device` of AnalogConfig must be a Device"),
        (lambda: AnalogConfig(cell=cells.Quantised(cell=wires.Ladder())), "Field `cell` of Quantised must be a Cell"),
        (lambda: AnalogConfig(column_scales=0.5), "Field `column_scales` of AnalogConfig must be true or false"),
        (lambda: AnalogConfig(wires=wires.Ladder(r="1")), r"Field `r` of Ladder must be a number \[ohm\]"),
    ):
        with pytest.raises(ValueError, match=message):
            make().validate()
