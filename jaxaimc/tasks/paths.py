"""Paths of a tree's leaves as names: keys, indices and attributes joined by dots."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
from flax import nnx

from jaxaimc._core.component import is_component
from jaxaimc.config.names import public_name


class Absent:
    """Stands in a tree that is filled from a file for whatever the file has at that place."""


def is_whole(node: Any) -> bool:
    """Return whether a file restores a node as a whole: components, compound values, and what is absent."""
    return node is None or type(node) in (tuple, list, dict) or isinstance(node, Absent) or is_component(node)


def names(parameters: Any) -> dict[str, Any]:
    """Name every leaf of a pytree by its path.

    Args:
        parameters: Any pytree, for example `flax.nnx.state(model, nnx.Param)`.

    Returns:
        Leaves by name, in the order of the pytree: keys, indices and attributes joined by dots, without the `value`
        that stands between a Flax variable and what it holds.

    Raises:
        ValueError: If two leaves get the same name.

    Example:
        >>> list(names({"blocks": [{"kernel": 1.0}, {"kernel": 2.0}]}))
        ['blocks.0.kernel', 'blocks.1.kernel']
    """
    return _take_apart(parameters, lambda node: False, lambda value: False)[0]


def wholes(tree: Any) -> tuple[dict[str, Any], Callable[[Iterable[Any]], Any]]:
    """Name a tree's leaves, its components, and the compound values of its Flax variables.

    Args:
        tree: Any pytree.

    Returns:
        Nodes by name, and the function that makes such a tree of other nodes in the same order.

    Raises:
        ValueError: If two nodes get the same name.
    """
    return _take_apart(tree, is_component, is_whole)


def _take_apart(
    tree: Any, ends: Callable[[Any], bool], value_ends: Callable[[Any], bool]
) -> tuple[dict[str, Any], Callable[[Iterable[Any]], Any]]:
    """Name the nodes of a tree at which `ends` is true, inside Flax variables `value_ends`, and its leaves."""
    nodes, outer = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda node: isinstance(node, nnx.Variable) or ends(node)
    )
    named: dict[str, Any] = {}
    inner = []
    for path, node in nodes:
        leaves, structure = [((), node)], jax.tree.structure(0)
        if isinstance(node, nnx.Variable):
            found, structure = jax.tree_util.tree_flatten_with_path(
                node, is_leaf=lambda part, variable=node: part is not variable and value_ends(part)
            )
            leaves = [(rest[1:], leaf) for rest, leaf in found]  # without the variable's own `value`
        inner.append(structure)
        for rest, leaf in leaves:
            name = join((*path, *rest))
            if name in named:
                raise ValueError(f"Argument `parameters` must have distinct paths, but has {name!r} twice.")
            named[name] = leaf

    def rebuild(leaves: Iterable[Any]) -> Any:
        left = iter(leaves)
        return outer.unflatten([one.unflatten(itertools.islice(left, one.num_leaves)) for one in inner])

    return named, rebuild


def variables(tree: Any) -> dict[str, str]:
    """Return the classes of a tree's Flax variables by path, without those that Flax itself defines."""
    found = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: isinstance(node, nnx.Variable))[0]
    return {
        join(path): public_name(type(node))
        for path, node in found
        if isinstance(node, nnx.Variable) and not type(node).__module__.startswith("flax.")
    }


def join(path: Iterable[Any]) -> str:
    """Return a JAX path as a name."""
    return ".".join(_part(entry) for entry in path)


def _part(entry: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)
