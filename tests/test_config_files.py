"""Configs as JSON: what is written is read back, and every file that is no config is refused with the reason."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, adcs, component, config_files, drives, presets, wires
from jaxaimc.config_files import ConfigFileError
from jaxaimc.units import uS


@component
class HalvingADC:
    """A component of a user: digitises to half the charge."""

    factor: float = 0.5
    unipolar = False

    def convert(self, q, readout):
        return self.factor * q

    def validate(self):
        pass


CONFIGS = [
    AnalogConfig(),
    presets.tile_circuit(),
    AnalogConfig(wires=wires.NoWires(), adc=adcs.Uniform(bits=6.0), drive=drives.SplitPWM(low_bits=2), rows=64),
    AnalogConfig(adc=HalvingADC(factor=0.25)),
    AnalogConfig(adc=adcs.CCO(max_count=127.0)),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_round_trip(config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(config_files.dumps(config))
    read = config_files.load(path)
    assert read == config
    assert config_files.dumps(read) == config_files.dumps(config)


def test_arrays_are_lists(tmp_path):
    config = dataclasses.replace(AnalogConfig(), wires=wires.Ladder(r=jnp.array([0.1, 0.2])))
    read = config_files.loads(config_files.dumps(config))
    np.testing.assert_allclose(read.wires.r, [0.1, 0.2], rtol=1e-6)


def test_the_text_is_plain_json():
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(config_files.dumps(presets.tile_circuit()), parse_constant=refuse)


def test_fields_left_out_keep_their_defaults():
    text = '{"schema": 1, "config": {"type": "jaxaimc.tile.AnalogConfig", "rows": 8}}'
    assert config_files.loads(text) == AnalogConfig(rows=8)


_SPAN_WITHOUT_ENDS = {
    "type": f"{adcs.Uniform.__module__}.Uniform",
    "range": {"type": f"{adcs.Span.__module__}.Span"},
}


def _edited(change):
    content = json.loads(config_files.dumps(presets.tile_circuit()))
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema=2), '"schema": 1 and "config", but has schema 2'),
        (lambda c: c.pop("config"), '"schema": 1 and "config", but has schema 1'),
        (lambda c: c.update(config=3), "config must be an AnalogConfig, but is int"),
        (lambda c: c.update(config=c["config"]["wires"]), "config must be an AnalogConfig, but is Ladder"),
        (lambda c: c["config"]["wires"].pop("type"), 'config.wires must name its class under "type"'),
        (lambda c: c["config"]["wires"].update(type="jaxaimc.wires.Laddr"), "config.wires names the class"),
        (lambda c: c["config"]["wires"].update(type="os.system"), "which is not a component of an imported module"),
        (lambda c: c["config"]["wires"].update(ohms=1), "config.wires has no field 'ohms'; Ladder has: r, "),
        (lambda c: c["config"]["wires"].update(r="0.15"), "config.wires.r must be a number, .* but is '0.15'"),
        (lambda c: c["config"]["wires"].update(r=None), "config.wires.r must be a number, .* but is None"),
        (
            lambda c: c["config"].update(adc=_SPAN_WITHOUT_ENDS),
            "config.adc.range: .*missing .* 'low' and 'high'",
        ),
    ],
)
def test_bad_file(change, message):
    with pytest.raises(ConfigFileError, match=message):
        config_files.loads(_edited(change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["config"]["wires"].update(r=-1), r"Field `r` of Ladder must be in \[0, .*ohm, but is -1 ohm"),
        (lambda c: c["config"]["wires"].update(r=float("nan")), "Field `r` of Ladder"),
        (
            lambda c: c["config"]["cell"].update(g_min=30 * uS),
            "Field `g_min` of Differential must be less than `g_max`",
        ),
        (lambda c: c["config"].update(rows=0), r"Field `rows` of AnalogConfig must be an integer in \[1, 65536\]"),
        (lambda c: c["config"]["drive"].update(bits=40), r"Field `bits` of PWM must be an integer in \[2, 16\]"),
        (
            lambda c: c["config"].update(drive={"type": "jaxaimc.drives.SplitPWM", "bits": 4, "low_bits": 4}),
            r"Field `low_bits` of SplitPWM must be an integer in \[1, 2\], but is 4",
        ),
    ],
)
def test_bad_value(change, message):
    with pytest.raises(ValueError, match=message):
        config_files.loads(_edited(change))


def test_bad_text_is_not_json():
    with pytest.raises(ConfigFileError, match=r"Config text is not JSON: .* at line 2"):
        config_files.loads('{"schema": 1,\n')


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}"])
def test_bad_text_is_no_config(text):
    with pytest.raises(ConfigFileError, match="must be an object"):
        config_files.loads(text)


def test_bad_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no config file"):
        config_files.load(tmp_path / "absent.json")


def test_bad_file_is_not_text(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigFileError, match="is not text"):
        config_files.load(path)
