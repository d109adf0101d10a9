"""Fields of a config by path, such as `wires.r`: for sweeps, optimisers and whoever asks what there is to vary."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxaimc._core.checks import Limits
from jaxaimc._core.component import Component, kind
from jaxaimc.config.errors import nearest

C = TypeVar("C", bound=Component)


def at(config: Component, path: str) -> Any:
    """Return a field of a config. A wrapper has the fields of what it wraps.

    Args:
        config: A config or any part of one.
        path: Names of fields, joined by dots.

    Returns:
        The number, structural value or part.

    Raises:
        ValueError: If there is no such field, with the nearest path and all that there is.

    Example:
        >>> from jaxaimc import AnalogConfig, adcs
        >>> config = AnalogConfig(adc=adcs.Mismatch(adc=adcs.Uniform(bits=6.0), gain=0.01))
        >>> at(config, "wires.r"), at(config, "adc.gain"), at(config, "adc.bits")
        (0.15, 0.01, 6.0)
    """
    value: Any = config
    for name in path.split("."):
        holder = _holder(value, name)
        if holder is None:
            raise ValueError(_unknown(config, path))
        value = getattr(holder, name)
    return value


def field_at(config: Component, path: str) -> tuple[Component, dataclasses.Field]:
    """Return the part that has a field, and the field with its declaration.

    Args:
        config: A config or any part of one.
        path: Names of fields, joined by dots.

    Raises:
        ValueError: If there is no such field, as `at`.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> owner, field = field_at(AnalogConfig(), "wires.r")
        >>> type(owner).__name__, field.name, field.metadata["limits"].unit
        ('Ladder', 'r', 'ohm')
    """
    at(config, path)
    *before, name = path.split(".")
    holder = _holder(at(config, ".".join(before)) if before else config, name)
    return holder, next(field for field in _fields(holder) if field.name == name)


def with_at(config: C, changes: Mapping[str, Any]) -> C:
    """Return a config with other values of some fields. Values are checked where the config is used.

    Args:
        config: A config or any part of one; it is left as it is.
        changes: New values by path. They may be traced, or arrays to map over with `jax.vmap`. Fields of one part
            change together, so that rules between them hold before and after.

    Returns:
        The changed config.

    Raises:
        ValueError: If there is no field at a path, one path leads through another, or a structural value is not
            allowed.

    Example:
        >>> from jaxaimc import AnalogConfig, adcs
        >>> config = AnalogConfig(adc=adcs.Mismatch(adc=adcs.Uniform(bits=8.0)))
        >>> changed = with_at(config, {"wires.r": 3.0, "adc.bits": 6.0, "rows": 64})
        >>> changed.wires.r, changed.adc.adc.bits, changed.rows
        (3.0, 6.0, 64)
    """
    for path in changes:
        at(config, path)
        inner = [other for other in changes if other.startswith(f"{path}.")]
        if inner:
            raise ValueError(f"Argument `changes` must not hold {inner[0]!r} beside {path!r}, which replaces it.")
    return _changed(config, dict(changes))


def leaf_paths(config: Component) -> dict[str, tuple[Any, Limits]]:
    """Return every continuous field of a config: what can be swept, differentiated and optimised.

    Args:
        config: A config or any part of one.

    Returns:
        Value and limits by path, wrappers included in the path.

    Example:
        >>> from jaxaimc.adcs import Mismatch, Uniform
        >>> list(leaf_paths(Mismatch(adc=Uniform(bits=8.0))))
        ['adc.bits', 'gain', 'offset']
    """
    return {path: (value, field.metadata.get("limits", Limits())) for path, value, field in _leaves(config, "")}


def as_arrays(config: C) -> C:
    """Return a config whose leaves are JAX arrays, as Flax and optimisers expect them.

    Args:
        config: A config or any part of one.

    Returns:
        The config with every leaf an array of JAX's default precision.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> as_arrays(AnalogConfig()).wires.r
        Array(0.15, dtype=float32)
    """
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float, leaf)), config)


def _fields(part: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(part) if dataclasses.is_dataclass(part) and not isinstance(part, type) else ()


def _leaves(part: Any, prefix: str) -> list[tuple[str, Any, dataclasses.Field]]:
    found = []
    for field in _fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            found += _leaves(value, f"{prefix}{field.name}.")
        elif not field.metadata.get("static") and value is not None:
            found.append((prefix + field.name, value, field))
    return found


def _holder(part: Any, name: str) -> Any:
    """Return the part itself or what it wraps, whichever has the field; None where neither has."""
    own = _fields(part)
    if any(field.name == name for field in own):
        return part
    wrapped = [getattr(part, field.name) for field in own] if isinstance(part, Component) else []
    inner = (_holder(value, name) for value in wrapped if isinstance(value, kind(type(part))))
    return next((holder for holder in inner if holder is not None), None)


def _changed(part: Any, changes: dict[str, Any]) -> Any:
    """Return a part with changes by path from it."""
    below: dict[str, dict[str, Any]] = {}
    values = {path: value for path, value in changes.items() if "." not in path}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            below.setdefault(name, {})[rest] = value
    for name, inner in below.items():
        values[name] = _changed(getattr(_holder(part, name), name), inner)
    groups: dict[int, dict[str, Any]] = {}
    for name, value in values.items():
        groups.setdefault(id(_holder(part, name)), {})[name] = value
    for group in groups.values():
        part = part.with_(**group)
    return part


def _unknown(config: Any, path: str) -> str:
    every = [*_parts(config, ""), *(found for found, _, _ in _leaves(config, ""))]
    listed = ", ".join(sorted(every))
    return f"{type(config).__name__} has no field at the path {path!r}{nearest(path, every)}; it has: {listed}."


def _parts(part: Any, prefix: str) -> list[str]:
    """Return the paths of structural fields and parts."""
    found = []
    for field in _fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            found += [prefix + field.name, *_parts(value, f"{prefix}{field.name}.")]
        elif field.metadata.get("static"):
            found.append(prefix + field.name)
    return found
