"""A sweep's folder: found again, grown, shared, damaged, on a full disk, and of another sweep."""

import errno
import importlib
import json
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from cheap import Cheap

from jaxaimc import AnalogConfig
from jaxaimc.sweeps import DamagedChunkWarning, DesignWarning, Plan, Range, ResultsError, Values, merge, run

# The package has a function of this name.
runs = importlib.import_module("jaxaimc.sweeps.run")
BASE = AnalogConfig()


def plan(points=4, rows=(64, 128), chips=2, base=BASE, **options):
    axes = [Range("wires.r", 1.0, float(points), points), Values("rows", list(rows))]
    return Plan(base, axes, chips=chips, **{"chunk": 2, **options})


class Counting:
    """Counts the pairs that are computed."""

    def __init__(self):
        self.computed = 0

    def __call__(self, progress):
        self.computed = progress.computed
        self.last = progress


@pytest.fixture(scope="module")
def undisturbed():
    return run(plan(), Cheap())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "made"
    run(plan(), Cheap(), path)
    return path


@pytest.fixture
def folder(made, tmp_path):
    """A folder with a finished sweep."""
    return Path(shutil.copytree(made, tmp_path / "sweep"))


def test_a_folder_has_record_chunks_and_one_table(folder, undisturbed):
    assert sorted(path.name for path in folder.iterdir()) == ["chunks", "run.json", "sweep.parquet"]
    assert len(list((folder / "chunks").iterdir())) == 4
    assert pl.read_parquet(folder / "sweep.parquet").equals(undisturbed)
    facts = json.loads((folder / "run.json").read_text())["facts"]
    assert facts["kind"] == "sweep"
    assert facts["units"] == {"wires.r": "ohm", "sum": "ohm"}
    assert (facts["designs"], facts["chips"], facts["measured"]) == (8, 2, ["sum", "square"])


def test_nothing_is_computed_twice(folder, undisturbed):
    counting = Counting()
    assert run(plan(), Cheap(), folder, progress=counting).equals(undisturbed)
    assert (counting.computed, counting.last.done, counting.last.total) == (0, 16, 16)


@pytest.mark.parametrize(
    ("grown", "new"),
    [
        ({"rows": (32, 64, 128)}, 8),
        ({"chips": 3}, 8),
        ({"points": 4, "rows": (128, 64), "chunk": 3}, 0),
    ],
    ids=["designs in between", "chips", "another order"],
)
def test_a_plan_that_grows_computes_what_is_new(folder, grown, new):
    counting = Counting()
    assert run(plan(**grown), Cheap(), folder, progress=counting).equals(run(plan(**grown), Cheap()))
    assert counting.computed == new
    with pytest.raises(ResultsError, match="belongs to another run") if new else warnings.catch_warnings():
        run(plan(), Cheap(), folder)


def test_networks_may_be_added(tmp_path):
    run(plan(), {"a": Cheap()}, tmp_path)
    counting = Counting()
    both = {"a": Cheap(), "b": Cheap(1.0)}
    assert run(plan(), both, tmp_path, progress=counting).equals(run(plan(), both))
    assert counting.computed == 16


@pytest.mark.parametrize(
    ("other", "measure", "why"),
    [
        (plan(seed=1), Cheap(), "another seed"),
        (plan(base=AnalogConfig(cols=64)), Cheap(), "another config"),
        (plan(), Cheap(1.0), "measures something else, or on other examples"),
        (plan(points=3), Cheap(), "2 designs more, such as wires.r = 4, rows = 64; a sweep may only add"),
        (plan(chips=1), Cheap(), "has 2 chips"),
        (Plan(BASE, Range("wires.r", 1.0, 4.0, 4), chips=2), Cheap(), "varies wires.r, rows"),
        (plan(), {"named": Cheap()}, "measures something else"),
    ],
    ids=["seed", "base", "measure", "fewer designs", "fewer chips", "fewer paths", "a name"],
)
def test_bad_folder_of_another_plan(folder, other, measure, why):
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(ResultsError, match=rf"belongs to another run: see its run.json\. That one .*{why}"):
        run(other, measure, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def edited(path):
    table = pl.read_parquet(path)
    table.with_columns(sum=table["sum"] + 1).write_parquet(path)


def not_parquet(path):
    path.with_name(f"{path.name[:12]}-e3b0c44298fc.parquet").write_bytes(b"")
    path.unlink()


def foreign(path):
    """A whole chunk with the right columns, of another seed."""
    other = path.parents[2] / "other"
    run(plan(seed=1), Cheap(), other)
    shutil.copy(next((other / "chunks").iterdir()), path.parent)
    path.unlink()


@pytest.mark.parametrize("harm", [truncated, edited, not_parquet, foreign])
def test_damaged_chunks_are_said_set_aside_and_computed_anew(folder, undisturbed, harm):
    harm(sorted((folder / "chunks").iterdir())[1])
    counting = Counting()
    with pytest.warns(DamagedChunkWarning) as said:
        table = run(plan(), Cheap(), folder, progress=counting)
    (warning,) = said
    (aside,) = (folder / "chunks").glob("*.aside")
    assert str(folder / "chunks") in str(warning.message)
    assert aside.name in str(warning.message)
    assert ("of another sweep" if harm is foreign else "damaged") in str(warning.message)
    assert counting.computed == 4
    assert table.equals(undisturbed)
    assert pl.read_parquet(folder / "sweep.parquet").equals(undisturbed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(plan(), Cheap(), folder)


def test_a_lost_table_is_made_anew(folder, undisturbed):
    (folder / "sweep.parquet").unlink()
    run(plan(), Cheap(), folder)
    assert pl.read_parquet(folder / "sweep.parquet").equals(undisturbed)


def test_shards_into_one_folder_are_an_undisturbed_run(tmp_path, undisturbed):
    half = run(plan(), Cheap(), tmp_path, shard=(0, 2))
    assert len(half) == 8
    assert pl.read_parquet(tmp_path / "sweep.parquet").equals(half)
    assert run(plan(), Cheap(), tmp_path, shard=(1, 2)).equals(undisturbed)


def test_copies_of_shards_are_merged(tmp_path, undisturbed):
    parts = [tmp_path / "a", tmp_path / "b"]
    for index, part in enumerate(parts):
        run(plan(), Cheap(), part, shard=(index, 2))
    assert merge(parts, tmp_path / "all").equals(undisturbed)
    assert run(plan(), Cheap(), tmp_path / "all").equals(undisturbed)
    assert merge(parts[1:], parts[0]).equals(undisturbed)


def test_bad_merge(folder, tmp_path):
    other = tmp_path / "other"
    run(plan(seed=1), Cheap(), other)
    with pytest.raises(ResultsError, match=r"other' holds another sweep than .*sweep': see their run.json"):
        merge([folder, other], tmp_path / "all")
    with pytest.raises(ResultsError, match=r"thesis' holds no sweep"):
        merge([tmp_path / "thesis"], tmp_path / "all")
    with pytest.raises(ValueError, match="at least one"):
        merge([], tmp_path / "all")


def test_an_interrupted_run_keeps_what_is_finished(tmp_path, undisturbed):
    def interrupt(progress):
        if progress.computed == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan(), Cheap(), tmp_path, progress=interrupt)
    assert len(pl.read_parquet(tmp_path / "sweep.parquet")) == 8
    counting = Counting()
    assert run(plan(), Cheap(), tmp_path, progress=counting).equals(undisturbed)
    assert counting.computed == 8


def test_an_executor_gives_the_same_table(tmp_path, undisturbed):
    with ThreadPoolExecutor(2) as executor:
        assert run(plan(), Cheap(), tmp_path, executor=executor).equals(undisturbed)


def test_what_a_measure_raises_passes_with_its_designs_named_and_the_rest_is_kept(tmp_path, monkeypatch):
    compute = runs.compute

    def failing(measure, chunk):
        if 4 in chunk.numbers:
            raise FloatingPointError("the outputs are not finite")
        return compute(measure, chunk)

    monkeypatch.setattr(runs, "compute", failing)
    with pytest.raises(FloatingPointError, match="not finite") as caught:
        run(plan(chunk=1), Cheap(), tmp_path)
    assert caught.value.__notes__ == ["In design 4 (wires.r = 3, rows = 64) on chips 0 to 1."]
    assert len(pl.read_parquet(tmp_path / "sweep.parquet")) == 4


def test_bad_full_disk(tmp_path, monkeypatch, undisturbed):
    write = Path.write_bytes

    def full(self, content):
        if "chunks" in self.parts and len(list(self.parent.glob("*.parquet"))) == 2:
            write(self, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"disk is full: 8 results of this run are kept in .*the same sweep goes on") as e:
        run(plan(), Cheap(), tmp_path)
    assert e.value.errno == errno.ENOSPC
    monkeypatch.undo()
    counting = Counting()
    assert run(plan(), Cheap(), tmp_path, progress=counting).equals(undisturbed)
    assert counting.computed == 8


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), (0,), "02"])
def test_bad_shards(shard):
    with pytest.raises(ValueError, match="`shard`"):
        run(plan(), Cheap(), shard=shard)


@pytest.mark.parametrize("measure", [{}, {"": Cheap()}, {3: Cheap()}])
def test_bad_measures(measure):
    with pytest.raises(ValueError, match="measures by name, at least one"):
        run(plan(), measure)


def test_results_that_are_not_finite_are_said():
    base = AnalogConfig()
    with pytest.warns(DesignWarning, match=r"'sum' is not finite in 4 of 16 evaluations, first in row 4"):
        run(plan(base=base), Cheap(bad=2.0))
