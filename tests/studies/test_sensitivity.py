"""Which layer costs the score: a planted bad layer is found, and the list of exemptions is measured."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from rich.console import Console

from jaxaimc import AnalogConfig, adcs, devices, nn, wires
from jaxaimc.studies import Memory, Scenario, Settings, Study, sensitivity, tables
from jaxaimc.studies.scenarios import effects
from jaxaimc.tasks.chips import as_read, chip_keys, program_chips
from jaxaimc.tasks.score import chip_scores, mean_score

FEW = {"examples": 60, "chips": 2, "batch": 30}
# Programming noise is all that a weight that is much smaller than its column's largest suffers from.
CONFIG = AnalogConfig(wires=wires.NoWires(), adc=adcs.IdealADC())
PROGRAMMING = "programming noise only"


@pytest.fixture(scope="module")
def planted(model):
    """The trained network, with a head whose other weights vanish beside one that is never driven."""
    bad = nnx.clone(model)
    bad.norm.scale[...] = bad.norm.scale[...].at[0].set(0.0)
    bad.norm.bias[...] = bad.norm.bias[...].at[0].set(-1.0)  # behind the rectifier always zero
    bad.head.kernel[...] = bad.head.kernel[...].at[0].set(300.0)
    return bad


@pytest.fixture(scope="module")
def found(task, planted):
    return sensitivity(task, CONFIG, model=planted, names=("input pulses only", PROGRAMMING), **FEW)


def test_a_planted_bad_layer_is_found(found):
    assert found.digital > 0.9
    losses = {(row["layer"], row["effect"]): row["loss"] for row in found.rows}
    assert set(losses) == {
        (layer, effect) for layer in ("head", "hidden") for effect in ("input pulses only", PROGRAMMING, "everything")
    }
    assert losses["head", PROGRAMMING] > 0.1
    assert losses["head", "everything"] > 0.1
    assert all(abs(loss) < 0.05 for (layer, _), loss in losses.items() if layer == "hidden")
    assert abs(losses["head", "input pulses only"]) < 0.05
    assert (found.worst()["layer"], found.worst()["effect"]) == ("head", PROGRAMMING)
    assert found.worst("everything")["layer"] == "head"


@pytest.mark.parametrize("one", ["analog", "digital"])
def test_where_lower_scores_are_better_losses_are_those_of_the_mirrored_score(task, planted, one):
    error = dataclasses.replace(
        task, metric="error", chance=1 - task.chance, score=lambda outputs, targets: 1 - task.score(outputs, targets)
    )
    found, mirrored = (
        sensitivity(which, CONFIG, model=planted, one=one, names=(PROGRAMMING,), **FEW) for which in (task, error)
    )
    for rows, others in ((found.rows, mirrored.rows), (found.exemptions, mirrored.exemptions)):
        assert [row["loss"] for row in others] == pytest.approx([row["loss"] for row in rows], abs=1e-6)
    assert max(row["loss"] for row in mirrored.exemptions) > 0.1
    assert mirrored.exempt == found.exempt


def test_the_fewest_layers_that_stay_digital(found):
    assert [(row["kept"], row["layer"]) for row in found.exemptions] == [(0, None), (1, "head"), (2, "hidden")]
    everything, without_head, digital = found.exemptions
    assert everything["loss"] > 0.1
    assert digital["loss"] == 0
    assert dataclasses.replace(found, tolerance=0.05).exempt == ("head",)
    assert dataclasses.replace(found, tolerance=1.0).exempt == ()
    strict = dataclasses.replace(found, tolerance=0.0).exempt
    assert strict == (("head",) if without_head["loss"] <= 0 else ("head", "hidden"))


def test_scores_are_those_of_a_network_that_is_converted_so(task, planted, found):
    """The same chips, with the other layer digital by a rule."""
    split = task.split("test").first(60)
    chips, reads = chip_keys(0, 2)
    rows = {row["layer"]: row for row in found.rows if row["effect"] == PROGRAMMING}
    programming = next(s for s in effects(CONFIG) if s.name == PROGRAMMING).config
    for layer in ("head", "hidden"):
        analog = nn.convert(planted, [nn.Rule(layer, programming)])
        scores = []
        for key, read in zip(chips, reads, strict=True):
            chip = nn.with_read_key(nn.program(analog, key), read)
            scores.append(mean_score(task, chip, split))
        assert rows[layer]["mean"] == pytest.approx(sum(scores) / 2, abs=1e-9)
        assert rows[layer]["chips"] == 2


def test_one_layer_digital_at_a_time_gains_what_it_costs(task, planted, found):
    store = Memory()
    other = sensitivity(task, CONFIG, model=planted, names=(), one="digital", store=store, **FEW)
    losses = {row["layer"]: row for row in other.rows}
    assert list(losses) == ["head", "hidden"]
    # With the head digital, the hidden layer alone is on the chip.
    alone = {row["layer"]: row["mean"] for row in found.rows if row["effect"] == "everything"}
    assert losses["head"]["mean"] == alone["hidden"]
    assert losses["head"]["loss"] == pytest.approx(alone["hidden"] - found.exemptions[0]["mean"])
    assert losses["head"]["loss"] > 0.1 > abs(losses["hidden"]["loss"])
    seen = []
    again = sensitivity(task, CONFIG, model=planted, names=(), one="digital", store=store, progress=seen.append, **FEW)
    assert (again, seen) == (other, [])


def test_chips_are_programmed_once_for_each_effect(task, planted, monkeypatch):
    from jaxaimc.studies import measure

    programmed = []

    def counted(*arguments, **named):
        programmed.append(arguments)
        return program_chips(*arguments, **named)

    monkeypatch.setattr(measure, "program_chips", counted)
    sensitivity(task, CONFIG, model=planted, names=(PROGRAMMING,), **FEW)
    # All layers together (2 effects), one layer of two (2), exemptions (1): not once for each of the 8 scenarios.
    assert len(programmed) == 5


def test_layers_that_a_pattern_leaves_out_are_digital(task, planted):
    found = sensitivity(task, CONFIG, model=planted, names=(), pattern="hid.*", **FEW)
    assert [row["layer"] for row in found.exemptions] == [None, "hidden"]
    assert abs(found.exemptions[0]["loss"]) < 0.05
    assert found.exemptions[0]["mean"] == found.rows[0]["mean"]


def test_the_table_of_losses(found):
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(tables.sensitivity_table(found))
    text = console.export_text()
    lines = [line.split() for line in text.splitlines()]
    losses = {row["effect"]: row["loss"] for row in found.rows if row["layer"] == "head"}
    head = next(line for line in lines if line[:1] == ["head"])
    assert head[1:] == [f"{losses[name]:.4f}" for name in losses] + [f"{found.exemptions[1]['loss']:.4f}"]
    assert "digital: 1.0000; within 0.01 with 1 layer digital" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"one": "both"}, r"Argument `one` must be one of \('analog', 'digital'\), but is 'both'"),
        ({"tolerance": -1.0}, r"Field `tolerance` of sensitivity must be in \[0, inf\)"),
        ({"names": ("magic",)}, r"Argument `names` must hold effects among 'input pulses only', .*but holds 'magic'"),
        (
            {"pattern": "tail"},
            r"`pattern` must match an analog layer, but 'tail' matches none of: head, hidden",
        ),
        ({"chips": 0}, r"Field `chips` of Settings must be an integer in \[1, inf\), but is 0"),
    ],
)
def test_bad_arguments(task, model, arguments, message):
    with pytest.raises(ValueError, match=message):
        sensitivity(task, CONFIG, model=model, **arguments)


def test_bad_digital_layer_of_a_scenario(task, model):
    scenario = Scenario(study="mine", name="mine", base=CONFIG, digital=("tail",))
    with pytest.raises(ValueError, match="Field `digital` of Scenario must hold paths among 'head', 'hidden', but"):
        Study(task, model, [scenario], Settings(**FEW))


def test_a_scenario_without_digital_layers_is_found_in_older_results():
    scenario = Scenario(study="effect", name="everything", base=CONFIG)
    assert "digital" not in scenario.facts()
    assert dataclasses.replace(scenario, digital=("b", "a")).facts()["digital"] == ["a", "b"]


def test_all_layers_digital_is_the_digital_network(task, model):
    split = task.split("test").first(20)
    chips, reads = chip_keys(0, 1)
    quiet = AnalogConfig(device=devices.IdealDevice(), wires=wires.NoWires(), adc=adcs.IdealADC())
    programmed = program_chips(model, quiet, chips, None, compensated=False)
    blank = as_read(model, quiet, programmed, digital=("head", "hidden"))
    outputs = blank.on_chip({path: _only(chip) for path, chip in programmed.items()}, reads[0])
    outputs.eval()
    expected = nnx.clone(model)
    expected.eval()
    inputs = jnp.asarray(split.inputs)
    assert jnp.allclose(outputs(inputs), expected(inputs), atol=1e-5)
    [scores] = chip_scores(task, blank, programmed, reads, split, batch=20)
    assert scores.mean() == mean_score(task, model, split)


def _only(prepared):
    return jax.tree.map(lambda leaf: leaf[0], prepared)
