"""Plans: the grid of their axes, groups of one structure, chunks, and what is refused before anything is computed."""

import itertools
import pickle

import numpy as np
import pytest
from cheap import Cheap

from jaxaimc import AnalogConfig, adcs, devices
from jaxaimc.config import at
from jaxaimc.studies import memory
from jaxaimc.sweeps import Plan, Range, Samples, Together, Values, run

BASE = AnalogConfig(adc=adcs.Uniform(bits=8.0))


def test_designs_are_the_product_of_the_axes_and_configs_have_their_values():
    rows, r = [64, 128], [0.5, 1.0, 2.0]
    together = Together([Values("cols", [32, 16]), Values("adc.bits", [4, 6])])
    plan = Plan(BASE, [Values("rows", rows), Values("wires.r", r), together])
    expected = list(itertools.product(rows, r, [(32, 4.0), (16, 6.0)]))
    assert plan.designs.rows() == [(n, a, b, *c) for n, (a, b, c) in enumerate(expected)]
    config = plan.config(7)
    assert [at(config, path) for path in ("rows", "wires.r", "cols", "adc.bits")] == [128, 0.5, 16, 6.0]
    assert plan.units == {"wires.r": "ohm", "adc.bits": "bit"}


def test_one_value_for_several_paths():
    assert Plan(BASE, Values(["rows", "cols"], [64, 32])).designs.rows() == [(0, 64, 64), (1, 32, 32)]


def test_chunks_have_one_structure_and_together_every_pair_once():
    parts = Values("device", {"quiet": devices.IdealDevice(), "noisy": devices.PCM()})
    plan = Plan(BASE, [Range("wires.r", 0.5, 1.5, 5), parts, Values("rows", [64, 128])], chips=3, chunk=2)
    chunks = plan.chunks()
    seen = []
    for chunk in chunks:
        assert len(chunk.columns) <= 2
        for place, number in enumerate(chunk.numbers):
            config = plan.config(int(number))
            assert (chunk.base.rows, chunk.base.device) == (config.rows, config.device)
            assert chunk.values["wires.r"][place] == config.wires.r
            assert plan.designs.drop("design").row(int(number)) == chunk.columns.row(place)
            seen += [(int(number), chip) for chip in chunk.chips]
    assert sorted(seen) == list(itertools.product(range(20), range(3)))
    assert chunks[0].rows().rows()[:3] == [(0.5, "quiet", 64, chip) for chip in range(3)]
    assert pickle.loads(pickle.dumps(chunks[0])).columns.equals(chunks[0].columns)


def test_chunks_follow_from_pairs_where_the_plan_does_not_say_how_many_designs():
    def sizes(chips, pairs):
        plan = Plan(BASE, Range("wires.r", 0.5, 1.5, 10), chips=chips)
        return [(len(chunk.columns), len(chunk.chips)) for chunk in plan.chunks(pairs)]

    assert sizes(3, 12) == [(4, 3), (4, 3), (2, 3)]
    assert sizes(5, 2) == [(1, 2), (1, 2), (1, 1)] * 10


def test_whole_numbers_of_ranges_and_samples_count_once():
    assert Plan(BASE, Range("rows", 2, 4, 9)).designs["rows"].to_list() == [2, 3, 4]
    sampled = Plan(BASE, Samples({"rows": (2, 4)}, 64)).designs["rows"].to_list()
    assert sorted(sampled) == [2, 3, 4]


def test_infinity_where_a_field_may_be_infinite():
    plan = Plan(AnalogConfig(adc=adcs.CCO()), Values("adc.max_count", [15.0, np.inf]))
    assert plan.designs["adc.max_count"].to_list() == [15.0, np.inf]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan(BASE, []), r"`axes` of Plan must be axes such as Values or Range, but is \[\]"),
        (lambda: Plan(BASE, Values("wirs.r", [1.0])), r"no field at the path 'wirs.r' \(did you mean 'wires.r'\?\)"),
        (lambda: Plan(BASE, [Values("rows", [2]), Values("rows", [3])]), r"varies 'rows' twice"),
        (
            lambda: Plan(BASE, [Values("adc", [adcs.CCO()]), Values("adc.bits", [3])]),
            r"must not vary 'adc.bits' beside",
        ),
        (
            lambda: Plan(BASE, Values("wires.r", [1.0, -1.0])),
            r"Path 'wires.r': Field `r` of Ladder must be in .* is -1",
        ),
        (lambda: Plan(BASE, Values("wires.r", [float("nan")])), r"Field `r` of Ladder must be in .* but is nan"),
        (lambda: Plan(BASE, Values("wires.r", ["a"])), r"Field `r` of Ladder must be a number, but is 'a'"),
        (lambda: Plan(BASE, Values("rows", [64, 64.5])), r"Path 'rows': Field `rows` of AnalogConfig"),
        (lambda: Plan(BASE, Values("rows", [0])), r"Path 'rows': Field `rows` of AnalogConfig must be"),
        (
            lambda: Plan(BASE, Values("device", [adcs.CCO()])),
            r"Path 'device': Field `device` of AnalogConfig must be a",
        ),
        (
            lambda: Plan(BASE, Values("adc", [adcs.Uniform(bits=4.0), adcs.Uniform(bits=5.0)])),
            r"called 'Uniform'; give",
        ),
        (lambda: Plan(BASE, Values("rows", [4]), chips=0), r"`chips` of Plan"),
        (lambda: Plan(BASE, Values("rows", [4]), chunk=0), r"`chunk` of Plan"),
        (lambda: Plan(BASE, Values("rows", [4])).config(1), r"`design`"),
        (
            lambda: Plan(BASE, [Values("cell.g_min", [0.0, 3e-5]), Values("cell.g_max", [1e-5, 2e-5])]),
            r"Design 2 \(cell.g_min = 3e-05, cell.g_max = 1e-05\): .*`g_min`",
        ),
    ],
)
def test_bad_plans(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_plan_too_large(monkeypatch):
    monkeypatch.setattr(memory, "of_this_machine", lambda: 10**9)
    axes = [Range("wires.r", 0.5, 1.5, 10_000), Range("adc.bits", 4.0, 8.0, 10_000)]
    with pytest.raises(ValueError, match=r"100,000,000 designs \(10,000 of wires.r x 10,000 of adc.bits\).* 1 GB"):
        Plan(BASE, axes)


def test_a_table_has_a_row_per_design_and_chip_and_what_the_measure_gives():
    plan = Plan(BASE, [Values("rows", [64, 128]), Values("wires.r", [0.5, 1.0])], chips=2)
    table = run(plan, Cheap())
    assert table.columns == ["design", "rows", "wires.r", "chip", "sum", "square"]
    assert table["design"].to_list() == [0, 0, 1, 1, 2, 2, 3, 3]
    # The same chip in all designs: the noise of chip 1 is the same everywhere.
    noise = (table["sum"] - table["rows"] - table["wires.r"]).to_numpy().reshape(4, 2)
    np.testing.assert_allclose(noise, noise[[0] * 4], atol=1e-4)
    assert abs(noise[0, 0] - noise[0, 1]) > 0.01
    named = run(plan, {"b": Cheap(1.0), "a": Cheap()})
    assert named.columns[:2] == ["design", "network"]
    assert named["network"].to_list() == ["b"] * 8 + ["a"] * 8
    assert named.filter(network="a").drop("network").equals(table)


def test_structure_alone():
    table = run(Plan(BASE, Values("rows", [64, 128])), Cheap())
    assert [row[:3] for row in table.rows()] == [(0, 64, 0), (1, 128, 0)]


def test_bad_design_among_many_whose_rule_takes_arrays_as_one():
    """The least reach of all designs is within the device's window, that of one is not."""
    values = [2e-5, 2.6e-5, *(1e-5 + 1e-7 * n for n in range(20))]
    with pytest.raises(ValueError, match=r"Design 1 \(cell.g_max = 2.6e-05\): .* must stay within the window"):
        Plan(BASE, Values("cell.g_max", values))
