"""Noise added to a layer's outputs while training: simple Gaussian noise, and the read noise of the tile, cheaply."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.hashed import rough_normal
from jaxaimc._core.xla import add_up, product
from jaxaimc.nn import AnalogDot, Call, Hook
from jaxaimc.nn.hooks import attach, refuse_stack
from jaxaimc.nn.variables import EffectiveMatrix
from jaxaimc.nn.walk import changed_layers
from jaxaimc.tile import Prepared


class OutputNoise(Hook):
    """Gaussian noise on every output of a layer, relative to the root mean square of the layer's outputs.

    Args:
        scale: Standard deviation over the outputs' root mean square [1].

    Raises:
        ValueError: If it is negative.
    """

    needs_key = True

    def __init__(self, scale: float):
        check_number("OutputNoise", "scale", scale, low=0.0)
        self.scale = scale

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Add noise that is constant under differentiation."""
        spread = jax.lax.stop_gradient(jnp.sqrt(jnp.mean(jnp.square(outputs))))
        return outputs + self.scale * spread * rough_normal(_single(call.key), outputs.shape, outputs.dtype)


class MeanFieldReadNoise(Hook):
    """The read noise of a tile's devices for training: the right size for each vector and column, at little cost.

    The variance of an output is `sum_i u_i v_ij`, with `u_i` from the pulse of row `i` and `v_ij` from the devices of
    cell `ij`. The exact sum is a matrix product per term of the noise model, and its derivative several more. Here the
    sum is replaced by `(sum_i u_i) (sum_i v_ij) / rows`, exact where pulses and devices of a column are uncorrelated,
    and what the noise model makes of a pulse's duration is taken at the mean duration of a vector's pulses, weighted
    with the squares of their levels. The noise is constant under differentiation. It is added behind the ADC, where its
    variance is the same as in front of it as long as nothing saturates.

    Args:
        variance: Column sums of the devices' variance factors, shape (tile_row, term, slice, n_out).
        rows: Rows of a tile in use.
    """

    needs_key = True
    by_vector = True

    def __init__(self, variance: Float[Array, "tile_row term slice n_out"], rows: int):
        self.variance = nnx.Variable(variance)
        self.rows = rows

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Add one draw per output."""
        sigma = jax.lax.stop_gradient(self.sigma(call))
        return outputs + sigma.astype(outputs.dtype) * rough_normal(_single(call.key), outputs.shape, outputs.dtype)

    def sigma(self, call: Call) -> Float[Array, "*batch n_out"]:
        """Return the standard deviation of every output, in the unit of the outputs.

        Args:
            call: The product.
        """
        variance = self.variance[...]
        tile_rows, terms, slices, _ = variance.shape
        groups = call.prepared.groups
        config = call.config
        pulses = config.drive.encode(jax.lax.stop_gradient(call.inputs))
        squares = jnp.square(pulses.level)
        # Products with ones, because XLA adds up the last axis one by one on CPUs.
        group, row = np.divmod(np.arange(squares.shape[-1]), squares.shape[-1] // groups)
        in_tile = (group * (tile_rows // groups) + row // self.rows)[:, None] == np.arange(tile_rows)
        of_tile = lambda x: product(x, jnp.asarray(in_tile, x.dtype))  # noqa: E731
        driven = of_tile(squares)
        duration = of_tile(squares * pulses.duration) / jnp.where(driven > 0, driven, 1.0)
        u = config.device.read_noise.weight(duration) * driven
        u = add_up(u * jnp.square(pulses.significance)[:, None], -2)
        # How each slice enters the result, from the decoding of one slice at a time.
        one_slice = jnp.broadcast_to(jnp.eye(slices)[:, :, None], (slices, slices, 1))
        share = config.cell.decode(one_slice, jnp.zeros(slices))[:, 0]
        factors = jnp.einsum("tksj,s,tj->ktj", variance, jnp.square(share), jnp.square(call.prepared.w_scale))
        if groups == 1:
            parts = [u[k, ..., t, None] * factors[k, t] for k in range(terms) for t in range(tile_rows)]
            return jnp.sqrt(sum(parts) / self.rows) * pulses.x_scale[..., None]
        u = u.reshape(*u.shape[:-1], groups, tile_rows // groups)
        factors = factors.reshape(terms, groups, tile_rows // groups, -1)
        parts = jnp.einsum("k...gt,kgtj->...gj", u, factors, precision=jax.lax.Precision.HIGHEST)
        parts = parts.reshape(*parts.shape[:-2], call.prepared.n_out)
        return jnp.sqrt(parts / self.rows) * pulses.x_scale[..., None]


def with_mean_field_noise(model: nnx.Module) -> nnx.Module:
    """Exchange the exact read noise of a programmed model for the one that training can afford.

    Args:
        model: Result of `jaxaimc.nn.program`. It is not changed.

    Returns:
        The model with `MeanFieldReadNoise` on every layer whose devices have read noise.

    Raises:
        ValueError: If a layer is not programmed.
    """

    def one(layer: Any, dot: AnalogDot) -> None:
        refuse_stack(dot, "have mean-field noise")
        if dot.prepared is None:
            raise ValueError(f"Layer {dot.path!r} has no programmed chip; call `jaxaimc.nn.program` first.")
        prepared: Prepared = dot.prepared.get_value()
        variance = prepared.variance
        if variance.shape[1]:
            sums = jnp.sum(variance, axis=2)
            small = [prepared.ratios[:, [k], None, None] * sums[:, :1] for k in range(prepared.ratios.shape[1])]
            sums = jax.lax.stop_gradient(jnp.concatenate([sums, *small], axis=1))
            dot.hooks = nnx.List([*dot.hooks, MeanFieldReadNoise(sums, variance.shape[2])])
            silent = replace(prepared, variance=variance[:, :0], ratios=prepared.ratios[:, :0])
            dot.prepared = EffectiveMatrix(silent)

    return changed_layers(model, one)


def with_output_noise(model: nnx.Module, scale: float, *, pattern: str = ".*") -> nnx.Module:
    """Put `OutputNoise` on analog layers.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        scale: Standard deviation over the outputs' root mean square [1].
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with the noise.

    Raises:
        ValueError: If no layer matches or `scale` is negative.
    """
    return attach(model, lambda dot: OutputNoise(scale), pattern=pattern)


def _single(keys: Key[Array, "*keys"] | None) -> Key[Array, ""]:
    if keys is None:
        raise ValueError("Noise needs a read key; call `jaxaimc.nn.with_read_key(model, key)`.")
    return keys if keys.ndim == 0 else keys.ravel()[0]
