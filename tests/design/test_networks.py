"""Designs of networks: gradients, rounding, what the ordinary evaluation says, weights trained along."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from networks import split, task, tile, trained

from jaxaimc import adcs, cost, design, devices, nn, presets, studies
from jaxaimc.config import with_at
from jaxaimc.design.space import Space

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
KEY = jax.random.key(0)
V = design.Variable
DATA = split("train").first(12)


def objective(config, **named):
    return design.NetworkObjective.of(trained(), config, DATA.inputs, DATA.targets, task().loss, **named)


def test_gradient_in_every_variable_against_finite_differences(x64):
    """Where nothing is rounded: pulses are so fine that their rounding moves nothing, the converter is ideal."""
    smooth = tile().with_(adc=adcs.IdealADC())
    smooth = with_at(smooth, {"drive.bits": 30, "cell.g_max": 20e-6})
    variables = [
        "wires.r",
        "drive.v_read",
        "cell.g_max",
        "drive.t_lsb",
        V("device.programming.factor", low=0.1, high=3.0),
    ]
    space = Space.of(smooth, variables)
    network = objective(smooth, weight=0.3)

    def total(u):
        numbers = {one.name: u[k] for k, one in enumerate(space.variables)}
        value, parts = network(space.configs(space.values(numbers)), KEY)
        return jnp.stack([value, jnp.log(parts["latency"]), parts["loss"]])

    u, compiled = jnp.zeros(len(variables)), jax.jit(total)
    slopes = jax.jit(jax.jacrev(total))(u).T
    moved = [(compiled(u.at[k].add(1e-4)) - compiled(u.at[k].add(-1e-4))) / 2e-4 for k in range(len(u))]
    np.testing.assert_allclose(slopes, moved, rtol=1e-4, atol=1e-7)
    assert (jnp.abs(slopes[:, 0]) > 1e-4).all()


def test_gradient_in_bits_is_that_of_the_mean_error(x64):
    """Straight-through: not the slope between two flips of a code, but that of the error's mean square."""
    macro = presets.asim(adc_bits=5.0, rows=32, cols=64)
    from jaxaimc import analog_matmul

    w, x = jax.random.normal(jax.random.key(1), (32, 64)), jax.random.uniform(jax.random.key(2), (64, 32))

    @jax.jit
    def error(bits):
        return jnp.mean((analog_matmul(with_at(macro, {"adc.bits": bits}), w, x, KEY) - x @ w) ** 2)

    step = jnp.linspace(0.15, 0.4, 6)
    between = jnp.mean(jnp.stack([(error(5.0 + d) - error(5.0 - d)) / (2 * d) for d in step]))
    found = jnp.mean(jnp.stack([jax.grad(error)(5.0 + d) for d in (-0.2, -0.1, 0.0, 0.1, 0.2)]))
    assert found == pytest.approx(float(between), rel=0.2)


def test_a_design_is_rounded_and_evaluated_as_jaxaimc_evaluate_does():
    macro = tile().with_(adc=adcs.Uniform(bits=8.0, range=adcs.Symmetric(limit=2e-15)))
    network = objective(macro, weight=0.05, batch=8)
    found = design.minimise(network, macro, [V("adc.bits", low=3.0, high=10.0), "drive.v_read"], steps=6, key=KEY)
    assert found.values["adc.bits"] != round(found.values["adc.bits"])
    assert set(found.parts) == {"objective", "total", "loss", "energy", "latency", "area"}
    whole = design.rounded(found, network, steps=2, key=KEY)
    assert whole.values["adc.bits"] == round(found.values["adc.bits"]) == whole.config.adc.bits
    assert whole.values["drive.v_read"] != found.values["drive.v_read"]
    assert (whole.history["adc.bits"] == whole.values["adc.bits"]).all()
    kept = design.rounded(found, network, key=KEY)
    assert kept.values["drive.v_read"] == pytest.approx(found.values["drive.v_read"], rel=1e-5)

    exact = design.evaluate(task(), trained(), whole.config, chips=2, seed=3)
    few = studies.Settings(examples=48, chips=2, seed=3, times=(), resistances=(), layer_examples=8)
    table = studies.evaluate(task(), whole.config, model=trained(), settings=few).scores
    assert [row["score"] for row in table if row["name"] == "everything"] == exact.scores.tolist()
    figures = exact.figures()
    assert figures["energy"] == pytest.approx(whole.parts["energy"], rel=0.2)
    assert figures["area"] == pytest.approx(whole.parts["area"], rel=1e-5)


def test_weights_are_trained_along_and_layers_have_values_of_their_own():
    configs = {"head": tile(), ".*": tile()}
    network = objective(configs, weight=0.01, figure=design.log_latency)
    found = design.minimise(
        network, configs, [V("wires.r", layer="head", high=100.0)], steps=8, key=KEY, parameters=network.parameters,
        parameter_optimizer=optax.adam(0.02), fresh_chips=False,
    )  # fmt: skip
    first, last = (found.history["loss"][row] for row in (0, found.row))
    assert last < 0.7 * first
    assert found.config["head"].wires.r != 20.0
    assert found.config[".*"].wires.r == 20.0
    before, after = (dict(network.parameters), found.parameters)
    assert not jnp.array_equal(before["head/kernel"], after["head/kernel"])
    exact = design.evaluate(task(), network.model(found.parameters), found.config, chips=1)
    assert exact.losses.mean() < 0.3
    # The library's own evaluation of a converted model, with the same weights.
    outputs = nn.to_digital(network.model(found.parameters))(jnp.asarray(DATA.inputs))
    assert float(task().score(outputs, jnp.asarray(DATA.targets)).mean()) > 0.9


def test_hardware_and_figure_are_free():
    def free(cost):
        return cost.area.adc * 1e9

    costly = cost.Hardware(columns_per_converter=1)
    shared = cost.Hardware(columns_per_converter=8)
    values = []
    for hardware in (costly, shared):
        network = objective(tile(), weight=2.0, figure=free, hardware=hardware)
        value, parts = jax.jit(network)(tile(), KEY)
        values.append(float(value - parts["loss"]))
    assert values[0] > 2 * values[1] > 0
    heavier = network.with_weight(4.0)
    assert float(heavier(tile(), KEY)[0] - parts["loss"]) == pytest.approx(2 * values[1], rel=1e-3)


def test_bad_objectives_are_refused():
    for named, message in (
        ({"weight": -1.0}, "`weight` of NetworkObjective must be in"),
        ({"batch": 13}, r"`batch` of NetworkObjective must be an integer in \[1, 12\]"),
        ({"figure": 3}, "Argument `figure` must be a function, but is 3"),
    ):
        with pytest.raises(ValueError, match=message):
            objective(tile(), **named)
    with pytest.raises(ValueError, match="must have as many examples, but have 12 and 11"):
        design.NetworkObjective.of(trained(), tile(), DATA.inputs, DATA.targets[:11], task().loss)
    found = design.minimise(lambda c, k: c.wires.r, tile(), ["wires.r"], steps=0, key=KEY)
    with pytest.raises(ValueError, match="must have an integer variable"):
        design.rounded(found, lambda c, k: c.wires.r, key=KEY)
    narrow = [V("wires.r", low=20.2, high=20.8, start=20.5, integer=True)]
    found = design.minimise(lambda c, k: c.wires.r, tile(), narrow, steps=0, key=KEY)
    with pytest.raises(
        ValueError, match=r"must have a whole number between its bounds, but has none from 20.2 to 20.8"
    ):
        design.rounded(found, lambda c, k: c.wires.r, key=KEY)
    assert devices
    assert dataclasses
