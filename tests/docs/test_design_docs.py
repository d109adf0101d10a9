"""The examples of docs/design.md run as they stand there, one after the other, and print what stands below them."""

import contextlib
import io
import re
import warnings
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design.md"
NUMBER = re.compile(r"-?[\d,]*\.?\d+(?:e-?\d+)?")


def test_examples_print_what_the_page_says():
    names = {"__name__": "design"}
    blocks = re.findall(r"```python\n([^`]*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    for number, (code, expected) in enumerate(blocks):
        printed = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        found = printed.getvalue()
        assert [line.split() for line in NUMBER.sub("#", found).splitlines()] == [
            line.split() for line in NUMBER.sub("#", expected).splitlines()
        ]
        for a, b in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
            a, b = (float(text.replace(",", "")) for text in (a, b))
            # Objectives with converters are jagged: a code that flips in one step of many moves all that follow.
            assert abs(a - b) <= (0.02 if number < 2 else 0.25) * abs(b), (a, b, found)


def test_the_search_without_gradients_is_python():
    [code] = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "optuna" in code]
    compile(code, str(PAGE), "exec")
