"""Idioms of networks that were written elsewhere: Flax's own examples and collections of language and image models.

Partitioned parameters, short numbers, blocks that are recomputed or scanned, Einstein sums over heads, caches, dropout,
statistics, and weights that a module holds itself. The networks here are of the same structure, with code of their own.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jaxaimc import AnalogConfig, nn
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.wires import NoWires

CHIP, READ = jax.random.split(jax.random.key(3))
NEARLY_DIGITAL = AnalogConfig(
    device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(bits=16), rows=16, cols=16
)
NOISY = replace(AnalogConfig(), wires=NoWires(), adc=IdealADC(), rows=16, cols=16)
X = jax.random.normal(jax.random.key(0), (2, 5, 8))


def read(chip, x, key=READ):
    return nn.with_read_key(chip, key)(x)


def off(found, expected):
    found, expected = (np.asarray(y, np.float64) for y in (found, expected))
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


class Feed(nnx.Module):
    """A gated perceptron as in Gemma and Qwen, with names for the axes of its parameters."""

    def __init__(self, rngs, **named):
        spread = nnx.initializers.lecun_normal()

        def linear(n_in, n_out, *axes):
            kernel = nnx.with_partitioning(spread, axes)
            return nnx.Linear(n_in, n_out, use_bias=False, kernel_init=kernel, rngs=rngs, **named)

        self.gate, self.up = (linear(8, 12, "embed", "mlp") for _ in range(2))
        self.down = linear(12, 8, "mlp", "embed")

    def __call__(self, x):
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))


def mesh():
    return jax.make_mesh((1, 1), ("embed", "mlp"), axis_types=(AxisType.Auto,) * 2)


def test_partitioned_parameters_keep_their_metadata():
    with jax.set_mesh(mesh()):
        model = Feed(nnx.Rngs(0))
        chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
        specs = nnx.get_partition_spec(nnx.state(chip))
        assert specs["gate"]["kernel"].get_value() == P("embed", "mlp")
        # As such programs place a model on their mesh.
        state = nnx.state(chip)
        nnx.update(chip, jax.lax.with_sharding_constraint(state, nnx.get_named_sharding(state, mesh())))
        assert off(nnx.jit(read)(chip, X, READ), model(X)) < 2e-3


def test_partitioned_parameters_are_converted_where_no_mesh_is_set():
    with nnx.use_eager_sharding(False):
        model = Feed(nnx.Rngs(0))
    chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert off(nnx.jit(read)(chip, X, READ), model(X)) < 2e-3


@pytest.mark.parametrize("weights", [jnp.float32, jnp.bfloat16])
def test_short_numbers_stay_short(weights):
    with nnx.use_eager_sharding(False):
        model = Feed(nnx.Rngs(0), dtype=jnp.bfloat16, param_dtype=weights)
    chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
    x = X.astype(jnp.bfloat16)
    found, expected = nnx.jit(read)(chip, x, READ), model(x)
    assert found.dtype == expected.dtype == jnp.bfloat16
    assert off(found, expected) < 2e-2


class Heads(nnx.Module):
    """Attention of Gemma: one Einstein sum for the queries, one for keys and values, one that puts heads together."""

    def __init__(self, rngs):
        self.q = nnx.Einsum("BTD,NDH->BTNH", (4, 8, 2), rngs=rngs)
        self.kv = nnx.Einsum("BSD,CKDH->CBSKH", (2, 2, 8, 2), rngs=rngs)
        self.out = nnx.Einsum("BTNH,NHD->BTD", (4, 2, 8), rngs=rngs)

    def __call__(self, x):
        q, (k, v) = self.q(x), self.kv(x)
        k, v = (jnp.repeat(part, 2, axis=2) for part in (k, v))
        return self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True))


class Block(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.RMSNorm(8, rngs=rngs)
        self.heads = Heads(rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.mlp = nnx.Linear(8, 8, rngs=rngs)

    def __call__(self, x):
        x = x + self.heads(self.norm(x))
        return x + self.dropout(jax.nn.gelu(self.mlp(x)))


class Scanned(nnx.Module):
    """Blocks that are recomputed in the backward pass, stacked and scanned, each with streams of its own."""

    def __init__(self, rngs):
        @nnx.split_rngs(splits=2)
        @nnx.vmap(in_axes=0, out_axes=0, transform_metadata={nnx.PARTITION_NAME: "layers"})
        def make(rngs):
            return Block(rngs)

        self.blocks = make(rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry, transform_metadata={nnx.PARTITION_NAME: "layers"})
        def run(block, x):
            return nnx.remat(Block.__call__)(block, x)

        return run(self.blocks, x)


def test_scanned_blocks_that_are_recomputed_are_read():
    model = nnx.view(Scanned(nnx.Rngs(0)), deterministic=True)
    chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
    assert off(nnx.jit(read)(chip, X, READ), nnx.jit(lambda model, x: model(x))(model, X)) < 2e-3


def test_what_is_recomputed_draws_the_same_noise_again():
    train = nnx.view(nn.convert(nnx.Linear(8, 8, rngs=nnx.Rngs(0)), NOISY), analog_mode="train")

    def gradient(call):
        loss = lambda model: jnp.sum(jnp.square(call(nn.with_read_key(model, READ), X)))  # noqa: E731
        return nnx.jit(nnx.grad(loss))(train)["kernel"][...]

    once = gradient(lambda model, x: model(jnp.tanh(model(x))))
    anew = gradient(nnx.remat(lambda model, x: model(jnp.tanh(model(x)))))
    np.testing.assert_allclose(anew, once, rtol=1e-4, atol=1e-4)


def test_dropout_and_read_noise_are_drawn_side_by_side():
    chip = nn.convert(Block(nnx.Rngs(0)), NOISY, CHIP)
    on, quiet = nnx.view(chip, deterministic=False), nnx.view(chip, deterministic=True)
    assert float(jnp.abs(read(on, X) - read(on, X)).max()) > 1e-2  # the streams of dropout go on
    np.testing.assert_array_equal(read(quiet, X), read(quiet, X))


class Convolutional(nnx.Module):
    """A stem, an inverted residual and a head, as the MobileNets have them, with statistics that are updated."""

    def __init__(self, rngs):
        self.stem = nnx.Sequential(nnx.Conv(3, 4, (3, 3), use_bias=False, rngs=rngs), nnx.BatchNorm(4, rngs=rngs))
        self.blocks = nnx.List(
            [
                nnx.Sequential(
                    nnx.Conv(4, 8, (1, 1), use_bias=False, rngs=rngs),
                    nnx.BatchNorm(8, rngs=rngs),
                    jax.nn.relu6,
                    nnx.Conv(8, 8, (3, 3), feature_group_count=8, use_bias=False, rngs=rngs),
                    nnx.BatchNorm(8, rngs=rngs),
                    nnx.Conv(8, 4, (1, 1), use_bias=False, rngs=rngs),
                )
            ]
        )
        self.scale = nnx.Param(jnp.full((4,), 0.5))
        self.position = nnx.Param(0.1 * jnp.ones((1, 6, 6, 4)))
        self.token = nnx.Param(jnp.zeros((1, 1, 4)))
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        x = self.stem(x) + self.position[...]
        for block in self.blocks:
            x = x + self.scale[...] * block(x)
        x = x.reshape(x.shape[0], -1, 4)
        x = jnp.concatenate([jnp.broadcast_to(self.token[...], (x.shape[0], 1, 4)), x], axis=1)
        return self.head(x.mean(1))


def test_statistics_are_updated_in_a_network_on_a_chip():
    images = jax.random.normal(jax.random.key(1), (4, 6, 6, 3))
    model = Convolutional(nnx.Rngs(0))
    chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
    running = nnx.view(chip, use_running_average=False)
    before = chip.stem.layers[1].mean[...]

    @nnx.jit
    def step(chip, x, key):
        reading = nn.with_read_key(chip, key)
        return reading(x)

    step(running, images, READ)
    assert float(jnp.abs(chip.stem.layers[1].mean[...] - before).max()) > 1e-4
    still = nnx.view(chip, use_running_average=True)
    digital = nnx.view(still, analog_mode="digital")
    assert off(step(still, images, READ), digital(images)) < 2e-3


class Cached(nnx.Module):
    """A decoder that keeps keys and values in variables of its own between calls."""

    def __init__(self, rngs, length=5):
        self.qkv = nnx.LinearGeneral(8, (3, 2, 4), rngs=rngs)
        self.out = nnx.LinearGeneral((2, 4), 8, axis=(-2, -1), rngs=rngs)
        self.keys = nnx.Cache(jnp.zeros((2, length, 2, 4)))
        self.values = nnx.Cache(jnp.zeros((2, length, 2, 4)))
        self.at = nnx.Cache(jnp.zeros((), jnp.int32))

    def __call__(self, x):
        q, k, v = jnp.moveaxis(self.qkv(x), -3, 0)
        for cache, new in ((self.keys, k), (self.values, v)):
            cache[...] = jax.lax.dynamic_update_slice(cache[...], new, (0, self.at[...], 0, 0))
        self.at[...] += x.shape[1]
        seen = jnp.arange(5) < self.at[...]
        y = jax.nn.dot_product_attention(q, self.keys[...], self.values[...], mask=seen[None, None, None])
        return self.out(y)


def test_a_cache_of_the_networks_own_is_written_on_a_chip():
    model = Cached(nnx.Rngs(0))
    chip = nn.convert(model, NEARLY_DIGITAL, CHIP)
    step = nnx.jit(lambda model, x, key: nn.with_read_key(model, key)(x))
    keys = jax.random.split(READ, 5)
    tokens = [step(chip, X[:, [i]], keys[i]) for i in range(5)]
    assert int(chip.at[...]) == 5
    digital = nnx.view(nn.convert(Cached(nnx.Rngs(0)), NEARLY_DIGITAL), analog_mode="digital")
    expected = [digital(X[:, [i]]) for i in range(5)]
    assert off(jnp.stack(tokens), jnp.stack(expected)) < 2e-3


class RawEinsum(nnx.Module):
    """As some model collections have it: an Einstein sum whose weights the module holds itself."""

    def __init__(self, equation, shape, rngs):
        self.equation = equation
        self.w = nnx.Param(nnx.initializers.normal(0.3)(rngs.params(), shape))

    def __call__(self, x):
        return jnp.einsum(self.equation, x, self.w[...])


def test_bad_raw_einsums_are_refused_with_what_to_write():
    model = nnx.Sequential(RawEinsum("BTD,NDH->BTNH", (2, 8, 4), nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"'layers/0/w' \(RawEinsum, shape \(2, 8, 4\)\) is a product .*nnx\.Einsum"):
        nn.convert(model, NEARLY_DIGITAL)
    longer = nnx.Sequential(model, nnx.Linear(4, 3, rngs=nnx.Rngs(0)))
    kept = nn.convert(longer, [nn.Rule(".*/w", None), nn.Rule(".*", NEARLY_DIGITAL)])
    assert [product.analog for product in nn.products(kept)] == [False, True]


class Sampled(nnx.Module):
    """A variational autoencoder, which draws from a stream of its own."""

    def __init__(self, rngs):
        self.encoder, self.decoder = nnx.Linear(8, 4, rngs=rngs), nnx.Linear(2, 8, rngs=rngs)
        self.rngs = rngs

    def __call__(self, x):
        mean, log = jnp.split(self.encoder(x), 2, axis=-1)
        return self.decoder(mean + jnp.exp(0.5 * log) * jax.random.normal(self.rngs.noise(), mean.shape))


def test_a_networks_own_random_stream_goes_on_under_nnx_jit():
    chip = nn.convert(Sampled(nnx.Rngs(0, noise=1)), NEARLY_DIGITAL, CHIP)
    step = nnx.jit(read)
    first, second = step(chip, X, READ), step(chip, X, READ)
    assert float(jnp.abs(first - second).max()) > 1e-2


def test_a_network_of_shapes_is_converted_filled_and_programmed():
    """Loaders make a network without values first, and put those of a file into it."""
    blank = nn.convert(nnx.eval_shape(lambda: Block(nnx.Rngs(0))), NEARLY_DIGITAL)
    filled = nnx.clone(blank)
    nnx.update(filled, nnx.state(Block(nnx.Rngs(0))))
    expected = read(nn.convert(Block(nnx.Rngs(0)), NEARLY_DIGITAL, CHIP), X)
    np.testing.assert_array_equal(read(nn.program(filled, CHIP), X), expected)


def test_bad_networks_of_shapes_are_not_programmed():
    blank = nnx.eval_shape(lambda: nnx.Linear(8, 4, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"has the shape of a kernel but no values.*`nnx.update\(model, state\)`"):
        nn.convert(blank, NEARLY_DIGITAL, CHIP)
