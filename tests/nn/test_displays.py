"""What notebooks and terminals show of summaries and configs: well-formed, nothing lost, nothing taken for markup."""

import dataclasses
import io
from html.parser import HTMLParser

from flax import nnx
from rich.console import Console

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc._core import html


class Reader(HTMLParser):
    """The texts of a page, and its tags as they open and close."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def _summary():
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(784, 64, rngs=rngs), nnx.Linear(64, 10, rngs=rngs))
    return nn.summary(nn.convert(model, [nn.Rule("layers/0", presets.tile_circuit())]))


def test_a_summary_says_the_same_in_text_html_and_a_terminal():
    summary = _summary()
    page = Reader(summary._repr_html_())
    assert page.open == []
    console = Console(file=io.StringIO(), width=200)
    console.print(summary)
    for shown in (page.texts, console.file.getvalue().split()):
        words = [word for text in shown for word in text.split()]
        assert words == str(summary).split()


def test_a_narrow_terminal_loses_no_text():
    console = Console(file=io.StringIO(), width=60)
    console.print(_summary())
    letters = sorted("".join(console.file.getvalue().split()))
    assert letters == sorted("".join(str(_summary()).split()))


def test_a_path_is_no_markup():
    summary = _summary()
    row = summary.rows[0]._replace(path="[red]<b>x</b>", reason="a < b & c")
    odd = dataclasses.replace(summary, rows=(row,))
    assert {"[red]<b>x</b>", "a < b & c"} <= set(Reader(odd._repr_html_()).texts)
    console = Console(file=io.StringIO(), width=200)
    console.print(odd)
    assert "[red]<b>x</b>" in console.file.getvalue()


def test_a_config_shows_every_line_of_its_description():
    config = AnalogConfig()
    page = Reader(config._repr_html_())
    assert page.open == []
    assert page.texts == [line.strip() for line in config.describe().split("\n")]
    assert "&lt;" not in page.texts
    assert "&lt;i&gt;" in html.tree("<i>")
