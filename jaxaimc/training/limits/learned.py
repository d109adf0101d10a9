"""Learned clipping: the largest weight of each layer or column is trained along with the weights.

What is large stretches the conductance scale of its column and drowns the rest in noise; what is clipped is lost. The
circuit knows both, so its gradient finds the limit between.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.rounding import clip
from jaxaimc.nn import AnalogDot, DigitalParam, Hook
from jaxaimc.nn.walk import changed_layers, matching
from jaxaimc.training.limits.ranges import SMALLEST
from jaxaimc.training.objectives import Forward


class WeightLimit(Hook):
    """The learned limit of a layer's weights; `with_clipped_weights` applies it.

    Args:
        limit: First limit, in the unit of the weights: one number, or one per column of the kernel, in groups
            of shape (groups, 1, columns).
    """

    needs_vectors = False
    by_vector = True

    def __init__(self, limit: Float[Array, "..."]):
        self.limit = DigitalParam(limit)

    def clipped(self, kernel: Float[Array, "*group n_in n_out"]) -> Float[Array, "*group n_in n_out"]:
        """Return the kernel within the limit."""
        limit = jnp.maximum(self.limit[...], SMALLEST).astype(kernel.dtype)
        return clip(kernel, -limit, limit)


def learn_weight_limits(
    model: nnx.Module, *, deviations: float = 2.5, per_column: bool = False, pattern: str = ".*"
) -> nnx.Module:
    """Give analog layers learned limits of their weights that start at a multiple of the weights' standard deviation.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        deviations: First limit over the standard deviation of the layer's weights, greater than zero.
        per_column: Whether each column has a limit of its own, or the layer one.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with a `WeightLimit` on every matching layer; `clipped` makes a forward that uses them.

    Raises:
        ValueError: If no layer matches or `deviations` is not greater than zero.
    """
    check_number("learn_weight_limits", "deviations", deviations, low=0.0, open_low=True)
    chosen = {dot.path for dot in matching(model, pattern)}

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.path in chosen:
            kernel = dot.host.kernel(layer).astype(jnp.float32)
            limit = deviations * jnp.std(kernel)
            if per_column:
                columns = kernel.shape[1:] if kernel.ndim == 2 else (kernel.shape[0], 1, kernel.shape[2])
                limit = jnp.broadcast_to(limit, columns)
            dot.hooks = nnx.List([*dot.hooks, WeightLimit(limit)])

    return changed_layers(model, one)


def with_clipped_weights(model: nnx.Module) -> nnx.Module:
    """Clip the kernels of all layers that have a learned limit, such as before a trained network is programmed.

    A weight within the limit has its own gradient and one beyond it none; the limit has the gradients of all weights
    that it clips, with their signs (as the learned range of activations of Choi et al. 2018, arXiv 1805.06085).

    Args:
        model: Result of `learn_weight_limits`, or what training made of it. It is not changed.

    Returns:
        The model with clipped kernels of its own.

    Raises:
        ValueError: If the model has no analog layer, or none with a learned limit.
    """
    limited = False

    def one(layer: Any, dot: AnalogDot) -> None:
        nonlocal limited
        for hook in dot.hooks:
            if isinstance(hook, WeightLimit):
                limited = True
                dot.host.with_kernel(layer, hook.clipped(dot.host.kernel(layer)))

    result = changed_layers(model, one)
    if not limited:
        raise ValueError("The model has no layer with a learned limit; call `learn_weight_limits(model)` first.")
    return result


def clipped(forward: Forward) -> Forward:
    """Make a forward in which weights are clipped to their learned limits.

    Args:
        forward: What sees the clipped weights, such as `objectives.circuit()`.

    Returns:
        A forward for models that went through `learn_weight_limits`.
    """

    def limited(model: Any, inputs: Array, key: Key[Array, ""], step: Int[Array, ""]) -> Array:
        return forward(with_clipped_weights(model), inputs, key, step)

    return limited
