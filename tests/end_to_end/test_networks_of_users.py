"""Networks as users bring them: converted, summarised, read; what is refused says what to write instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.wires import NoWires
from models.llama import Llama

CHIP, READ = jax.random.split(jax.random.key(3))
NEARLY_DIGITAL = AnalogConfig(
    device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(bits=16), rows=16, cols=16
)
RNGS = nnx.Rngs(0)
IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
VECTORS = jax.random.normal(jax.random.key(1), (2, 5, 6))
TOKENS = jax.random.randint(jax.random.key(2), (2, 5), 0, 11)


class Convolutional(nnx.Module):
    """Strided, depthwise, dilated."""

    def __init__(self):
        self.first = nnx.Conv(3, 6, (3, 3), strides=2, rngs=RNGS)
        self.depthwise = nnx.Conv(6, 6, (3, 3), feature_group_count=6, rngs=RNGS)
        self.dilated = nnx.Conv(6, 4, (3, 3), kernel_dilation=2, rngs=RNGS)
        self.head = nnx.Linear(4, 3, rngs=RNGS)

    def __call__(self, x):
        x = jax.nn.relu(self.depthwise(jax.nn.relu(self.first(x))))
        return self.head(jax.nn.relu(self.dilated(x)).mean((1, 2)))


class UNet(nnx.Module):
    """Down, up, and a connection past both."""

    def __init__(self):
        self.down = nnx.Conv(3, 6, (2, 2), strides=2, rngs=RNGS)
        self.up = nnx.ConvTranspose(6, 4, (2, 2), strides=(2, 2), rngs=RNGS)
        self.out = nnx.Conv(7, 2, (1, 1), rngs=RNGS)

    def __call__(self, x):
        return self.out(jnp.concatenate([x, self.up(jax.nn.relu(self.down(x)))], axis=-1))


class Mixture(nnx.Module):
    """Two experts with a gate that weighs them."""

    def __init__(self):
        self.gate = nnx.Linear(6, 2, rngs=RNGS)
        self.experts = nnx.List([nnx.Linear(6, 4, rngs=RNGS) for _ in range(2)])

    def __call__(self, x):
        weights = jax.nn.softmax(self.gate(x))
        return sum(weights[..., [i]] * expert(x) for i, expert in enumerate(self.experts))


class Mixer(nnx.Module):
    """Mixes tokens, then channels."""

    def __init__(self):
        self.norm = nnx.LayerNorm(6, rngs=RNGS)
        self.tokens = nnx.Linear(5, 5, rngs=RNGS)
        self.channels = nnx.Linear(6, 6, rngs=RNGS)

    def __call__(self, x):
        x = x + jnp.swapaxes(jax.nn.gelu(self.tokens(jnp.swapaxes(self.norm(x), -1, -2))), -1, -2)
        return x + jax.nn.gelu(self.channels(x))


class Adapted(nnx.Module):
    """A layer with a low-rank branch."""

    def __init__(self):
        self.layer = nnx.LoRALinear(6, 4, lora_rank=2, rngs=RNGS)

    def __call__(self, x):
        return self.layer(x)


class Tied(nnx.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self):
        self.table = nnx.Embed(11, 6, rngs=RNGS)
        self.hidden = nnx.Linear(6, 6, rngs=RNGS)

    def __call__(self, tokens):
        return self.table.attend(jnp.tanh(self.hidden(self.table(tokens))))


class Scanned(nnx.Module):
    """Three layers stacked by `nnx.vmap`, run by `nnx.scan`."""

    def __init__(self):
        @nnx.split_rngs(splits=3)
        @nnx.vmap(in_axes=0, out_axes=0)
        def make(rngs):
            return nnx.Linear(6, 6, rngs=rngs)

        self.layers = make(nnx.Rngs(4))

    def __call__(self, x):
        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def run(x, layer):
            return jnp.tanh(layer(x))

        return run(x, self.layers)


class Grouped(nnx.Module):
    """A decoder whose keys and values are shared by two heads."""

    def __init__(self):
        sizes = {"width": 8, "layers": 1, "heads": 4, "kv_heads": 2, "hidden": 12}
        self.decoder = Llama(vocabulary=11, length=8, **sizes, rngs=RNGS)

    def __call__(self, tokens):
        return self.decoder(tokens)


class Recurrent(nnx.Module):
    """A gated recurrent unit over time."""

    def __init__(self):
        self.rnn = nnx.RNN(nnx.GRUCell(6, 4, rngs=RNGS), rngs=RNGS)

    def __call__(self, x):
        return self.rnn(x)


class Bilinear(nnx.Module):
    """A layer with a parameter of its own, which it multiplies with itself."""

    def __init__(self):
        self.w = nnx.Param(RNGS.params.normal((6, 4)))
        self.product = jnp.matmul

    def __call__(self, x):
        return jnp.square(self.product(x, self.w[...]))


class BilinearHost(nn.Host):
    kind, parameter, slot = Bilinear, "w", "product"

    def kernel(self, layer):
        return layer.w[...]


NETWORKS = {
    "convolutional": (Convolutional, IMAGES, 4, ()),
    "U-Net": (UNet, IMAGES, 3, ()),
    "mixture of experts": (Mixture, VECTORS, 3, ()),
    "mixer": (Mixer, VECTORS, 2, ()),
    "low-rank branch": (Adapted, VECTORS, 1, ()),
    "tied embedding": (Tied, TOKENS, 2, ()),
    "scanned": (Scanned, VECTORS, 1, ()),
    "grouped-query decoder": (Grouped, TOKENS, 8, ()),
    "recurrent": (Recurrent, VECTORS, 2, ()),
    "own layer": (Bilinear, VECTORS, 1, (nn.Rule(".*", NEARLY_DIGITAL, host=BilinearHost()),)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_users_network_lives_on_a_chip(name):
    make, x, analog, rules = NETWORKS[name]
    model = make()
    chip = nn.convert(model, list(rules) or NEARLY_DIGITAL, CHIP)
    summary = nn.summary(chip, x)
    assert summary.analog == analog
    assert all(row.vectors for row in summary.rows if row.analog)
    digital = nnx.jit(lambda model, x: model(x))(model, x)
    view = nnx.view(chip, analog_mode="digital")
    np.testing.assert_array_equal(nnx.jit(lambda model, x: model(x))(view, x), digital)
    found = nnx.jit(lambda chip, x, key: nn.with_read_key(chip, key)(x))(chip, x, READ)
    assert float(jnp.linalg.norm(found - digital) / jnp.linalg.norm(digital)) < 2e-3


class Experts(nnx.Module):
    def __init__(self):
        self.all = nnx.Einsum("bei,eio->beo", (3, 6, 4), rngs=RNGS)

    def __call__(self, x):
        return self.all(x)


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (Experts, "put an nnx.List with an nnx.Linear for each entry in its place"),
        (Bilinear, r"'w' \(Bilinear, shape \(6, 4\)\) .*Rule\(path, config, host=...\)"),
    ],
)
def test_bad_networks_are_told_what_to_write(model, advice):
    with pytest.raises(ValueError, match=advice):
        nn.convert(model(), NEARLY_DIGITAL)
