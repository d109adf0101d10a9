"""What a reader sees of a study: tables, figure, screen."""

import dataclasses
import io

import pytest
from rich.console import Console
from study_cases import EFFECTS, SETTINGS

from jaxaimc.studies import EvaluationProgress, evaluate, figures, summarise, tables
from jaxaimc.studies.screen import Screen
from jaxaimc.training import TrainingProgress, progress_bar


def test_tables_show_the_numbers(whole):
    console = Console(width=80, record=True, file=io.StringIO())
    for table in tables.tables(whole):
        console.print(table)
    text = console.export_text()
    means = {(row["study"], row["name"], row["t"], row["compensated"]): row for row in whole.summary()}
    everything = means["effect", "everything", None, False]
    assert f"{everything['mean']:.4f} ± {everything['std']:.4f}" in text
    assert "200 ohm" in text
    error = tables.layer_means(whole.layers)["head"]["everything"]
    assert f"{100 * error:.2f}" in text


@pytest.mark.parametrize(
    ("kept", "panels"),
    [
        (lambda row: True, 4),
        (lambda row: row["study"] == "effect", 2),
        (lambda row: row["study"] != "drift", 3),
        (lambda row: row["study"] == "drift", 2),
        (lambda row: row["chip"] == 0, 4),
    ],
)
def test_figure_is_drawn_for_every_choice_of_studies(whole, tmp_path, kept, panels):
    evaluation = dataclasses.replace(whole, scores=[row for row in whole.scores if kept(row)])
    axes = [a for a in figures.draw(evaluation).axes if a.get_visible()]
    assert len(axes) == panels
    assert all(a.get_xlabel() for a in axes)
    assert len(list(tables.tables(evaluation))) == panels
    figures.save(evaluation, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_bad_evaluation_without_anything_to_draw(whole):
    nothing = dataclasses.replace(whole, scores=[], layers=[])
    assert list(tables.tables(nothing)) == []
    with pytest.raises(ValueError, match="must hold rows of effects, drift, resistances or layers, but holds none"):
        figures.draw(nothing)


def test_screen_prints_each_row_and_each_complete_table(task, model, capsys):
    few = dataclasses.replace(SETTINGS, resistances=())
    with Screen(Console(width=80), "accuracy") as screen:
        evaluate(task, model=model, settings=few, progress=screen.update)
    text = capsys.readouterr().out
    lines = [line.split("%  ")[1].split(":")[0] for line in text.splitlines() if "%  " in line]
    assert lines[:7] == EFFECTS
    assert lines[-1].endswith("compensated")
    assert text.index("Effects, right after") < text.index("Everything, after a time")


def test_s5_a_rerun_prints_each_table_once_with_what_an_earlier_run_lost(whole, capsys):
    summary = whole.summary()
    lost = next(row for row in summary if row["study"] == "drift")
    before = [row for row in whole.scores if (row["name"], row["compensated"]) != (lost["name"], lost["compensated"])]
    with Screen(Console(width=80), "accuracy", before) as screen:
        screen.update(EvaluationProgress(1, 1, lost["name"], lost))
    text = capsys.readouterr().out
    for title in ("Effects, right after", "Everything, after a time", "Wire resistance, right"):
        assert text.count(title) == 1
    assert "..." not in text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_study_of_ones_own_is_shown_without_a_table(whole, terminal):
    row = {**whole.summary()[0], "study": "temperature", "name": "85 degrees"}
    out = io.StringIO()
    with Screen(Console(file=out, width=80, force_terminal=terminal), "accuracy") as screen:
        screen.update(EvaluationProgress(1, 1, row["name"], row))
    assert "85 degrees" in out.getvalue()


def test_summary_of_one_chip_has_no_spread():
    row = {"study": "effect", "name": "x", "t": None, "compensated": False, "r": None, "random": True, "examples": 3}
    (one,) = summarise([{**row, "chip": 0, "score": 0.5}])
    assert (one["mean"], one["std"], one["chips"]) == (0.5, None, 1)
    (two,) = summarise([{**row, "chip": 0, "score": 0.5}, {**row, "chip": 1, "score": 0.7}])
    assert two["std"] == pytest.approx(0.2 / 2**0.5)


def test_s4_names_are_texts_not_markup(whole, tmp_path, capsys):
    odd = dataclasses.replace(whole, task="cost [/red] in $", metric="[bold]hits[/bold] [/]")
    rows = [{**row, "layer": "[/x]" + row["layer"]} for row in odd.layers]
    odd = dataclasses.replace(odd, layers=rows)
    console = Console(width=200)
    for table in tables.tables(odd):
        console.print(table)
    text = capsys.readouterr().out
    assert "[bold]hits[/bold] [/]" in text
    assert "[/x]head" in text
    figures.save(odd, tmp_path / "figure.png")
    with Screen(console, odd.metric) as screen:
        screen.update(EvaluationProgress(1, 2, "[/red] {0}", {**odd.summary()[0], "name": "[/red]"}))
    assert "[/red]: 1.0000" in capsys.readouterr().out


def test_s4_training_shows_any_name_as_it_is(capsys):
    with progress_bar("corners [/red] {step}") as show:
        show(TrainingProgress(step=32, steps=64, epoch=1, loss=0.5, examples_per_second=1234.0))
    assert "[/red] {step}" in capsys.readouterr().out
