"""`jaxaimc sensitivity`: the table, the sentence, the files, and what is kept of an earlier run."""

import json

import polars as pl
import pytest

from jaxaimc import cli
from jaxaimc.studies import Sensitivity, tables

COMMAND = ["sensitivity", "tiny_task:task", "--checkpoint", "c.safetensors"]
FEW = [*COMMAND, "--examples", "12", "--chips", "1", "--names"]


pytestmark = pytest.mark.usefixtures("tiny_folder")


def test_it_prints_and_writes_which_layers_cost_the_score(capsys, monkeypatch, tmp_path):
    cli.main(FEW)
    text = capsys.readouterr().out
    (folder,) = (tmp_path / "results").iterdir()
    names = sorted(path.name for path in folder.iterdir())
    tables_of = ["exemptions.parquet", "scores.parquet", "sensitivity.parquet"]
    assert names == sorted(["chunks", "run.json", "settings.json", *tables_of])
    losses, exemptions = (pl.read_parquet(folder / f"{name}.parquet") for name in ("sensitivity", "exemptions"))
    assert sorted(losses["layer"]) == ["head", "hidden"]
    assert set(losses["effect"]) == {"everything"}
    assert exemptions["kept"].to_list() == [0, 1, 2]
    assert "Loss of accuracy by layer" in text
    assert "of the digital accuracy (" in text
    record = json.loads((folder / "run.json").read_text())
    assert (record["facts"]["study"], record["analog_products"]) == ("sensitivity", 2)

    # All is there: another tolerance computes nothing, and changes the sentence alone.
    before = {path.name for path in (folder / "chunks").iterdir()}
    cli.main([*FEW, "--tolerance", "1"])
    again = capsys.readouterr().out
    assert "No layer has to be digital to stay within 1 of the digital accuracy" in again
    assert " %  " not in again
    assert {path.name for path in (folder / "chunks").iterdir()} == before

    # So it is from another place with the settings that were kept, which are those of the last run.
    monkeypatch.chdir(folder / "chunks")
    cli.main(["sensitivity", "--settings", "../settings.json", "--tolerance", "0.5"])
    assert "No layer has to be digital to stay within 0.5 of" in (text := capsys.readouterr().out)
    assert " %  " not in text
    assert {path.name for path in (folder / "chunks").iterdir()} == before
    assert json.loads((folder / "settings.json").read_text())["tolerance"] == 0.5


def test_an_interruption_says_what_is_kept(capsys, monkeypatch, tmp_path):
    from jaxaimc.studies import screen

    def stop(self, progress):
        if progress.row is not None:
            raise KeyboardInterrupt

    monkeypatch.setattr(screen.Screen, "update", stop)
    with pytest.raises(SystemExit) as ended:
        cli.main(FEW)
    assert ended.value.code == 130
    assert "1 finished scenarios are kept in results/corners-" in capsys.readouterr().err
    assert len(list(tmp_path.glob("results/*/chunks/*.parquet"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pattern", "tail"], "Argument `pattern` must match an analog layer, but 'tail' matches none of: "),
        (["--names", "magic"], "Argument `names` must hold effects among 'input pulses only'"),
        (["--tolerance", "-1"], "Field `tolerance` of sensitivity must be in [0, inf)"),
        (["--chips", "0"], "Field `chips` of Settings must be an integer in [1, inf), but is 0"),
    ],
)
def test_bad_arguments_leave_no_trace(capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as ended:
        cli.main([*COMMAND, *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_the_sentence_names_the_layers():
    def found(tolerance):
        rows = [
            {"kept": kept, "layer": layer, "examples": 1000, "loss": loss}
            for kept, layer, loss in ((0, None, 0.2), (1, "head", 0.05), (2, "body", 0.0))
        ]
        return tables.exemption_line(Sensitivity("accuracy", 0.9, tolerance, [], rows))

    assert found(0.1) == (
        "Keep this layer digital to stay within 0.1 of the digital accuracy (0.9000), on 1,000 examples: head."
    )
    assert found(0.01).startswith("Keep these layers digital to stay within 0.01 of")
    assert found(0.01).endswith(": head, body.")
    assert found(0.5).startswith("No layer has to be digital to stay within 0.5 of")
