"""Convolutions on tiles, against `jax.lax` and the digital layers."""

import copy
import functools
import math
import pickle
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, READ
from convolutions import IDEAL, converted, data, run
from flax import nnx
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jaxaimc import nn
from jaxaimc.drives import PWM, AbsoluteMaximum, FixedRange, LearnedRange, PerVector
from jaxaimc.nn.hosts import ConvHost, ConvTransposeHost
from jaxaimc.training.ideal_backward import with_ideal_backward
from jaxaimc.training.noise import AdditiveNoise, with_weight_noise


@nnx.jit
def answers(layer, analog, x):
    """Answers of the layer, of the tiles, programmed in this call, and of the analog layer in its digital view."""
    return layer(x), *(nnx.view(analog, analog_mode=mode)(x) for mode in ("train", "digital"))


def equal(layer, x, atol=2e-5):
    analog = nn.with_read_key(nn.convert(nnx.List([layer]), IDEAL), READ)[0]
    expected, found, digital = answers(layer, analog, x)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=atol)
    np.testing.assert_array_equal(digital, expected)


PADDINGS = ["SAME", "VALID", "CIRCULAR", "REFLECT", 1, (0, (2, 1)), ((1, 2), (0, -1))]


@settings(max_examples=5)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.one_of(st.integers(1, 2), st.tuples(st.integers(1, 3), st.integers(1, 3))),
    st.one_of(st.integers(1, 2), st.tuples(st.integers(1, 2), st.integers(1, 3))),
    st.integers(1, 2),
    st.sampled_from([(1, 3, 2), (2, 2, 4), (3, 3, 6), (3, 3, 3)]),
    st.sampled_from(PADDINGS),
)
@example((3, 3), 2, 1, 1, (3, 3, 3), "CIRCULAR")
@example((2, 3), 1, (1, 2), 1, (2, 2, 4), "REFLECT")
@example((3, 2), (2, 1), 2, 2, (1, 3, 2), ((1, 2), (0, -1)))
def test_convolutions_are_the_digital_ones(sizes, strides, kernel_dilation, input_dilation, channels, padding):
    assume(input_dilation == 1 or not isinstance(padding, str))
    groups, n_in, n_out = channels
    layer = nnx.Conv(
        n_in,
        n_out,
        sizes,
        strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
        input_dilation=input_dilation,
        feature_group_count=groups,
        bias_init=nnx.initializers.normal(),
        rngs=nnx.Rngs(0),
    )
    equal(layer, data(2, 9, 8, n_in))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda rngs: nnx.Conv(3, 4, 4, padding="CAUSAL", kernel_dilation=2, rngs=rngs), (2, 9, 3)),
        (lambda rngs: nnx.Conv(2, 4, (2, 3, 2), 2, feature_group_count=2, rngs=rngs), (1, 4, 5, 6, 2)),
        (lambda rngs: nnx.Conv(2, 3, (3, 3), rngs=rngs), (5, 4, 2)),
        (lambda rngs: nnx.Conv(2, 3, (3, 3), rngs=rngs), (2, 3, 5, 4, 2)),
        (lambda rngs: nnx.Conv(2, 3, 3, None, kernel_dilation=None, use_bias=False, rngs=rngs), (7, 2)),
        (lambda rngs: nnx.Conv(4, 4, (), rngs=rngs), (3, 4)),
    ],
    ids=["causal", "3d", "one example", "two batch axes", "1d example", "no space"],
)
def test_ranks_and_batches(layer, shape):
    equal(layer(nnx.Rngs(0)), data(*shape))


@settings(max_examples=5)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(1, 3))),
    st.one_of(st.none(), st.integers(1, 2)),
    st.sampled_from(["SAME", "VALID", 1, ((1, 2), 0)]),
    st.booleans(),
)
def test_transposed_convolutions_are_the_digital_ones(sizes, strides, dilation, padding, transpose):
    layer = nnx.ConvTranspose(
        3,
        2,
        sizes,
        strides,
        padding=padding,
        kernel_dilation=dilation,
        transpose_kernel=transpose,
        bias_init=nnx.initializers.normal(),
        rngs=nnx.Rngs(0),
    )
    equal(layer, data(2, 5, 4, 3))


def test_a_transposed_layer_is_what_it_was_afterwards():
    model = nnx.Dict(up=nnx.ConvTranspose(3, 2, (2, 2), (2, 2), transpose_kernel=True, rngs=nnx.Rngs(0)))
    x = data(4, 4, 3)
    analog = nn.convert(model, DEVICES, CHIP)
    assert isinstance(analog.up, nnx.ConvTranspose)
    assert type(model.up) is nnx.ConvTranspose
    assert nn.products(analog) == [nn.Product("up", "nnx.ConvTranspose", (2, 2, 2, 3), True, "")]
    assert nnx.state(analog, nnx.Param) == nnx.state(model, nnx.Param)
    for again in (copy.deepcopy(analog), pickle.loads(pickle.dumps(analog)), nnx.merge(*nnx.split(analog))):
        np.testing.assert_array_equal(nn.with_read_key(again, READ).up(x), nn.with_read_key(analog, READ).up(x))
    digital = nn.to_digital(analog)
    assert type(digital.up) is nnx.ConvTranspose
    assert nnx.graphdef(digital) == nnx.graphdef(model)
    noisy = with_weight_noise(nn.convert(model, IDEAL), [AdditiveNoise(scale=0.0)], CHIP)
    np.testing.assert_array_equal(noisy.up.kernel[...], model.up.kernel[...])


@pytest.mark.parametrize("groups", [1, 2])
def test_every_place_of_a_window_counts(groups):
    """One input at a time, so that a place that is left out, or taken for another, shows."""
    layer = nnx.Conv(2, 4, (3, 2), (2, 1), feature_group_count=groups, padding="VALID", rngs=nnx.Rngs(0))
    one_hot = jnp.eye(5 * 4 * 2).reshape(40, 5, 4, 2)
    for rows in (1, 5, 7):
        analog = converted(layer, replace(IDEAL, rows=rows, drive=PWM(bits=16, range=FixedRange(limit=1.0))))
        np.testing.assert_allclose(run(analog, one_hot), layer(one_hot), atol=1e-5)


def test_the_matrix_of_a_kernel_and_back():
    for groups in (1, 2):
        layer = nnx.Conv(4, 6, (3, 2), feature_group_count=groups, rngs=nnx.Rngs(0))
        host = ConvHost()
        matrix = host.kernel(layer)
        assert matrix.shape == (24, 6) if groups == 1 else (2, 12, 3)
        old = layer.kernel[...]
        host.with_kernel(layer, 2 * matrix)
        np.testing.assert_array_equal(layer.kernel[...], 2 * old)
    layer = nnx.ConvTranspose(4, 6, (3, 2), transpose_kernel=True, rngs=nnx.Rngs(0))
    old = layer.kernel[...]
    ConvTransposeHost().with_kernel(layer, 2 * ConvTransposeHost().kernel(layer))
    np.testing.assert_array_equal(layer.kernel[...], 2 * old)


def calls(monkeypatch):
    """Count the reads of a chip: one per call of a layer, but one trace for all of its parts."""
    from jaxaimc.nn import op

    seen = []
    mvm = op.tile.mvm
    monkeypatch.setattr(
        op.tile, "mvm", lambda config, chip, x, key: (seen.append(x.shape), mvm(config, chip, x, key))[1]
    )
    return seen


CONVS = {
    "examples": (
        lambda rngs: nnx.Conv(2, 4, (3, 3), feature_group_count=2, rngs=rngs),
        (6, 4, 5, 2),
        800,
        (2, 4, 5, 18),
    ),
    "lines": (lambda rngs: nnx.Conv(2, 3, (3, 3), (2, 1), rngs=rngs), (2, 9, 7, 2), 130, (1, 1, 7, 18)),
    "some lines": (lambda rngs: nnx.Conv(2, 3, (2, 3), 2, rngs=rngs), (2, 16, 7, 2), 200, (1, 4, 4, 12)),
    "one axis": (
        lambda rngs: nnx.Conv(2, 3, 3, padding="VALID", kernel_dilation=2, rngs=rngs),
        (3, 12, 2),
        30,
        (1, 4, 6),
    ),
    "transposed": (lambda rngs: nnx.ConvTranspose(2, 3, (3, 3), (2, 2), rngs=rngs), (2, 3, 3, 2), 500, (1, 3, 6, 18)),
}


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("bound", [PerVector(), AbsoluteMaximum()])
def test_parts_of_a_call_are_the_whole(name, bound, monkeypatch):
    make, shape, most, part = CONVS[name]
    layer, x = make(nnx.Rngs(0)), data(*shape)
    config = replace(IDEAL, drive=PWM(bits=6, range=bound))
    seen = calls(monkeypatch)
    whole = run(converted(layer, config), x)
    apart = run(converted(layer, config, most_elements=most), x)
    np.testing.assert_allclose(apart, whole, atol=1e-5)
    assert math.prod(seen[0]) > most
    assert set(seen[1:]) == {part}
    assert math.prod(part) <= most


def test_gradients_of_parts_are_those_of_the_whole():
    layer, x = nnx.Conv(2, 4, (3, 3), feature_group_count=2, rngs=nnx.Rngs(0)), data(4, 4, 5, 2)
    gradient = nnx.jit(nnx.grad(lambda layer, x: jnp.sum(jnp.sin(layer(x))), argnums=(0, 1)))

    def gradients(**host):
        train = nnx.view(converted(layer, **host), analog_mode="train")
        return gradient(train, x)

    (by_layer, by_x), (in_parts, by_x_in_parts) = gradients(), gradients(most_elements=400)
    digital, digital_by_x = gradient(layer, x)
    for found in (by_layer, in_parts):
        np.testing.assert_allclose(found["kernel"][...], digital["kernel"][...], atol=2e-3)
        np.testing.assert_allclose(found["bias"][...], digital["bias"][...], atol=2e-3)
    np.testing.assert_allclose(by_x, digital_by_x, atol=2e-3)
    np.testing.assert_allclose(by_x_in_parts, by_x, atol=1e-4)


def test_noise_differs_between_parts_and_belongs_to_examples_with_keys_of_their_own():
    layer = nnx.Conv(1, 1, (1, 1), rngs=nnx.Rngs(0))
    x = jnp.ones((6, 2, 3, 1))
    noisy = replace(DEVICES, drive=PWM(range=FixedRange(limit=1.0)))
    whole = nn.convert(nnx.List([layer]), noisy, CHIP)
    keys = jax.random.split(READ, 6)

    @functools.partial(jax.jit, static_argnums=0)
    def answers(most, keys):
        rules = [nn.Rule("0", noisy, host=ConvHost(most_elements=most))]
        chip = nn.with_effective(nn.convert(nnx.List([layer]), rules), nn.effective(whole))
        return nn.with_read_key(chip, keys)[0](x)

    with_one_key, of_each, of_lines = answers(12, READ), answers(12, keys), answers(3, keys)
    for y in (with_one_key, of_each, of_lines):
        assert len(np.unique(np.asarray(y))) == y.size
    np.testing.assert_allclose(answers(12, keys[::-1]), of_each[::-1], rtol=1e-6)
    np.testing.assert_allclose(answers(10**6, keys), of_each, rtol=1e-6)


def test_what_needs_all_windows_sees_them_all(monkeypatch):
    layer, x = nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)), data(4, 4, 5, 2)
    seen = calls(monkeypatch)

    class Keeping(nn.Hook):
        def before(self, config, inputs):
            seen.append("all")
            return config, inputs

    apart = nnx.List([converted(layer, most_elements=400)])
    nn.attach(apart, lambda dot: Keeping())[0](x)
    assert seen[-1] == (4, 4, 5, 18)
    converted(layer, replace(IDEAL, drive=PWM(range=LearnedRange())), most_elements=400)(x)
    assert seen[-1] == (4, 4, 5, 18)
    chip = with_ideal_backward(nn.with_column_correction(apart))
    chip[0](x)
    assert seen[-1] == (1, 4, 5, 18)


class Doubled(nnx.Conv):
    """A convolution whose outputs are doubled."""

    def __call__(self, inputs, out_sharding=None):
        return 2 * super().__call__(inputs, out_sharding)


class Standardised(nnx.Conv):
    """A convolution whose kernel is made anew in every call."""

    def __call__(self, inputs, out_sharding=None):
        kept = self.kernel
        self.kernel = nnx.Param(kept[...] - kept[...].mean())
        y = super().__call__(inputs, out_sharding)
        self.kernel = kept
        return y


class Upwards(nnx.ConvTranspose):
    """A subclass of a layer whose product is no attribute."""


def test_subclasses_convert_if_they_multiply_with_their_kernel():
    equal(Doubled(2, 3, (3, 3), 2, padding="REFLECT", rngs=nnx.Rngs(0)), data(2, 6, 5, 2))
    with pytest.raises(ValueError, match=r"'0' \(Standardised, shape \(3, 3, 2, 3\)\) changes its kernel before"):
        nn.convert(nnx.List([Standardised(2, 3, (3, 3), rngs=nnx.Rngs(0))]), IDEAL)


def test_bad_convolutions_are_refused():
    rngs = nnx.Rngs(0)
    other = lambda *arguments, **named: jax.lax.conv_general_dilated(*arguments, **named)  # noqa: E731
    cases = [
        (nnx.Conv(1, 2, 3, mask=jnp.ones((3, 1, 2)), rngs=rngs), "has a `mask`, which changes its kernel"),
        (nnx.Conv(1, 2, 3, conv_general_dilated=other, rngs=rngs), "has a `conv_general_dilated` of its own"),
        (nnx.ConvTranspose(1, 2, 3, mask=jnp.ones((3, 1, 2)), rngs=rngs), "has a `mask`, which changes its kernel"),
        (
            nnx.ConvTranspose(1, 2, 3, padding="CIRCULAR", rngs=rngs),
            r"wraps its outputs .* `nnx.Conv` .*input_dilation",
        ),
        (Upwards(1, 2, 3, rngs=rngs), r"is of a subclass of `nnx.ConvTranspose`, .*`input_dilation`"),
        (nnx.WeightNorm(nnx.Conv(1, 2, 3, rngs=rngs), rngs=rngs), r"gets its kernel from nnx.WeightNorm in every call"),
    ]
    for layer, message in cases:
        with pytest.raises(ValueError, match=message):
            nn.convert(nnx.List([layer]), IDEAL)
    dilated = nnx.Conv(1, 2, 3, padding="SAME", input_dilation=2, rngs=rngs)
    with pytest.raises(ValueError, match=r"Layer '0' dilates its inputs by \(2,\), .* but `padding` is 'SAME'"):
        converted(dilated)(data(1, 5, 1))
    causal = nnx.ConvTranspose(1, 2, 3, padding="CAUSAL", rngs=rngs)
    with pytest.raises(ValueError, match=r"Layer '0' must have 'SAME', 'VALID' or pairs .* but has 'CAUSAL'"):
        converted(causal)(data(1, 5, 1))
    with pytest.raises(ValueError, match=r"`most_elements` of ConvHost must be .* but is 0"):
        ConvHost(most_elements=0)
    x, kernel = data(1, 5, 1), data(3, 1, 2)
    host = ConvHost()
    with pytest.raises(ValueError, match="Layer 'a' has `batch_group_count` 2; an analog layer has 1"):
        host.layout("a", x, kernel, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"), batch_group_count=2)
    with pytest.raises(
        ValueError, match=r"Layer 'a' has .* in its kernel's axes \(0, 1, 2\); an analog layer has space"
    ):
        host.layout("a", x.reshape(1, 1, 5), kernel.reshape(2, 1, 3), (1,), "SAME")


def test_a_changed_kernel_is_noticed():
    layer = nnx.Conv(2, 4, 3, feature_group_count=2, rngs=nnx.Rngs(0))
    analog = converted(layer)
    analog(data(1, 5, 2))
    analog.kernel[...] = 2 * analog.kernel[...]
    with pytest.raises(ValueError, match="Layer '0' has another kernel than the one its chip was programmed from"):
        analog(data(1, 5, 2))
    with pytest.raises(ValueError, match="Layer '0' is on a programmed chip, so that its output does not depend on"):
        jax.jit(nnx.grad(lambda layer: jnp.sum(layer(data(1, 5, 2)))))(converted(layer))


def test_stacks_and_empty_batches():
    make = nnx.vmap(lambda rngs: nnx.Conv(2, 4, 3, feature_group_count=2, rngs=rngs))
    stack = make(nnx.Rngs(0).split(3))
    x = data(3, 2, 5, 2)
    call = nnx.vmap(lambda layer, x: layer(x))
    analog = nn.with_read_key(nn.convert(nnx.List([stack]), IDEAL, CHIP), READ)[0]
    np.testing.assert_allclose(nnx.jit(call)(analog, x), call(stack, x), atol=2e-5)
    assert converted(nnx.Conv(2, 4, 3, rngs=nnx.Rngs(0)))(jnp.zeros((0, 5, 2))).shape == (0, 5, 4)
