"""`jaxaimc sweep`: tables and files, what is kept of an interrupted run, shards, engines, and what is refused."""

import json

import polars as pl
import pytest

from jaxaimc import cli, config, presets
from jaxaimc.adcs import Uniform
from jaxaimc.cli import signals
from jaxaimc.sweeps import engines

FEW = [
    "sweep", "tiny_task:task", "--checkpoint", "c.safetensors", "--config", "tile.json", "--output", "out",
    "--vary", "adc.bits=3,6", "wires.r=0.1:10:2:log", "--chips", "2", "--examples", "12", "--chunk", "1",
]  # fmt: skip
EVALUATE = [
    "evaluate", "tiny_task:task", "--checkpoint", "c.safetensors", "--config", "tile.json", "--chips", "2",
    "--examples", "12", "--layer-examples", "12",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _tile(tiny_folder):
    tile = presets.tile_circuit().with_(adc=Uniform(bits=6.0), rows=16, cols=16)
    (tiny_folder / "tile.json").write_text(config.dumps(tile))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    assert end.value.code == 2
    return capsys.readouterr().err


def test_a_sweep_is_interrupted_goes_on_and_prints_the_best(capsys, monkeypatch, tmp_path):
    def stop():
        stopped.append(True)
        if len(stopped) == 3:
            raise KeyboardInterrupt

    stopped = []
    with monkeypatch.context() as patch:
        patch.setattr(signals, "check", stop)
        with pytest.raises(SystemExit) as end:
            cli.main(FEW)
    assert end.value.code == 130
    assert "all finished chunks are kept in out; the same command goes on from there." in capsys.readouterr().err
    assert len(pl.read_parquet("out/sweep.parquet")) == 4

    cli.main(FEW)
    text = capsys.readouterr().out
    assert "corners: 4 designs of 1 structure, 2 chips each, results in out" in text
    assert " 50 %  4 of 8" in text
    assert "corners: best of 4 designs" in text
    assert "table: out/sweep.parquet (8 rows)" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "chunks", "run.json", "settings.json", "sweep.parquet",
    }  # fmt: skip
    table = pl.read_parquet("out/sweep.parquet")
    assert table.columns == ["design", "adc.bits", "wires.r", "chip", "score", "loss", "residual"]
    assert json.loads((tmp_path / "out/run.json").read_text())["command"][0] == "jaxaimc"


@pytest.mark.slow
def test_the_design_of_the_tile_itself_scores_as_everything_in_the_evaluation(tmp_path):
    cli.main([*FEW[:6], "--vary", "wires.r=0.15", "--chips", "2", "--examples", "12", "--output", "same"])
    cli.main([*EVALUATE, "--times", "0", "--resistances", "0"])
    (scores,) = tmp_path.glob("results/*/scores.parquet")
    rows = pl.read_parquet(scores).filter(study="effect", name="everything").sort("chip")
    assert pl.read_parquet("same/sweep.parquet")["score"].to_list() == rows["score"].to_list()


def test_shards_of_a_plan_file_are_merged_and_settings_repeat_the_run(capsys, tmp_path):
    (tmp_path / "plan.toml").write_text('schema = 1\n[[axes]]\npath = "adc.bits"\nvalues = [3, 6]\n')
    planned = [*FEW[:6], "--plan", "plan.toml", *FEW[8:9], *FEW[10:]]
    cli.main([*planned, "--output", "a", "--shard", "0/2"])
    cli.main(["sweep", "--settings", "a/settings.json", "--output", "b", "--shard", "1/2"])
    cli.main(["sweep", "--merge", "a", "b", "--output", "all"])
    cli.main([*planned, "--output", "whole"])
    assert "table: all/sweep.parquet (8 rows of 4 designs)" in capsys.readouterr().out
    assert pl.read_parquet("all/sweep.parquet").equals(pl.read_parquet("whole/sweep.parquet"))


def test_where_to_compute(monkeypatch, capsys):
    """Which engine is asked, and for what; the engines have tests of their own."""

    def engine(*arguments, **options):
        asked.append((arguments, options))
        raise OSError("no engine")

    asked = []
    for name in ("dask", "slurm"):
        monkeypatch.setattr(engines, name, engine)
    for options in (
        ["--processes", "2"],
        ["--cluster", "dask://host:8786"],
        ["--slurm", "gpu", "--slurm-options", "minutes=30", "memory=1.5", "constraint=a100"],
    ):
        assert "no engine" in refused(capsys, *FEW, *options)
    (local, processes), (address, _), (_, jobs) = asked
    assert (local, processes) == ((None,), {"processes": 2})
    assert address == ("dask://host:8786",)
    assert jobs == {"partition": "gpu", "minutes": 30, "memory": 1.5, "constraint": "a100"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (FEW[:8], "Error: Argument `vary` must hold what is varied, such as wires.r=0.1:10:16:log, or `plan` a file"),
        ([*FEW, "--vary", "adc.bit=3"], "AnalogConfig has no field at the path 'adc.bit' (did you mean 'adc.bits'?)"),
        ([*FEW, "--vary", "wires.r=1:2"], "must say how many points 'wires.r' has"),
        ([*FEW, "--vary", "adc.bits=99"], "Path 'adc.bits': Field `bits` of Uniform must be in"),
        ([*FEW, "--shard", "2/2"], "Argument `shard` must be i/n with i from 0 to n - 1, such as 0/4, but is '2/2'"),
        ([*FEW, "--processes", "2", "--slurm", "x"], "Arguments `processes` and `slurm` both say where to compute"),
        ([*FEW, "--slurm-options", "minutes=3"], "Argument `slurm_options` needs `slurm`"),
        ([*FEW, "--merge", "a"], "Argument `merge` puts finished folders together"),
        (["sweep", "t:a", "t:b", *FEW[2:]], "Argument `checkpoint` is for one task, but 2 are given"),
        ([*FEW, "--plan", "none.toml"], "There is no plan file 'none.toml'"),
        (["sweep", "--merge", "a", "--output", "b"], "Folder 'a' holds no sweep: it has no run.json"),
    ],
)
def test_bad_arguments(capsys, arguments, message, tmp_path):
    error = refused(capsys, *arguments)
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
