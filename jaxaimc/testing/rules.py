"""What all suites share: a rule that is named when it is broken, and a component taken apart for derivatives."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_NUMBERS = itertools.count()


class ConformanceError(AssertionError):
    """A part that breaks a rule which the library relies on; the message names its class and the rule."""


@contextmanager
def rule(part: Any, text: str) -> Iterator[None]:
    """Say which rule of which part an assertion stands for.

    Args:
        part: What is checked.
        text: The rule, as in "programming must keep the shape of the targets".

    Raises:
        ConformanceError: If an assertion inside fails; it is the cause of this one.

    Example:
        >>> import chex
        >>> with rule(object(), "its size must be two"):
        ...     chex.assert_equal(1, 2)
        Traceback (most recent call last):
        jaxaimc.testing.rules.ConformanceError: object breaks a rule: its size must be two.
    """
    try:
        yield
    except AssertionError as error:
        raise ConformanceError(f"{type(part).__name__} breaks a rule: {text}.") from error


def check_base(part: Any, kind: str, base: type) -> None:
    """Check that a part is of its kind, and that its fields are in their ranges.

    Args:
        part: What is checked.
        kind: What to call it in the rule, such as "a cell".
        base: The abstract class of its kind.

    Raises:
        ConformanceError: If it does not derive from `base`.
        ValueError: If a field is out of its range.
    """
    package = base.__module__.removesuffix(".base")
    with rule(part, f"{kind} must derive from `{package}.{base.__name__}`"):
        chex.assert_equal(isinstance(part, base), True)
    part.validate()


def traced_once(function: F) -> F:
    """Return a function that fails an assertion when JAX traces it a second time.

    Args:
        function: What will be mapped and compiled, not compiled yet.
    """

    def once(*arguments: Any) -> Any:
        return function(*arguments)

    # chex tells functions apart by place and name, and counts for as long as the process lives.
    once.__name__ = f"once_{next(_NUMBERS)}"
    return chex.assert_max_traces(once, n=1)  # pyright: ignore[reportReturnType]


def continuous(part: T) -> tuple[list[Array], Callable[[list[Array]], T]]:
    """Take a component apart into what derivatives can be taken by.

    Args:
        part: A component with concrete leaves.

    Returns:
        Its finite leaves as arrays, and a function that puts others in their place. An infinite bound stays as it is.
    """
    leaves, structure = jax.tree.flatten(part)
    moving = [i for i, leaf in enumerate(leaves) if np.all(np.isfinite(leaf))]

    def rebuild(values: list[Array]) -> T:
        merged = list(leaves)
        for i, value in zip(moving, values, strict=True):
            merged[i] = value
        return jax.tree.unflatten(structure, merged)

    return [jnp.asarray(leaves[i], float) for i in moving], rebuild
