"""What of a function does not depend on its argument, computed once before it is mapped over many arguments.

Designs that are compared on one chip share its random numbers, its targets or its input pulses, whichever the swept
fields leave alone. A loop over designs would make them anew for each, and on CPUs even several times for each: XLA
fuses a draw with everything that reads it. Here the function is traced, what depends on nothing but constants is
computed before the loop, and the rest is computed in it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.core
import jax.numpy as jnp

R = TypeVar("R")

# What is quicker made anew than read from memory.
_CHEAP = {"broadcast_in_dim", "convert_element_type", "iota"}
# Functions within a function that are nothing but a name for their operations.
_TRANSPARENT = {"jit", "pjit", "closed_call", "core_call"}


def with_invariants_first(function: Callable[..., R], *arguments: Any) -> Callable[..., R]:
    """Return a function of which all that does not depend on its arguments is computed now.

    Functions with derivative or batching rules of their own, loops and branches are taken as a whole: they belong to
    what depends on the arguments if one of their inputs does.

    Args:
        function: Function of pytrees of arrays; what it holds beside them, such as traced arrays, is constant.
        *arguments: Its arguments, or their shapes.

    Returns:
        The rest of the function: for arguments of these shapes it returns what the function does.

    Example:
        >>> import jax.numpy as jnp
        >>> key = jax.random.key(0)
        >>> noisy = with_invariants_first(lambda x: x + jax.random.normal(key, (1000,)), jnp.zeros(()))
        >>> len(jax.make_jaxpr(noisy)(1.0).eqns)
        1
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    structure = jax.tree.structure(shapes)
    given = jax.tree.leaves(arguments)
    kinds = [jnp.result_type(leaf) for leaf in given]
    scope = _Scope(closed.jaxpr, closed.consts, [_LATER] * len(given))

    def rest(*arguments: Any) -> R:
        leaves = [jnp.asarray(leaf, kind) for leaf, kind in zip(jax.tree.leaves(arguments), kinds, strict=True)]
        return jax.tree.unflatten(structure, scope.finish(leaves))

    return rest


class _Later:
    """Stands for what depends on the arguments."""


_LATER = _Later()


class _Scope:
    """A function's operations, those that depend on nothing done, the others waiting."""

    def __init__(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]):
        self._jaxpr = jaxpr
        self._used = {var for eqn in jaxpr.eqns for var in eqn.invars if _is_variable(var)}
        self._used |= {var for var in jaxpr.outvars if _is_variable(var)}
        self._known = dict(zip(jaxpr.constvars, constants, strict=True))
        self._known |= {var: value for var, value in zip(jaxpr.invars, arguments, strict=True) if value is not _LATER}
        self._cheap: dict[Any, Any] = {}
        self._waiting: list[tuple[Any, _Scope | None]] = []
        for eqn in jaxpr.eqns:
            self._begin(eqn)

    def known(self) -> list[Any]:
        """Return results, as far as they are known."""
        return [self._value(var) for var in self._jaxpr.outvars]

    def finish(self, arguments: Sequence[Any]) -> list[Any]:
        """Return all results.

        Args:
            arguments: All arguments; those that were known are not looked at.
        """
        found = dict(zip(self._jaxpr.invars, arguments, strict=True))

        def value(var: Any) -> Any:
            if not _is_variable(var):
                return var.val
            if var in self._cheap and var not in found:
                eqn = self._cheap[var]
                found[var] = _results(self._jaxpr, eqn, [var], [value(one) for one in eqn.invars])[0]
            return found[var] if var in found else self._known[var]

        for eqn, inner in self._waiting:
            inputs = [value(var) for var in eqn.invars]
            if inner is not None:
                found.update(zip(eqn.outvars, inner.finish(inputs), strict=True))
                continue
            outputs = self._outputs(eqn)
            found.update(zip(outputs, _results(self._jaxpr, eqn, outputs, inputs), strict=True))
        return [value(var) for var in self._jaxpr.outvars]

    def _begin(self, eqn: Any) -> None:
        inputs = [self._value(var) for var in eqn.invars]
        outputs = self._outputs(eqn)
        if not outputs and not eqn.effects:
            return
        if not any(value is _LATER for value in inputs):
            self._known.update(zip(outputs, _results(self._jaxpr, eqn, outputs, inputs), strict=True))
            small = (var.aval.size < outputs[0].aval.size or self._is_made_again(var) for var in eqn.invars)
            if _is_cheap(eqn) and all(small):
                self._cheap[outputs[0]] = eqn
            return
        inner = None
        if eqn.primitive.name in _TRANSPARENT:
            function = eqn.params["jaxpr"]
            inner = _Scope(function.jaxpr, function.consts, inputs)
            self._known.update(
                (var, value) for var, value in zip(eqn.outvars, inner.known(), strict=True) if value is not _LATER
            )
        self._waiting.append((eqn, inner))

    def _is_made_again(self, var: Any) -> bool:
        return _is_variable(var) and var in self._cheap

    def _value(self, var: Any) -> Any:
        return var.val if not _is_variable(var) else self._known.get(var, _LATER)

    def _outputs(self, eqn: Any) -> list[Any]:
        return [var for var in eqn.outvars if var in self._used]


def _is_cheap(eqn: Any) -> bool:
    if len(eqn.outvars) != 1:
        return False
    if eqn.primitive.name in _TRANSPARENT:
        return all(map(_is_cheap, eqn.params["jaxpr"].jaxpr.eqns))
    return eqn.primitive.name in _CHEAP


def _is_variable(var: Any) -> bool:
    return not hasattr(var, "val")  # a literal has one


def _results(jaxpr: Any, eqn: Any, outputs: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Return results of one operation."""
    given = {var: value for var, value in zip(eqn.invars, inputs, strict=True) if _is_variable(var)}
    one = jaxpr.replace(constvars=[], invars=list(given), outvars=list(outputs), eqns=[eqn])
    return list(jax.core.eval_jaxpr(one, [], *given.values()))
