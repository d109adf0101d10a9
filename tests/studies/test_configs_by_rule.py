"""Studies with a config for each layer: the same numbers as with one, and those of a design's own evaluation."""

import dataclasses

import pytest
from study_cases import SETTINGS

from jaxaimc import design, presets
from jaxaimc.adcs import Uniform
from jaxaimc.config import AnalogConfig, ConfigFileError, dumps, with_at
from jaxaimc.config.by_rule import load_any
from jaxaimc.studies import evaluate

FEW = dataclasses.replace(SETTINGS, times=(), resistances=())
TILE = with_at(presets.tile_circuit(), {"rows": 16, "cols": 16})


def test_one_config_and_the_same_for_each_layer_give_the_same_rows(task, model):
    one, each = (evaluate(task, config, model=model, settings=FEW) for config in (TILE, {"hidden": TILE, "head": TILE}))
    assert each.scores == one.scores
    assert each.layers == one.layers


def test_layers_of_their_own_are_as_in_the_designs_evaluation(task, model):
    coarse = TILE.with_(adc=Uniform(bits=3.0))
    configs = {"hidden": TILE, "head": coarse}
    found = evaluate(task, configs, model=model, settings=FEW)
    everything = [row["score"] for row in found.scores if row["name"] == "everything"]
    exact = design.evaluate(task, model, configs, task.split("test").first(FEW.examples), chips=FEW.chips)
    assert everything == exact.scores.tolist()
    errors = {row["layer"]: row["error"] for row in found.layers if row["name"] == "ADC only"}
    assert errors["head"] > 5 * errors["hidden"]
    kept = evaluate(task, {"hidden": TILE, "head": None}, model=model, settings=FEW)
    assert {row["layer"] for row in kept.layers} == {"hidden"}


def test_files_of_both_kinds_are_told_apart(tmp_path):
    configs = {"head": None, "hidden": TILE}
    design.save_configs(tmp_path / "layers.json", configs)
    assert load_any(tmp_path / "layers.json") == configs
    (tmp_path / "tile.json").write_text(dumps(TILE))
    assert isinstance(load_any(tmp_path / "tile.json"), AnalogConfig)
    with pytest.raises(ConfigFileError, match="must hold configs by rule, but holds one config"):
        design.load_configs(tmp_path / "tile.json")
    text = (tmp_path / "layers.json").read_text().replace('"rows": 16', '"rows": -1')
    (tmp_path / "layers.json").write_text(text)
    with pytest.raises(ConfigFileError, match=r"rule 'hidden': .*rows"):
        load_any(tmp_path / "layers.json")
