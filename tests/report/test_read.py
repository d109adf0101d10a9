"""Results of every kind are read, with what is missing of them; what cannot be read is refused in one sentence."""

import json
import re
import shutil

import polars as pl
import pytest
import result_folders as results

from jaxaimc.report import ReportError, page, read, write_figures


def titles(report):
    return [dataset.title for dataset in report.datasets]


def test_an_evaluation_has_its_studies_layers_and_costs(tmp_path):
    report = read([results.evaluation(tmp_path / "e")])
    assert titles(report) == [
        "Effects, right after programming", "Wire resistance, right after programming", "Output error of each layer",
        "Cost of each layer", "Cost of each part of the circuit",
    ]  # fmt: skip
    effects, resistance = report.datasets[:2]
    assert effects.designs.rows() == [
        ("digital", 20, 0.9, None, 1),
        ("everything", 20, 0.75, pytest.approx(0.0707, abs=1e-4), 2),
    ]
    # The digital network is a line to compare with, not a design without a resistance.
    assert resistance.designs["wire resistance"].to_list() == [0.0, 0.1, 1.0, 10.0]
    assert [(one.label, one.value) for one in resistance.references] == [("digital", 0.95)]
    [run] = report.runs
    assert run.figures[:3] == (
        ("accuracy, digital", "0.9000"), ("accuracy, on the chip", "0.7500 ± 0.0707"),
        ("energy of an inference", "2 nJ"),
    )  # fmt: skip
    # Seven effects, the digital network of the sweep and two effects at four resistances.
    assert run.missing == ("Unfinished: 7 of 16 scenarios are there.",)
    ground = {heading: " ".join(lines) for heading, lines in run.ground.items()}
    assert "device: PCM (programming PCMProgrammingNoise" in ground["What acted"]
    assert "At zero: cell.g_min" in ground["What was assumed"]
    assert "no part was measured" in ground["What was assumed"]
    assert "off by 1 %" in ground["What was assumed"]
    assert f"{results.NASTY} stays digital: no tile for it." in ground["What was not simulated"]
    assert "stuck" in ground["What was not simulated"]
    assert "no drift" in ground["What was not simulated"]
    assert "Command: jaxaimc evaluate" in ground["Where it comes from"]
    assert json.loads(run.folded["Configuration"])["config"]["type"] == "AnalogConfig"


def test_what_an_evaluation_lacks_is_said(tmp_path):
    folder = results.evaluation(tmp_path / "e", cost=False)
    (folder / "layers.parquet").unlink()
    [run] = read([folder]).runs
    assert any("no cost" in line for line in run.missing)
    assert "Errors of the layers are not there." in run.missing


def test_a_sweep_has_units_and_says_how_much_of_the_plan_is_there(tmp_path):
    whole = read([results.sweep(tmp_path / "whole")])
    assert whole.runs[0].missing == ()
    ground = {heading: " ".join(lines) for heading, lines in whole.runs[0].ground.items()}
    assert "Given with t = none, metric = accuracy." in ground["What was assumed"]
    assert "There is no drift" in ground["What was not simulated"]
    [dataset] = whole.datasets
    assert (dataset.fields, dataset.measured) == (("wires.r", "adc.f_adc"), ("score", "energy"))
    assert (dataset.label("wires.r"), dataset.label("energy")) == ("wires.r [ohm]", "energy [J]")
    assert dataset.higher == {"score"}
    assert len(dataset.designs) == 10
    part = results.sweep(tmp_path / "part", parts=2)
    assert read([part]).runs[0].missing == (
        "Unfinished: 12 of 30 planned rows (designs on chips) are there, 40 % of the plan.",
    )
    # Killed before its first table was written.
    before = read([part]).datasets[0].rows
    (part / "sweep.parquet").unlink()
    again = read([part]).datasets[0].rows
    assert (
        again.sort("wires.r", "adc.f_adc", "chip")
        .drop("design", strict=False)
        .equals(before.drop("design").sort("wires.r", "adc.f_adc", "chip"))
    )


def test_doubts_of_a_measure_are_said(tmp_path):
    folder = results.sweep(tmp_path / "s")
    table = pl.read_parquet(folder / "sweep.parquet").with_columns(
        cost_outside=pl.when(pl.col("chip") == 0).then(2.0).otherwise(0.0)
    )
    table.write_parquet(folder / "sweep.parquet")
    [line] = read([folder]).runs[0].missing
    assert line.startswith("In 10 of 30 rows costs leave ranges")


def test_designs_are_those_of_the_evaluation_beside_their_steps(tmp_path):
    report = read([results.design(tmp_path / "d")])
    found, steps = report.datasets
    assert found.designs["weight"].to_list() == [0.01, 0.1]
    assert found.measured == ("loss", "accuracy", "energy", "wires.r")
    assert found.higher == {"accuracy"}
    assert {one.column: one.value for one in found.references}["loss"] == 0.5
    assert (steps.x, steps.y, steps.colour) == ("step", "total", "weight")
    assert "scored on the first 12 test examples with 2 chips; seed 3." in " ".join(
        report.runs[0].ground["What was assumed"]
    )
    assert list(report.runs[0].folded) == ["Settings file that repeats the run", "Design design.json"]
    config = json.loads((tmp_path / "d" / "design.json").read_text())
    (tmp_path / "d" / "layers.json").write_text(json.dumps({"head": None, "body/.*": config}))
    (tmp_path / "d" / "design.json").unlink()
    ground = {heading: " ".join(lines) for heading, lines in read([tmp_path / "d"]).runs[0].ground.items()}
    assert "device: PCM" in ground["What acted"]
    assert "for the layers body/.*, the first of 2 rules" in ground["What was assumed"]
    assert "Layers head stay digital." in ground["What was not simulated"]
    (tmp_path / "d" / "front.parquet").unlink()
    assert "front.parquet" in read([tmp_path / "d"]).runs[0].missing[0]


def test_a_sensitivity_study_has_its_losses_and_exemptions(tmp_path):
    folder = results.evaluation(tmp_path / "e")
    measures = {"examples": 20, "chips": 2, "mean": 0.8, "std": 0.01, "loss": 0.1}
    layers = [{"layer": layer, "effect": effect, **measures} for layer in "ab" for effect in ("ADC only", "everything")]
    pl.DataFrame(layers).write_parquet(folder / "sensitivity.parquet")
    kept = [{"kept": n, "layer": layer, **measures} for n, layer in enumerate((None, "b", "a"))]
    pl.DataFrame(kept).write_parquet(folder / "exemptions.parquet")
    report = read([folder])
    assert [(one.title, one.fields, one.measured) for one in report.datasets] == [
        ("Loss of each layer", ("layer", "effect"), ("loss", "mean")),
        ("Layers kept digital", ("kept",), ("loss", "mean")),
    ]
    assert report.datasets[1].designs["layer"].to_list() == [None, "b", "a"]


def test_networks_of_a_sweep_are_a_field(tmp_path):
    folder = results.sweep(tmp_path / "s")
    rows = pl.read_parquet(folder / "sweep.parquet")
    others = rows.with_columns(score=pl.col("score") / 2, energy=pl.lit(None, pl.Float64))
    both = pl.concat(
        [frame.insert_column(1, pl.Series("network", [name] * 30)) for name, frame in (("a", rows), ("b", others))]
    )
    both.write_parquet(folder / "sweep.parquet")
    [dataset] = read([folder]).datasets
    assert dataset.fields == ("network", "wires.r", "adc.f_adc")
    assert dataset.problems() == ["30 of 60 values of energy are missing or not finite, and not drawn."]
    assert dataset.designs.filter(network="b")["energy"].null_count() == 10


def test_columns_of_a_table_are_told_apart_and_it_is_said_how(tmp_path):
    [run] = read([results.table(tmp_path / "t.csv", 100)]).runs
    [dataset] = run.datasets
    # Values of r hardly repeat: it takes the user to say that it was swept.
    assert (dataset.fields, dataset.measured) == (("bits", "name"), ("r", "score", "power"))
    assert (
        "Measured: r, score, power (as names and values suggest; --measured says otherwise)."
        in run.ground["How the columns were read"]
    )
    [dataset] = read([tmp_path / "t.csv"], measured=["score", "power"], higher=["power"]).datasets
    assert dataset.fields == ("r", "bits", "name")
    assert dataset.higher == {"score", "power"}
    assert len(dataset.designs) == 100


def test_runs_of_one_kind_stand_together(tmp_path):
    folders = [results.sweep(tmp_path / "a" / "s"), results.sweep(tmp_path / "b" / "s"), results.design(tmp_path / "d")]
    report = read(folders)
    assert [run.name for run in report.runs] == ["a/s", "b/s", "d"]
    together = report.datasets[0]
    assert together.fields == ("run", "wires.r", "adc.f_adc")
    assert together.rows["run"].value_counts().sort("run")["count"].to_list() == [30, 30]
    assert titles(report)[1:] == ["Designs found", "Steps"]
    assert report.datasets[1].about[0] == "Of d."


def _truncated(folder):
    path = folder / "sweep.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    return "sweep.parquet' is truncated or not Parquet"


def _empty(folder):
    pl.read_parquet(folder / "sweep.parquet").clear().write_parquet(folder / "sweep.parquet")
    return "must have rows, but has none (columns: design, wires.r, adc.f_adc, chip, score, energy)"


def _without_chips(folder):
    pl.read_parquet(folder / "sweep.parquet").drop("chip").write_parquet(folder / "sweep.parquet")
    return "must have the columns chip, but lacks chip; it has design, wires.r"


def _mixed(folder):
    pl.DataFrame({"a": [1]}).write_parquet(folder / "scores.parquet")
    return "must hold the results of one run, but holds sweep.parquet (of a sweep), scores.parquet (of an evaluation)"


def _record_cut(folder):
    (folder / "run.json").write_text('{"facts": {')
    return "run.json' is truncated or no JSON (11 bytes)"


def _nothing_finished(folder):
    (folder / "sweep.parquet").unlink()
    shutil.rmtree(folder / "chunks")
    return "has a record, but none of its chunks is finished"


def _other_folder(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "thesis.tex").touch()
    return "or a .parquet or .csv file, but"


@pytest.mark.parametrize(
    "damage", [_truncated, _empty, _without_chips, _mixed, _record_cut, _nothing_finished, _other_folder]
)
def test_bad_folders_are_named(tmp_path, capfd, damage):
    folder = results.sweep(tmp_path / "s")
    message = damage(folder)
    with pytest.raises(ReportError) as error:
        read([folder])
    assert message in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_bad_arguments_are_named(tmp_path):
    folder = results.sweep(tmp_path / "s")
    (tmp_path / "c.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "words.csv").write_text("a,b\nx,y\n")
    for paths, options, message in (
        ([], {}, "at least one results folder or table, but is empty"),
        ([tmp_path / "none"], {}, "but there is no"),
        ([tmp_path / "s" / "run.json"], {}, "is a file of another kind"),
        ([folder, tmp_path / "." / "s"], {}, "must name each run once"),
        ([folder], {"x": "wires.rr"}, "but is 'wires.rr' (did you mean 'wires.r'?)"),
        ([folder], {"y": "wires.r"}, "`y` must be a column of these results, score, energy"),
        ([folder], {"higher": ["energi"]}, "did you mean 'energy'?"),
        ([folder], {"measured": ["score"]}, "`measured` is for Parquet and CSV files"),
        ([tmp_path / "c.csv"], {}, "c.csv' must be CSV in UTF-8"),
        ([tmp_path / "words.csv"], {}, "words.csv' must have a measured column"),
    ):
        with pytest.raises(ReportError) as error:
            read(paths, **options)
        assert message in str(error.value)


def test_careless_tables_are_read_as_they_are(tmp_path):
    rows = {"score": [0.1, 0.2, 0.3, 0.4], "score std": [1.0, 2.0, 3.0, float("inf")], "run": ["a", "a", "b", "b"]}
    rows |= {"fast": [True, False, True, None], "shape": [[1, 2], [3], [1, 2], [3]], "none": [None] * 4}
    for name in ("one", "two"):
        pl.DataFrame(rows).write_parquet(tmp_path / f"{name}.parquet")
    report = read([tmp_path / "one.parquet", tmp_path / "two.parquet"])
    [dataset] = report.datasets
    assert dataset.fields == ("results", "run", "fast", "shape", "none")
    assert dataset.designs["score"].to_list() == rows["score"] * 2
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page(report), re.DOTALL)[0])["datasets"][0]
    columns = {column["name"]: column["values"][:4] for column in data["columns"]}
    assert columns["score std"] == [1.0, 2.0, 3.0, "Infinity"]
    assert columns["fast"] == ["True", "False", "True", None]
    assert columns["shape"] == ["[1, 2]", "[3]", "[1, 2]", "[3]"]
    # What is held is written as in the columns.
    assert all(value in columns[name] for name, value in data["curve"]["held"].items() if name != "results")
    write_figures(report, tmp_path / "figures")
