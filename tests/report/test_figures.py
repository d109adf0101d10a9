"""Figures for papers: readable at a column's width, honest about zero and order, and complete or not there."""

import errno

import numpy as np
import pytest
import result_folders as results

from jaxaimc.report import figures, read, write_figures
from jaxaimc.report.dataset import std


def test_every_table_gives_its_figures_and_the_same_results_the_same_files(tmp_path):
    folders = [results.sweep(tmp_path / "s"), results.evaluation(tmp_path / "e"), results.design(tmp_path / "d")]
    report = read(folders)
    written = write_figures(report, tmp_path / "one")
    assert [path.stem.partition("-")[2] for path in written] == [
        "score-against-wires.r", "score-by-wires.r-and-adc.f_adc", "front-of-energy-and-score",
        "accuracy-against-effect", "accuracy-against-wire_resistance", "error-against-layer",
        "energy-against-layer", "energy-against-part",
        "loss-against-weight", "front-of-energy-and-loss", "total-against-step",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    pdfs = [write_figures(read(folders[2:]), tmp_path / name, "pdf") for name in ("two", "three")]
    for one, two in zip(*pdfs, strict=True):
        assert one.read_bytes().startswith(b"%PDF")
        assert one.read_bytes() == two.read_bytes()


def test_letters_are_readable_at_a_columns_width_and_no_bar_is_drawn(tmp_path):
    for dataset in read([results.sweep(tmp_path / "s"), results.evaluation(tmp_path / "e")]).datasets:
        for figure in figures.draw(dataset).values():
            assert figure.get_figwidth() == 3.5
            figure.draw_without_rendering()
            axes = figure.axes[0]
            texts = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
            assert min(text.get_fontsize() for text in texts) >= 7
            # Patches would be bars, whose length is read from zero.
            assert not axes.patches
            around = figure.get_tightbbox()
            assert around.x0 >= -0.01
            assert around.x1 <= 3.51


def test_lines_join_numbers_only(tmp_path):
    datasets = {
        one.title: one for one in read([results.sweep(tmp_path / "s"), results.evaluation(tmp_path / "e")]).datasets
    }
    [effects] = figures.draw(datasets["Effects, right after programming"]).values()
    assert {line.get_linestyle() for line in effects.axes[0].lines} <= {"None", "none", ""}
    curve = figures.draw(datasets["Sweep of wires.r, adc.f_adc"])["sweep_of_wires.r_adc.f_adc-score-against-wires.r"]
    lines = curve.axes[0].lines
    assert [line.get_linestyle() for line in lines] == ["-", "-"]
    assert curve.axes[0].get_xscale() == "log"
    # The band is the mean and one sample deviation over chips.
    designs = datasets["Sweep of wires.r, adc.f_adc"].designs.filter(**{"adc.f_adc": 4e9}).sort("wires.r")
    np.testing.assert_allclose(lines[0].get_ydata(), designs["score"].to_numpy())
    [band, _] = curve.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(heights.max(), (designs["score"] + designs[std("score")]).max())
    [resistance] = figures.draw(datasets["Wire resistance, right after programming"]).values()
    assert resistance.axes[0].get_xscale() == "symlog"


def test_a_figure_stays_as_it_was_when_the_disk_is_full(tmp_path, monkeypatch):
    report = read([results.design(tmp_path / "d")])
    [first, *_] = write_figures(report, tmp_path / "f")
    before = first.read_bytes()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OSError, match="No space left"):
        write_figures(report, tmp_path / "f")
    assert first.read_bytes() == before
    assert not list((tmp_path / "f").glob(".*"))
