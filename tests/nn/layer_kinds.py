"""A tiny network of every kind of layer that can be on tiles."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from analog_networks import DEVICES
from flax import nnx

from jaxaimc import nn
from jaxaimc.drives import PWM

# Read noise and programming errors, on more tiles than one; pulses so fine that a rounding that turns out otherwise
# in another program changes nothing that could be seen.
CONFIG = replace(DEVICES, drive=PWM(bits=16), rows=4, cols=8)
# As many examples and output columns as devices, so that both can be divided between them.
BATCH = 8


class Tied(nnx.Module):
    def __init__(self, rngs):
        self.table = nnx.Embed(8, 6, rngs=rngs)

    def __call__(self, x):
        return self.table.attend(x)


class Stack(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.vmap(lambda rngs: nnx.Linear(8, 8, rngs=rngs), axis_size=2)(rngs.split(2))

    def __call__(self, x):
        scanned = nnx.scan(lambda x, layer: layer(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        return scanned(x, self.layers)


def multiply(x, w):
    """`jnp.matmul`, which cannot be pickled."""
    return x @ w


class Own(nnx.Module):
    def __init__(self, rngs):
        self.w = nnx.Param(rngs.params.normal((6, 8)))
        self.product = multiply

    def __call__(self, x):
        return jnp.tanh(self.product(x, self.w[...]))


class OwnHost(nn.Host):
    kind, parameter, slot = Own, "w", "product"

    def kernel(self, layer):
        return layer.w[...]


def tanh(x):
    """`jnp.tanh`, the default of recurrent cells, which cannot be pickled."""
    return jnp.tanh(x)


def sigmoid(x):
    """`jax.nn.sigmoid`, likewise."""
    return jax.nn.sigmoid(x)


def recurrent(cell):
    return lambda rngs: nnx.RNN(cell(6, 8, activation_fn=tanh, gate_fn=sigmoid, rngs=rngs), rngs=rngs)


def attention(rngs):
    return nnx.MultiHeadAttention(2, 6, 8, decode=False, keep_rngs=False, rngs=rngs)


# Name: what makes the network, and the shape of an example. Most have a matrix of 6 x 8, so that they share programs.
KINDS = {
    "linear": (lambda rngs: nnx.Linear(6, 8, rngs=rngs), (6,)),
    "general": (lambda rngs: nnx.LinearGeneral((2, 3), (1, 8), axis=(-2, -1), rngs=rngs), (2, 3)),
    "convolution": (lambda rngs: nnx.Conv(2, 8, (3,), rngs=rngs), (3, 2)),
    "grouped convolution": (lambda rngs: nnx.Conv(4, 16, (2,), feature_group_count=2, rngs=rngs), (3, 4)),
    "transposed convolution": (lambda rngs: nnx.ConvTranspose(2, 8, (3,), strides=(2,), rngs=rngs), (3, 2)),
    "einsum": (lambda rngs: nnx.Einsum("btd,ndh->btnh", (1, 6, 8), (1, 8), rngs=rngs), (3, 6)),
    "tied embedding": (Tied, (6,)),
    "low-rank branch": (lambda rngs: nnx.LoRALinear(6, 8, lora_rank=2, rngs=rngs), (6,)),
    "lstm": (recurrent(nnx.OptimizedLSTMCell), (2, 6)),
    "gru": (recurrent(nnx.GRUCell), (2, 6)),
    "attention": (attention, (3, 6)),
    "stack": (Stack, (8,)),
    "own layer": (Own, (6,)),
}


def made(name):
    """Return a network that is converted, but on no chip, and inputs for it."""
    make, shape = KINDS[name]
    host = OwnHost() if name == "own layer" else None
    analog = nn.convert(make(nnx.Rngs(0)), [nn.Rule(".*", CONFIG, host=host)])
    return analog, jax.random.normal(jax.random.key(5), (BATCH, *shape))
