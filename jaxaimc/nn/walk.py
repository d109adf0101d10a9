"""One way through a model: its modules with their paths, shared ones once, and changes to a copy of it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from flax import nnx

from jaxaimc.nn.modes import AnalogProduct
from jaxaimc.nn.op import AnalogDot

Visit = Callable[[Any, AnalogDot], None]


def joined(path: tuple) -> str:
    """Return a path as text, such as `"blocks/0/mlp_in"`."""
    return "/".join(str(part) for part in path)


def below(path: str, name: str) -> str:
    """Return the path of an attribute of the module at `path`."""
    return f"{path}/{name}" if path else name


def modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the modules of a model with their paths, a shared one under the first of its paths only.

    Args:
        model: Any model.
    """
    for path, module in nnx.iter_modules(model):
        yield joined(path), module


def analog_layers(model: Any) -> Iterator[tuple[Any, AnalogDot]]:
    """Yield the analog products of a model, each once, with the layers that they belong to.

    Args:
        model: Any model.
    """
    for _, module in modules(model):
        for product in products_of(module):
            yield module, product


def analog_products(model: Any) -> Iterator[AnalogDot]:
    """Return the analog products with weights of a model, each once.

    Args:
        model: Any model.
    """
    return (product for product in every_product(model) if isinstance(product, AnalogDot))


def every_product(model: Any) -> Iterator[AnalogProduct]:
    """Yield what is analog in a model, each once: products with weights, and products of activations.

    Args:
        model: Any model.
    """
    for _, module in modules(model):
        if isinstance(module, AnalogProduct):
            yield module


def keep_activations_digital(model: Any) -> None:
    """Make a model's products of activations digital, as its layers see them where their own products are.

    Args:
        model: Any model, which is changed.
    """
    for product in every_product(model):
        if not isinstance(product, AnalogDot):
            product.analog_mode = "digital"


def is_programmed(model: Any) -> bool:
    """Return whether a model has analog products, and all of them a chip.

    Args:
        model: Any model.
    """
    dots = list(analog_products(model))
    return bool(dots) and all(dot.prepared is not None for dot in dots)


def products_of(layer: Any) -> list[AnalogDot]:
    """Return the analog products that a layer itself holds.

    Args:
        layer: Any module.
    """
    return [value for value in vars(layer).values() if isinstance(value, AnalogDot)]


def weights(model: Any) -> set[str]:
    """Return the paths of the parameters that are on tiles, as `nnx.state` has them.

    Args:
        model: Any model.
    """
    return {
        below(path, name)
        for path, module in modules(model)
        for dot in products_of(module)
        for name in dot.host.parameters
    }


def matching(model: Any, pattern: str) -> list[AnalogDot]:
    """Return the analog products whose layer's whole path matches.

    Args:
        model: Any model.
        pattern: Regular expression.

    Returns:
        At least one.

    Raises:
        ValueError: If no analog layer matches.
    """
    found = [dot for dot in analog_products(model) if re.fullmatch(pattern, dot.path)]
    if not found:
        paths = ", ".join(dot.path for dot in analog_products(model)) or "none; call `jaxaimc.nn.convert` first"
        raise ValueError(f"Argument `pattern` must match an analog layer, but {pattern!r} matches none of: {paths}.")
    return found


def copied(model: Any) -> Any:
    """Return a copy of a model's modules that shares its variables.

    Args:
        model: Any model. What is then set on the copy's modules does not change it.
    """
    return nnx.recursive_map(lambda path, node: node, model)


def changed_layers(model: nnx.Module, change: Visit) -> nnx.Module:
    """Apply `change(layer, dot)` to every analog product of a copy of the model that shares its variables.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        change: May set attributes of the layer and of its product.

    Returns:
        The changed copy.

    Raises:
        ValueError: If the model has no analog layer.
    """
    copy = copied(model)
    layers = list(analog_layers(copy))
    if not layers:
        raise ValueError("The model has no analog layer; call `jaxaimc.nn.convert(model, rules)` first.")
    for layer, dot in layers:
        change(layer, dot)
    return copy
