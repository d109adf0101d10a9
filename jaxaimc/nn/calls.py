"""How often a network uses its layers, from shapes alone: the network is traced, and its products are counted."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array

from jaxaimc._core.xla import grouped_product
from jaxaimc.nn.hosts import Host
from jaxaimc.nn.products import candidates
from jaxaimc.nn.walk import analog_layers, copied, keep_activations_digital

# Name of the compiled function that a product is traced as, with its number and the size of a result behind it.
_MARK = "jaxaimc_product_"


class _Marked(nnx.Module):
    """A layer's product, traced as a function that can be found again."""

    def __init__(self, path: str, host: Host, number: int):
        self.path, self.host, self.number = path, host, number

    def __call__(self, *arguments: Any, **named: Any) -> Array:
        layout = self.host.layout(self.path, *arguments, **named)
        n_out = layout.matrix.shape[-1] * math.prod(layout.matrix.shape[:-2])
        product = marked(self.number, n_out, grouped_product)
        y = layout.outputs(product(layout.every_vector, layout.matrix))
        return y.astype(named.get("preferred_element_type") or layout.dtype)


def vectors_per_call(model: nnx.Module, inputs: Any) -> dict[str, int]:
    """Return how many vectors every layer multiplies with its weights in a call of the network.

    The layers of a stack count together. A loop whose number of rounds depends on values counts as one round, a choice
    between branches as the branch with more.

    Args:
        model: Any model. It is not changed.
        inputs: Examples as the model takes them, or their shapes.

    Returns:
        Vectors by layer path, for layers that have a host.
    """
    copy = copied(model)
    hosted = {dot.path: (layer, dot.host) for layer, dot in analog_layers(copy)}
    for one in candidates(copy):
        if one.host is not None and one.problem is None:
            hosted.setdefault(one.path, (one.layer, one.host))
    for number, (path, (layer, host)) in enumerate(hosted.items()):
        host.attach(layer, _Marked(path, host, number))
    keep_activations_digital(copy)
    counts = counted(copy, inputs)
    return {path: counts.get(number, 0) for number, path in enumerate(hosted)}


def marked(number: int, size: int, function: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function that `counted` finds in a traced network.

    Args:
        number: What its results are counted under.
        size: Number of elements of a result; what has more holds several.
        function: Function of arrays.
    """

    def found(*arrays: Array) -> Array:
        return function(*arrays)

    found.__name__ = f"{_MARK}{number}_{size}"
    return jax.jit(found)


def counted(model: nnx.Module, inputs: Any) -> dict[int, int]:
    """Return how many results the marked functions have in a call of a network, which is traced in evaluation mode.

    Args:
        model: A network that calls functions from `marked`.
        inputs: Examples as it takes them, or their shapes.
    """
    graph, state = nnx.split(model)

    def call(state: Any, inputs: Any) -> list[Any]:
        network = nnx.merge(graph, state, copy=True)
        network.eval()
        return [leaf for leaf in jax.tree.leaves(network(inputs)) if isinstance(leaf, jax.Array)]

    return _counts(jax.make_jaxpr(call)(state, inputs).jaxpr)


def _counts(jaxpr: Any) -> dict[int, int]:
    """Return the vectors of every marked product in a traced function."""
    total: dict[int, int] = {}
    for eqn in jaxpr.eqns:
        name = str(eqn.params.get("name", ""))
        if name.startswith(_MARK):
            number, n_out = map(int, name.removeprefix(_MARK).split("_"))
            # Under `jax.vmap` over vectors or layers, the outputs have an axis for each of them.
            found = {number: eqn.outvars[0].aval.size // n_out}
        else:
            found = _inside(eqn)
        for number, count in found.items():
            total[number] = total.get(number, 0) + count
    return total


def _inside(eqn: Any) -> dict[int, int]:
    """Return the vectors of the functions that an equation calls."""
    found = [_counts(inner) for inner in _functions(eqn.params)]
    numbers = {number for counts in found for number in counts}
    if eqn.primitive.name == "cond":
        return {number: max(counts.get(number, 0) for counts in found) for number in numbers}
    rounds = eqn.params["length"] if eqn.primitive.name == "scan" else 1
    return {number: rounds * sum(counts.get(number, 0) for counts in found) for number in numbers}


def _functions(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(one, "jaxpr", one)
            if hasattr(inner, "eqns"):
                yield inner
