"""`jaxaimc report`: what it prints and writes, and what it refuses in one line."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "report"))
import result_folders as results

from jaxaimc import cli


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def test_it_says_what_is_there_and_writes_a_page_that_stands_by_itself(capsys, tmp_path):
    results.sweep(tmp_path / "part", parts=2)
    results.table(tmp_path / "t.csv", 50)
    cli.main(
        ["report", "part", "t.csv", "--output", "pages/r.html", "--figures", "f", "--format", "pdf", "--title", "A < B",
         "--y", "energy", "--x", "adc.f_adc"]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "part (sweep): 12 rows of sweep of wires.r, adc.f_adc" in printed
    assert "Unfinished: 12 of 30 planned rows" in printed
    assert "Measured: r, score, power (as names and values suggest" in printed
    files = re.findall(r"figure: +(\S+)", printed)
    assert "f/sweep_of_wires.r_adc.f_adc-energy-against-adc.f_adc.pdf" in files
    assert all((tmp_path / file).is_file() for file in files)
    page = (tmp_path / "pages" / "r.html").read_text(encoding="utf-8")
    assert "<title>A &lt; B</title>" in page
    assert page.count("plotly.js v") == 1
    # Nothing is fetched: no source, style or import from elsewhere outside of the scripts' own texts.
    skeleton = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", skeleton)
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    sweep = json.loads(data)["datasets"][0]
    assert (sweep["curve"]["x"], sweep["curve"]["y"]) == ("adc.f_adc", "energy")


def test_bad_results_are_refused_in_one_line_and_the_page_stays(capsys, tmp_path):
    (tmp_path / "report.html").write_text("before")
    folder = results.sweep(tmp_path / "s")
    whole = (folder / "sweep.parquet").read_bytes()
    (folder / "sweep.parquet").write_bytes(whole[: len(whole) // 2])
    for arguments, message in (
        (["s"], "Error: Table 's/sweep.parquet' is truncated or not Parquet"),
        (["nowhere"], "but there is no 'nowhere'"),
        ([], "at least one results folder or table, but is empty"),
        (["s", "--output", "."], "must be a file, but '.' is a folder"),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(["report", *arguments])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert (tmp_path / "report.html").read_text() == "before"
