"""Designs of networks: gradients, rounding, what the ordinary evaluation says, weights trained along."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from networks import split, task, tile, trained

from jaxaimc import AnalogConfig, adcs, analog_matmul, cost, design, devices, nn, studies, wires
from jaxaimc.config import with_at
from jaxaimc.design.space import Space
from jaxaimc.drives import PWM

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
KEY = jax.random.key(0)
V = design.Variable
DATA = split("train").first(12)


def objective(config, **named):
    return design.NetworkObjective.of(trained(), config, DATA.inputs, DATA.targets, task().loss, **named)


def test_gradient_in_every_variable_against_finite_differences(x64):
    """Where nothing that a variable moves is rounded: one layer, whose inputs stay, and an ideal converter."""
    smooth = with_at(tile().with_(adc=adcs.IdealADC()), {"cell.g_max": 20e-6})
    rules = {"hidden": smooth, "head": None}
    variables = ["wires.r", "drive.v_read", "cell.g_max", "drive.t_lsb", V("device.programming.factor", high=3.0)]
    space = Space.of(rules, variables)
    double = lambda tree: jax.tree.map(lambda a: a.astype(jnp.float64), tree)  # noqa: E731
    network = objective(rules, weight=0.3)
    network = dataclasses.replace(
        network, parameters=double(network.parameters), inputs=double(network.inputs), vectors=double(network.vectors)
    )

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
    fine = AnalogConfig(device=devices.IdealDevice(), wires=wires.NoWires(), drive=PWM(bits=12), rows=16, cols=64)
    fine = fine.with_(adc=adcs.Uniform(bits=7.0))
    w, x = (jax.random.normal(jax.random.key(seed), shape) for seed, shape in ((1, (16, 64)), (2, (64, 16))))

    @jax.jit
    def error(bits):
        return jnp.mean((analog_matmul(with_at(fine, {"adc.bits": bits}), w, x, KEY) - x @ w) ** 2)

    wide = error(7.5) - error(6.5)
    found = jnp.mean(jnp.stack([jax.grad(error)(bits) for bits in np.linspace(6.55, 7.45, 10)]))
    assert error(7.0) > 50 * error(14.0)
    assert found == pytest.approx(float(wide), rel=0.1)


def test_evaluation_is_that_of_jaxaimc_evaluate():
    config, few = tile(), studies.Settings(examples=48, chips=2, seed=3, times=(), resistances=())
    exact = design.evaluate(task(), trained(), config, chips=2, seed=3)
    every = [one for one in studies.scenarios.standard(config, few, 48) if one.name == "everything"][:1]
    rows = studies.run.Study(task(), trained(), every, few).run().scores
    assert [row["score"] for row in rows] == exact.scores.tolist()
    figures, parts = exact.figures(), objective(config)(config, KEY)[1]
    assert figures["energy"] == pytest.approx(float(parts["energy"]), rel=0.2)
    assert figures["area"] == pytest.approx(float(parts["area"]), rel=1e-5)
    assert figures["score"] == exact.scores.mean()
    assert 0 < figures["loss"] < 0.3


def test_bits_are_rounded_and_the_others_optimised_once_more():
    """`(bits - 5.3)^2 + (r - bits)^2`: the other follows the whole number."""

    def coupled(config, key):
        return (config.adc.bits - 5.3) ** 2 + (config.wires.r - config.adc.bits) ** 2

    config = tile().with_(adc=adcs.Uniform(bits=8.0))
    variables = [V("adc.bits", low=3.0, high=10.0), V("wires.r", high=50.0)]
    found = design.minimise(coupled, config, variables, optax.adam(0.1), steps=300, key=KEY)
    assert found.values == pytest.approx({"adc.bits": 5.3, "wires.r": 5.3}, abs=0.01)
    kept = design.rounded(found, coupled, key=KEY)
    assert kept.values == {"adc.bits": 5.0, "wires.r": pytest.approx(found.values["wires.r"], rel=1e-5)}
    assert kept.objective == pytest.approx(0.18, abs=0.01)
    whole = design.rounded(found, coupled, optax.adam(0.1), steps=200, key=KEY)
    assert whole.values == pytest.approx({"adc.bits": 5.0, "wires.r": 5.0}, abs=0.01)
    assert whole.config.adc.bits == 5.0
    assert (whole.history["adc.bits"] == 5.0).all()
    # Nothing but whole numbers.
    alone = design.minimise(coupled, config, variables[:1], optax.adam(0.1), steps=99, key=KEY)
    assert design.rounded(alone, coupled, steps=1, key=KEY).values["adc.bits"] == round(alone.values["adc.bits"])


def test_the_better_neighbour_is_taken_not_the_nearest():
    """Below 5.3 bits and below 2.4 ohm the objective rises steeply; ten bits are too many by far."""

    def steep(config, key):
        bits, r = config.adc.bits - 5.3, config.wires.r - 2.4
        return sum(x**2 + 9 * jnp.maximum(-x, 0.0) for x in (bits, r))

    config = tile().with_(adc=adcs.Uniform(bits=5.3), wires=tile().wires.with_(r=2.4))
    variables = [V("adc.bits", low=3.0, high=10.0), V("wires.r", high=50.0, integer=True)]
    found = design.minimise(steep, config, variables, steps=0, key=KEY)
    for tries, values in ((16, {"adc.bits": 6.0, "wires.r": 3.0}), (2, {"adc.bits": 6.0, "wires.r": 3.0}),
                          (1, {"adc.bits": 5.0, "wires.r": 2.0})):  # fmt: skip
        whole = design.rounded(found, steep, key=KEY, tries=tries, constraints=[])
        assert whole.values == values, tries
        assert whole.config.wires.r == values["wires.r"]
        assert whole.objective == pytest.approx(sum(
            (x - y) ** 2 + 9 * max(y - x, 0) for x, y in zip(values.values(), (5.3, 2.4), strict=True)
        ))  # fmt: skip
    # The order of rules, in which the first that matches wins, is kept.
    configs = {"z": config, "a": config}
    ordered = design.minimise(
        lambda configs, key: steep(configs["z"], key), configs, [V("adc.bits", low=3.0, high=10.0)], steps=0, key=KEY
    )
    seen = []
    design.rounded(ordered, lambda configs, key: (seen.append(list(configs)), steep(configs["z"], key))[1], key=KEY)
    assert seen == [["z", "a"]]
    # No neighbour beyond a bound, and penalties count.
    bounded = design.minimise(steep, config, [V("adc.bits", low=3.0, high=5.5)], steps=0, key=KEY)
    assert design.rounded(bounded, steep, key=KEY).values == {"adc.bits": 5.0}
    few = design.Constraint(lambda config: config.adc.bits - 5.5, weight=100.0)
    limited = design.minimise(steep, config, variables[:1], steps=0, key=KEY)
    assert design.rounded(limited, steep, key=KEY, constraints=[few]).values == {"adc.bits": 5.0}


def test_weights_are_trained_along_and_layers_have_values_of_their_own():
    configs = {"hidden": tile(), "head": None}
    network = objective(configs, weight=0.01, figure=design.log_latency)
    found = design.minimise(
        network, configs, [V("wires.r", layer="hidden", high=100.0)], steps=8, key=KEY, parameters=network.parameters,
        parameter_optimizer=optax.adam(0.02), fresh_chips=False,
    )  # fmt: skip
    first, last = (found.history["loss"][row] for row in (0, found.row))
    assert last < 0.7 * first
    assert found.config["hidden"].wires.r != 20.0
    assert found.config["head"] is None
    before, after = (dict(network.parameters), found.parameters)
    assert before.keys() == after.keys()
    assert not any(jnp.array_equal(before[name], after[name]) for name in before)
    exact = design.evaluate(task(), network.model(found.parameters), found.config, chips=1)
    assert exact.losses.mean() < 0.3
    assert list(exact.cost.layers) == ["hidden"]
    outputs = network.model(found.parameters)(jnp.asarray(DATA.inputs))
    assert float(task().score(outputs, jnp.asarray(DATA.targets)).mean()) > 0.9


def test_calibrated_layers_keep_their_ranges():
    ranged = tile().with_(adc=adcs.Uniform(bits=8.0, range=adcs.Symmetric(limit=1e3)))
    chip = nn.convert(trained(), [nn.Rule("hidden", ranged), nn.Rule("head", None)], KEY)
    calibrated = nn.calibrate(chip, jnp.asarray(DATA.inputs), KEY)
    configs = design.layer_configs(calibrated)
    assert configs["head"] is None
    # As far as the range stays what it was, all charges are less than a step.
    for rules, fits in (({**configs, "hidden": ranged}, False), (configs, True)):
        loss = jax.jit(objective(rules))(rules, KEY)[1]["loss"]
        assert (loss < 0.1) == fits
    # A range for each tile: the largest is the variable, and the others keep their ratio.
    configs = {**configs, "hidden": with_at(configs["hidden"], {"adc.range.limit": np.array([[2.0], [0.5]])})}
    space = Space.of(configs, [V("adc.range.limit", layer="hidden")])
    assert space.variables[0].start == 2.0
    changed = space.configs({"hidden:adc.range.limit": 4.0})
    np.testing.assert_array_equal(changed["hidden"].adc.range.limit, [[4.0], [1.0]])
    assert space.values_of(changed) == {"hidden:adc.range.limit": 4.0}


def test_hardware_and_figure_are_free():
    def free(cost):
        return cost.area.adc * 1e9

    rules, values = {"hidden": tile(), "head": None}, []
    for hardware in (cost.Hardware(columns_per_converter=1), cost.Hardware(columns_per_converter=8)):
        network = objective(rules, weight=2.0, figure=free, hardware=hardware)
        compiled = jax.jit(lambda network: network(rules, KEY))
        value, parts = compiled(network)
        values.append(float(value - parts["loss"]))
    assert values[0] > 2 * values[1] > 0
    value, parts = compiled(network.with_weight(4.0))
    assert float(value - parts["loss"]) == pytest.approx(2 * values[1], rel=1e-3)


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
