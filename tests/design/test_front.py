"""Fronts over a weight, and a wire's width against its area, against a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from jaxaimc import AnalogConfig, adcs, analog_matmul, design, devices
from jaxaimc.config import with_at
from jaxaimc.wires import Ladder

CONFIG, KEY = AnalogConfig(), jax.random.key(0)


def trade(weight, config, key):
    loss, area = config.wires.r**2, 1 / config.wires.r
    return loss + weight * area, {"loss": loss, "area": area}


def front(weights, **named):
    named = {"names": ["loss", "area"], "steps": 120, "key": KEY, **named}
    return design.pareto(lambda weight: Partial(trade, weight), CONFIG, ["wires.r"], weights, **named)


def test_an_analytic_front_is_monotone_and_resumed(tmp_path):
    weights = [0.1, 0.4, 1.6, 6.4]
    found = front(weights, folder=tmp_path)
    np.testing.assert_allclose(
        [point.design.values["wires.r"] for point in found.points], [(w / 2) ** (1 / 3) for w in weights], rtol=0.01
    )
    losses, areas = ([point.figures[name] for point in found.points] for name in ("loss", "area"))
    assert losses == sorted(losses)
    assert areas == sorted(areas, reverse=True)
    assert found.best == found.points
    # Each begins where the last one ended, and is found again as it was.
    for before, after in zip(found.points, found.points[1:], strict=False):
        assert after.design.history["wires.r"][0] == pytest.approx(before.design.values["wires.r"], rel=1e-5)
    steps = []
    again = front(weights, folder=tmp_path, progress=lambda number: steps.append)
    assert not steps
    assert [point.design.values for point in again.points] == [point.design.values for point in found.points]
    # With more steps the first goes on, and the second begins elsewhere.
    front(weights[:2], folder=tmp_path, steps=125, progress=lambda number: steps.append)
    assert [progress.step for progress in steps] == [*range(121, 126), *range(1, 126)]


def test_parameters_go_on_from_weight_to_weight(tmp_path):
    """`(p - 1)^2 + r^2 + weight / r`: the check sees the parameters of each design."""

    def both(weight, config, key, p):
        loss, found = trade(weight, config, key)
        return loss + (p - 1.0) ** 2, found

    seen = []

    def check(config, p):
        seen.append(float(p))
        return {"p": float(p)}

    how = {
        "names": ["loss", "area"], "steps": 30, "key": KEY, "parameters": jnp.asarray(0.0), "folder": tmp_path,
        "parameter_optimizer": optax.sgd(0.05), "check": check,
    }  # fmt: skip
    found = design.pareto(lambda weight: Partial(both, weight), CONFIG, ["wires.r"], [0.1, 0.4], **how)
    # Of the distance from one, nine tenths are left by each step.
    np.testing.assert_allclose(seen, [1 - 0.9**30, 1 - 0.9**60], rtol=1e-5)
    assert [point.figures["p"] for point in found.points] == seen
    again = design.pareto(lambda weight: Partial(both, weight), CONFIG, ["wires.r"], [0.1, 0.4], **how)
    assert [float(point.design.parameters) for point in again.points] == seen[:2] == seen[2:]


def test_what_is_worse_in_every_figure_is_dominated():
    """The check takes the place of the parts: it makes the second point a bad one, and the third an equal one."""
    loss = iter([1.0, 3.0, 1.0])
    found = front([1.0, 1.0, 1.0], steps=1, names=["loss", "flat"], check=lambda _: {"loss": next(loss), "flat": 2.0})
    assert [point.dominated for point in found.points] == [False, True, False]
    assert "dominated" in str(found).splitlines()[2]
    assert [point.figures["loss"] for point in found.points] == [1.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("weights", "named", "message"),
    [
        ([], {}, "`weights` must be a list of numbers, at least one"),
        ([-1.0], {}, "`weights` of pareto must be in"),
        ([1.0], {"names": "loss"}, "`names` must be a list of figures"),
        ([1.0], {"parameter_optimizer": optax.adam(1.0)}, "`parameter_optimizer` needs `parameters`"),
        ([1.0], {"names": ["speed"], "steps": 0}, "must be figures of the designs, area, loss, .* but has 'speed'"),
    ],
)
def test_bad_fronts_are_refused(weights, named, message):
    with pytest.raises(ValueError, match=message):
        front(weights, **named)


def test_width_of_a_wire_against_area():
    """`r = rho / width`, and area grows with the width: where IR drop costs as much as it saves, against a grid."""
    rho, rows = 1.0, 64
    config = AnalogConfig(device=devices.IdealDevice(), wires=Ladder(r=2.0), adc=adcs.IdealADC(), rows=rows, cols=16)
    w, x = jax.random.normal(jax.random.key(1), (rows, 16)), jax.random.normal(jax.random.key(2), (8, rows))
    exact = analog_matmul(with_at(config, {"wires.r": 1e-9}), w, x, KEY)

    def objective(config, key):
        error = jnp.mean((analog_matmul(config, w, x, key) - exact) ** 2) / jnp.mean(exact**2)
        width = rho / config.wires.r
        return error + 2e-5 * width, {"error": error, "width": width}

    found = design.minimise(
        objective, config, [design.Variable("wires.r", low=0.01, high=50.0)], optax.adam(0.1), steps=150, key=KEY
    )
    grid = jnp.geomspace(0.02, 40.0, 600)
    values = jax.jit(jax.vmap(lambda r: objective(with_at(config, {"wires.r": r}), KEY)[0]))(grid)
    best = int(jnp.argmin(values))
    assert 50 < best < 550
    assert found.values["wires.r"] == pytest.approx(float(grid[best]), rel=0.03)
    assert found.objective <= float(values[best]) * (1 + 1e-3)
    assert found.objective < 0.9 * found.history["objective"][0]
