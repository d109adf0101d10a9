"""Models on tiles: rules, views, keys, drift, probes and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import ALL, CHIP, NEARLY_DIGITAL, READ, Net, analog_paths
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.calibration import GlobalCompensation


@pytest.fixture
def net():
    return Net(nnx.Rngs(0))


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(1), (4, 3, 6))


def test_every_linear_layer_is_converted_and_the_digital_model_stays_digital(net, x):
    before = net(x)
    analog = nn.convert(net, NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == ALL
    assert analog_paths(net) == set()
    np.testing.assert_array_equal(net(x), before)


def test_ideal_tiles_reproduce_the_digital_network(net, x):
    np.testing.assert_allclose(nn.convert(net, NEARLY_DIGITAL, CHIP)(x), net(x), atol=1e-3)


def test_first_matching_rule_wins_and_none_keeps_a_layer_digital(net):
    rules = [nn.Rule("attention/(query|key)", None), nn.Rule("attention/.*", NEARLY_DIGITAL)]
    assert analog_paths(nn.convert(net, rules)) == {"attention/value", "attention/out"}


def test_parameter_paths_types_and_sharing_are_untouched(net):
    analog = nn.convert(net, AnalogConfig(), CHIP)
    assert type(analog.first) is nnx.Linear
    assert analog.shared is analog.again
    digital, converted = (dict(nnx.to_flat_state(nnx.state(model, nnx.Param))) for model in (net, analog))
    assert set(digital) == set(converted)
    for path, value in digital.items():
        np.testing.assert_array_equal(value[...], converted[path][...])


def test_views_switch_between_analog_and_digital(net, x):
    analog = nn.with_read_key(nn.convert(net, AnalogConfig(), CHIP), READ)
    digital = nnx.view(analog, analog_mode="digital")
    np.testing.assert_array_equal(digital(x), net(x))
    assert jnp.max(jnp.abs(analog(x) - net(x))) > 1e-3
    with pytest.raises(ValueError, match=r"`analog_mode` must be one of .*'digital'.*but is 'quantum'"):
        nnx.view(analog, analog_mode="quantum")


def test_same_keys_same_output_and_each_read_is_new(net, x):
    chip = nn.convert(net, AnalogConfig(), CHIP)
    model = nn.with_read_key(chip, READ)
    first, second = model(x), model(x)
    np.testing.assert_array_equal(nn.with_read_key(nn.program(net_copy(chip), CHIP), READ)(x), first)
    assert jnp.max(jnp.abs(first - second)) > 1e-5


def net_copy(chip):
    return nn.convert(chip, AnalogConfig())


def test_jit_agrees_with_eager(net, x):
    chip = nn.convert(net, AnalogConfig(), CHIP)
    graph, state = nnx.split(chip)
    jitted = jax.jit(lambda state, x, key: nn.with_read_key(nnx.merge(graph, state), key)(x))
    # A charge on the edge between two codes may fall on either side.
    np.testing.assert_allclose(jitted(state, x, READ), nn.with_read_key(chip, READ)(x), atol=2e-3)


def test_jit_of_a_captured_model_with_read_noise_is_refused_instead_of_repeating_noise(net, x):
    model = nn.with_read_key(nn.convert(net, AnalogConfig(), CHIP), READ)
    with pytest.raises(ValueError, match="was captured by a traced function"):
        jax.jit(lambda x: model(x))(x)


def test_an_examples_noise_does_not_depend_on_its_batch(net, x):
    chip = nn.convert(net, AnalogConfig(), CHIP)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(READ, jnp.arange(4))
    whole = nn.with_read_key(chip, keys)(x)
    parts = [nn.with_read_key(chip, keys[s])(x[s]) for s in (slice(0, 1), slice(1, 4))]
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=2e-3)


@pytest.mark.slow
def test_vmap_over_chip_keys_equals_a_loop(net, x):
    analog = nn.convert(net, AnalogConfig())
    keys = jax.random.split(CHIP, 3)

    def answer(key):
        return nn.with_read_key(nn.program(analog, key), READ)(x)

    loop = jnp.stack([jax.jit(answer)(key) for key in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(answer))(keys), loop, atol=2e-3)


def test_effective_matrices_move_a_chip_into_another_copy(net, x):
    chip = nn.convert(net, AnalogConfig(), CHIP)
    other = nn.with_effective(nn.convert(net, AnalogConfig()), nn.effective(chip))
    np.testing.assert_array_equal(nn.with_read_key(other, READ)(x), nn.with_read_key(chip, READ)(x))
    matrices = nn.effective(chip)
    first = matrices.pop("first")
    with pytest.raises(ValueError, match="must have layer 'first'"):
        nn.with_effective(chip, matrices)
    with pytest.raises(ValueError, match="layers that the model has not: extra"):
        nn.with_effective(chip, {**matrices, "first": first, "extra": first})


def test_drift_shrinks_outputs_and_compensation_restores_their_size(net, x):
    chip = nn.convert(net, AnalogConfig(), CHIP)
    day = 86400.0
    fresh, drifted, compensated = (
        float(jnp.std(nn.with_read_key(model, READ).first(x)))
        for model in (chip, nn.drift(chip, day), nn.drift(chip, day, GlobalCompensation()))
    )
    assert drifted < 0.8 * fresh
    assert abs(compensated / fresh - 1) < 0.05


def test_probe_records_each_layers_own_error(net, x):
    model = nnx.view(nn.with_read_key(nn.convert(net, AnalogConfig(), CHIP), READ), analog_mode="probe")
    np.testing.assert_array_equal(model(x), net(x))
    errors = nn.layer_errors(model)
    assert set(errors) == ALL
    assert all(1e-3 < float(error) < 0.5 for error in errors.values())
    ideal = net.first(x)
    chip = nn.with_read_key(nn.convert(net, AnalogConfig(), CHIP), READ)
    own = jnp.linalg.norm(chip.first(x) - ideal) / jnp.linalg.norm(ideal - net.first.bias[...])
    np.testing.assert_allclose(errors["first"], own, rtol=1e-3)


def test_training_view_differentiates_through_the_circuit(net, x):
    model = nnx.view(nn.convert(net, AnalogConfig()), analog_mode="train")

    def loss(model):
        return jnp.mean(jnp.square(nn.with_read_key(model, READ)(x)))

    gradient = nnx.jit(nnx.grad(loss))(model)
    for path, leaf in nnx.to_flat_state(gradient):
        # The key's bias shifts all scores of a query alike: softmax makes its gradient zero.
        assert jnp.all(jnp.isfinite(leaf[...])), path
        assert jnp.any(leaf[...] != 0), path


def test_gradient_reaches_the_wire_resistance_of_the_config(net, x):
    graph, config, rest = nnx.split(nnx.view(nn.convert(net, AnalogConfig()), analog_mode="train"), nn.DeviceParam, ...)

    def loss(config):
        model = nnx.merge(graph, config, rest, copy=True)
        return jnp.mean(jnp.square(nn.with_read_key(model, READ)(x)))

    gradient = jax.jit(jax.grad(loss))(config)
    first = gradient["first"]["dot_general"]["config"].get_value()
    assert np.isfinite(first.wires.r)
    assert first.wires.r != 0


def test_bad_models_and_rules_are_refused_with_the_paths_that_exist(net, x):
    with pytest.raises(ValueError, match=r"Rule 'blocks/\.\*' matches no layer.*attention/query.*first"):
        nn.convert(net, [nn.Rule("blocks/.*", AnalogConfig())])
    with pytest.raises(ValueError, match=r"no analog layer; call `jaxaimc.nn.convert"):
        nn.program(net, CHIP)
    with pytest.raises(ValueError, match=r"'first' needs a read key; call `jaxaimc.nn.with_read_key"):
        nn.convert(net, AnalogConfig(), CHIP)(x)
    with pytest.raises(ValueError, match=r"'first' has no programmed chip"):
        nn.with_read_key(nn.convert(net, AnalogConfig()), READ)(x)
    with pytest.raises(ValueError, match="has no programmed chip"):
        nn.drift(nn.convert(net, AnalogConfig()), 1.0)


def test_nan_weights_are_refused_when_a_chip_is_programmed(net):
    net.first.kernel[...] = net.first.kernel[...].at[2, 1].set(jnp.nan)
    with pytest.raises(ValueError, match=r"`w` must be finite, but 1 of 48 entries are not, the first nan at \(2, 1\)"):
        nn.convert(net, AnalogConfig(), CHIP)
