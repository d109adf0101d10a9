"""Means over chips, designs that no other dominates, and the table that the command prints."""

import numpy as np
import polars as pl
import pytest
import tiny_task

from jaxaimc import AnalogConfig
from jaxaimc.sweeps import Plan, Values, means, pareto
from jaxaimc.sweeps.tables import best_table, better


def table(scores, losses, **costs):
    """Rows of one design each, with two chips that are 0.02 apart."""
    count = len(scores)
    rows = {"design": np.repeat(np.arange(count), 2), "wires.r": np.repeat(np.arange(count) + 1.0, 2)}
    rows |= {"chip": np.tile([0, 1], count), "score": np.repeat(scores, 2) + np.tile([-0.01, 0.01], count)}
    return pl.DataFrame({**rows, "loss": np.repeat(losses, 2), **{k: np.repeat(v, 2) for k, v in costs.items()}})


def shown(built):
    return [list(column.cells) for column in built.columns]


def test_means_are_those_of_numpy():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 3))
    rows = {"design": np.repeat(np.arange(5), 3), "chip": np.tile(np.arange(3), 5), "error": values.ravel()}
    found = means(pl.DataFrame(rows), ["error"])
    np.testing.assert_allclose(found["error"], values.mean(1))
    np.testing.assert_allclose(found["std error"], values.std(1, ddof=1))
    assert found["chips"].to_list() == [3] * 5


def test_the_front_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    points = rng.integers(0, 12, (60, 3)).astype(float)
    points[7] = points[8]
    rows = pl.DataFrame(points, schema=["a", "b", "c"]).with_row_index("design")
    costs = points * [1, -1, 1]
    dominated = [any((p <= q).all() and (p < q).any() for p in costs) for q in costs]
    found = pareto(rows, {"a": "low", "b": "high", "c": "low"})
    assert sorted(found["design"].to_list()) == np.flatnonzero(~np.array(dominated)).tolist()
    assert found["a"].is_sorted()


def test_rows_that_are_not_finite_are_no_part_of_a_front():
    rows = pl.DataFrame({"a": [1.0, np.nan, 2.0], "b": [np.inf, 1.0, 1.0]})
    assert pareto(rows, {"a": "low", "b": "low"}).rows() == [(2.0, 1.0)]


@pytest.mark.parametrize(
    ("ways", "message"),
    [({}, "at least one"), ({"a": "up"}, "'low' or 'high'"), ({"x": "low"}, r"columns among a, b, but names 'x'")],
)
def test_bad_ways(ways, message):
    with pytest.raises(ValueError, match=message):
        pareto(pl.DataFrame({"a": [1.0], "b": [2.0]}), ways)


def test_the_printed_table_has_the_best_designs_with_their_spread():
    plan = Plan(AnalogConfig(), Values("wires.r", list(range(1, 13))), chips=2)
    scores = 0.5 + 0.03 * np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8, 9.5, 7])
    built = best_table(table(scores, -scores), plan, tiny_task.task())
    design, r, accuracy, _ = shown(built)
    assert [int(str(cell)) for cell in design] == np.argsort(-scores)[:10].tolist()
    assert str(r[0]) == "11 ohm"
    assert str(accuracy[0]) == "0.7850 ± 0.0141"
    assert str(built.title) == "corners: best of 12 designs"


def test_with_costs_it_has_the_front():
    plan = Plan(AnalogConfig(), Values("wires.r", [1, 2, 3]), chips=2)
    costs = {"energy": [2e-9, 1e-9, 3e-9], "latency": [1e-7] * 3, "area": [1e-6] * 3}
    built = best_table(table([0.8, 0.7, 0.75], [1.0, 1.0, 1.0], **costs), plan, tiny_task.task())
    assert [str(cell) for cell in shown(built)[0]] == ["1", "0"]
    assert [str(cell) for cell in shown(built)[3]] == ["1 nJ", "2 nJ"]
    assert "2 of 3 designs that no other dominates in accuracy and energy" in str(built.title)


def test_a_score_that_is_a_loss_is_better_where_it_is_low():
    assert better(table([0.9, 0.2], [0.1, 3.0]), chance=1 / 3) == "high"
    assert better(table([1.5, 4.0], [1.5, 4.0]), chance=5.5) == "low"
    assert better(table([np.nan], [np.nan]), chance=0.5) == "high"
