"""The standard study on a task of seconds: rows, independence of batch and number of chips, resuming, refusals."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from study_cases import EFFECTS, SETTINGS

from jaxaimc import AnalogConfig, devices, presets, wires
from jaxaimc._core.checks import ClippedInputWarning
from jaxaimc.studies import Memory, Rows, Study, evaluate, memory, standard, standard_study, tables
from jaxaimc.studies.scenarios import effects
from jaxaimc.studies.store import ResultsFolder
from jaxaimc.tasks import Split
from jaxaimc.tasks.chips import lost_inputs
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import fit


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


def test_digital_rows_are_the_mean_score(task, model, whole):
    test = task.split("test")
    rows = {row["study"]: row["score"] for row in whole.scores if row["name"] == "digital"}
    assert rows == {
        "effect": mean_score(task, model, test.first(60)),
        "resistance": mean_score(task, model, test.first(20)),
    }


def test_the_trained_network_survives_the_tile_and_fails_on_bad_wires(whole):
    mean = {(row["study"], row["name"], row["r"]): row["mean"] for row in whole.summary()}
    assert mean["effect", "everything", None] > 0.9
    assert mean["resistance", "everything", 200.0] < mean["resistance", "everything", 0.0]


def test_layer_errors_grow_from_pulses_to_everything(whole):
    means = tables.layer_means(whole.layers)
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
    means = tables.layer_means(evaluate(task, config, model=model, settings=settings).layers)
    for errors in means.values():
        assert errors["IR drop only"] == pytest.approx(errors["input pulses only"], rel=1e-4)


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
    finished = standard_study(task, model=model, settings=SETTINGS).finished(kept)
    assert [rows.scores[0]["name"] for rows in finished.values()] == EFFECTS[:4]
    resumed = []
    again = evaluate(task, model=model, settings=SETTINGS, store=kept, progress=resumed.append)
    assert next(p.row["name"] for p in resumed if p.row is not None) == EFFECTS[4]
    assert (again.scores, again.layers) == (whole.scores, whole.layers)
    assert resumed[-1].done == resumed[-1].total
    finished = []
    ready = ResultsFolder(tmp_path / "r", facts)
    assert evaluate(task, model=model, settings=SETTINGS, store=ready, progress=finished.append) == again
    assert finished == []


def test_bad_config_is_refused_before_anything_runs(task, model):
    with pytest.raises(ValueError, match="Field `r` of Ladder"):
        evaluate(task, AnalogConfig(wires=wires.Ladder(r=-1.0)), model=model)


def test_wires_that_miss_their_check_end_the_run_and_keep_what_is_done(task, model, tmp_path):
    hasty = wires.Mesh(r_row=1e6, r_col=1e6, method=wires.ConjugateGradient(max_iterations=1))
    store = Memory()
    with pytest.raises(wires.ConvergenceError, match=r"wires of .* miss their own check"):
        evaluate(task, AnalogConfig(wires=hasty), model=model, settings=SETTINGS, store=store)
    assert [rows.scores[0]["name"] for rows in store.rows.values()][:3] == ["digital", "input pulses only", "ADC only"]


@pytest.mark.slow
def test_outputs_that_are_not_numbers_are_not_scored(task):
    hasty = wires.NonlinearMesh(mesh=wires.Mesh(r_row=50.0, r_col=50.0), max_iterations=1)
    settings = dataclasses.replace(SETTINGS, examples=4, batch=4, chips=1)

    class Single(nnx.Module):
        """One layer: curved circuits compile slowly, each shape by itself."""

        def __init__(self):
            self.head = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

        def __call__(self, inputs):
            return self.head(inputs)

    def study(circuit):
        config = AnalogConfig(device=devices.IdealDevice(), wires=circuit, rows=16, cols=16)
        alone = next(scenario for scenario in effects(config) if scenario.name == "IR drop only")
        return Study(task, Single(), [dataclasses.replace(alone, layers=False)], settings)

    with pytest.raises(FloatingPointError, match="outputs for example 0 on chip 0 are not finite"):
        study(hasty).run()
    evaluation = study(dataclasses.replace(hasty, max_iterations=30)).run()
    assert all(np.isfinite(row["score"]) for row in evaluation.scores)


def test_bad_weights_name_the_parameter(task, model):
    broken = fit(task).model
    broken.head.kernel[...] = broken.head.kernel[...].at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match=r"Parameter 'head.kernel' of the network of task 'corners' must be finite"):
        evaluate(task, model=broken, settings=SETTINGS)


FEW = dataclasses.replace(SETTINGS, chips=3, examples=10, batch=10, times=(), resistances=())


def small_study(task, model, **changes):
    """Two scenarios, so that what is computed again can be counted."""
    settings = dataclasses.replace(FEW, **changes)
    return Study(task, model, list(effects(AnalogConfig()))[-2:], settings)


def computed(study, store):
    """Return the names of the scenarios that are computed, and what comes out."""
    names = []
    result = study.run(store, lambda progress: names.append(progress.row["name"]) if progress.row else None)
    return names, result


@pytest.mark.parametrize("lost", ["chip", "layer", "nan"])
def test_s5_s8_lost_rows_and_scores_that_are_no_numbers_are_computed_again(lost, task, model, tmp_path):
    study, folder = small_study(task, model), ResultsFolder(tmp_path, {})
    names, first = computed(study, folder)
    assert names == ["read noise only", "everything"]
    key = study.keys[1]
    rows = study.finished(folder)[key]
    broken = {
        "chip": Rows(rows.scores[:1], rows.layers),
        "layer": Rows(rows.scores, rows.layers[1:]),
        "nan": Rows([{**row, "score": float("nan")} for row in rows.scores], rows.layers),
    }
    folder.add(key, broken[lost])
    names, second = computed(study, ResultsFolder(tmp_path, {}))
    assert names == ["everything"]
    assert (second.scores, second.layers) == (first.scores, first.layers)
    assert len(list((tmp_path / "chunks").iterdir())) == 2


def test_s5_repeated_times_and_resistances_give_every_chip_once(task, model):
    repeated = dataclasses.replace(FEW, times=(1e7, 1e7), resistances=(2.0, 2.0))
    study = Study(task, model, standard(AnalogConfig(), repeated, 10), repeated)
    assert len(study.keys) == len(set(study.keys)) == len(EFFECTS) + 2 + 3


def test_s8_chips_in_groups_are_the_same_chips(task, model, monkeypatch):
    study = small_study(task, model)
    together = study.run()
    monkeypatch.setattr(memory, "chips_at_once", lambda *_: 2)
    apart = small_study(task, model).run()
    assert apart.scores == together.scores
    errors = [
        {(row["name"], row["layer"], row["chip"]): row["error"] for row in found.layers} for found in (apart, together)
    ]
    assert len(apart.layers) == len(together.layers) == len(errors[0])
    assert errors[0] == pytest.approx(errors[1], rel=1e-5, abs=0)


def test_s8_memory_decides_how_many_chips_are_programmed_at_once(task, model, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2_000_000)
    some = memory.chips_at_once(model, AnalogConfig(), dataclasses.replace(FEW, chips=10_000), task.split("test"))
    assert 1 <= some < 1000
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(ValueError, match=r"One chip of this network takes .* is read, but there are 100 bytes"):
        memory.chips_at_once(model, AnalogConfig(), FEW, task.split("test"))


def test_bad_s8_more_chips_than_memory_holds_results_of(task, model):
    settings = dataclasses.replace(FEW, chips=10**9)
    with pytest.raises(ValueError, match=r"Field `chips` of Settings must be at most \d+, .* but is 1000000000"):
        Study(task, model, list(effects(AnalogConfig())), settings)


def test_s8_outputs_that_are_no_numbers_have_no_digital_score(task, model):
    inputs = task.split("test").inputs.copy()
    inputs[3] = 3e38  # the network overflows, and the accuracy of NaN could be 1
    broken = dataclasses.replace(task, split=lambda name: Split(inputs, task.split("test").targets))
    with pytest.raises(FloatingPointError, match="outputs for example 3 are not finite"):
        evaluate(broken, model=model, settings=FEW)


def test_s8_a_score_without_one_number_for_each_example_is_refused(task, model):
    broken = dataclasses.replace(task, score=lambda outputs, targets: task.score(outputs, targets).mean())
    with pytest.raises(ValueError, match="Field `score` of the task must return one number for each of the"):
        evaluate(broken, model=model, settings=FEW)


def test_a1_products_are_counted(task, model):
    products = [row._asdict() for row in small_study(task, model).summary.rows]
    assert [(product["path"], product["analog"]) for product in products] == [("head", True), ("hidden", True)]
    json.dumps(products)


def test_a1_what_cannot_be_converted_is_refused_before_anything_is_scored(task):
    class Unknown(nnx.Module):
        def __init__(self):
            self.conv = nnx.Conv(1, 3, (3,), mask=jnp.ones((3, 1, 3)), rngs=nnx.Rngs(0))
            self.head = nnx.Linear(9, 3, rngs=nnx.Rngs(0))

        def __call__(self, inputs):
            assert isinstance(inputs, jax.core.Tracer), "scored"
            return self.head(self.conv(inputs[:, :, None]).reshape(len(inputs), -1))

    with pytest.raises(ValueError, match="conv"):
        evaluate(task, model=Unknown(), settings=FEW)


def test_c8_layers_whose_drive_loses_inputs_are_named(task, model):
    scenario = list(effects(presets.asim(adc_bits=6.0, rows=64, cols=64)))[1]
    study = Study(task, model, [dataclasses.replace(scenario, layers=False)], FEW)
    with pytest.warns(ClippedInputWarning, match=r"Layer 'hidden': 43.3 % of the inputs are negative"):
        study.run()
    assert lost_inputs(model, AnalogConfig(), task.split("test").inputs[:10]) == {}
