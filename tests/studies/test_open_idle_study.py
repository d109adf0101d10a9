"""Studies of networks on columns with open idle cells: scores by every method, and what is said of their errors."""

import functools
import json
import warnings
from dataclasses import replace

import jax
import numpy as np
import polars as pl
import pytest
import tiny_task
from flax import nnx
from processes import run_command

from jaxaimc import AnalogConfig, presets
from jaxaimc.cli.record import notes_of
from jaxaimc.config import dumps, loads
from jaxaimc.nn.activity import AssumedActivityWarning
from jaxaimc.studies import Settings, Study, tables
from jaxaimc.studies.scenarios import effects
from jaxaimc.tasks import checkpoints
from jaxaimc.tasks.restore import weights
from jaxaimc.wires import Blocks, EveryStep, Ladder, MeanField, OpenIdle

SETTINGS = Settings(examples=20, chips=2, batch=20, times=(), resistances=(), layer_examples=20)
CONFIG = replace(presets.tile_circuit("open"), wires=OpenIdle(r=50.0), rows=16, cols=8)
METHODS = {"EveryStep": EveryStep(), "Blocks": Blocks(), "MeanField": MeanField()}


@pytest.fixture(scope="module")
def network():
    """Not trained, and in the mode in which running statistics move."""
    return tiny_task.task().build(jax.random.key(0))


def study(network, wires):
    """What wires do alone, and everything together."""
    chosen = [one for one in effects(replace(CONFIG, wires=wires)) if one.name in ("IR drop only", "everything")]
    return Study(tiny_task.task(), network, chosen, SETTINGS)


@pytest.fixture(scope="module")
def measured(network):
    """Return a function that measures by a method, once: what was found, and the errors of the method."""

    @functools.cache
    def by(name):
        with warnings.catch_warnings():
            # A study knows its data.
            warnings.simplefilter("error", AssumedActivityWarning)
            one = study(network, OpenIdle(r=50.0, method=METHODS[name]))
            return one.run(), one.wire_errors

    return by


def layer_errors(evaluation):
    return {layer: of["IR drop only"] for layer, of in tables.layer_means(evaluation.layers).items()}


def test_scores_by_mean_field(network, measured):
    evaluation, errors = measured("MeanField")
    assert len(evaluation.scores) == 3
    assert all(np.isfinite(row["score"]) for row in evaluation.scores)
    assert sorted(errors) == ["head", "hidden"]
    assert all(0.01 < error < 0.6 for error in errors.values())
    # The network of the user stays as it is.
    before = nnx.state(tiny_task.task().build(jax.random.key(0)), nnx.BatchStat)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(network, nnx.BatchStat), before)


@pytest.mark.slow
def test_every_method_measures_nearly_the_same(measured):
    found = {name: layer_errors(measured(name)[0]) for name in METHODS}
    for layer, exact in found["EveryStep"].items():
        assert exact > 0.01
        assert found["Blocks"][layer] == pytest.approx(exact, rel=0.03)
        assert found["MeanField"][layer] == pytest.approx(exact, rel=0.5)
    assert measured("EveryStep")[1] == {}
    errors = measured("Blocks")[1]
    assert sorted(errors) == ["head", "hidden"]
    assert all(0 < error < 0.03 for error in errors.values())


def test_exact_wires_have_no_error_to_tell(network):
    assert study(network, Ladder()).wire_errors == {}
    chip = study(network, Ladder()).summary
    assert "error_of_wires_method" not in notes_of(chip, {})
    assert notes_of(chip, {"head": 0.5})["error_of_wires_method"] == {"head": 0.5}
    assert tables.method_lines(CONFIG, {}) == []


def test_a_line_names_the_method_and_the_worst_layer():
    config = replace(CONFIG, wires=OpenIdle(method=MeanField()))
    [line] = tables.method_lines(config, {"body": 0.03, "neck": 0.05, "head": 0.04})
    assert line.startswith(
        "OpenIdle by MeanField: charges are off by 4.1 % of what the wires do to them, by 5 % in neck"
    )


@pytest.mark.slow
def test_the_command_tells_and_keeps_the_errors_of_the_method(network, tmp_path):
    checkpoints.save(tmp_path / "model.safetensors", weights(network))
    tile = replace(CONFIG, wires=OpenIdle(r=50.0, method=MeanField()))
    (tmp_path / "tile.json").write_text(dumps(tile))
    arguments = ["evaluate", "tiny_task:task", "--config", tmp_path / "tile.json"]
    arguments += ["--checkpoint", tmp_path / "model.safetensors", "--output", tmp_path / "results"]
    arguments += ["--examples", "8", "--chips", "1", "--times", "3600", "--resistances", "5"]
    done = run_command(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    (folder,) = (tmp_path / "results").iterdir()
    kept = json.loads((folder / "run.json").read_text())["error_of_wires_method"]
    assert set(kept) == {"head", "hidden"}
    assert "OpenIdle by MeanField: charges are off by" in done.stdout
    assert f" in {max(kept, key=kept.get)} (root mean square" in done.stdout
    scores = pl.read_parquet(folder / "scores.parquet")
    assert {"effect", "drift", "resistance"} == set(scores["study"])
    assert scores["score"].is_finite().all()


def test_tile_circuit_with_open_idle_cells():
    held, opened = presets.tile_circuit(), presets.tile_circuit("open")
    assert opened.wires == OpenIdle(r=held.wires.r, adc_segments=held.wires.adc_segments, method=Blocks())
    assert replace(opened, wires=held.wires) == held == presets.tile_circuit("held")
    mean_field = replace(opened, wires=opened.wires.with_(method=MeanField(bins=8, activities=(0.7, 1.0, 1.4))))
    for config in (opened, mean_field):
        config.validate()
        read = loads(dumps(config))
        assert isinstance(read, AnalogConfig)
        assert read.describe() == config.describe()
        assert (read, read.wires.method) == (config, config.wires.method)
    assert type(loads(dumps(mean_field)).wires.method) is MeanField


@pytest.mark.parametrize("idle", ["shut", None, True])
def test_bad_idle_of_the_tile_circuit_is_refused(idle):
    with pytest.raises(ValueError, match=f"Argument `idle` must be 'held' or 'open', but is .*{idle}"):
        presets.tile_circuit(idle)
