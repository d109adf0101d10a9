"""A results folder: complete at any moment, merged from chunks, never more than what is there."""

import dataclasses
import json
import os
from pathlib import Path

import polars as pl
import pytest
from study_cases import SETTINGS

from jaxaimc import AnalogConfig
from jaxaimc._core.files import replacing
from jaxaimc.studies.facts import describe, folder_name
from jaxaimc.studies.results import Rows
from jaxaimc.studies.store import ResultsError, ResultsFolder, fingerprint

SCORE = {"study": "effect", "name": "everything", "sets": "{}", "t": None, "compensated": False, "r": None}
SCORE |= {"random": True, "examples": 5, "chip": 0, "score": 0.5}
LAYER = {"name": "everything", "layer": "head", "chip": 0, "error": 0.1}
FILES = ["chunks", "layers.parquet", "run.json", "scores.parquet"]


@pytest.fixture
def folder(tmp_path):
    store = ResultsFolder(tmp_path / "results", {"run": 1}, ["jaxaimc", "evaluate"], {"analog_products": 2})
    store.add("one", Rows([SCORE], [LAYER]))
    return store


def again(folder):
    return ResultsFolder(folder.path, {"run": 1})


def names(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_a_folder_records_how_it_came_about(folder):
    record = json.loads((folder.path / "run.json").read_text())
    assert record["facts"] == {"run": 1}
    assert record["command"] == ["jaxaimc", "evaluate"]
    assert record["analog_products"] == 2
    assert {"python", "jax", "flax", "jaxaimc"} <= set(record["versions"])
    assert names(folder) == FILES


def test_what_is_added_is_found_again(folder):
    assert again(folder).open(["one", "two"]) == {"one": Rows([SCORE], [LAYER])}


@pytest.mark.parametrize("name", ["scores.parquet", "layers.parquet"])
def test_s5_a_table_that_was_deleted_or_lost_rows_is_made_anew(folder, name):
    path = folder.path / name
    before = pl.read_parquet(path)
    before.clear().write_parquet(path)
    again(folder).open(["one"])
    assert pl.read_parquet(path).equals(before)
    path.unlink()
    again(folder).open(["one"])
    assert pl.read_parquet(path).equals(before)


def test_s5_two_runs_into_one_folder_find_each_others_results(folder):
    first, second = again(folder), again(folder)
    first.open(["one", "two", "three"])
    second.open(["one", "two", "three"])
    first.add("three", Rows([{**SCORE, "name": "3"}], []))
    second.add("two", Rows([{**SCORE, "name": "2"}], []))
    # Neither has ever seen fewer rows than there were, and the order is that of the scenarios.
    assert pl.read_parquet(folder.path / "scores.parquet")["name"].to_list() == ["everything", "2", "3"]
    first.add("two", Rows([{**SCORE, "name": "2"}], []))
    assert pl.read_parquet(folder.path / "scores.parquet")["name"].to_list() == ["everything", "2", "3"]
    assert len(list(folder.chunks.iterdir())) == 3


def test_s5_repeated_rows_count_once(folder):
    folder.add("two", Rows([SCORE, SCORE], [LAYER, LAYER]))
    assert again(folder).open(["two"]) == {"two": Rows([SCORE], [LAYER])}


def test_bad_s5_edited_record(folder):
    record = folder.path / "run.json"
    record.write_text(record.read_text().replace('"run": 1', '"run": 2'))
    for facts in ({"run": 1}, {"run": 2}):
        with pytest.raises(ResultsError, match=r"run.json' was edited: its facts no longer give its fingerprint"):
            ResultsFolder(folder.path, facts)


def test_s5_temporary_files_of_killed_runs_are_removed_and_those_of_living_ones_stay(folder):
    abandoned = folder.chunks / ".one.parquet.x.unfinished"
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    with replacing(folder.path / "scores.parquet") as living:
        living.write_bytes((folder.path / "scores.parquet").read_bytes())
        os.utime(living, (0, 0))
        again(folder)
        assert living.exists()
        assert not abandoned.exists()


def test_bad_s4_damaged_chunk_is_refused_wherever_the_damage_is(folder, capfd):
    (path,) = folder.chunks.iterdir()
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        with pytest.raises(ResultsError, match="is damaged or was edited"):
            again(folder).open(["one"])
    assert capfd.readouterr().err == ""


def test_bad_s4_damaged_table_ends_in_one_sentence_and_prints_nothing_else(folder, capfd):
    path = folder.path / "scores.parquet"
    content = path.read_bytes()
    refused = 0
    for place in range(len(content) - 1, 0, -11):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            again(folder)
        except ResultsError:  # anything else fails the test, a panic of Rust as well
            refused += 1
    assert refused
    assert capfd.readouterr().err == ""


def test_bad_s4_record_that_nests_too_deep(folder):
    (folder.path / "run.json").write_text("[" * 200_000)
    with pytest.raises(ResultsError, match="truncated or was not written by an evaluation"):
        again(folder)


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
    write = Path.write_bytes

    def full(self, content):
        write(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        folder.add("two", Rows([{**SCORE, "name": "ADC only"}], []))
    assert (folder.path / "scores.parquet").read_bytes() == before
    assert names(folder) == FILES
    assert len(list(folder.chunks.iterdir())) == 1


def test_fingerprint_follows_everything_but_the_batch(task):
    def facts(**changes):
        settings = dataclasses.replace(SETTINGS, **changes)
        return describe(task, AnalogConfig(), settings, task_path="tiny_task:task", checkpoint=None)

    assert fingerprint(facts()) == fingerprint(facts(batch=5))
    assert fingerprint(facts()) != fingerprint(facts(seed=5))
    other = describe(task, AnalogConfig(rows=256), SETTINGS, task_path="tiny_task:task", checkpoint=None)
    assert fingerprint(facts()) != fingerprint(other)
    assert folder_name(task, facts()) == f"corners-{fingerprint(facts())}"
