"""Recurrent networks on tiles: one chip for all time steps, fresh read noise in each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, analog_paths
from flax import nnx

from jaxaimc import nn
from jaxaimc.training.objectives import circuit

X = jax.random.normal(jax.random.key(3), (2, 5, 3))
GATES = {
    nnx.LSTMCell: {"ii", "if_", "ig", "io", "hi", "hf", "hg", "ho"},
    nnx.OptimizedLSTMCell: {"dense_i", "dense_h"},
    nnx.GRUCell: {"dense_i", "dense_h"},
    nnx.SimpleCell: {"dense_i", "dense_h"},
}
# Flax's scan is traced anew in every call that is not jitted, so the tests jit what they call twice.
call = jax.jit(lambda model, x: model(x))
read = jax.jit(lambda chip, key, x: nn.with_read_key(chip, key)(x))


class Echo(nnx.SimpleCell):
    """A cell whose state stays as it is, so that steps with equal inputs differ by their noise only."""

    def __call__(self, carry, inputs):
        return carry, super().__call__(carry, inputs)[1]


def rnn(kind=nnx.SimpleCell, **options):
    return nnx.RNN(kind(3, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1), **options)


@pytest.fixture(scope="module")
def chip():
    return nn.convert(rnn(), DEVICES, CHIP)


@pytest.fixture(scope="module")
def echo():
    return nn.convert(rnn(Echo), DEVICES, CHIP)


@pytest.mark.parametrize("kind", GATES)
def test_gates_are_on_tiles_and_the_digital_view_is_the_model(kind):
    model = rnn(kind)
    analog = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert analog_paths(analog) == {f"cell/{name}" for name in GATES[kind]}
    expected = call(model, X)
    np.testing.assert_allclose(call(analog, X), expected, atol=2e-3)
    np.testing.assert_array_equal(call(nnx.view(analog, analog_mode="digital"), X), expected)


def test_every_time_step_has_fresh_noise_and_a_key_repeats_it(echo):
    same = jnp.ones((1, 6, 3))
    y = read(echo, READ, same)
    assert len(np.unique(np.asarray(y[0]), axis=0)) == 6
    np.testing.assert_array_equal(read(echo, READ, same), y)
    assert not np.array_equal(read(echo, CHIP, same), y)
    # Without jit: the same noise, and a second call goes on from where the first ended.
    keyed = nn.with_read_key(echo, READ)
    np.testing.assert_allclose(keyed(same), y, atol=1e-5)
    _, count = keyed.cell.dense_i.dot_general.read_key.get_value()
    assert int(count) == 6
    assert not np.allclose(keyed(same), y, atol=1e-5)


def test_time_steps_share_the_chip(echo):
    same = jnp.ones((1, 8, 3))
    y = jax.vmap(lambda chip, key: nn.with_read_key(chip, key)(same)[0], (None, 0))(echo, jax.random.split(READ, 200))
    error = jnp.mean(y, axis=0) - call(nnx.view(echo, analog_mode="digital"), same)[0]
    spread = jnp.std(y, axis=0) / np.sqrt(200)
    # Programming errors are common to all steps, read noise is not.
    assert jnp.max(jnp.abs(jnp.mean(error, axis=0))) > 10 * jnp.mean(spread)
    assert jnp.all(jnp.abs(error - jnp.mean(error, axis=0)) < 5 * spread)


def test_a_scan_equals_a_loop_over_the_cell(chip):
    cell = nn.with_read_key(chip, READ).cell
    carry, outputs = jnp.zeros((2, 4)), []
    for step in range(X.shape[1]):
        carry, y = cell(carry, X[:, step])
        outputs.append(y)
    np.testing.assert_allclose(read(chip, READ, X), jnp.stack(outputs, axis=1), atol=1e-5)


def test_transformations_of_flax_give_the_same_noise(chip):
    expected = read(chip, READ, X)
    by_argument = nnx.jit(lambda model, x: model(x))
    np.testing.assert_allclose(by_argument(nn.with_read_key(chip, READ), X), expected, atol=1e-5)
    graph, state = nnx.split(chip)
    merged = nnx.merge(graph, state, copy=True)
    np.testing.assert_allclose(read(merged, READ, X), expected, atol=1e-5)


def test_an_example_has_its_own_noise(chip):
    keys = jax.random.split(READ, 2)
    whole = read(chip, keys, X)
    np.testing.assert_allclose(read(chip, keys[1:], X[1:]), whole[1:], atol=1e-5)
    same = jax.vmap(lambda chip, x: nn.with_read_key(chip, READ)(x), (None, 0))(chip, jnp.stack([X, X]))
    assert not np.allclose(same[0], same[1], atol=1e-5)


def test_gradients_through_time_on_a_programmed_chip(chip):
    model, ideal = rnn(), nn.convert(rnn(), NEARLY_DIGITAL, CHIP)
    loss = lambda model, x: jnp.sum(jnp.sin(model(x)))  # noqa: E731
    gradient = nnx.jit(nnx.grad(loss, argnums=1))
    np.testing.assert_allclose(gradient(ideal, X), gradient(model, X), atol=5e-3)
    keyed = nn.with_read_key(chip, READ)
    by_bias = nnx.grad(loss, argnums=nnx.DiffState(0, nnx.PathContains("bias")))(keyed, X)
    assert float(jnp.min(jnp.abs(by_bias["cell"]["dense_i"]["bias"][...]))) > 0
    with pytest.raises(ValueError, match=r"Layer 'cell/dense_.' is on a programmed chip.*differentiated"):
        nnx.grad(loss)(nn.with_read_key(chip, READ), X)


def test_gradients_through_a_chip_that_is_programmed_once_for_all_steps():
    model = rnn()
    analog = nn.convert(model, NEARLY_DIGITAL)
    loss = lambda model: jnp.sum(jnp.sin(model(X)))  # noqa: E731
    found = nnx.jit(nnx.grad(lambda model: loss(nn.with_read_key(nn.program(model, CHIP), READ))))(analog)
    expected = nnx.jit(nnx.grad(loss))(model)
    for name in ("dense_i", "dense_h"):
        one, other = (g["cell"][name]["kernel"][...] for g in (found, expected))
        np.testing.assert_allclose(one, other, rtol=0.03, atol=0.03)


def test_training_programs_one_chip_for_all_steps():
    analog = nn.convert(rnn(Echo), DEVICES)
    same = jnp.ones((1, 4, 3))
    forward = circuit()
    loss = lambda model: jnp.sum(forward(model, same, READ, jnp.zeros((), int)))  # noqa: E731
    gradient = nnx.jit(nnx.grad(loss, argnums=nnx.DiffState(0, nnx.PathContains("kernel"))))(analog)
    # Four equal steps on one chip: their gradients are in proportion to the inputs, whichever step they come from.
    by_i = gradient["cell"]["dense_i"]["kernel"][...]
    expected = nnx.grad(lambda model: jnp.sum(model(same)))(rnn(Echo))["cell"]["dense_i"]["kernel"][...]
    np.testing.assert_allclose(by_i, expected, rtol=0.3, atol=0.1)


def test_both_directions_and_lengths(chip):
    model = nnx.Bidirectional(rnn(), rnn(nnx.GRUCell), rngs=nnx.Rngs(2))
    lengths = jnp.array([5, 3])
    masked = jax.jit(lambda model, x: model(x, seq_lengths=lengths))
    np.testing.assert_allclose(masked(nn.convert(model, NEARLY_DIGITAL, CHIP), X), masked(model, X), atol=2e-3)
    carries = jax.jit(lambda chip: nn.with_read_key(chip, READ)(X, seq_lengths=lengths, return_carry=True))
    carry, outputs = carries(chip)
    np.testing.assert_array_equal(carry, jnp.stack([outputs[0, 4], outputs[1, 2]]))
    backward = jax.jit(lambda chip: nn.with_read_key(chip, READ)(X, reverse=True, keep_order=True))
    assert not np.allclose(backward(chip), outputs, atol=1e-3)


def test_a_stack_of_recurrent_layers():
    cells = nnx.vmap(lambda rngs: nnx.SimpleCell(4, 4, rngs=rngs), axis_size=2)(nnx.Rngs(0).split(2))
    model = nnx.Dict(stack=cells)

    @nnx.jit
    def through(model, x):
        layer = lambda x, cell: nnx.RNN(cell, rngs=False)(x, initial_carry=jnp.zeros((2, 4)))  # noqa: E731
        return nnx.scan(layer, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, model.stack)

    x = jax.random.normal(READ, (2, 5, 4))
    expected = through(model, x)
    np.testing.assert_allclose(through(nn.convert(model, NEARLY_DIGITAL, CHIP), x), expected, atol=2e-3)
    chip = nn.convert(model, DEVICES, CHIP)
    assert chip.stack.dense_i.dot_general.programmed.get_value().g.shape[0] == 2
    y = through(nn.with_read_key(chip, READ), x)
    np.testing.assert_array_equal(through(nn.with_read_key(chip, READ), x), y)
    assert not np.allclose(y, expected, atol=2e-3)


def test_errors_and_ranges_of_recurrent_layers_are_measured(chip):
    expected = call(rnn(), X)
    probe = nnx.view(nn.with_read_key(chip, READ), analog_mode="probe")
    np.testing.assert_allclose(probe(X), expected, atol=1e-6)
    errors = nn.layer_errors(probe)
    assert set(errors) == {"cell/dense_i", "cell/dense_h"}
    assert all(1e-3 < float(error) < 0.5 for error in errors.values())
    calibrated = nn.calibrate(chip, X, READ, input_percentile=100.0)
    limits = [
        getattr(calibrated.cell, name).dot_general.config.get_value().drive.range.limit for name in GATES[nnx.GRUCell]
    ]
    # The largest inputs, and the largest states that a step begins with.
    np.testing.assert_allclose(
        sorted(limits), sorted([jnp.max(jnp.abs(X)), jnp.max(jnp.abs(expected[:, :-1]))]), rtol=1e-4
    )
