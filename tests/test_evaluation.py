"""The main job on a task of seconds: rows, independence of batch and number of chips, resuming, tables, figure."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
import tiny_task
from rich.console import Console

from jaxaimc import AnalogConfig, devices, wires
from jaxaimc.evaluation import Settings, evaluate, figure, report, summarise
from jaxaimc.evaluation.run import Memory
from jaxaimc.evaluation.scenarios import effects, resistances
from jaxaimc.evaluation.screen import Screen
from jaxaimc.evaluation.store import ResultsError, ResultsFolder, describe, fingerprint, folder_name
from jaxaimc.training import evaluate as digital_score
from jaxaimc.training import fit

SETTINGS = Settings(
    examples=60, chips=2, batch=30, times=(1.0, 1e7), resistances=(0.0, 200.0), sweep_examples=20, layer_examples=20
)
EFFECTS = [
    "digital",
    "input pulses only",
    "ADC only",
    "IR drop only",
    "programming noise only",
    "read noise only",
    "everything",
]


@pytest.fixture(scope="module")
def task():
    return tiny_task.task()


@pytest.fixture(scope="module")
def model(task):
    return fit(task).model


@pytest.fixture(scope="module")
def whole(task, model):
    return evaluate(task, model=model, settings=SETTINGS)


def test_every_study_is_there_in_order(whole):
    summary = whole.summary()
    assert [row["name"] for row in summary if row["study"] == "effect"] == EFFECTS
    drift = [(row["t"], row["compensated"]) for row in summary if row["study"] == "drift"]
    assert drift == [(1.0, False), (1.0, True), (1e7, False), (1e7, True)]
    swept = [(row["name"], row["r"]) for row in summary if row["study"] == "resistance"]
    assert swept == [
        ("digital", None),
        ("IR drop only", 0.0),
        ("IR drop only", 200.0),
        ("everything", 0.0),
        ("everything", 200.0),
    ]


def test_chips_are_reported_where_they_differ(whole):
    for row in whole.summary():
        assert row["chips"] == (2 if row["random"] else 1)
        assert (row["std"] is None) == (not row["random"])
        assert row["examples"] == (20 if row["study"] == "resistance" else 60)


def test_digital_rows_are_the_digital_score(task, model, whole):
    test = task.split("test")
    rows = {row["study"]: row["score"] for row in whole.scores if row["name"] == "digital"}
    assert rows == {
        "effect": digital_score(task, model, test.first(60)),
        "resistance": digital_score(task, model, test.first(20)),
    }


def test_the_trained_network_survives_the_tile_and_fails_on_bad_wires(whole):
    mean = {(row["study"], row["name"], row["r"]): row["mean"] for row in whole.summary()}
    assert mean["effect", "everything", None] > 0.9
    assert mean["resistance", "everything", 200.0] < mean["resistance", "everything", 0.0]


def test_layer_errors_grow_from_pulses_to_everything(whole):
    means = report.layer_means(whole.layers)
    assert list(means) == ["head", "hidden"]
    for errors in means.values():
        assert list(errors) == EFFECTS[1:]
        assert 0 < errors["input pulses only"] < errors["ADC only"] < errors["everything"] < 0.5


def test_scores_do_not_depend_on_the_batch(task, model, whole):
    other = evaluate(task, model=model, settings=dataclasses.replace(SETTINGS, batch=7, times=(), resistances=()))
    assert other.scores == [row for row in whole.scores if row["study"] == "effect"]


def test_the_first_chips_are_the_same_for_any_number_of_chips(task, model, whole):
    more = evaluate(task, model=model, settings=dataclasses.replace(SETTINGS, chips=4, times=(), resistances=()))
    expected = [row for row in whole.scores if row["study"] == "effect"]
    assert [row for row in more.scores if row["chip"] < 2] == expected
    first = [row for row in more.layers if row["chip"] < 2]
    assert [row | {"error": 0} for row in first] == [row | {"error": 0} for row in whole.layers]
    np.testing.assert_allclose([row["error"] for row in first], [row["error"] for row in whole.layers], rtol=1e-5)


def test_another_seed_gives_other_chips(task, model, whole):
    settings = dataclasses.replace(SETTINGS, seed=1, times=(), resistances=())
    other = evaluate(task, model=model, settings=settings)
    random = [row["error"] for row in other.layers if row["name"] == "programming noise only"]
    assert random != [row["error"] for row in whole.layers if row["name"] == "programming noise only"]


def test_ir_drop_alone_without_resistance_is_the_input_pulses_alone(task, model):
    config = AnalogConfig(wires=wires.Ladder(r=0.0, adc_segments=0.0, v_idle=0.4, v_adc=0.4))
    settings = dataclasses.replace(SETTINGS, times=(), resistances=())
    means = report.layer_means(evaluate(task, config, model=model, settings=settings).layers)
    for errors in means.values():
        assert errors["IR drop only"] == pytest.approx(errors["input pulses only"], rel=1e-4)


def test_wires_without_a_segment_resistance_are_not_swept():
    assert list(resistances(AnalogConfig(wires=wires.NoWires()), (0.0, 1.0), 10)) == []
    assert list(resistances(AnalogConfig(), (), 10)) == []


def test_rows_and_columns_of_a_mesh_are_swept_alike():
    mesh = wires.Mesh(r_driver=7.0)
    for circuit, expected in ((mesh, lambda w: w), (wires.NonlinearMesh(mesh=mesh), lambda w: w.mesh)):
        swept = [s.config.wires for s in resistances(AnalogConfig(wires=circuit), (2.0,), 10) if s.config is not None]
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


class _StoppedError(Exception):
    pass


def test_an_interrupted_run_goes_on_and_gives_the_same_rows(task, model, whole, tmp_path):
    seen = []

    def stop_after_four(progress):
        if progress.row is not None:
            seen.append(progress.row["name"])
        if len(seen) == 4:
            raise _StoppedError

    facts = {"run": 1}
    with pytest.raises(_StoppedError):
        evaluate(
            task, model=model, settings=SETTINGS, store=ResultsFolder(tmp_path / "r", facts), progress=stop_after_four
        )
    assert seen == EFFECTS[:4]
    kept = ResultsFolder(tmp_path / "r", facts)
    assert [row["name"] for row in kept.scores()] == EFFECTS[:4]
    resumed = []
    again = evaluate(task, model=model, settings=SETTINGS, store=kept, progress=resumed.append)
    assert next(p.row["name"] for p in resumed if p.row is not None) == EFFECTS[4]
    assert (again.scores, again.layers) == (whole.scores, whole.layers)
    assert resumed[-1].done == resumed[-1].total
    finished = []
    ready = ResultsFolder(tmp_path / "r", facts)
    assert evaluate(task, model=model, settings=SETTINGS, store=ready, progress=finished.append) == again
    assert finished == []


@pytest.fixture
def folder(tmp_path):
    store = ResultsFolder(tmp_path / "results", {"run": 1}, ["jaxaimc", "evaluate"])
    score = {"study": "effect", "name": "everything", "t": None, "compensated": False, "r": None, "random": True}
    layer = {"name": "everything", "layer": "head", "chip": 0, "error": 0.1}
    store.add([{**score, "examples": 5, "chip": 0, "score": 0.5}], [layer])
    return store


def test_a_folder_records_how_it_came_about(folder):
    record = json.loads((folder.path / "run.json").read_text())
    assert record["facts"] == {"run": 1}
    assert record["command"] == ["jaxaimc", "evaluate"]
    assert {"python", "jax", "flax", "jaxaimc"} <= set(record["versions"])
    assert sorted(path.name for path in folder.path.iterdir()) == ["layers.parquet", "run.json", "scores.parquet"]


def test_layer_rows_of_an_unfinished_scenario_are_computed_again(folder):
    path = folder.path / "layers.parquet"
    rows = pl.read_parquet(path)
    pl.concat([rows, rows.with_columns(name=pl.lit("ADC only"))]).write_parquet(path)
    assert ResultsFolder(folder.path, {"run": 1}).layers() == folder.layers()


@pytest.mark.parametrize("name", ["scores.parquet", "layers.parquet"])
def test_bad_table_truncated(folder, name):
    path = folder.path / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResultsError, match=rf"{name}' is truncated or not Parquet \(100 bytes\)"):
        ResultsFolder(folder.path, {"run": 1})
    assert path.stat().st_size == 100


def test_bad_table_foreign(folder):
    path = folder.path / "scores.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(ResultsError, match=r"must have the columns study, name, .* but has a; it was left as it is"):
        ResultsFolder(folder.path, {"run": 1})
    assert pl.read_parquet(path).columns == ["a"]


def test_bad_folder_of_another_run(folder):
    with pytest.raises(ResultsError, match="belongs to another run"):
        ResultsFolder(folder.path, {"run": 2})


def test_bad_folder_with_other_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ResultsError, match=r"must hold a run.json or nothing, but holds thesis.tex"):
        ResultsFolder(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_bad_record(folder):
    (folder.path / "run.json").write_text("{")
    with pytest.raises(ResultsError, match="truncated or was not written by an evaluation"):
        ResultsFolder(folder.path, {"run": 1})


def test_a_failed_write_leaves_the_table_as_it_was(folder, monkeypatch):
    before = (folder.path / "scores.parquet").read_bytes()

    def full(self, path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        folder.add([{**folder.scores()[0], "name": "ADC only"}], [])
    assert (folder.path / "scores.parquet").read_bytes() == before
    assert sorted(path.name for path in folder.path.iterdir()) == ["layers.parquet", "run.json", "scores.parquet"]


def test_fingerprint_follows_everything_but_the_batch(task):
    def facts(**changes):
        settings = dataclasses.replace(SETTINGS, **changes)
        return describe(task, AnalogConfig(), settings, task_path="tiny_task:task", checkpoint=None)

    assert fingerprint(facts()) == fingerprint(facts(batch=5))
    assert fingerprint(facts()) != fingerprint(facts(seed=5))
    other = describe(task, AnalogConfig(rows=256), SETTINGS, task_path="tiny_task:task", checkpoint=None)
    assert fingerprint(facts()) != fingerprint(other)
    assert folder_name(task, facts()) == f"corners-{fingerprint(facts())}"


def test_tables_show_the_numbers(whole):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in report.tables(whole):
        console.print(table)
    text = console.export_text()
    means = {(row["study"], row["name"], row["t"], row["compensated"]): row for row in whole.summary()}
    everything = means["effect", "everything", None, False]
    assert f"{everything['mean']:.4f} ± {everything['std']:.4f}" in text
    assert "200 ohm" in text
    error = report.layer_means(whole.layers)["head"]["everything"]
    assert f"{100 * error:.2f}" in text


@pytest.mark.parametrize(
    ("kept", "panels"),
    [
        (lambda row: True, 4),
        (lambda row: row["study"] == "effect", 2),
        (lambda row: row["study"] != "drift", 3),
        (lambda row: row["chip"] == 0, 4),
    ],
)
def test_figure_is_drawn_for_every_choice_of_studies(whole, tmp_path, kept, panels):
    evaluation = dataclasses.replace(whole, scores=[row for row in whole.scores if kept(row)])
    axes = [a for a in figure.draw(evaluation).axes if a.get_visible()]
    assert len(axes) == panels
    assert all(a.get_xlabel() for a in axes)
    figure.save(evaluation, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_screen_prints_each_row_and_each_complete_table(task, model, capsys):
    few = dataclasses.replace(SETTINGS, resistances=())
    with Screen(Console(width=80), "accuracy") as screen:
        evaluate(task, model=model, settings=few, progress=screen.update)
    text = capsys.readouterr().out
    lines = [line.split("%  ")[1].split(":")[0] for line in text.splitlines() if "%  " in line]
    assert lines[:7] == EFFECTS
    assert lines[-1].endswith("compensated")
    assert text.index("Effects, right after") < text.index("Everything, after a time")


def test_summary_of_one_chip_has_no_spread():
    row = {"study": "effect", "name": "x", "t": None, "compensated": False, "r": None, "random": True, "examples": 3}
    (one,) = summarise([{**row, "chip": 0, "score": 0.5}])
    assert (one["mean"], one["std"], one["chips"]) == (0.5, None, 1)
    (two,) = summarise([{**row, "chip": 0, "score": 0.5}, {**row, "chip": 1, "score": 0.7}])
    assert two["std"] == pytest.approx(0.2 / 2**0.5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("examples", 0, "`examples` of Settings must be at least 1"),
        ("chips", -1, "`chips` of Settings must be at least 1"),
        ("batch", 0, "`batch` of Settings must be at least 1"),
        ("times", (-1.0,), r"`times` of Settings must hold values in \[0, inf\) s"),
        ("times", (float("nan"),), "`times`"),
        ("resistances", (-1.0,), r"`resistances` of Settings must hold values in \[0, inf\) ohm"),
        ("seed", -1, "`seed` of Settings"),
    ],
)
def test_bad_settings(field, value, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{field: value})


def test_bad_config_is_refused_before_anything_runs(task, model):
    with pytest.raises(ValueError, match="Field `r` of Ladder"):
        evaluate(task, AnalogConfig(wires=wires.Ladder(r=-1.0)), model=model)


def test_wires_that_miss_their_check_end_the_run_and_keep_what_is_done(task, model, tmp_path):
    hasty = wires.Mesh(r_row=1e6, r_col=1e6, method=wires.ConjugateGradient(max_iterations=1))
    store = Memory()
    with pytest.raises(wires.ConvergenceError, match=r"wires of .* miss their own check"):
        evaluate(task, AnalogConfig(wires=hasty), model=model, settings=SETTINGS, store=store)
    assert [row["name"] for row in store.scores()][:3] == ["digital", "input pulses only", "ADC only"]


def test_outputs_that_are_not_numbers_are_not_scored(task, model):
    hasty = wires.NonlinearMesh(mesh=wires.Mesh(r_row=50.0, r_col=50.0), max_iterations=1)
    config = AnalogConfig(device=devices.IdealDevice(), wires=hasty, rows=16, cols=16)
    settings = dataclasses.replace(SETTINGS, examples=4, batch=4, chips=1, times=(), resistances=())
    with pytest.raises(FloatingPointError, match="outputs for example 0 on chip 0 are not finite"):
        evaluate(task, config, model=model, settings=settings)
    solved = dataclasses.replace(hasty, max_iterations=30)
    evaluation = evaluate(task, dataclasses.replace(config, wires=solved), model=model, settings=settings)
    assert all(np.isfinite(row["score"]) for row in evaluation.scores)


def test_bad_weights_name_the_argument(task, model):
    broken = fit(task).model
    broken.head.kernel[...] = broken.head.kernel[...].at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="Argument `w` must be finite, but 1 of 48 entries"):
        evaluate(task, model=broken, settings=SETTINGS)
