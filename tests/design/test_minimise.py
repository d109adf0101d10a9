"""The loop of a design: optima, constraints, chips, what is kept, and how it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.tree_util import Partial

from jaxaimc import AnalogConfig, design

CONFIG = AnalogConfig()
KEY = jax.random.key(0)
V = design.Variable


def distance(config, key):
    return (config.wires.r - 2.0) ** 2, {"twice": 2 * config.wires.r}


def test_optimum_inside_and_at_a_bound():
    inside = design.minimise(distance, CONFIG, [V("wires.r", high=10.0)], steps=200, key=KEY)
    assert inside.values["wires.r"] == pytest.approx(2.0, abs=1e-3)
    assert inside.config.wires.r == inside.values["wires.r"]
    assert type(inside.config.wires.r) is float
    assert inside.history["wires.r"][0] == pytest.approx(0.15)
    assert len(inside.history["objective"]) == 201
    np.testing.assert_allclose(inside.history["twice"], 2 * inside.history["wires.r"], rtol=1e-6)
    assert inside.objective == inside.history["objective"][-1]
    bound = design.minimise(distance, CONFIG, [V("wires.r", high=1.0)], optax.adam(0.3), steps=200, key=KEY)
    assert 0.995 < bound.values["wires.r"] < 1.0
    assert "wires.r   150 mohm" in str(inside)


def test_against_scipy(x64):
    """A Rosenbrock valley in a resistance and a voltage, whose bound on one is active; line search and all."""

    def valley(r, v):
        return (1 - r) ** 2 + 20 * (10 * v - r**2) ** 2

    found = design.minimise(
        lambda config, key: valley(config.wires.r, config.drive.v_read),
        CONFIG,
        [V("wires.r", low=0.1, high=0.8), V("drive.v_read", low=1e-3, high=1.0)],
        optax.lbfgs(),
        steps=60,
        key=KEY,
        fresh_chips=False,
    )
    expected = scipy.optimize.minimize(
        lambda x: valley(*x), [0.15, 0.2], bounds=[(0.1, 0.8), (1e-3, 1.0)], method="L-BFGS-B", tol=1e-14
    )
    assert expected.x[0] == 0.8
    np.testing.assert_allclose([found.values["wires.r"], found.values["drive.v_read"]], expected.x, rtol=1e-3)
    assert found.objective == pytest.approx(expected.fun, rel=1e-3)


def test_penalty_and_projection():
    """`min (r - 2)^2` for `r <= 1`: the slope is -2 there, and a penalty of weight w is left by s / (2 w)."""
    penalty = design.Constraint(lambda config: config.wires.r - 1.0, weight=50.0, name="thin")
    soft = design.minimise(distance, CONFIG, [V("wires.r", high=10.0)], steps=300, key=KEY, constraints=[penalty])
    # (r - 2)^2 + 50 (r - 1)^2 is lowest at 52 / 51.
    assert soft.values["wires.r"] == pytest.approx(52 / 51, abs=2e-3)
    assert soft.parts["thin"] == pytest.approx(1 / 51, abs=2e-3)
    assert soft.parts["total"] == pytest.approx(soft.objective + 50 * soft.parts["thin"] ** 2, rel=1e-4)
    assert soft.history["thin"][0] == 0

    def project(config):
        return config.with_(wires=config.wires.with_(r=jnp.minimum(config.wires.r, 1.0)))

    hard = design.minimise(distance, CONFIG, [V("wires.r", high=10.0)], steps=100, key=KEY, projection=project)
    assert hard.values["wires.r"] == pytest.approx(1.0, abs=1e-5)
    assert max(hard.history["wires.r"]) <= 1.00001


def noisy(weight, config, key):
    return weight * (config.wires.r - 1.0 - jax.random.normal(key)) ** 2


def test_chips_are_averaged_in_one_compilation_that_objectives_share():
    found = design.minimise(
        Partial(noisy, 1.0), CONFIG, [V("wires.r", high=10.0)], steps=3, key=KEY, chips=5, fresh_chips=False
    )
    draws = jax.vmap(jax.random.normal)(jax.random.split(KEY, 5))
    each = (found.history["wires.r"][:, None] - 1 - draws) ** 2
    np.testing.assert_allclose(found.history["objective"], each.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.history["std"], each.std(axis=1, ddof=1), rtol=1e-5)
    # With other chips in every step, noise does not pass for progress: the last design counts, not the luckiest.
    fresh = design.minimise(Partial(noisy, 1.0), CONFIG, ["wires.r"], steps=30, key=KEY)
    assert fresh.values == fresh.last != fresh.best
    traced = []

    def watched(weight, config, key):
        traced.append(weight)
        return noisy(weight, config, key)

    counts = []
    for weights in ([1.0], [1.0, 2.0, 3.0]):
        traced.clear()
        design.pareto(
            lambda weight: Partial(watched, weight), CONFIG, ["wires.r"], weights, names=["objective"], steps=2, key=KEY
        )
        counts.append(len(traced))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("fresh", [True, False])
def test_a_resumed_run_is_the_undisturbed_one_to_the_bit(tmp_path, fresh):
    def objective(config, key, weights):
        return jnp.sum((weights - config.wires.r - jax.random.normal(key)) ** 2) + config.drive.v_read**2

    def go(steps, file=None, progress=None):
        return design.minimise(
            objective, CONFIG, ["wires.r", "drive.v_read"], optax.adam(0.1), steps=steps, key=KEY, chips=2,
            fresh_chips=fresh, parameters=jnp.zeros(3), parameter_optimizer=optax.sgd(0.01, momentum=0.9), file=file,
            every=4, progress=progress,
        )  # fmt: skip

    def stop(progress):
        if progress.step == 7:
            raise KeyboardInterrupt

    whole, file = go(20), tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        go(20, file, stop)
    steps = []
    go(12, file, lambda progress: steps.append(progress.step))
    assert steps == [8, 9, 10, 11, 12]
    resumed = go(20, file)
    assert resumed.values == whole.values
    assert resumed.best == whole.best
    assert jnp.array_equal(resumed.parameters, whole.parameters)
    assert list(resumed.history) == list(whole.history)
    for name, column in whole.history.items():
        np.testing.assert_array_equal(resumed.history[name], column)
    assert not [path for path in tmp_path.iterdir() if path != file]


def test_divergence_names_step_and_variable_and_keeps_the_last_good_design(tmp_path):
    def falls_off(config, key):
        # At 0.3 the root's slope is infinite, and beyond it there is none.
        return jnp.sqrt(0.3 - config.wires.r) + 0 * config.drive.v_read, {"share": config.wires.r}

    file = tmp_path / "run.npz"
    with pytest.raises(
        design.DesignDivergedError,
        match=r"Step \d+ of the design: objective, total are not finite, and the gradient is not finite in wires.r, at "
        r"wires.r = 3\d\d.* mohm, drive.v_read = 200 mV; the last good design",
    ) as error:
        design.minimise(falls_off, CONFIG, ["wires.r", "drive.v_read"], optax.sgd(0.5), steps=99, key=KEY, file=file)
    good = error.value.result
    assert good.values["wires.r"] < 0.3
    assert np.isfinite(good.history["objective"]).all()
    assert good.steps == len(good.history["objective"])
    assert file.exists()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"steps": -1}, "`steps` of minimise must be an integer in"),
        ({"chips": 0}, "`chips` of minimise must be an integer in"),
        ({"key": 3}, "`key` must be"),
        ({"objective": 3}, "Argument `objective` must be a function, but is 3"),
        ({"objective": lambda config, key: jnp.ones(3)}, "must return scalars, but 'objective' is of shape"),
        ({"objective": lambda config, key: (0.0, 1.0)}, "must return a scalar, or a scalar and named scalars"),
        ({"objective": lambda config, key: (0.0, {"total": 1.0})}, "must not name a part 'total'"),
        ({"optimizer": 0.1}, "Argument `optimizer` must be an optax optimiser, but is 0.1"),
        ({"parameter_optimizer": optax.sgd(1.0)}, "`parameter_optimizer` needs `parameters`"),
        ({"constraints": [3]}, "must be a list of Constraint"),
        ({"constraints": [design.Constraint(abs), design.Constraint(abs)]}, "must have distinct names"),
        ({"fresh_chips": 1}, "Argument `fresh_chips` must be True or False, but is 1"),
    ],
)
def test_bad_arguments_are_refused(named, message):
    with pytest.raises(ValueError, match=message):
        design.minimise(
            **{"objective": distance, "config": CONFIG, "variables": ["wires.r"], "steps": 1, "key": KEY, **named}
        )


def test_bad_files_and_designs_are_refused(tmp_path):
    file = tmp_path / "run.npz"
    named = {"config": CONFIG, "variables": ["wires.r"], "steps": 2, "key": KEY, "file": file}
    design.minimise(distance, **named)
    for change, message in (
        ({"steps": 1}, "`steps` must be at least the 2 that are done, but is 1"),
        ({"key": jax.random.key(1)}, "another design run, with other key"),
        ({"variables": [V("wires.r", high=1.0)]}, "another design run, with other variables"),
        ({"config": AnalogConfig(rows=256)}, "another design run, with other config"),
        ({"notes": {"objective": 2}}, "another design run, with other notes"),
        ({"optimizer": optax.sgd(0.1)}, "with another optimiser or precision"),
    ):
        with pytest.raises(ValueError, match=message):
            design.minimise(distance, **{**named, **change})
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="holds no state of a design, or is damaged"):
        design.minimise(distance, **named)
    with pytest.raises(ValueError, match=r"found after 99 steps is not allowed: .*Give narrower bounds"):
        design.minimise(
            lambda config, key: (config.cell.g_min - 40e-6) ** 2 * 1e12, CONFIG,
            [V("cell.g_min", start=20e-6)], steps=99, key=KEY,
        )  # fmt: skip
    for bad, message in (
        (lambda: design.Constraint(3), "Field `function` of Constraint must be a function"),
        (lambda: design.Constraint(abs, weight=0.0), "`weight` of Constraint must be in"),
        (lambda: design.Constraint(abs, name=""), "`name` of Constraint must be a text"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()
