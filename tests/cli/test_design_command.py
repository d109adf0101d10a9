"""`jaxaimc design`: the tables, the files, what is kept of an interrupted run, and what is refused."""

import jax
import polars as pl
import pytest
import tiny_task

from jaxaimc import cli, config, design, presets
from jaxaimc.adcs import Uniform
from jaxaimc.cli import signals
from jaxaimc.tasks import load_model

FEW = [
    "design", "tiny_task:task", "--checkpoint", "c.safetensors", "--config", "tile.json", "--output", "out",
    "--variables", "adc.bits=3:10", "drive.v_read", "--steps", "3", "--train-examples", "8", "--batch", "4",
    "--examples", "12", "--fresh-chips", "2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _tile(tiny_folder):
    tile = presets.tile_circuit().with_(adc=Uniform(bits=6.4), rows=16, cols=16)
    (tiny_folder / "tile.json").write_text(config.dumps(tile))


@pytest.mark.slow
def test_it_prints_and_writes_designs_and_goes_on_where_it_stopped(capsys, monkeypatch, tmp_path):
    def stop():
        stopped.append(True)
        if len(stopped) == 2:
            raise KeyboardInterrupt

    stopped = []
    with monkeypatch.context() as patch:
        patch.setattr(signals, "check", stop)
        with pytest.raises(SystemExit) as end:
            cli.main([*FEW, "--lambda", "0.01", "0.1"])
    assert end.value.code == 130
    assert "every finished step is kept in out" in capsys.readouterr().err
    assert [path.name[:2] for path in (tmp_path / "out" / "states").iterdir()] == ["00"]

    cli.main([*FEW, "--lambda", "0.01", "0.1"])
    text = capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "states", "settings.json", "run.json", "design.json", "design-00.json", "design-01.json", "history.parquet",
        "front.parquet", "figure.png",
    }  # fmt: skip
    found = config.load(tmp_path / "out" / "design.json")
    assert found == config.load(tmp_path / "out" / "design-01.json")
    assert found.adc.bits == round(found.adc.bits)
    assert found.drive.v_read != 0.2
    history = pl.read_parquet(tmp_path / "out" / "history.parquet")
    assert history["step"].to_list() == [0, 1, 2, 3] * 2
    assert history["weight"].unique().sort().to_list() == [0.01, 0.1]
    front = pl.read_parquet(tmp_path / "out" / "front.parquet")
    assert front["design"].to_list() == ["start", "design-00", "design-01"]
    assert front["adc.bits"][0] == pytest.approx(6.4)
    assert front["adc.bits"][2] == found.adc.bits
    assert f"{front['accuracy'][2]:.4f}" in text
    cli.main(["report", "out"])
    assert "out (design): 2 rows of designs found, 8 rows of steps" in capsys.readouterr().out
    for words in ("variable", "weight 0.01", "3 bit to 10 bit", "evaluated", "accuracy", "energy", "mm^2"):
        assert words in text


@pytest.mark.slow
def test_layers_of_their_own_and_weights_trained_along_are_written(capsys, tmp_path):
    arguments = [*FEW, "--train-weights"]
    arguments[arguments.index("adc.bits=3:10")] = "*:adc.bits=3:10"
    cli.main(arguments)
    text = capsys.readouterr().out
    assert "hidden:adc.bits" in text
    assert "head:adc.bits" in text
    configs = design.load_configs(tmp_path / "out" / "layers.json")
    assert sorted(configs) == ["head", "hidden"]
    assert all(one.adc.bits == round(one.adc.bits) for one in configs.values())
    # The weights have moved, and fit the network.
    before, after = (
        load_model(tiny_task.task(), tmp_path / name) for name in ("c.safetensors", "out/weights.safetensors")
    )
    assert not jax.numpy.array_equal(before.head.kernel.get_value(), after.head.kernel.get_value())
    table = [line.split() for line in text.splitlines() if line.startswith("loss")]
    exact = design.evaluate(
        tiny_task.task(), after, configs, tiny_task.task().split("test").first(12), chips=2
    ).figures()["loss"]
    assert float(table[0][2]) == pytest.approx(exact, abs=1e-4)
    cli.main(["report", "out"])
    assert "out (design): 1 row of designs found" in capsys.readouterr().out


def test_bad_variables_are_refused_in_one_line(capsys, tmp_path):
    for given, message in (
        ("adc.bits=3", "or paths with bounds such as adc.bits=3:10, but holds 'adc.bits=3'"),
        ("wires.rr", "no field at the path 'wires.rr' (did you mean 'wires.r'?)"),
        ("rows", "must be a continuous field, but is structure"),
    ):
        arguments = list(FEW)
        arguments[arguments.index("drive.v_read")] = given
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 2
        assert message in capsys.readouterr().err
