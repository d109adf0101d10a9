"""What a tree is made of besides tensors, as JSON: classes and static fields of components, tuples, numbers, keys.

Classes are looked up by name among the components that are known already, so reading a file imports and runs nothing.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxaimc._core.component import Component, is_component
from jaxaimc.config.names import classes, public_name
from jaxaimc.tasks import leaves
from jaxaimc.tasks.leaves import Tensor
from jaxaimc.wires import Circuit


class StructureError(ValueError):
    """A tree that cannot be stored, or a stored one that cannot be put together."""


def encode(node: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Take a tree apart.

    Args:
        node: Component, tuple, list, dict, None or leaf.
        name: Its path.
        tensors: Filled with the leaves by path.

    Returns:
        What `decode` needs besides the tensors, as JSON values; `"array"` for an array.

    Raises:
        ValueError: If something in it can be stored neither as a tensor nor as JSON, or a path is taken already.
    """
    if node is None:
        return None
    if is_component(node):
        return _encode_component(node, name, tensors)
    if type(node) in (tuple, list):
        return {type(node).__name__: [encode(entry, f"{name}.{i}", tensors) for i, entry in enumerate(node)]}
    if type(node) is dict and all(isinstance(key, str) for key in node):
        return {"dict": {key: encode(entry, f"{name}.{key}", tensors) for key, entry in node.items()}}
    if name in tensors:
        raise StructureError(f"Argument `parameters` must have distinct paths, but has {name!r} twice.")
    kind, tensors[name] = leaves.encode(node, name)
    return kind


def _encode_component(node: Any, name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    statics: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        value, where = getattr(node, field.name), f"{name}.{field.name}"
        if field.metadata.get("static"):
            statics[field.name] = _encode_static(value, where)
        else:
            parts[field.name] = encode(value, where, tensors)
    return {"type": public_name(type(node)), "static": statics, "fields": parts}


def _encode_static(value: Any, name: str) -> Any:
    if isinstance(value, tuple):
        return [_encode_static(entry, name) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise StructureError(
        f"Static field {name!r} must be a number, a text or a tuple of these, but is a {type(value).__name__}."
    )


def claims(structure: Any, name: str) -> Iterator[str]:
    """Yield the paths of all tensors that belong to a structure.

    Args:
        structure: Result of `encode`, read from a file.
        name: Its path.

    Raises:
        StructureError: If it is none.
    """
    match structure:
        case None:
            return
        case {"type": str(), "static": dict(), "fields": dict(parts)} | {"dict": dict(parts)}:
            pass
        case {"tuple": list(entries)} | {"list": list(entries)}:
            parts = dict(enumerate(entries))
        case {"key": str()} | "array" | "bool" | "int" | "float":
            yield name
            return
        case _:
            raise StructureError(f"what stands at {name!r} is described by {str(structure)[:60]!r}")
    for key, entry in parts.items():
        yield from claims(entry, f"{name}.{key}")


def decode(structure: Any, name: str, read: Callable[[str], Tensor]) -> Any:
    """Put a tree together.

    Args:
        structure: Result of `encode` that has passed `claims`.
        name: Its path.
        read: Gives the tensor at a path.

    Returns:
        The tree. Arrays come back as JAX arrays, numbers as numbers, keys as typed keys.

    Raises:
        ValueError: If a class is not known, its fields do not fit or are refused, or numbers do not fit JAX's types.
    """
    match structure:
        case None:
            return None
        case {"type": str(cls), "static": dict(statics), "fields": dict(parts)}:
            found = {key: decode(entry, f"{name}.{key}", read) for key, entry in parts.items()}
            return _component(cls, name, {**{key: _tuples(value) for key, value in statics.items()}, **found})
        case {"tuple": list(entries)}:
            return tuple([decode(entry, f"{name}.{i}", read) for i, entry in enumerate(entries)])
        case {"list": list(entries)}:
            return [decode(entry, f"{name}.{i}", read) for i, entry in enumerate(entries)]
        case {"dict": dict(parts)}:
            return {key: decode(entry, f"{name}.{key}", read) for key, entry in parts.items()}
    return leaves.decode(structure, name, read(name))


def _component(name: str, where: str, fields: Mapping[str, Any]) -> Any:
    known = classes()
    if name not in known:
        raise StructureError(f"{where!r} is a {name}, which is not known: import the module that defines it first")
    try:
        found = known[name](**fields)
        # What a chip's wires were made into: arrays, for which a part's rules are not meant.
        if isinstance(found, Component) and not isinstance(found, Circuit):
            found.validate()
    except (TypeError, ValueError, AttributeError) as error:
        raise StructureError(f"{where!r} is no {name}: {error}") from error
    return found


def _tuples(value: Any) -> Any:
    return tuple([_tuples(entry) for entry in value]) if isinstance(value, list) else value
