"""The examples of docs/cost.md run as they stand there, one after the other, and print what stands below them."""

from pathlib import Path

from printed import check_printed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cost.md"


def test_examples_print_what_the_page_says():
    check_printed(PAGE, count=5, tolerance=lambda example: 0.011)
