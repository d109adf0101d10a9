"""Noise on the weights of a digital network while it is trained, the usual way to make it bear analog hardware.

Joshi et al. 2020 (Nature Communications 11, 2473): the network sees noisy weights in the forward and the backward
pass, and the update is applied to the clean ones. Each kind of noise is a component; several are applied in turn.
Strengths are relative to the largest weight of a column or of the layer, because that is what the full conductance
stands for.
"""

import abc
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import Component, component, leaf, static
from jaxaimc._core.hashed import rough_normal
from jaxaimc._core.random import fold_in
from jaxaimc.nn import AnalogDot
from jaxaimc.nn.hooks import refuse_stack
from jaxaimc.nn.walk import changed_layers


class WeightNoise(Component):
    """A kind of weight noise. One of your own derives from this and writes `change`."""

    @abc.abstractmethod
    def change(self, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]) -> Float[Array, "*group n_in n_out"]:
        """Return what is added to the weights.

        Args:
            w: Clean weights; with three axes those of all groups of a grouped convolution.
            key: Key of this layer and kind of noise.
        """


@component
class AdditiveNoise(WeightNoise):
    """Normal noise of one size: `sigma = scale max |w|` (Joshi et al. 2020).

    Attributes:
        scale: Standard deviation over the largest weight [1].
        per_column: Whether the largest weight is that of each column, or of the layer.
    """

    scale: float = leaf(low=0.0)
    per_column: bool = static(default=True)

    def change(self, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]) -> Float[Array, "*group n_in n_out"]:
        """Return the noise."""
        return self.scale * _peak(w, per_column=self.per_column) * rough_normal(key, w.shape, w.dtype)


@component
class MultiplicativeNoise(WeightNoise):
    """Normal noise in proportion to each weight: `sigma = scale |w|`.

    Attributes:
        scale: Standard deviation over the weight [1].
    """

    scale: float = leaf(low=0.0)

    def change(self, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]) -> Float[Array, "*group n_in n_out"]:
        """Return the noise."""
        return self.scale * w * rough_normal(key, w.shape, w.dtype)


@component
class PolynomialNoise(WeightNoise):
    """Device-shaped noise: `sigma = scale max |w| (c0 + c1 r + c2 r^2 + ...)` with `r = |w| / max |w|`.

    The default is the programming noise of phase-change memory as Rasch et al. 2023 (Nature Communications 14, 5282)
    train with.

    Attributes:
        scale: Factor on the polynomial [1].
        coefficients: The polynomial, constant first [1].
        per_column: Whether the largest weight is that of each column, or of the layer.
    """

    scale: float = leaf(1.0, low=0.0)
    coefficients: tuple[float, ...] = leaf((0.0105392, 0.0768, -0.046925))
    per_column: bool = static(default=True)

    def change(self, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]) -> Float[Array, "*group n_in n_out"]:
        """Return the noise; a polynomial below zero counts as zero."""
        peak = _peak(w, per_column=self.per_column)
        r = jnp.abs(w) / jnp.where(peak > 0, peak, 1.0)
        spread = jnp.zeros_like(w)
        for coefficient in reversed(self.coefficients):
            spread = spread * r + coefficient
        return self.scale * peak * jnp.maximum(spread, 0) * rough_normal(key, w.shape, w.dtype)


@component
class DropConnect(WeightNoise):
    """Each weight is zero with some probability (Wan et al. 2013), as on a chip with devices stuck off.

    Attributes:
        probability: Fraction of weights that are dropped [1].
    """

    probability: float = leaf(low=0.0, high=1.0)

    def change(self, w: Float[Array, "*group n_in n_out"], key: Key[Array, ""]) -> Float[Array, "*group n_in n_out"]:
        """Return minus the dropped weights."""
        return jnp.where(jax.random.bernoulli(key, self.probability, w.shape), -w, 0.0)


def with_weight_noise(
    model: nnx.Module, noises: Sequence[WeightNoise], key: Key[Array, ""], *, level: float | Array = 1.0
) -> nnx.Module:
    """Put noise on the kernels of the analog layers.

    Args:
        model: Result of `jaxaimc.nn.convert`, so that the layers that will be analog are known. It is not changed.
        noises: Kinds of noise; each sees the clean weights.
        key: Each layer gets its own by its path.
        level: Factor on all of it, for a ramp [1].

    Returns:
        A model with noisy kernels of its own. Gradients with respect to the clean kernels are those at the noisy ones.

    Raises:
        ValueError: If a number is out of its range, or the model has no analog layer.
    """
    for noise in noises:
        noise.validate()

    def one(layer: Any, dot: AnalogDot) -> None:
        refuse_stack(dot, "have noise on its kernels")
        kernel = dot.host.kernel(layer)
        change = sum(
            (noise.change(kernel, fold_in(dot.layer_key(key), i)) for i, noise in enumerate(noises)),
            start=jnp.zeros_like(kernel),
        )
        dot.host.with_kernel(layer, kernel + (level * jax.lax.stop_gradient(change)).astype(kernel.dtype))

    return changed_layers(model, one)


def _peak(w: Float[Array, "*group n_in n_out"], *, per_column: bool) -> Float[Array, "..."]:
    return jnp.max(jnp.abs(w), axis=-2, keepdims=True) if per_column else jnp.max(jnp.abs(w))
