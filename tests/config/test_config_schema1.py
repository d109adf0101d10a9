"""Files that the first version wrote (schema 1, classes by their modules) load as what they stand for today."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from jaxaimc import AnalogConfig, adcs, cells, config, devices, drives, presets, wires
from jaxaimc.config import ConfigFileError

FILES = sorted((Path(__file__).parent / "schema1").glob("*.json"))
_IDEAL = AnalogConfig(device=devices.IdealDevice())

EXOTIC = {
    "open_idle": dataclasses.replace(
        _IDEAL,
        wires=wires.OpenIdle(r=0.8, r_supply=2.0, alignment=wires.Staggered(), steps=15),
        drive=drives.PWM(bits=5),
    ),
    "mesh": dataclasses.replace(
        _IDEAL,
        wires=wires.Mesh(
            r_row=2.0, r_sense=10.0, layout=wires.InterleavedRows(), method=wires.ConjugateGradient(max_iterations=300)
        ),
        adc=adcs.Uniform(),
    ),
    "nonlinear": dataclasses.replace(
        _IDEAL,
        wires=wires.NonlinearMesh(mesh=wires.Mesh(r_row=0.5), iv=wires.PolynomialIV(c2=0.1, c3=1.0)),
        drive=drives.VoltageDAC(bits=4, v_read=0.3),
        adc=adcs.IdealADC(),
        rows=64,
        cols=32,
    ),
    "shared_converters": dataclasses.replace(
        _IDEAL,
        adc=adcs.ColumnMux(
            adc=adcs.Mismatch(adc=adcs.Uniform(bits=7.0, range=adcs.Symmetric(limit=12.0)), gain=0.01, offset=0.2),
            columns=4,
        ),
    ),
    "macro": AnalogConfig(
        cell=cells.BitPlanes(bits=4),
        device=devices.IdealDevice(),
        wires=wires.NoWires(),
        drive=drives.BitSerial(bits=4, signs=drives.TwosComplement(), range=drives.AbsoluteMaximum()),
        adc=adcs.Hybrid(
            adc=adcs.Voting(
                adc=adcs.Uniform(
                    bits=6.0, range=adcs.TileRange(), codes=adcs.BothEnds(), noise=adcs.FullScaleNoise(rms=0.001)
                ),
                samples=5,
                levels=2,
                vote=adcs.Mean(),
            ),
            digital=2,
        ),
        rows=64,
        cols=64,
        column_scales=False,
    ),
    "slices": AnalogConfig(
        cell=cells.UnitColumn(cell=cells.OffsetSlices(bits=6, widths=(3, 3))),
        device=devices.MiloRRAM(),
        wires=wires.AlphaBeta(r_row=0.5, layout=wires.InterleavedColumns()),
        drive=drives.BitGroups(widths=(4, 3), signs=drives.TwoPasses(), accumulates=True),
        adc=adcs.Uniform(
            bits=9.0, range=adcs.StepRange(step=0.25), codes=adcs.MidRise(), rounding=adcs.Truncate()
        ),
    ),
    "converter_table": dataclasses.replace(
        _IDEAL, adc=adcs.CodeTable(mean=np.array([-3.0, -1.0, 1.0, 3.0]), std=np.array([0.1, 0.0, 0.0, 0.1]))
    ),
    "hermes": AnalogConfig(
        cell=cells.Pairs(factors=(1.0, 2.0), g_max=20e-6),
        device=devices.HermesPairPCM(),
        drive=drives.SplitPWM(bits=7, low_bits=3, range=drives.LearnedRange(limit=2.0)),
        adc=adcs.Pipeline(bits=9, capacitor=0.001),
    ),
    "stuck": AnalogConfig(device=devices.with_stuck(devices.PCM(), on=0.01, off=0.02, g_off=1e-7)),
}  # fmt: skip


pytestmark = pytest.mark.filterwarnings("ignore:The mean drift of SONOS")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_schema_1_load_and_are_written_as_schema_2(path):
    assert json.loads(path.read_text())["schema"] == 1
    read = config.load(path)
    read.validate()
    text = config.dumps(read)
    assert json.loads(text)["schema"] == 2
    assert config.dumps(config.loads(text)) == text


@pytest.mark.parametrize("name", [path.stem for path in FILES if hasattr(presets, path.stem)])
def test_presets_of_schema_1_are_those_of_today(name):
    assert config.dumps(config.load(_path(name))) == config.dumps(getattr(presets, name)())


def test_the_superseded_drift_of_sonos_is_said_to_be_replaced():
    with pytest.warns(UserWarning, match="The mean drift of SONOS in this file of schema 1 was superseded"):
        config.load(_path("crosssim_sonos"))


@pytest.mark.parametrize("name", EXOTIC)
def test_rarer_parts_of_schema_1_are_those_of_today(name):
    assert config.dumps(config.load(_path(name))) == config.dumps(EXOTIC[name])


def _path(name):
    return Path(__file__).parent / "schema1" / f"{name}.json"


@pytest.mark.parametrize("half", ["programming", "retention"])
def test_bad_stuck_devices_of_schema_1_say_what_to_write_instead(half):
    content = json.loads(_path("stuck").read_text())
    content["config"]["device"][half] = content["config"]["device"][half]["healthy"]
    with pytest.raises(ConfigFileError, match=r'write \{"type": "devices.StuckDevice", "programming"') as caught:
        config.loads(json.dumps(content))
    assert "\n" not in str(caught.value)


def test_bad_values_of_schema_1_are_refused_like_those_of_schema_2():
    content = json.loads(_path("tile_circuit").read_text())
    content["config"]["wires"]["r"] = -1
    with pytest.raises(
        ConfigFileError, match=r"config.wires: Field `r` of Ladder must be in \[0, .* ohm, but is -1 ohm"
    ):
        config.loads(json.dumps(content))
    content["config"]["wires"]["type"] = "jaxaimc.wires.gone.Gone"
    with pytest.raises(ConfigFileError, match=r"config.wires: the class 'wires.Gone' is not known"):
        config.loads(json.dumps(content))
