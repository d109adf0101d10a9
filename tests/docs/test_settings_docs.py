"""The examples of docs/settings.md run as they stand there, and its file is what it says."""

import os
import re
import sys
from pathlib import Path

import pytest
from printed import check_printed

from jaxaimc.cli.config import read_config
from jaxaimc.cli.evaluate import Evaluate
from jaxaimc.cli.settings import read_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def test_examples_print_what_the_page_says():
    check_printed(PAGE, count=2, tolerance=lambda example: 0)


def test_the_file_of_the_page_is_read():
    [text] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    Path("run.toml").write_text(text)
    found = read_settings(Evaluate, Path("run.toml"))
    tile = read_config(found.pop("config"))
    assert (tile.rows, tile.wires.r) == (256, 0.3)  # pyright: ignore
    assert found == {"examples": 500, "times": (1.0, 3600.0), "output": Path("../results")}
