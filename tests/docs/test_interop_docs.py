"""The examples of docs/interop.md print what the page says."""

from pathlib import Path

import pytest
from printed import check_printed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interop.md"


@pytest.fixture(autouse=True)
def _folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the page writes files


def test_examples_print_what_the_page_says():
    check_printed(PAGE, count=5, tolerance=lambda example: 0)
