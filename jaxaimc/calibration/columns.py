"""Gain and offset of every column by least squares."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def fitted_lines(
    sums: Float[Array, "5 n_out"], *, offsets: bool = True
) -> tuple[Float[Array, " n_out"], Float[Array, " n_out"]]:
    """Return the gain and the offset that bring the outputs of every column closest to the ideal ones.

    Args:
        sums: Sums over vectors, for each column: of ones, of the outputs `y`, of the ideal outputs, of `y^2` and of `y`
            times the ideal output.
        offsets: Whether offsets are fitted beside gains; without, the line goes through the origin.

    Returns:
        Gains [1] and offsets [unit of the outputs]. A column whose outputs do not vary keeps gain one.

    Example:
        >>> import jax.numpy as jnp
        >>> y = jnp.array([[1.0], [2.0], [3.0]])
        >>> ideal = 2 * y + 1
        >>> sums = jnp.stack([jnp.sum(part, axis=0) for part in (jnp.ones_like(y), y, ideal, y * y, y * ideal)])
        >>> [round(float(value[0]), 4) for value in fitted_lines(sums)]
        [2.0, 1.0]
    """
    count, y, ideal, yy, y_ideal = sums
    if not offsets:
        usable = yy > 0
        return jnp.where(usable, y_ideal / jnp.where(usable, yy, 1.0), 1.0), jnp.zeros_like(y)
    y, ideal = y / count, ideal / count
    spread, together = yy / count - y * y, y_ideal / count - y * ideal
    # Relative to the square, because the difference of two float32 sums has a floor.
    usable = spread > 1e-6 * (yy / count)
    gain = jnp.where(usable, together / jnp.where(usable, spread, 1.0), 1.0)
    return gain, ideal - gain * y
