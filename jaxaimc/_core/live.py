"""How much memory a traced function needs at one time."""

from collections.abc import Iterator, Mapping
from typing import Any


def peak_bytes(jaxpr: Any) -> int:
    """Return the largest size of all results that are needed at one time while a function is computed.

    Operations are taken one after the other, as they were traced, and a result is held until its last use. Compilers
    compute chains of elementwise operations without holding what is between them, so that this is an upper estimate.
    A loop takes what one of its rounds takes, a choice what the larger branch does.

    Args:
        jaxpr: Result of `jax.make_jaxpr`.

    Returns:
        Size of intermediate results and outputs, without the function's inputs [byte].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> traced = jax.make_jaxpr(lambda x: jnp.sum(jnp.sin(x) @ x))(jax.ShapeDtypeStruct((100, 100), jnp.float32))
        >>> peak_bytes(traced)
        80000
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    last = {var: place for place, eqn in enumerate(jaxpr.eqns) for var in eqn.invars if _is_variable(var)}
    last |= {var: len(jaxpr.eqns) for var in jaxpr.outvars if _is_variable(var)}
    held: dict[Any, int] = {}
    peak = 0
    for place, eqn in enumerate(jaxpr.eqns):
        results = {var: _size(var.aval) for var in eqn.outvars}
        inner = max((peak_bytes(function) for function in _functions(eqn.params)), default=0)
        # What a function within returns is among its own results.
        peak = max(peak, sum(held.values()) + max(inner, sum(results.values())))
        held |= {var: size for var, size in results.items() if last.get(var, -1) > place}
        for var in eqn.invars:
            if _is_variable(var) and last[var] == place:
                held.pop(var, None)
    return peak


def _is_variable(var: Any) -> bool:
    return not hasattr(var, "val")  # a literal has one, and cannot be hashed


def _size(aval: Any) -> int:
    return int(getattr(aval, "size", 0)) * int(getattr(getattr(aval, "dtype", None), "itemsize", 0))


def _functions(params: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the functions that an operation calls."""
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(one, "jaxpr", one)
            if hasattr(inner, "eqns"):
                yield inner
