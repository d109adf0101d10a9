"""The examples of docs/devices.md run as they stand there, and "bring your own device" is as short as promised."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs(number):
    exec(compile(EXAMPLES[number], f"docs/devices.md, example {number}", "exec"), {"__name__": f"example_{number}"})


def test_bring_your_own_device_is_short():
    example = next(code for code in EXAMPLES if "SettlingDrift" in code)
    assert len(example.strip().splitlines()) < 30
