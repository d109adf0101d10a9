"""Recurrent networks on tiles: one chip for all time steps, fresh read noise in each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, analog_paths
from flax import nnx

from jaxaimc import nn

X = jax.random.normal(jax.random.key(3), (2, 5, 3))
GATES = {
    nnx.LSTMCell: {"ii", "if_", "ig", "io", "hi", "hf", "hg", "ho"},
    nnx.OptimizedLSTMCell: {"dense_i", "dense_h"},
    nnx.GRUCell: {"dense_i", "dense_h"},
    nnx.SimpleCell: {"dense_i", "dense_h"},
}


class Echo(nnx.SimpleCell):
    """A cell whose state stays as it is, so that steps with equal inputs differ by their noise only."""

    def __call__(self, carry, inputs):
        return carry, super().__call__(carry, inputs)[1]


def rnn(kind=nnx.LSTMCell, **options):
    return nnx.RNN(kind(3, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1), **options)


@pytest.mark.parametrize("kind", GATES)
def test_gates_are_on_tiles_and_the_digital_view_is_the_model(kind):
    model = rnn(kind)
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == {f"cell/{name}" for name in GATES[kind]}
    np.testing.assert_allclose(analog(X), model(X), atol=2e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")(X), model(X))


@pytest.mark.parametrize("options", [{}, {"unroll": 5}, {"reverse": True, "keep_order": True}])
def test_every_time_step_has_fresh_noise_and_a_key_repeats_it(options):
    chip = nn.convert(rnn(Echo, **options), DEVICES, CHIP)
    same = jnp.ones((1, 6, 3))
    y = nn.with_read_key(chip, READ)(same)
    assert len(np.unique(np.asarray(y[0]), axis=0)) == 6
    np.testing.assert_array_equal(nn.with_read_key(chip, READ)(same), y)
    assert not np.array_equal(nn.with_read_key(chip, CHIP)(same), y)
    read = nn.with_read_key(chip, READ)
    np.testing.assert_array_equal(read(same), y)
    assert not np.array_equal(read(same), y)


def test_time_steps_share_the_chip():
    quiet = nn.map_configs(nn.convert(rnn(Echo), DEVICES), lambda path, config: config)
    chip = nn.program(quiet, CHIP)
    y = jnp.stack([nn.with_read_key(chip, jax.random.fold_in(READ, i))(jnp.ones((1, 8, 3)))[0] for i in range(20)])
    digital = nnx.view(chip, analog_mode="digital")(jnp.ones((1, 8, 3)))[0]
    error, spread = jnp.mean(y, axis=0) - digital, jnp.std(y, axis=0) / np.sqrt(20)
    # Programming errors are common to all steps, read noise is not.
    np.testing.assert_array_less(jnp.std(error, axis=0), 3 * jnp.mean(spread, axis=0))
    assert jnp.max(jnp.abs(jnp.mean(error, axis=0))) > 5 * jnp.mean(spread)


def test_a_scan_equals_a_loop_over_the_cell():
    chip = nn.convert(rnn(), DEVICES, CHIP)
    found = nn.with_read_key(chip, READ)(X)
    cell = nn.with_read_key(chip, READ).cell
    carry, outputs = (jnp.zeros((2, 4)), jnp.zeros((2, 4))), []
    for step in range(X.shape[1]):
        carry, y = cell(carry, X[:, step])
        outputs.append(y)
    np.testing.assert_allclose(found, jnp.stack(outputs, axis=1), atol=1e-5)


def test_jit_and_merge_give_the_same_noise():
    chip = nn.convert(rnn(), DEVICES, CHIP)
    expected = nn.with_read_key(chip, READ)(X)
    graph, state = nnx.split(chip)
    by_merge = jax.jit(lambda key: nn.with_read_key(nnx.merge(graph, state, copy=True), key)(X))
    np.testing.assert_allclose(by_merge(READ), expected, atol=1e-5)
    by_argument = nnx.jit(lambda model, key: nn.with_read_key(model, key)(X))
    np.testing.assert_allclose(by_argument(chip, READ), expected, atol=1e-5)
    assert not np.allclose(by_merge(CHIP), expected, atol=1e-5)


def test_an_example_has_its_own_noise():
    chip = nn.convert(rnn(), DEVICES, CHIP)
    keys = jax.random.split(READ, 2)
    whole = nn.with_read_key(chip, keys)(X)
    np.testing.assert_allclose(nn.with_read_key(chip, keys[1:])(X[1:]), whole[1:], atol=1e-5)


def test_gradients_through_time_on_a_programmed_chip_and_through_the_circuit():
    model = rnn()
    loss = lambda model, x: jnp.sum(jnp.sin(model(x)))  # noqa: E731
    chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
    found = jax.jit(jax.grad(lambda x: loss(nn.with_read_key(nnx.clone(chip), READ), x)))(X)
    np.testing.assert_allclose(found, jax.grad(lambda x: loss(nnx.clone(model), x))(X), atol=5e-3)
    with pytest.raises(ValueError, match=r"Layer 'cell/h.' is on a programmed chip.*differentiated"):
        nnx.grad(loss)(nn.with_read_key(chip, READ), X)
    # Programmed once, inside of what is differentiated: all time steps see that chip.
    analog = nn.convert(model, NEARLY_DIGITAL)
    through = nnx.grad(lambda model: loss(nn.with_read_key(nn.program(model, CHIP), READ), X))(analog)
    for (path, one), (_, other) in zip(
        nnx.to_flat_state(nnx.filter_state(through, nnx.Param)),
        nnx.to_flat_state(nnx.filter_state(nnx.grad(loss)(model, X), nnx.Param)),
        strict=True,
    ):
        np.testing.assert_allclose(one[...], other[...], rtol=0.03, atol=0.03, err_msg=str(path))


def test_both_directions_and_lengths():
    model = nnx.Bidirectional(rnn(), rnn(nnx.GRUCell), rngs=nnx.Rngs(2))
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    lengths = jnp.array([5, 3])
    np.testing.assert_allclose(analog(X, seq_lengths=lengths), model(X, seq_lengths=lengths), atol=2e-3)
    noisy = nn.convert(model, DEVICES, CHIP)
    y = nn.with_read_key(noisy, READ)(X)
    np.testing.assert_array_equal(nn.with_read_key(noisy, READ)(X), y)
    assert not np.allclose(y, model(X), atol=2e-3)
    carry, _ = nn.with_read_key(noisy, READ).forward_rnn(X, seq_lengths=lengths, return_carry=True)
    assert carry[0].shape == (2, 4)


def test_a_stack_of_recurrent_layers():
    stack = nnx.vmap(lambda rngs: nnx.LSTMCell(4, 4, rngs=rngs), axis_size=2)(nnx.Rngs(0).split(2))
    model = nnx.Dict(stack=stack)

    def call(model, x):
        def layer(x, cell):
            return nnx.RNN(cell, rngs=False)(x, initial_carry=(jnp.zeros((2, 4)), jnp.zeros((2, 4))))

        return nnx.scan(layer, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, model.stack)

    x = jax.random.normal(READ, (2, 5, 4))
    ideal = nn.convert(model, NEARLY_DIGITAL, CHIP)
    np.testing.assert_allclose(call(ideal, x), call(model, x), atol=2e-3)
    chip = nn.convert(model, DEVICES, CHIP)
    y = call(nn.with_read_key(chip, READ), x)
    np.testing.assert_array_equal(call(nn.with_read_key(chip, READ), x), y)
    assert not np.allclose(y, call(model, x), atol=2e-3)


def test_errors_and_ranges_of_recurrent_layers_are_measured():
    model = rnn()
    chip = nn.convert(model, DEVICES, CHIP)
    probe = nnx.view(nn.with_read_key(chip, READ), analog_mode="probe")
    np.testing.assert_array_equal(probe(X), model(X))
    errors = nn.layer_errors(probe)
    assert len(errors) == 8
    assert all(1e-3 < float(error) < 0.5 for error in errors.values())
    calibrated = nn.calibrate(chip, X, READ, input_percentile=100.0 - 1e-6)
    limit = calibrated.cell.ii.dot_general.config.get_value().drive.range.limit
    np.testing.assert_allclose(limit, jnp.max(jnp.abs(X)), rtol=1e-4)
    limit = calibrated.cell.hi.dot_general.config.get_value().drive.range.limit
    np.testing.assert_allclose(limit, jnp.max(jnp.abs(model(X)[:, :-1])), rtol=1e-4)


def attention(**options):
    return nnx.MultiHeadAttention(4, 8, num_kv_heads=2, decode=False, rngs=nnx.Rngs(0), **options)


def test_grouped_heads_and_the_cache_of_decoding():
    model, x = nnx.List([attention()]), jax.random.normal(READ, (2, 3, 8))
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == {f"0/{name}" for name in ("query", "key", "value", "out")}
    shapes = {product.path: product.shape for product in nn.products(analog)}
    assert shapes["0/key"] == (8, 2, 2)
    mask = nnx.make_causal_mask(x[..., 0])
    np.testing.assert_allclose(analog[0](x, mask=mask), model[0](x, mask=mask), atol=5e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")[0](x, mask=mask), model[0](x, mask=mask))
    decoder = nnx.view(nn.with_read_key(nn.convert(model, DEVICES, CHIP), READ), decode=True)[0]
    decoder.init_cache((2, 3, 8))
    step = nnx.jit(lambda layer, x: layer(x))
    y = [step(decoder, x[:, place : place + 1]) for place in range(3)]
    assert int(decoder.cache_index[...]) == 3
    expected = model[0](x, mask=mask)
    error = jnp.concatenate(y, axis=1) - expected
    assert 1e-4 < float(jnp.std(error)) < 0.3 * float(jnp.std(expected))
