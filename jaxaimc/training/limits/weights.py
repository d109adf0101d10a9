"""Weight limits as optax transforms: put them last in a chain, after everything that makes the update.

A few large weights stretch the conductance scale of their column, and all others shrink into the noise. Limits are kept
by changing the update so that the updated weights obey them.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxaimc._core.checks import check_number

Chosen = Callable[[str, Array], bool]


def kernels(name: str, parameter: Array) -> bool:
    """Choose what `jaxaimc.nn.convert` puts on tiles: arrays named `kernel`.

    Args:
        name: Name of the parameter, its path joined by dots.
        parameter: Its value.

    Returns:
        Whether the limit applies.
    """
    return name.rsplit(".", 1)[-1] == "kernel"


def clip_weights(limit: float, chosen: Chosen = kernels) -> optax.GradientTransformation:
    """Keep weights in `[-limit, limit]`.

    Args:
        limit: Largest magnitude, greater than zero.
        chosen: Which parameters.

    Returns:
        The transform, for dictionaries of arrays as `fit` optimises them.

    Raises:
        ValueError: If `limit` is not greater than zero.
    """
    check_number("clip_weights", "limit", limit, low=0.0, open_low=True, finite=False)
    return _projection(lambda w: jnp.clip(w, -limit, limit), chosen)


def clip_weights_to_deviations(deviations: float = 2.5, chosen: Chosen = kernels) -> optax.GradientTransformation:
    """Keep weights within a multiple of their layer's standard deviation (Joshi et al. 2020; 2.5 in Rasch et al. 2023).

    Args:
        deviations: Largest magnitude over the standard deviation, greater than zero.
        chosen: Which parameters.

    Returns:
        The transform, for dictionaries of arrays as `fit` optimises them.

    Raises:
        ValueError: If `deviations` is not greater than zero.
    """
    check_number("clip_weights_to_deviations", "deviations", deviations, low=0.0, open_low=True, finite=False)

    def clip(w: Array) -> Array:
        limit = deviations * jnp.std(w)
        return jnp.clip(w, -limit, limit)

    return _projection(clip, chosen)


def remap_weights(target: float = 1.0, chosen: Chosen = kernels) -> optax.GradientTransformation:
    """Scale each output column up or down so that its largest weight is `target`.

    For networks whose column scale is kept elsewhere, in a normalisation behind the layer or in a `ColumnCorrection`:
    there the size of a column is free, and full conductance range is best. Elsewhere there is nothing to do, because
    programming maps each column's largest weight to the full range by itself (`AnalogConfig.column_scales`). Columns
    are the last axis; a column of zeros stays.

    Args:
        target: Largest magnitude of every column, greater than zero.
        chosen: Which parameters.

    Returns:
        The transform, for dictionaries of arrays as `fit` optimises them.

    Raises:
        ValueError: If `target` is not greater than zero.
    """
    check_number("remap_weights", "target", target, low=0.0, open_low=True, finite=False)

    def remap(w: Array) -> Array:
        peak = jnp.max(jnp.abs(w), axis=tuple(range(w.ndim - 1)))
        return w * jnp.where(peak > 0, target / jnp.where(peak > 0, peak, 1.0), 1.0)

    return _projection(remap, chosen)


def _projection(project: Callable[[Array], Array], chosen: Chosen) -> optax.GradientTransformation:
    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("Weight limits need the parameters: call `update(updates, state, params)`.")
        limited = {
            name: project(params[name] + change) - params[name] if chosen(name, change) else change
            for name, change in updates.items()
        }
        return limited, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
