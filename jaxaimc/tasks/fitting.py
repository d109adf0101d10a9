"""Whether what a file holds fits the tree that is wanted, and the wanted tree's nodes filled from the file."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxaimc._core.component import Component, is_component, kind
from jaxaimc.config.names import classes, public_name
from jaxaimc.tasks import leaves, structure
from jaxaimc.tasks.leaves import NUMBERS, LeafError, Tensor
from jaxaimc.tasks.paths import Absent, is_whole

Shapes = Mapping[str, tuple[int, ...]]


def fill(
    wanted: Mapping[str, Any], kinds: Mapping[str, Any], shapes: Shapes, read: Callable[[str], Tensor]
) -> tuple[list[Any], list[str]]:
    """Take every wanted node from a file.

    Args:
        wanted: Nodes of the wanted tree by path.
        kinds: What the file says of paths that are not plain arrays.
        shapes: Shapes of the file's tensors.
        read: Reads a tensor; called for those that the header shows to fit.

    Returns:
        The nodes, in the order of `wanted`, and every way in which the file does not fit, in words.

    Raises:
        StructureError: If the file's own description is no structure.
        ValueError: If a wanted leaf is neither an array nor a number.
    """
    for name, node in wanted.items():
        if not is_whole(node) and _shape(node) is None:
            raise ValueError(
                f"Leaf {name!r} of argument `like` must be an array or a number, but is a {type(node).__name__}."
            )
    claimed = {name: list(structure.claims(entry, name)) for name, entry in kinds.items()}
    for name, entry in kinds.items():
        if name in shapes and (name not in claimed[name] or (str(entry) in NUMBERS and shapes[name] != ())):
            raise structure.StructureError(
                f"{name!r} is {_a(_type(entry))} and a tensor of shape {shapes[name]} at once"
            )
    inside = {tensor for tensors in claimed.values() for tensor in tensors}
    found = {**kinds, **{name: "array" for name in shapes if name not in inside}}
    problems = [f"{_what(node, name)} is missing" for name, node in wanted.items() if name not in found]
    problems += [f"{_held(entry, name, shapes)} is unexpected" for name, entry in found.items() if name not in wanted]
    problems += [f"tensor {name!r} is missing" for name in sorted(inside - set(shapes))]
    nodes = []
    for name, node in wanted.items():
        if name in found and all(tensor in shapes for tensor in claimed.get(name, ())):
            problem = _misfit(node, found[name], name, shapes)
            try:
                nodes.append(None if problem else _restored(node, found[name], name, read))
            except (ValueError, AttributeError, MemoryError) as error:
                problem = str(error) or f"tensor {name!r} is larger than the memory"
            problems += [problem] if problem else []
    return nodes, problems


def _shape(leaf: Any) -> tuple[int, ...] | None:
    if isinstance(leaf, tuple(NUMBERS.values())):
        return ()
    return tuple(leaf.shape) if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else None


def _what(node: Any, name: str) -> str:
    return f"{name!r}, {_a(type(node).__name__)}," if is_whole(node) else f"tensor {name!r} of shape {_shape(node)}"


def _held(entry: Any, name: str, shapes: Shapes) -> str:
    if name in shapes:
        return f"tensor {name!r} of shape {shapes[name]}"
    return f"{name!r}, {_a(_type(entry))},"


def _type(entry: Any) -> str:
    if entry is None:
        return "None"
    return str(entry.get("type") or next(iter(entry))) if isinstance(entry, dict) else str(entry)


def _a(name: str) -> str:
    word = name.rpartition(".")[2]
    return f"an {word}" if word[0] in "AEIOaeio" else f"a {word}"


def _misfit(node: Any, entry: Any, name: str, shapes: Shapes) -> str | None:
    """Return why an entry cannot fill a node, as far as the header shows."""
    if isinstance(node, Absent):
        return None
    if is_whole(node):
        fits = _same_kind(type(node), _type(entry)) if is_component(node) else _is_whole_entry(entry)
        return None if fits else f"{name!r} must be {_a(type(node).__name__)}, but is {_a(_type(entry))}"
    if _is_whole_entry(entry):
        return f"{name!r} must be an array of shape {_shape(node)}, but is {_a(_type(entry))}"
    is_key = isinstance(entry, dict)
    if leaves.is_key(node) != is_key:
        words = ("numbers", "random keys")
        return f"tensor {name!r} must hold {words[not is_key]}, but holds {words[is_key]}"
    shape, wanted = shapes[name][: -1 if is_key else None], _shape(node)
    return None if shape == wanted else f"tensor {name!r} must have shape {wanted}, but has shape {shape}"


def _is_whole_entry(entry: Any) -> bool:
    return entry is None or (isinstance(entry, dict) and "key" not in entry)


def _same_kind(cls: type, name: str) -> bool:
    if public_name(cls) == name:
        return True
    other = classes().get(name)
    return other is not None and issubclass(cls, Component) and issubclass(other, kind(cls))


def _restored(node: Any, entry: Any, name: str, read: Callable[[str], Tensor]) -> Any:
    if is_whole(node):
        return structure.decode(entry, name, read)
    tensor = read(name)
    if isinstance(entry, dict):
        keys = leaves.decode(entry, name, tensor)
        if keys.dtype != node.dtype:
            raise LeafError(f"tensor {name!r} must hold random keys of type {node.dtype}, but holds {keys.dtype}")
        return keys
    if not leaves.is_finite(tensor):
        raise LeafError(f"tensor {name!r} must be finite, but holds NaN or infinity")
    cls = next((cls for cls in NUMBERS.values() if isinstance(node, cls)), None)
    return jnp.asarray(leaves.cast(name, tensor, node.dtype)) if cls is None else leaves.number(name, tensor, cls)
