"""The examples of docs/design.md run as they stand there, one after the other, and print what stands below them."""

import re
from pathlib import Path

from printed import check_printed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design.md"


def test_examples_print_what_the_page_says():
    # Objectives with converters are jagged: a code that flips in one step of many moves all that follow.
    check_printed(PAGE, count=5, tolerance=lambda example: 0.02 if example < 2 else 0.25)


def test_the_search_without_gradients_is_python():
    [code] = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "optuna" in code]
    compile(code, str(PAGE), "exec")
