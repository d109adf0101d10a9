"""Low-rank adapters beside analog layers: digital, trainable where the tiles are not.

    y = tile(x) + (alpha / rank) (x A) B

The chip stays as it was programmed; what it gets wrong, by drift, noise or wires, is learned away by two thin matrices.
Source: Hu et al. 2022 (LoRA, arXiv 2106.09685), and for analog tiles Li et al. 2024 (arXiv 2411.17367), who train them
through a noisy model of the chip.
"""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import check_key
from jaxaimc._core.checks import check_integer, check_number
from jaxaimc._core.xla import product
from jaxaimc.nn import AnalogDot, Call, DigitalParam, Hook
from jaxaimc.nn.hooks import refuse_stack
from jaxaimc.nn.walk import changed_layers, matching


class AdapterParam(DigitalParam):
    """A factor of an adapter. As a filter it chooses these and nothing else: `fit(..., trainable=AdapterParam)`."""


class Adapter(Hook):
    """A low-rank matrix beside the tile's, `y + gain (x A) B`; trainable.

    It sees the inputs of the tile before they are clipped or rounded.

    Args:
        a: First factor `A`.
        b: Second factor `B`.
        gain: Factor of both [1].
    """

    by_vector = True

    def __init__(self, a: Float[Array, "n_in rank"], b: Float[Array, "rank n_out"], gain: float = 1.0):
        self.a = AdapterParam(a)
        self.b = AdapterParam(b)
        self.gain = gain

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Return the corrected outputs."""
        a, b = (factor[...].astype(outputs.dtype) for factor in (self.a, self.b))
        return outputs + self.gain * product(product(call.inputs.astype(outputs.dtype), a), b)


def with_adapters(
    model: nnx.Module, rank: int, key: Key[Array, ""], *, alpha: float | None = None, pattern: str = ".*"
) -> nnx.Module:
    """Put low-rank adapters beside analog layers. They change nothing before they are trained: `B` starts at zero.

    To adapt one chip, `fit(task, recipe, model=with_adapters(chip, 8, key), objective=objective(task.loss,
    programmed_chip), trainable=AdapterParam)`; to adapt to all chips of a kind, leave the model unprogrammed and train
    with `circuit()`. Kernels and conductances stay in both. Running statistics of batch normalisation, if the network
    has any, follow the analog activations while it is trained.

    Args:
        model: Result of `jaxaimc.nn.convert`, programmed or not. It is not changed.
        rank: Columns of `A`; a layer has at most as many as it has inputs or outputs.
        key: Key of `A`, which starts with independent normal numbers of variance `1 / n_in`.
        alpha: Size of the correction; its gain is `alpha / rank`. None for `rank`, so that the gain is one.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with an `Adapter` on every matching layer.

    Raises:
        ValueError: If no layer matches, one that does is a stack of layers, `rank` is not a positive whole number,
            `alpha` is not positive, or the key is not a single typed key.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, nn
        >>> chip = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig(), jax.random.key(1))
        >>> adapted = with_adapters(chip, 2, jax.random.key(2))
        >>> [factor.shape for path, factor in nnx.to_flat_state(nnx.state(adapted, AdapterParam))]
        [(8, 2), (2, 3)]
    """
    check_integer("with_adapters", "rank", rank, low=1)
    if alpha is not None:
        check_number("with_adapters", "alpha", alpha, low=0.0, open_low=True)
    check_key("key", key)
    for dot in matching(model, pattern):
        refuse_stack(dot, "have adapters")

    def one(layer: Any, dot: AnalogDot) -> None:
        if re.fullmatch(pattern, dot.path):
            shape = dot.host.kernel(layer).shape
            # The groups of a grouped convolution stand side by side, in the inputs as in the outputs.
            n_in, n_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
            own = min(rank, n_in, n_out)
            a = jax.random.normal(dot.layer_key(key), (n_in, own)) / math.sqrt(n_in)
            gain = 1.0 if alpha is None else alpha / own
            dot.hooks = nnx.List([*dot.hooks, Adapter(a, jnp.zeros((own, n_out)), gain)])

    return changed_layers(model, one)
