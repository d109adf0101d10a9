"""The example of docs/report.md runs as it stands there, and its commands name options that there are."""

import re
from pathlib import Path

import tyro
from printed import check_printed

from jaxaimc.cli.options import options
from jaxaimc.cli.report import Report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "report.md"


def test_the_example_prints_what_the_page_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_printed(PAGE, count=1, tolerance=lambda example: 0.0)
    assert (tmp_path / "errors.html").stat().st_size > 4e6


def test_commands_are_those_of_the_command_line():
    text = PAGE.read_text()
    for command in re.findall(r"^jaxaimc report (.*)$", text, re.MULTILINE):
        words = re.findall(r'"[^"]*"|\S+', command)
        tyro.cli(Report, args=[word.strip('"') for word in words], config=(tyro.conf.OmitArgPrefixes,))
    known = {f"--{name}" for name in options(Report)}
    named = set(re.findall(r"`(--[a-z]+)", text))
    assert named <= known
