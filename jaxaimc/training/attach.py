"""Find analog layers and put hooks on them."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from flax import nnx

from jaxaimc.nn import AnalogDot, Hook


def analog_dots(model: nnx.Module) -> Iterator[AnalogDot]:
    """Yield the analog products of a model, each once.

    Args:
        model: Any model.

    Yields:
        What `jaxaimc.nn.convert` attached.
    """
    for _, module in nnx.iter_modules(model):
        if isinstance(module, AnalogDot):
            yield module


def as_digital(model: Any) -> Any:
    """Return a view of a model in which its analog layers, if it has any, are digital.

    Args:
        model: Any model.
    """
    return in_mode(model, "digital")


def in_mode(model: Any, mode: str) -> Any:
    """Return a view of a model in which its analog layers, if it has any, are in some mode.

    Args:
        model: Any model.
        mode: See `jaxaimc.nn.AnalogDot`.
    """
    return nnx.view(model, analog_mode=mode) if next(analog_dots(model), None) is not None else model


def attach(model: nnx.Module, make: Callable[[AnalogDot], Hook], *, pattern: str = ".*") -> nnx.Module:
    """Put a hook of its own on every analog layer whose path matches; it runs after those already there.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed; the result shares its variables.
        make: Makes the hook of a layer.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with the hooks.

    Raises:
        ValueError: If no analog layer matches.
    """
    matching(model, pattern)

    def visit(path: tuple, node: Any) -> Any:
        if isinstance(node, AnalogDot) and re.fullmatch(pattern, node.path):
            node.hooks = nnx.List([*node.hooks, make(node)])
        return node

    return nnx.recursive_map(visit, model)


def matching(model: nnx.Module, pattern: str) -> list[AnalogDot]:
    """Return the analog products whose layer's whole path matches.

    Args:
        model: Any model.
        pattern: Regular expression.

    Returns:
        At least one.

    Raises:
        ValueError: If no analog layer matches.
    """
    found = [dot for dot in analog_dots(model) if re.fullmatch(pattern, dot.path)]
    if not found:
        paths = ", ".join(dot.path for dot in analog_dots(model)) or "none; call `jaxaimc.nn.convert` first"
        raise ValueError(f"Argument `pattern` must match an analog layer, but {pattern!r} matches none of: {paths}.")
    return found


def replace_products(model: nnx.Module, make: Callable[[AnalogDot], nnx.Module]) -> nnx.Module:
    """Put another product in the place of every analog one.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        make: Makes a module with the call of `jax.lax.dot_general`.

    Returns:
        The model with these products.
    """

    def visit(path: tuple, node: Any) -> Any:
        if isinstance(getattr(node, "dot_general", None), AnalogDot):
            node.dot_general = nnx.data(make(node.dot_general))
        return node

    return nnx.recursive_map(visit, model)


def without_chip(model: nnx.Module) -> nnx.Module:
    """Take the chip off a programmed model; hooks such as column corrections stay.

    Args:
        model: Any model with analog layers. It is not changed.

    Returns:
        The model, unprogrammed.
    """

    def visit(path: tuple, node: Any) -> Any:
        if isinstance(node, AnalogDot):
            node.programmed = nnx.data(None)
            node.prepared = nnx.data(None)
        return node

    return nnx.recursive_map(visit, model)
