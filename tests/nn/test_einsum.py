"""`nnx.Einsum` on tiles: equations that are a product with one matrix, and those that are not."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, READ, analog_paths
from flax import nnx

from jaxaimc import nn
from jaxaimc.nn.hosts import EinsumHost
from jaxaimc.training.limits.ranges import learn_input_ranges
from jaxaimc.training.noise.weights import AdditiveNoise, with_weight_noise

# Equation, shape of the kernel, of the bias, of the inputs; rows and columns of the matrix.
CASES = {
    "heads": ("nta,hab->nthb", (3, 4, 5), (3, 5), (2, 6, 4), (4, 15)),
    "back": ("nthb,hba->nta", (3, 5, 4), (4,), (2, 6, 3, 5), (15, 4)),
    "turned": ("tnha,bah->bnt", (5, 4, 3), None, (6, 2, 3, 4), (12, 5)),
    "ellipsis": ("...a,ba->...b", (5, 4), (5,), (2, 6, 4), (4, 5)),
    "inner": ("a...c,cb->b...a", (4, 5), None, (7, 2, 3, 4), (4, 5)),
    "spaces": ("n a , a b -> b n", (4, 5), (5,), (2, 4), (4, 5)),
    "one output": ("nba,ab->n", (4, 3), None, (2, 3, 4), (12, 1)),
}


def layer_of(case):
    equation, kernel, bias, shape, _ = CASES[case]
    layer = nnx.Einsum(equation, kernel, bias, rngs=nnx.Rngs(0))
    if bias is not None:
        layer.bias[...] = jax.random.normal(READ, bias)
    return layer, jax.random.normal(CHIP, shape)


@pytest.mark.parametrize("case", CASES)
def test_an_ideal_tile_computes_the_einsum(case):
    layer, x = layer_of(case)
    analog = nn.convert(layer, NEARLY_DIGITAL, CHIP)
    expected = np.einsum(CASES[case][0].replace(" ", ""), np.asarray(x, float), np.asarray(layer.kernel[...], float))
    found = analog(x) - (layer(x) - layer.einsum_op(layer.einsum_str, x, layer.kernel[...]))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_array_equal(nnx.view(analog, analog_mode="digital")(x), layer(x))
    assert (analog.einsum_op.chip().n_in, analog.einsum_op.chip().n_out) == CASES[case][4]
    assert nn.products(analog) == [nn.Product("", "nnx.Einsum", CASES[case][1], True, "")]
    assert nn.to_digital(analog).einsum_op is jnp.einsum
    assert nnx.to_flat_state(nnx.state(analog, nnx.Param)).paths == nnx.to_flat_state(nnx.state(layer)).paths


def test_the_chip_answers_with_its_own_errors_and_fresh_noise():
    layer, x = layer_of("turned")
    chip = nn.convert(layer, DEVICES, CHIP)
    read = jax.jit(lambda key: nn.with_read_key(chip, key)(x))
    assert 1e-3 < float(jnp.std(read(READ) - layer(x))) < 0.5
    np.testing.assert_array_equal(read(READ), read(READ))
    assert not np.array_equal(read(READ), read(CHIP))
    for again in (copy.deepcopy(chip), pickle.loads(pickle.dumps(chip))):
        assert nnx.graphdef(again) == nnx.graphdef(chip)
        np.testing.assert_allclose(nn.with_read_key(again, READ)(x), read(READ), atol=1e-5)
    assert nn.drift(chip, 1e5).einsum_op.programmed is not chip.einsum_op.programmed


@pytest.mark.parametrize("case", ["heads", "turned"])
def test_gradients_run_through_the_circuit_to_the_kernel(case):
    layer, x = layer_of(case)
    train = nnx.view(nn.convert(layer, NEARLY_DIGITAL), analog_mode="train")
    loss = lambda model: jnp.sum(jnp.sin(model(x)))  # noqa: E731
    found, expected = nnx.grad(lambda model: loss(nn.with_read_key(model, READ)))(train), nnx.grad(loss)(layer)
    np.testing.assert_allclose(found["kernel"][...], expected["kernel"][...], rtol=0.02, atol=0.02)


def test_noise_and_ranges_of_training_know_the_matrix():
    layer, x = layer_of("turned")
    analog = nn.convert(layer, NEARLY_DIGITAL)
    noisy = with_weight_noise(analog, [AdditiveNoise(scale=0.0)], CHIP)
    np.testing.assert_array_equal(noisy.kernel[...], layer.kernel[...])
    ranged = learn_input_ranges(analog, [x], deviations=2.0)
    np.testing.assert_allclose(ranged.einsum_op.hooks[0].limit[...], 2 * jnp.sqrt(jnp.mean(jnp.square(x))), rtol=1e-5)


def test_a_kernel_that_has_changed_is_noticed():
    layer, x = layer_of("turned")
    chip = nn.convert(layer, NEARLY_DIGITAL, CHIP)
    chip(x)
    chip.kernel = nnx.Param(chip.kernel[...] + 1)
    with pytest.raises(ValueError, match="another kernel than the one its chip was programmed from"):
        chip(x)


def test_an_equation_of_the_call_must_make_the_same_matrix():
    layer = nnx.Einsum("nta,ab->ntb", (4, 4), rngs=nnx.Rngs(0))
    chip, x = nn.convert(nnx.List([layer]), NEARLY_DIGITAL, CHIP)[0], jax.random.normal(READ, (2, 3, 4))
    np.testing.assert_allclose(chip(x, "tna,ab->btn"), layer(x, "tna,ab->btn"), atol=2e-3)
    with pytest.raises(ValueError, match=r"Layer '0' was called with the equation 'nta,ba->ntb', which makes another"):
        chip(x, "nta,ba->ntb")


@pytest.mark.parametrize(
    ("equation", "kernel", "message"),
    [
        ("nha,hab->nhb", (3, 4, 5), r"'nha,hab->nhb', which has a matrix for each entry of 'h'.* an nnx.Linear for"),
        ("na,abc->nb", (4, 5, 3), r"sums the kernel over 'c'; sum it once"),
        ("nta,ab->nb", (4, 5), r"sums the inputs over 't'; sum them before the layer"),
        ("na,aab->nb", (4, 4, 5), r"a label twice in one operand; take the diagonal"),
        ("na,a...->n...", (4, 5), r"an ellipsis in the kernel; write its labels out"),
    ],
)
def test_what_is_no_product_with_one_matrix_is_refused_with_what_to_write(equation, kernel, message):
    model = nnx.List([nnx.Einsum(equation, kernel, rngs=nnx.Rngs(0)), nnx.Linear(4, 4, rngs=nnx.Rngs(0))])
    with pytest.raises(ValueError, match=rf"'0' \(nnx.Einsum, shape .*{message}"):
        nn.convert(model, DEVICES)
    assert analog_paths(nn.convert(model, [nn.Rule("0", None), nn.Rule(".*", DEVICES)])) == {"1"}
    (product, _) = nn.products(model)
    assert product.reason.startswith("computes")


def test_what_a_tile_would_not_compute_is_refused():
    own = nnx.Einsum("na,ab->nb", (4, 5), einsum_op=lambda *a, **k: 2 * jnp.einsum(*a, **k), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"has an `einsum_op` of its own"):
        nn.convert(own, DEVICES)

    class Signs(nnx.Einsum):
        def __call__(self, inputs, einsum_str=None, out_sharding=None):
            return self.einsum_op(self.einsum_str, inputs, jnp.sign(self.kernel[...]))

    class Twice(nnx.Einsum):
        def __call__(self, inputs, einsum_str=None, out_sharding=None):
            return 2 * super().__call__(inputs, einsum_str, out_sharding)

    with pytest.raises(ValueError, match="changes its kernel"):
        nn.convert(Signs("nta,hab->nthb", (3, 4, 5), rngs=nnx.Rngs(0)), DEVICES)
    twice, x = Twice("nta,hab->nthb", (3, 4, 5), rngs=nnx.Rngs(0)), layer_of("heads")[1]
    np.testing.assert_allclose(nn.convert(twice, NEARLY_DIGITAL, CHIP)(x), twice(x), atol=4e-3)


def test_a_stack_of_einsums_has_a_chip_for_each():
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.mix = nnx.Einsum("na,ba->nb", (4, 4), (4,), rngs=rngs)

        def __call__(self, x):
            return x + self.mix(x)

    stack = nnx.vmap(Block, axis_size=3)(nnx.Rngs(0).split(3))
    scanned = nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
    x = jax.random.normal(READ, (2, 4))
    analog = nn.convert(stack, NEARLY_DIGITAL, CHIP)
    assert analog.mix.einsum_op.programmed.get_value().g.shape[0] == 3
    np.testing.assert_allclose(scanned(x, analog), scanned(x, stack), atol=2e-3)
    noisy = nn.with_read_key(nn.convert(stack, DEVICES, CHIP), READ)
    assert not np.allclose(scanned(x, noisy), scanned(x, stack), atol=2e-3)


def test_a_host_that_a_rule_names_knows_its_layers_equation():
    layer, x = layer_of("turned")
    analog = nn.convert(layer, [nn.Rule("", NEARLY_DIGITAL, host=EinsumHost())], CHIP)
    np.testing.assert_allclose(analog(x), layer(x), atol=2e-3)
    assert analog.einsum_op.host == EinsumHost(((1, 2), (0,)))
