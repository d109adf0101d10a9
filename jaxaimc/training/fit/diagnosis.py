"""Where a loss stopped being finite: which parameter, input or layer came first."""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from jaxaimc.nn import AnalogDot


class _WatchedAnalog(AnalogDot):
    """An analog product that reports. It is one itself, because forwards look for those to program them."""

    record: "_Recorder"

    def __call__(self, *arguments: Any, **named: Any) -> Array:
        y = super().__call__(*arguments, **named)
        # Where inputs stand among the arguments is the host's to know.
        x = self.host.layout(self.path, *arguments, **named).every_vector
        self.record(self.path, jnp.isfinite(x).all(), jnp.isfinite(y).all())
        return y


class _Watched(nnx.Module):
    """A product that reports, in calling order, whether its inputs and outputs are finite."""

    def __init__(self, inner: Any, path: str, record: "_Recorder"):
        self.inner = nnx.data(inner) if isinstance(inner, nnx.Module) else inner
        self.path = path
        # Not an attribute that NNX would look into: shared by all products and all copies of the model.
        self.record = record

    def __call__(self, x: Array, *arguments: Any, **named: Any) -> Array:
        y = self.inner(x, *arguments, **named)
        self.record(self.path, jnp.isfinite(x).all(), jnp.isfinite(y).all())
        return y


class _Recorder:
    """Writes into a dictionary of the host. Calls are numbered when traced, because reports may come in any order."""

    def __init__(self, seen: dict[int, tuple[str, bool, bool]]):
        self._seen = seen

    def __call__(self, path: str, x: Array, y: Array) -> None:
        number = len(self._seen)
        self._seen[number] = (path, True, True)

        def report(x: Any, y: Any) -> None:
            _, before_x, before_y = self._seen[number]
            self._seen[number] = (path, before_x and bool(np.all(x)), before_y and bool(np.all(y)))

        jax.debug.callback(report, x, y)


def first_not_finite(parameters: dict[str, Array], inputs: Array, compute: Any, model: nnx.Module) -> str:
    """Say where numbers that are not finite come from, in the forward pass of one step.

    Args:
        parameters: Trained arrays by name.
        inputs: Inputs of the step.
        compute: Function of a network to the losses of the step.
        model: The network.

    Returns:
        A clause such as "layer 'blocks/0/mlp_in' is the first whose outputs are not finite".
    """
    for name, value in parameters.items():
        if not np.isfinite(value).all():
            return f"parameter {name!r} is not finite"
    if jnp.issubdtype(inputs.dtype, jnp.inexact) and not np.isfinite(inputs).all():
        example = int(np.argmin(np.isfinite(np.asarray(inputs)).reshape(len(inputs), -1).all(axis=1)))
        return f"the inputs are not finite, the first in example {example} of the batch"
    seen: dict[int, tuple[str, bool, bool]] = {}
    record = _Recorder(seen)

    def watch(path: tuple, node: Any) -> Any:
        if isinstance(node, AnalogDot):
            node.__class__ = _WatchedAnalog
            cast(Any, node).record = record
        elif isinstance(node, (nnx.Linear, nnx.LinearGeneral)) and not isinstance(node.dot_general, AnalogDot):
            name = "/".join(str(part) for part in path)
            node.dot_general = nnx.data(_Watched(node.dot_general, name, record))
        return node

    losses = compute(nnx.recursive_map(watch, model))
    jax.block_until_ready(losses)
    jax.effects_barrier()
    for number in sorted(seen):
        path, x, y = seen[number]
        if not x:
            return f"layer {path!r} is the first whose inputs are not finite"
        if not y:
            return f"layer {path!r} is the first whose outputs are not finite"
    if not math.isfinite(float(jnp.mean(losses))):
        return "all layers' outputs are finite, the loss itself is not"
    return "the forward pass is finite, a gradient is not"
