"""The type checker behind jaxtyping's import hook: annotations of the library's functions are checked while tests run.

The library annotates a continuous quantity as `float`, because that is what a user writes; at run time it may as well
be an integer, an array or a tracer. Constructors are not checked: JAX rebuilds components with whatever a tree
transformation puts in (axes, shardings, placeholders). Protocols, alone or inside another annotation, are left to the
static checker.
"""

from typing import Any, get_args

import jax
import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

_Number = float | int | jax.Array | np.ndarray | np.generic
_beartype = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({float: _Number})))


def check(function):
    """Check the arguments and the result of a function against its annotations."""
    if function.__name__ == "__init__":
        return function
    hints = function.__annotations__.items()
    function.__annotations__ = {name: Any if _names_protocol(hint) else hint for name, hint in hints}
    return _beartype(function)


def _names_protocol(hint):
    parts = hint if isinstance(hint, list) else get_args(hint)
    return getattr(hint, "_is_protocol", False) or any(_names_protocol(part) for part in parts)
