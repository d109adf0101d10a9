"""The examples of docs/sweeps.md run as they stand there, and its plan file is one."""

import re
from pathlib import Path

from printed import check_printed

from jaxaimc import AnalogConfig, adcs
from jaxaimc.sweeps import Plan, read_axes

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sweeps.md"


def test_examples_print_what_the_page_says():
    check_printed(PAGE, count=4, tolerance=lambda example: 0.02)


def test_the_plan_file_is_one(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "plan.toml").write_text(text)
    plan = Plan(AnalogConfig(adc=adcs.Uniform()), read_axes(tmp_path / "plan.toml"))
    assert (len(plan.designs), plan.structures) == (16 * 256 * 2 * 2, 4)
