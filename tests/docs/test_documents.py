"""The code in the README and on most pages runs as printed, and the files that they name are there."""

import json
import re
from pathlib import Path

import pytest

from jaxaimc import config

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("start", "guide", "networks", "wires")),
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(language):
    return [
        # A whole evaluation of the vision transformer is most of a minute of compiling.
        pytest.param(code, id=f"{path.name}-{number}", marks=[pytest.mark.slow] if "evaluate(" in code else [])
        for path in DOCUMENTS
        for number, code in enumerate(re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL))
    ]


@pytest.mark.parametrize("code", _blocks("python"))
def test_python_runs(code, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.chdir(tmp_path)  # some draw figures
    names = {"__name__": "document"}
    exec(compile(code, "document", "exec"), names)
    if "accuracy" in names and isinstance(names["accuracy"], float):
        assert names["accuracy"] > 0.85
    if "gradient" in names:
        assert names["gradient"].wires.r != 0
    if "task" in names and callable(names["task"]):
        assert names["task"]().name == "shapes"


def test_the_how_to_runs_from_top_to_bottom():
    names = {"__name__": "how_to"}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how_to.md").read_text(), re.DOTALL):
        exec(compile(code, "docs/how_to.md", "exec"), names)
    target, faulty = names["programmed"].g_target, names["broken"].g
    assert float(target[..., 0, 5, :].max()) > 1e-6
    assert not faulty[..., 0, 5, :].any()
    assert names["y"].shape == (128, 32)


@pytest.mark.parametrize("text", _blocks("json"))
def test_config_can_be_read(text):
    assert config.loads(text).wires.r == json.loads(text)["config"]["wires"]["r"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", path.read_text()) if not link.startswith("http")]
    named = re.findall(r"`((?:tests|jaxaimc|experiments|benchmarks)/[\w/]+(?:\.py)?)`", path.read_text())
    for link in links:
        file, _, anchor = link.partition("#")
        file = file or path.name
        assert (path.parent / file).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (path.parent / file).read_text(), re.MULTILINE)
            # As code hosts make anchors of headings.
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, link
    assert all((ROOT / name).exists() for name in named)


@pytest.mark.parametrize(
    ("page", "part", "check"),
    [
        ("devices", "SettlingDrift(DriftLaw)", "check_device(mine, g_max=50e-6)"),
        ("converters", "Ternary(Cell)", "check_cell(Ternary())"),
        ("converters", "Analog(Drive)", "check_drive(Analog())"),
        ("converters", "Logarithmic(ADC)", "check_adc(Logarithmic())"),
        ("wires", "Leaky(Wires)", "check_wires(Leaky(loss=0.01))"),
    ],
)
def test_a_part_of_your_own_is_short_and_checked(page, part, check):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.DOTALL)
    [example] = [code for code in blocks if f"class {part}:" in code]
    assert len(example.strip().splitlines()) < 30
    assert [code for code in blocks if f"\n{check}\n" in f"\n{code}"]
