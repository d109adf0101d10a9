"""The examples of docs/clusters.md run as they stand there, and its command lines are ones that the program knows."""

import re
import shlex
from pathlib import Path

import pytest
from printed import check_printed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clusters.md"


def test_examples_print_what_the_page_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # jobs leave their logs there
    check_printed(PAGE, count=4, tolerance=lambda example: 0)


def _commands():
    text = PAGE.read_text().replace("\\\n", " ")
    lines = re.findall(r"(jaxaimc sweep --vary .*)$", text, re.MULTILINE)
    return [re.sub(r"\$\w+", "3", line.partition("#")[0]) for line in lines]


@pytest.mark.parametrize("line", _commands())
def test_a_command_line_is_understood(line, monkeypatch):
    from jaxaimc import cli
    from jaxaimc.cli.sweep import Sweep

    read = []
    monkeypatch.setattr(Sweep, "run", lambda self: read.append(self))
    cli.main(shlex.split(line)[1:])
    [command] = read
    assert len(command.vary) == 1
    assert command.chips == 8


def test_all_command_lines_are_found():
    assert len(_commands()) == 7
