"""Scenarios: what acts, what is set by path, what is refused."""

import dataclasses

import pytest

from jaxaimc import AnalogConfig, wires
from jaxaimc.studies import Scenario, Settings
from jaxaimc.studies.scenarios import effects, wire_resistances


def test_wires_without_a_segment_resistance_are_not_swept():
    assert list(wire_resistances(AnalogConfig(wires=wires.NoWires()), (0.0, 1.0), 10)) == []
    assert list(wire_resistances(AnalogConfig(), (), 10)) == []


def test_rows_and_columns_of_a_mesh_are_swept_alike():
    mesh = wires.Mesh(r_driver=7.0)
    for circuit, expected in ((mesh, lambda w: w), (wires.NonlinearMesh(mesh=mesh), lambda w: w.mesh)):
        swept = [
            s.config.wires for s in wire_resistances(AnalogConfig(wires=circuit), (2.0,), 10) if s.config is not None
        ]
        assert [expected(w) for w in swept] == 2 * [dataclasses.replace(mesh, r_row=2.0, r_col=2.0)]


def test_each_effect_acts_alone():
    alone = {scenario.name: scenario.config for scenario in effects(AnalogConfig())}
    whole = AnalogConfig()
    assert alone["everything"] == whole
    acting = {
        name: [part for part in ("device", "wires", "adc") if getattr(config, part) == getattr(whole, part)]
        for name, config in alone.items()
        if config is not None
    }
    assert acting["input pulses only"] == acting["programming noise only"] == acting["read noise only"] == []
    assert acting["ADC only"] == ["adc"]
    assert acting["IR drop only"] == ["wires"]
    assert alone["read noise only"].device.read_noise == whole.device.read_noise
    assert alone["read noise only"].device.programming != whole.device.programming


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("examples", 0, r"`examples` of Settings must be an integer in \[1, inf\), but is 0"),
        ("chips", -1, r"`chips` of Settings must be an integer in \[1, inf\), but is -1"),
        ("batch", 0, r"`batch` of Settings must be an integer in \[1, inf\), but is 0"),
        ("chips", 2.5, r"`chips` of Settings must be an integer in \[1, inf\), but is 2.5"),
        ("sweep_examples", None, r"`sweep_examples` of Settings must be an integer in \[1, inf\), but is None"),
        ("times", (-1.0,), r"`times` of Settings must hold values in \[0, inf\) s"),
        ("times", (float("nan"),), r"`times` of Settings must hold values .* but is \(nan,\)"),
        ("times", 3600.0, r"`times` of Settings must be a tuple of numbers \[s\], but is 3600.0"),
        ("resistances", ("2",), r"`resistances` of Settings must be a tuple of numbers \[ohm\], but is \('2',\)"),
        ("resistances", (-1.0,), r"`resistances` of Settings must hold values in \[0, inf\) ohm"),
        ("resistances", (1e39,), "that float32 can hold"),
        ("seed", -1, r"`seed` of Settings must be an integer in \[0, 4294967295\], but is -1"),
    ],
)
def test_bad_settings(field, value, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{field: value})


def test_s5_values_that_are_named_twice_count_once():
    settings = Settings(times=(3600.0, 3600, 1.0, 3600.0), resistances=(2, 0.0, -0.0, 2.0))
    assert settings.times == (3600.0, 1.0)
    assert settings.resistances == (2.0, 0.0)


def test_fields_are_set_by_path():
    scenario = Scenario(study="sweep", name="", base=AnalogConfig(), sets={"wires.r": 3.0, "cell.g_max": 5e-6})
    assert scenario.config == dataclasses.replace(
        AnalogConfig(),
        wires=dataclasses.replace(AnalogConfig().wires, r=3.0),
        cell=dataclasses.replace(AnalogConfig().cell, g_max=5e-6),
    )
    assert scenario.facts()["sets"] == {"wires.r": 3.0, "cell.g_max": 5e-6}


def test_bad_path_and_bad_effect():
    with pytest.raises(ValueError, match=r"'wires.resistance'"):
        _ = Scenario(study="sweep", name="", base=AnalogConfig(), sets={"wires.resistance": 3.0}).config
    with pytest.raises(ValueError, match=r"Field `acting` of Scenario must hold names among .* but holds 'magic'"):
        Scenario(study="sweep", name="", acting=("magic",))
