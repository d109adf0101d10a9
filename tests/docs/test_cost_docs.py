"""The examples of docs/cost.md run as they stand there, one after the other, and print what stands below them."""

import contextlib
import io
import re
import warnings
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cost.md"
# A number whose last digit may differ between versions of JAX.
NUMBER = re.compile(r"-?[\d,]*\.?\d+(?:e-?\d+)?")


def test_examples_print_what_the_page_says():
    names, blocks = (
        {"__name__": "cost"},
        re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL),
    )
    assert len(blocks) == 5
    for code, expected in blocks:
        printed = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        found = printed.getvalue()
        assert [line.split() for line in NUMBER.sub("#", found).splitlines()] == [
            line.split() for line in NUMBER.sub("#", expected).splitlines()
        ]
        for a, b in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
            a, b = (float(text.replace(",", "")) for text in (a, b))
            assert abs(a - b) <= 0.011 * abs(b), (a, b, found)
