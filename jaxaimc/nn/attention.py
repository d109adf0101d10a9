"""Products of activations on tiles: attention scores and weighted values.

    scores = q K^T / sqrt(d),    y = softmax(scores) V

Neither product has weights. One of its factors is written into cells at every call: the keys of an example and a head,
transposed, so that queries drive the rows and every key is a column; and its values, so that attention weights drive
the rows. Each example and head has tiles of its own, which are programmed, with errors, and read, with noise, and then
forgotten. What a call costs is therefore the writing: `2 length features` weights per head and example. Memories that
are written in nanoseconds and do not wear out, such as SRAM and gain cells, are built for that (X-Former, Sridharan et
al. 2023, arXiv 2303.07470; Leroux et al. 2025, arXiv 2409.19315). Phase-change and resistive memories, which are
written in many verified pulses and wear out, are not.

Scaling, masks and the softmax stay digital.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc import tile
from jaxaimc._core.checks import shown, warn_of_lost_inputs
from jaxaimc._core.random import fold_in
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.modes import AnalogProduct
from jaxaimc.nn.variables import DeviceParam
from jaxaimc.nn.walk import copied, modules

# Name of the attribute in which layers of attention hold the function that attends.
SLOT = "attention_fn"
# Weights that are programmed at once; a weight takes some ten numbers on the way.
_MOST_WEIGHTS = 2**20


class AnalogAttention(AnalogProduct):
    """Attention whose products of activations are made on tiles, attached by `with_analog_attention`.

    Modes are those of `jaxaimc.nn.AnalogDot`, set with `nnx.view(model, analog_mode=...)`. In `"analog"` and `"train"`
    alike everything is programmed anew in every call, and gradients flow through the circuit to queries, keys and
    values.

    Args:
        path: Path of the layer in its model.
        scores: Tiles of the keys; None for digital scores.
        values: Tiles of the values; None for digital weighted values.
        replaced: The layer's own function, which the digital mode calls.
    """

    def __init__(
        self, path: str, scores: AnalogConfig | None, values: AnalogConfig | None, replaced: Callable[..., Array]
    ):
        super().__init__(path)
        self.scores: DeviceParam | None = nnx.data(None) if scores is None else DeviceParam(scores)
        self.values: DeviceParam | None = nnx.data(None) if values is None else DeviceParam(values)
        self.replaced = replaced

    def __call__(self, query: Array, key: Array, value: Array, *arguments: Any, **named: Any) -> Array:
        """Attend, with the call of Flax's `dot_product_attention`.

        Args:
            query: Queries, shape (*batch, queries, heads, features).
            key: Keys, shape (*batch, length, heads of keys, features); query heads share them evenly, in order.
            value: Values, shape (*batch, length, heads of keys, features of values).
            *arguments: `bias` and `mask`, both of a shape that broadcasts to (*batch, heads, queries, length).
            **named: Those of `dot_product_attention`.

        Returns:
            Weighted values, shape (*batch, queries, heads, features of values).

        Raises:
            ValueError: If shapes do not fit, there is no read key, or attention weights are to be dropped.
        """
        if self.analog_mode == "digital":
            return self.replaced(query, key, value, *arguments, **named)
        y = self._attended(query, key, value, *arguments, **named)
        if self.analog_mode == "probe":
            return self._compare(y, self.replaced(query, key, value, *arguments, **named))
        return y

    def _attended(
        self,
        query: Float[Array, "*batch queries heads features"],
        key: Float[Array, "*batch length kv_heads features"],
        value: Float[Array, "*batch length kv_heads out"],
        bias: Array | None = None,
        mask: Array | None = None,
        *,
        dropout_rate: float = 0.0,
        deterministic: bool = False,
        dtype: Any = None,
        module: nnx.Module | None = None,
        is_causal: bool = False,
        **_: Any,
    ) -> Float[Array, "*batch queries heads out"]:
        if dropout_rate > 0 and not deterministic:
            raise ValueError(
                f"Layer {self.path!r} must not drop attention weights on tiles, but has a `dropout_rate` of "
                f"{dropout_rate}; call `model.eval()`, or train in `nnx.view(model, analog_mode='digital')`."
            )
        dtype = dtype or jnp.result_type(query, key, value)
        query, key, value = (part.astype(dtype) for part in (query, key, value))
        *batch, queries, heads, features = query.shape
        length, kv_heads, out = value.shape[-3:]
        self._check_shapes(query, key, value)
        # One matrix for each example and head of keys; the query heads that share it are further vectors.
        count = math.prod(batch)
        configs = [part.get_value() for part in (self.scores, self.values) if part is not None]
        chips = _keys(self._next_key((query, key, value), configs), tuple(batch), kv_heads, self.path)
        q = query.reshape(count, queries, kv_heads, heads // kv_heads, features).transpose(0, 2, 3, 1, 4)
        k = key.reshape(count, length, kv_heads, features).transpose(0, 2, 3, 1)
        v = value.reshape(count, length, kv_heads, out).transpose(0, 2, 1, 3)
        scores = self._product(self.scores, k, q, fold_in(chips, 0)).astype(dtype) / math.sqrt(features)
        scores = scores.reshape(*batch, heads, queries, length)
        if bias is not None:
            scores = scores + bias
        if is_causal:
            causal = jnp.tril(jnp.ones((queries, length), bool))
            mask = causal if mask is None else jnp.logical_and(mask, causal)
        if mask is not None:
            scores = jnp.where(mask, scores, jnp.finfo(dtype).min)
        weights = jax.nn.softmax(scores)
        if module is not None:
            module.sow(nnx.Intermediate, "attention_weights", weights)
        weights = weights.reshape(count, kv_heads, heads // kv_heads, queries, length)
        y = self._product(self.values, v, weights, fold_in(chips, 1)).astype(dtype)
        return y.transpose(0, 3, 1, 2, 4).reshape(*batch, queries, heads, out)

    def _product(
        self,
        config: DeviceParam | None,
        matrices: Float[Array, "example head rows cols"],
        vectors: Float[Array, "example head group vector rows"],
        keys: Key[Array, "example head"],
    ) -> Float[Array, "example head group vector cols"]:
        """Multiply the vectors of each example and head with its matrix."""
        if config is None:
            return jnp.einsum("ehgvr,ehrc->ehgvc", vectors, matrices)
        own: AnalogConfig = config.get_value()
        warn_of_lost_inputs(own.drive.lost(vectors), f"Layer {self.path!r}")

        def one(matrix: Array, vectors: Array, key: Key[Array, ""]) -> Array:
            chip_key, read_key = jax.random.split(key)
            return tile.mvm(own, tile.prepare(own, tile.program(own, matrix, chip_key)), vectors, read_key)

        arguments = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), (matrices, vectors, keys))
        number, at_once = len(arguments[0]), max(1, _MOST_WEIGHTS // math.prod(matrices.shape[2:]))
        if number <= at_once:
            y = jax.vmap(one)(*arguments)
        else:
            y = jax.lax.map(lambda some: one(*some), arguments, batch_size=at_once)
        return y.reshape(*vectors.shape[:-1], matrices.shape[-1])

    def _check_shapes(self, query: Array, key: Array, value: Array) -> None:
        fits = query.shape[:-3] == key.shape[:-3] == value.shape[:-3] and query.shape[-1] == key.shape[-1]
        if not (fits and key.shape[-3:-1] == value.shape[-3:-1] and query.shape[-2] % key.shape[-2] == 0):
            raise ValueError(
                f"Layer {self.path!r} must have queries, keys and values of one batch, keys and values of one length "
                f"whose heads divide those of the queries, but they have shapes {query.shape}, {key.shape} and "
                f"{value.shape}."
            )


def with_analog_attention(
    model: nnx.Module, scores: AnalogConfig | None, values: AnalogConfig | None, *, pattern: str = ".*"
) -> nnx.Module:
    """Put the products of activations of a model's attention on tiles that are written anew in every call.

    The layers are every `nnx.MultiHeadAttention`, and those of your own that hold a function with the call of Flax's
    `dot_product_attention` in `attention_fn`, and scale, mask and normalise as it does. Their projections are layers
    of their own, for `convert`. Convert first: `convert` and `to_digital` start from the digital model, without this.

    Inputs are the activations of the call, so that ranges which follow them (`PerVector`, the default of drives, and
    converters such as `TileRange`) need no calibration; `calibrate` chooses none here. Keys and values of padding and
    of later tokens are written as well, and masked digitally.

    Args:
        model: Any model, converted or not. It is not changed; the result shares its variables.
        scores: Tiles on which keys are written and queries are inputs; None keeps the scores digital. For memories
            that can be written at every call, see the head of this module.
        values: Tiles on which values are written and attention weights are inputs; None keeps this product digital.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model. It needs a read key, `with_read_key`, from which programming errors and read noise of each call
        are drawn.

    Raises:
        ValueError: If both products are to be digital, a config is out of range or none, no layer matches, or one that
            does is a stack of layers or has a function that attends in another way.

    Example:
        >>> from jaxaimc import nn
        >>> from jaxaimc.devices import IdealDevice
        >>> digital = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0))
        >>> sram = AnalogConfig(device=IdealDevice(), rows=64, cols=64)
        >>> analog = nn.with_analog_attention(digital, sram, sram)
        >>> nn.with_read_key(analog, jax.random.key(1))(jnp.ones((3, 5, 8))).shape
        (3, 5, 8)
    """
    for name, config in (("scores", scores), ("values", values)):
        if config is not None and not isinstance(config, AnalogConfig):
            raise ValueError(f"Argument `{name}` must be an AnalogConfig or None, but is {shown(config)}.")
        if config is not None:
            config.validate()
    if scores is None and values is None:
        raise ValueError("Arguments `scores` and `values` must not both be None, which would put nothing on tiles.")
    copy = without_analog_attention(model, pattern)
    found = [(path, layer) for path, layer in attention_layers(copy) if re.fullmatch(pattern, path)]
    if not found:
        known = ", ".join(repr(path) for path, _ in attention_layers(copy)) or "none"
        raise ValueError(
            f"Argument `pattern` must match a layer of attention, but {pattern!r} matches none of: {known}."
        )
    for path, layer in found:
        own = getattr(layer, SLOT)
        _check_attends(path, layer, own)
        setattr(layer, SLOT, nnx.data(AnalogAttention(path, scores, values, own)))
    return copy


def without_analog_attention(model: nnx.Module, pattern: str = ".*") -> Any:
    """Return a copy of a model, with its variables, in which the products of attention are digital.

    Args:
        model: Any model.
        pattern: Regular expression that the whole path of a layer must match.
    """
    copy = copied(model)
    for path, layer in attention_layers(copy):
        op = getattr(layer, SLOT)
        if isinstance(op, AnalogAttention) and re.fullmatch(pattern, path):
            setattr(layer, SLOT, nnx.static(op.replaced))
    return copy


def attention_layers(model: Any) -> list[tuple[str, Any]]:
    """Return the layers of a model that attend by a function in an attribute, with their paths.

    Args:
        model: Any model.
    """
    return [(path, module) for path, module in modules(model) if callable(getattr(module, SLOT, None))]


def _keys(key: Key[Array, "*keys"], batch: tuple[int, ...], heads: int, path: str) -> Key[Array, "example head"]:
    """Return a key for every example and head, from one key or from those of the examples."""
    if key.shape != batch[: key.ndim]:
        raise ValueError(
            f"Layer {path!r} must have one read key, or one for each entry of the leading axes of its batch {batch}, "
            f"but has keys of shape {key.shape}."
        )
    count = math.prod(batch[key.ndim :]) * heads
    each = jax.vmap(fold_in, (None, 0))(key, jnp.arange(count))
    return jnp.moveaxis(each, 0, -1).reshape(math.prod(batch), heads)


def _check_attends(path: str, layer: Any, own: Callable[..., Array]) -> None:
    """Refuse stacks, and functions that do not attend as Flax's do."""
    kernel = getattr(getattr(getattr(layer, "query", None), "kernel", None), "shape", ())
    if isinstance(layer, nnx.MultiHeadAttention) and len(kernel) > 3:
        raise ValueError(
            f"Layer {path!r} is a stack of layers and cannot have attention on tiles; build its layers one by one, in "
            "an `nnx.List`, for that."
        )
    problem = _other(own)
    if problem is not None:
        raise ValueError(
            f"Layer {path!r} must have an `{SLOT}` that attends as `nnx.dot_product_attention` does, which tiles "
            f"compute, but its own {problem}."
        )


def attends(layer: Any) -> bool:
    """Return whether a layer's function attends as Flax's does.

    Args:
        layer: One of `attention_layers`.
    """
    own = getattr(layer, SLOT)
    return isinstance(own, AnalogAttention) or _other(own) is None


def _other(own: Callable[..., Array]) -> str | None:
    """Return what a function does instead of attending as Flax's does, as a clause, from a small example."""
    if own is nnx.dot_product_attention:
        return None
    with jax.ensure_compile_time_eval():
        q, k, v = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1, 3, 2, 4)), jnp.float32)
        mask = jnp.tril(jnp.ones((1, 1, 3, 3), bool))
        try:
            found, expected = own(q, k, v, mask=mask), nnx.dot_product_attention(q, k, v, mask=mask)
            same = np.allclose(found, expected, rtol=1e-3, atol=1e-4)
        except Exception as error:  # whatever a stranger's function raises
            return f"could not be called as that ({error})"
    return None if same else "returns something else"
