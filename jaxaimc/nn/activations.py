"""What products of activations take of a chip: the matrices that every call writes, and the vectors that it reads."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array

from jaxaimc.config import AnalogConfig
from jaxaimc.nn.attention import SLOT, AnalogAttention, attends, attention_layers
from jaxaimc.nn.calls import counted, marked
from jaxaimc.nn.hooks import as_digital
from jaxaimc.nn.walk import copied
from jaxaimc.tile import footprint

_REASON = "both factors are activations; `nn.with_analog_attention` writes one of them into cells in every call"


class ActivationProduct(NamedTuple):
    """A product of activations with each other.

    All numbers are None without example inputs. Those of a digital product count what a tile would: its matrices and
    vectors. A layer that is called with several lengths has a row for each.

    Attributes:
        path: Path of the layer of attention.
        layer: Type of the layer.
        product: `"scores"`, queries with keys, or `"values"`, attention weights with values.
        analog: Whether it is made on tiles.
        reason: Why it is digital; empty for an analog one.
        rows: Rows of a matrix: features of a key, or keys.
        cols: Columns of a matrix: keys, or features of a value.
        matrices: Matrices in a call of the network, one for each example and head of keys.
        vectors: Vectors in a call of the network, one for each example, head and query.
        written: Devices that are written in a call; None for a digital product.
        conversions_per_call: Conversions in a call; None for a digital product.
    """

    path: str
    layer: str
    product: str
    analog: bool
    reason: str
    rows: int | None = None
    cols: int | None = None
    matrices: int | None = None
    vectors: int | None = None
    written: int | None = None
    conversions_per_call: int | None = None


def activation_products(model: nnx.Module, inputs: Any = None) -> list[ActivationProduct]:
    """List the products of activations that layers of attention make.

    Args:
        model: Any model.
        inputs: Examples as the model takes them, or their shapes.

    Returns:
        Two for each layer that holds in `attention_fn` a function that attends as Flax's does.
    """
    found = []
    layers = [(path, layer) for path, layer in attention_layers(model) if attends(layer)]
    shapes = {} if inputs is None or not layers else _shapes(model, inputs)
    for path, layer in layers:
        op = getattr(layer, SLOT)
        cls = type(layer)
        kind = f"nnx.{cls.__name__}" if cls.__module__.startswith("flax.nnx.") else cls.__name__
        for product in ("scores", "values"):
            variable = getattr(op, product) if isinstance(op, AnalogAttention) else None
            analog = variable is not None
            own = ActivationProduct(path, kind, product, analog, "" if analog else _REASON)
            known = [(size, counts) for (other, name, *size), counts in shapes.items() if (other, name) == own[:3:2]]
            for (rows, cols), (matrices, vectors) in known:
                sized = own._replace(rows=rows, cols=cols, matrices=matrices, vectors=vectors)
                found.append(_with_cost(sized, variable.get_value()) if analog else sized)
            found += [] if known else [own]
    return found


def _with_cost(product: ActivationProduct, config: AnalogConfig) -> ActivationProduct:
    of_one = footprint(config, product.rows or 0, product.cols or 0)
    return product._replace(
        written=(product.matrices or 0) * of_one.devices,
        conversions_per_call=(product.vectors or 0) * of_one.conversions,
    )


def _shapes(model: nnx.Module, inputs: Any) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Return the matrices and the vectors of a call, by path, product and size of the matrix."""
    numbers: dict[tuple[Any, ...], int] = {}
    copy = copied(as_digital(model))
    for path, layer in attention_layers(copy):
        if not attends(layer):
            continue
        op = getattr(layer, SLOT)
        own = op.replaced if isinstance(op, AnalogAttention) else op
        setattr(layer, SLOT, nnx.static(_watched(path, own, numbers)))
    counts = counted(copy, inputs)
    return {key: (counts.get(2 * number, 0), counts.get(2 * number + 1, 0)) for key, number in numbers.items()}


def _watched(path: str, own: Callable[..., Array], numbers: dict[tuple[Any, ...], int]) -> Callable[..., Array]:
    """Return a function that attends, with marks by which matrices and vectors are counted."""

    def attend(query: Array, key: Array, value: Array, *arguments: Any, **named: Any) -> Array:
        features, length, out = key.shape[-1], key.shape[-3], value.shape[-1]
        scores, values = (path, "scores", features, length), (path, "values", length, out)
        of_scores, of_values = (2 * numbers.setdefault(one, len(numbers)) for one in (scores, values))
        # The sizes of a result are those of a matrix, and of a query: one vector for each of the products.
        key = marked(of_scores, features * length, lambda x: x)(key)
        value = marked(of_values, length * out, lambda x: x)(value)
        query = marked(of_scores + 1, features, lambda x: x)(query)
        query = marked(of_values + 1, features, lambda x: x)(query)
        return own(query, key, value, *arguments, **named)

    return attend


def summed(products: Sequence[ActivationProduct]) -> list[str]:
    """Return lines of text about products of activations, none where there are none.

    Args:
        products: Those of a model.
    """
    lines = []
    for analog, where in ((True, "on tiles that every call writes"), (False, "digital")):
        own = [one for one in products if one.analog == analog]
        if own:
            names = " and ".join(dict.fromkeys(_NAMES[one.product] for one in own))
            layers = len({one.path for one in own})
            lines.append(f"{names} of {layers} layer{'s' if layers > 1 else ''} of attention are {where}")
            if analog and all(one.written is not None for one in own):
                written, made = (sum(one[-2:][i] or 0 for one in own) for i in (0, 1))
                lines[-1] += f": {written:,} devices written, {made:,} conversions per call"
            if not analog:
                lines[-1] += f": {_REASON}"
    return lines


_NAMES = {"scores": "attention scores", "values": "weighted values"}
