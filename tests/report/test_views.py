"""What is averaged, joined by lines and called better: against NumPy and brute force."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxaimc.report.dataset import Dataset, is_logarithmic
from jaxaimc.report.views import Choice, choose, companions, curves, front, grid, plane

R, BITS, CHIPS = [0.1, 1.0, 10.0, 100.0], [4, 6, 8], [0, 1, 2]


def full(**more):
    """A grid of two fields on three chips, in no order."""
    rng = np.random.default_rng(0)
    rows = pl.DataFrame([{"r": r, "bits": b, "chip": c} for r in R for b in BITS for c in CHIPS])
    rows = rows.with_columns(error=rng.normal(size=len(rows)), energy=rng.uniform(1, 2, len(rows)))
    rows = rows.sample(fraction=1.0, shuffle=True, seed=1)
    return Dataset(
        kind="sweep", title="grid", rows=rows, fields=("r", "bits"), measured=("error", "energy"), per="chip", **more
    )


def test_bands_are_means_and_sample_deviations_over_chips():
    dataset = full()
    found = curves(dataset, Choice("r", "error", "bits", {}))
    assert [curve.label for curve in found] == ["4", "6", "8"]
    for curve, bits in zip(found, BITS, strict=True):
        assert curve.x == R
        assert curve.is_line
        for place, r in enumerate(R):
            chips = dataset.rows.filter(r=r, bits=bits)["error"].to_numpy()
            assert len(chips) == len(CHIPS)
            np.testing.assert_allclose(curve.mean[place], chips.mean(), rtol=1e-12)
            np.testing.assert_allclose(curve.std[place], np.std(chips, ddof=1), rtol=1e-12)


def test_points_are_joined_only_where_they_are_a_function():
    dataset = full()
    [held] = curves(dataset, Choice("r", "error", "", {"bits": 6}))
    assert held.is_line
    assert len(held.x) == len(R)
    [loose] = curves(dataset, Choice("r", "error", "", {}))
    assert not loose.is_line
    assert len(loose.x) == len(R) * len(BITS)
    # Measured against measured is no function either.
    assert not any(curve.is_line for curve in curves(dataset, Choice("energy", "error", "bits", {})))


def test_what_is_not_finite_is_not_drawn_but_said():
    dataset = full()
    rows = dataset.rows.with_columns(
        error=pl.when((pl.col("r") == 1.0) & (pl.col("bits") == 4)).then(np.nan).otherwise("error")
    )
    dataset = Dataset(kind="sweep", title="", rows=rows, fields=("r", "bits"), measured=("error",), per="chip")
    assert curves(dataset, Choice("r", "error", "bits", {}))[0].x == [0.1, 10.0, 100.0]
    assert dataset.problems() == ["3 of 36 values of error are missing or not finite, and not drawn."]


def test_a_heat_map_is_a_full_grid_or_none():
    dataset = full()
    cells = grid(dataset, "r", "bits", "error", {})
    expected = [[dataset.rows.filter(r=r, bits=b)["error"].mean() for r in R] for b in BITS]
    np.testing.assert_allclose(cells, expected, rtol=1e-12)
    twice = Dataset(kind="table", title="", rows=dataset.rows, fields=("r", "bits"), measured=("error",))
    assert grid(twice, "r", "bits", "error", {}) is None
    rng = np.random.default_rng(0)
    random = pl.DataFrame({"a": rng.uniform(size=50), "b": rng.uniform(size=50), "error": rng.uniform(size=50)})
    scattered = Dataset(kind="table", title="", rows=random, fields=("a", "b"), measured=("error",))
    assert grid(scattered, "a", "b", "error", {}) is None
    assert companions(scattered, "a") == ()


def test_fields_that_change_together_count_as_one():
    rows = full().rows.with_columns(r_col=pl.col("r") * 2)
    dataset = Dataset(kind="sweep", title="", rows=rows, fields=("r", "r_col", "bits"), measured=("error",), per="chip")
    assert companions(dataset, "r") == ("r_col",)
    choice = choose(dataset)
    assert (choice.x, choice.colour, choice.held) == ("r", "bits", {})
    assert all(curve.is_line for curve in curves(dataset, choice))
    assert plane(dataset, choice) == ("r", "bits")


def test_a_third_field_is_held_at_its_middle():
    rows = pl.concat([full().rows.with_columns(v=pl.lit(v)) for v in (0.1, 0.2, 0.4)])
    dataset = Dataset(kind="sweep", title="", rows=rows, fields=("r", "bits", "v"), measured=("error",), per="chip")
    choice = choose(dataset)
    assert (choice.x, choice.colour, choice.held) == ("r", "bits", {"v": 0.2})
    assert [len(curve.x) for curve in curves(dataset, choice)] == [len(R)] * len(BITS)


# Few values, so that there are ties; and some that are none.
VALUE = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, np.nan, np.inf])


@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_the_front_is_what_brute_force_finds(points, higher_a, higher_b):
    values = np.array(points)
    cost = values * [-1 if higher_a else 1, -1 if higher_b else 1]
    finite = [i for i in range(len(cost)) if np.isfinite(cost[i]).all()]
    expected = [
        i in finite and not any((cost[j] <= cost[i]).all() and (cost[j] < cost[i]).any() for j in finite)
        for i in range(len(cost))
    ]
    assert front(values, [higher_a, higher_b]).tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.geomspace(0.1, 20, 9), True),
        ([0.0, 0.15, 0.5, 1.0, 2.0, 6.0, 20.0], True),
        (np.linspace(1, 100, 9), False),
        ([4.0, 5.0, 6.0, 8.0], False),
        ([-1.0, 1.0, 10.0, 100.0], False),
    ],
)
def test_the_axis_follows_the_spacing(values, expected):
    assert is_logarithmic(list(values)) == expected
