"""Runs the examples of a page of the documentation and compares what they print with what stands below them."""

import contextlib
import io
import re
import warnings

# A number whose last digit may differ between versions of JAX.
NUMBER = re.compile(r"-?[\d,]*\.?\d+(?:e-?\d+)?")


def check_printed(page, *, count, tolerance):
    """Run all examples one after the other; numbers may be off by `tolerance(example)`, all else is the same."""
    names = {"__name__": page.stem}
    blocks = re.findall(r"```python\n((?:(?!```).)*)```\n```text\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(blocks) == count
    for example, (code, expected) in enumerate(blocks):
        printed = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            exec(compile(code, str(page), "exec"), names)
        found = printed.getvalue()
        assert [line.split() for line in NUMBER.sub("#", found).splitlines()] == [
            line.split() for line in NUMBER.sub("#", expected).splitlines()
        ]
        for a, b in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
            a, b = (float(text.replace(",", "")) for text in (a, b))
            assert abs(a - b) <= tolerance(example) * abs(b), (a, b, found)
