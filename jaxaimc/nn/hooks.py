"""Hooks and other products put on the analog layers of a model, and the view in which it is called."""

import re
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.core import Tracer
from jaxtyping import Array

from jaxaimc.nn.hosts.base import Layout
from jaxaimc.nn.op import AnalogDot, Hook
from jaxaimc.nn.walk import changed_layers, every_product, keep_activations_digital, matching


def attach(
    model: nnx.Module, make: Callable[[AnalogDot], Hook], *, pattern: str = ".*", first: bool = False
) -> nnx.Module:
    """Put a hook of its own on every analog layer whose path matches.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed; the result shares its variables.
        make: Makes the hook of a layer.
        pattern: Regular expression that the whole path of a layer must match.
        first: Whether it runs before the hooks that are already there, or after them.

    Returns:
        The model with the hooks.

    Raises:
        ValueError: If no analog layer matches, or one that does is a stack of layers.
    """
    for dot in matching(model, pattern):
        refuse_stack(dot, "have hooks")

    def one(layer: Any, dot: AnalogDot) -> None:
        if re.fullmatch(pattern, dot.path):
            hook = make(dot)
            dot.hooks = nnx.List([hook, *dot.hooks] if first else [*dot.hooks, hook])

    return changed_layers(model, one)


def replace_products(model: nnx.Module, make: Callable[[AnalogDot], nnx.Module]) -> nnx.Module:
    """Put another product in the place of every analog one, to see what a network gives its layers.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        make: Makes a module with the call of the layer's own product, such as `jax.lax.dot_general`.

    Returns:
        The model with these products, in evaluation mode; its products of activations are digital.

    Raises:
        ValueError: If the model has no analog layer.
    """
    replaced = changed_layers(model, lambda layer, dot: dot.host.attach(layer, make(dot)))
    keep_activations_digital(replaced)
    # In training mode a look would move the statistics of normalisation, which the copy shares, and see dropped inputs.
    replaced.eval()
    return replaced


class WatchedProduct(nnx.Module):
    """A layer's digital product in the place of its analog one. Derived classes see every call before it is made.

    Args:
        dot: The analog product.
    """

    def __init__(self, dot: AnalogDot):
        self.path, self.host, self.replaced = dot.path, dot.host, dot.replaced

    def see(self, layout: Layout) -> None:
        """Look at one call.

        Args:
            layout: Its vectors and its matrix.
        """
        raise NotImplementedError

    def __call__(self, *arguments: Any, **named: Any) -> Array:
        """Make the layer's own product.

        Args:
            *arguments: Those of the layer's own product.
            **named: Those of the layer's own product.
        """
        self.see(self.host.layout(self.path, *arguments, **named))
        return self.host.digital(self.replaced, *arguments, **named)


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

    Raises:
        ValueError: If the model has analog layers and they have no such mode.
    """
    return nnx.view(model, analog_mode=mode) if next(every_product(model), None) is not None else model


def tell(note: Callable[[Array], None], value: Array) -> None:
    """Hand an array to a function outside of JAX, from a layer that is called in a traced loop as well.

    Recurrent layers are called in a scan, where arrays have no values yet. What is handed over from there has
    arrived after `jax.effects_barrier()`.

    Args:
        note: What takes the array, once for every time step.
        value: The array.
    """
    if isinstance(value, Tracer):
        jax.debug.callback(note, value)
    else:
        note(value)


def refuse_stack(dot: AnalogDot, what: str) -> None:
    """Refuse what works for layers of their own only.

    Args:
        dot: The product of a layer.
        what: What a stack cannot do.

    Raises:
        ValueError: If the layer is a stack.
    """
    if dot.stack:
        raise ValueError(
            f"Layer {dot.path!r} is a stack of {'x'.join(map(str, dot.stack))} layers and cannot {what}; build its "
            "layers one by one, in an `nnx.List`, for that."
        )
