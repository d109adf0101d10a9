"""How many axes the arrays of a curve have: one curve, or the same curve at several times."""

import dataclasses
from typing import Any

import jax.core
import numpy as np
from jaxtyping import Array

from jaxaimc._core.component import Component


def leading_axes(curve: Component) -> tuple[int, ...]:
    """Return the axis (time,) that a curve of a `Timeline` has in front of every array, or no axis.

    Args:
        curve: The curve; a field that is one number, or a tuple of numbers, has no such axis.

    Raises:
        ValueError: If a field is empty, has too few or too many axes, or two fields have different ones.
    """
    axes = getattr(type(curve), "AXES", {})
    found: set[tuple[int, ...]] = set()
    for field in dataclasses.fields(curve):  # pyright: ignore[reportArgumentType]
        value, own = getattr(curve, field.name), axes.get(field.name, 0)
        if isinstance(value, Component):
            found.add(leading_axes(value))
            continue
        if field.metadata.get("static"):
            continue
        shape = shape_of(value)
        if shape is None or 0 in shape or not own <= len(shape) <= own + 1:
            given = "is nested" if shape is None else f"has shape {shape}"
            allowed = "one number" if own == 0 else "a list of one number or more"
            raise ValueError(f"Field `{field.name}` of {type(curve).__name__} must be {allowed}, but {given}.")
        if len(shape) > own:
            found.add(shape[: len(shape) - own])
    if len(found - {()}) > 1:
        raise ValueError(f"Fields of {type(curve).__name__} must have one number of times, but have {sorted(found)}.")
    return max(found, default=())


def check_single(owner: str, field: str, curve: Component) -> None:
    """Check that a curve is one of a single time: only a `Timeline` makes use of several.

    Raises:
        ValueError: If its arrays have an axis of times.
    """
    times = leading_axes(curve)
    if times:
        raise ValueError(
            f"Field `{field}` of {owner} must be a curve of one time, but its {type(curve).__name__} holds {times[0]}: "
            "put it into a `Timeline`, or give it lists that are not nested."
        )


def check_increasing(owner: str, field: str, value: Array | np.ndarray) -> None:
    """Check that the entries of a field along its last axis increase.

    Args:
        owner: Class that owns the field, for the message.
        field: Name of the field.
        value: Array; tracers pass unchecked.

    Raises:
        ValueError: If one is not greater than the one before.
    """
    if isinstance(value, jax.core.Tracer):
        return
    array = np.asarray(value)
    if array.ndim == 0 or array.shape[-1] == 0 or not np.all(np.diff(array, axis=-1) > 0):
        raise ValueError(f"Field `{field}` of {owner} must hold increasing numbers, but is {array.tolist()}.")


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a leaf, None for lists in lists."""
    if isinstance(value, (tuple, list)):
        return (len(value),) if all(np.ndim(entry) == 0 for entry in value) else None
    return np.shape(value)
