"""The examples of docs/converters.md run as they stand there, one after the other."""

import re
from pathlib import Path

from jaxaimc import nn

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "converters.md").read_text(encoding="utf-8")


def test_examples_run(capsys):
    names = {"__name__": "converters"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(code, "docs/converters.md", "exec"), names)
    assert names["y"].shape == (2, 4)
    assert "cell: DifferentialSlices" in capsys.readouterr().out
    assert nn.effective(names["drifted"]).keys() == {""}
