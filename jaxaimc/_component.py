"""The one decorator behind every component: a frozen, keyword-only dataclass that is also a pytree."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(*, default: Any = dataclasses.MISSING, **kwargs: Any) -> Any:
    """Declare a field that is part of a component's structure, not one of its leaves.

    Args:
        default: Default value; without one the field is required.
        **kwargs: Passed on to `dataclasses.field`.

    Returns:
        A dataclass field that JAX treats as auxiliary data (hashable, compared by value, a new value recompiles).
    """
    return dataclasses.field(default=default, metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, static))
def component(cls: type[T]) -> type[T]:
    """Turn a class into a component: frozen, keyword-only, registered as a JAX pytree.

    Fields are leaves (floats, arrays) or sub-components, unless declared with `static`. Because JAX rebuilds
    components with tracers inside, `__post_init__` may check static fields only; numeric checks go into
    `validate()`, which the public verbs call on concrete values.
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))
