"""Meshes whose axes are explicit, as `jax.make_mesh` makes them.

On such a mesh JAX carries in the type of every array how it is divided between devices, and refuses an operation where
that does not say how its result is divided. Cutting vectors into tile rows is one. So the work inside of a verb is left
to XLA, as on a mesh with automatic axes, and only its results say again how they are divided.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

R = TypeVar("R")


def divided_by_xla(function: Callable[..., R], arrays: Any, like: Any = None) -> Callable[..., R]:
    """Return a function, or one in which XLA divides the work if an array is divided along an explicit axis.

    Args:
        function: A pure function of pytrees, with equal results on any number of devices.
        arrays: Those of its arguments that may be divided.
        like: Array along whose axes, all but the last, the results are divided; None if every device has them whole.
    """
    mesh = _explicit_mesh(arrays)
    if mesh is None:
        return function
    spec = PartitionSpec() if like is None else PartitionSpec(*jax.typeof(like).sharding.spec[:-1])
    return cast(Callable[..., R], jax.sharding.auto_axes(function, out_sharding=NamedSharding(mesh, spec)))


def reshaped(array: Shaped[Array, "..."], shape: Sequence[int]) -> Shaped[Array, "..."]:
    """Return an array in another shape, whatever axis it is divided along.

    Args:
        array: The array.
        shape: Its new shape.
    """
    return divided_by_xla(lambda array: array.reshape(*shape), array)(array)


def _explicit_mesh(tree: Any) -> Any:
    """Return the mesh along whose explicit axes an array of a tree is divided, or None."""
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(jax.typeof(leaf), "sharding", None)
        if sharding is None or all(part is None for part in sharding.spec):
            continue
        if AxisType.Explicit in sharding.mesh.axis_types:
            return sharding.mesh
    return None
