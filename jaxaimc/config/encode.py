"""Components to JSON values."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxaimc.config.errors import ConfigFileError
from jaxaimc.config.names import classes, public_name


def encoded(value: Any) -> Any:
    """Return a component as an object with its class under `"type"`, numbers as numbers, arrays as lists.

    Args:
        value: A component, a number or an array.

    Raises:
        ConfigFileError: If a class cannot be named in a file.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = public_name(type(value))
        if classes().get(name) is not type(value):
            raise ConfigFileError(f"The class {name!r} cannot be written: another class has this name.")
        return {"type": name, **{f.name: _field(f, getattr(value, f.name)) for f in dataclasses.fields(value)}}
    array = np.asarray(value, float)
    return [encoded(entry) for entry in array] if array.ndim else _number(float(array))


def _field(field: dataclasses.Field, value: Any) -> Any:
    if not field.metadata.get("static"):
        return None if value is None else encoded(value)
    if isinstance(value, tuple):
        return [_field(field, entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def _number(number: float) -> float | str:
    # JSON has no infinity; Python's extension of it would not be read elsewhere.
    return number if math.isfinite(number) else str(number)
