"""Gradients of the digital product for the values of the analog one."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc._core.xla import add_up, grouped_product, product
from jaxaimc.nn import Call, Hook
from jaxaimc.nn.hooks import attach


class IdealBackward(Hook):
    """Output of the tile forward, digital product backward.

    Inputs get the gradient of `x @ w`, where `x` is what the drive makes of them: straight-through in the rounding,
    zero where clipped, and by the rule of a learned input range. The kernel gets that of the driven inputs. Wires,
    devices and converters have no gradient, and so cost a forward pass only.
    """

    uses_kernel = True
    by_vector = True

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Exchange the derivative of the outputs."""
        pulses = call.config.drive.encode(call.inputs)
        driven = add_up(pulses.level * pulses.significance[:, None], -2) * pulses.x_scale[..., None]
        return _with_gradient_of_product(jax.lax.stop_gradient(outputs), driven, call.kernel)


def with_ideal_backward(model: nnx.Module) -> nnx.Module:
    """Let the products of a model's tiles have the gradients of digital ones.

    Source: Rasch et al. 2023 (Nature Communications 14, 5282), whose hardware-aware training makes the forward pass
    analog and the backward pass ideal.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.

    Returns:
        The model; hooks that are already there run after the exchange.

    Raises:
        ValueError: If the model has no analog layer.
    """
    return attach(model, lambda dot: IdealBackward(), first=True)


@jax.custom_vjp
def _with_gradient_of_product(
    y: Float[Array, "*batch n_out"], x: Float[Array, "*batch n_in"], w: Float[Array, "*group rows cols"]
) -> Float[Array, "*batch n_out"]:
    return y


def _forward(y: Array, x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    return y, (x, w)


def _backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    x, w = saved
    if w.ndim == 3:
        by_x, by_w = jax.vjp(grouped_product, x, w)[1](cotangent)
        return jnp.zeros_like(cotangent), by_x, by_w
    batch = tuple(range(x.ndim - 1))
    # Written out, because the transpose that JAX makes of a product with several batch axes copies its inputs.
    by_w = jax.lax.dot_general(x, cotangent, ((batch, batch), ((), ())), precision=jax.lax.Precision.HIGHEST)
    return jnp.zeros_like(cotangent), product(cotangent, w.T), by_w


_with_gradient_of_product.defvjp(_forward, _backward)
