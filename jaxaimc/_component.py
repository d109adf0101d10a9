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
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    parts = tuple(field.name for field in fields if not field.metadata.get("static"))
    structure = tuple(field.name for field in fields if field.metadata.get("static"))
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in parts)

    def flatten(self: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple([getattr(self, name) for name in parts]), tuple([getattr(self, name) for name in structure])

    def flatten_with_keys(self: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        values, static_values = flatten(self)
        return tuple(zip(keys, values, strict=True)), static_values

    def unflatten(static_values: tuple[Any, ...], values: Any) -> T:
        return cls(**dict(zip(parts, values, strict=True)), **dict(zip(structure, static_values, strict=True)))

    # Not `register_dataclass`: to jax 0.10 two of its classes with equal fields are one structure, and `jax.jit` then
    # answers for one of them with what it compiled for the other, once in a hundred pairs.
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
