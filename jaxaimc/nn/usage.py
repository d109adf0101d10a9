"""What a module's own code does with a raw parameter: whether it multiplies with it, or only adds it.

Position embeddings and the matrix of a layer written by hand are parameters of the same shape. What sets them apart
is their use, so the source of the classes is read: a parameter that is added to activations everywhere is
no product, one that an `@` or a function such as `jnp.einsum` takes, alone or in a sum of parameters, is one, and of
everything else nothing is claimed.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator
from types import CodeType
from typing import Literal

Usage = Literal["added", "multiplied", "unknown"]

_PRODUCTS = {
    "dot", "matmul", "einsum", "tensordot", "vdot", "inner", "dot_general", "contract", "ragged_dot",
    "conv", "conv_general_dilated", "conv_transpose", "conv_with_general_padding", "convolve",
}  # fmt: skip
# What returns the values that it is given, in another shape or type.
_PASSING = {
    "asarray", "array", "astype", "broadcast_to", "expand_dims", "squeeze", "reshape", "transpose", "swapaxes",
    "stop_gradient", "get_value", "flip", "roll", "dynamic_slice",
}  # fmt: skip
_DESCRIPTIONS = {"shape", "ndim", "dtype", "size"}


def usage_of(cls: type, name: str) -> Usage:
    """Return how the methods of a class, inherited ones included, use an attribute.

    Args:
        cls: Class of a module.
        name: Name of the attribute.

    Returns:
        `"multiplied"` if any use is a product, `"added"` if all uses are sums, else `"unknown"`, also where the
        source is not to be had.
    """
    found = set(_uses(cls, name))
    if "multiplied" in found:
        return "multiplied"
    return "added" if found == {"added"} else "unknown"


def names_attribute(cls: type, name: str, *, of_flax: bool = False) -> bool:
    """Return whether the methods of a class, inherited ones included, name an attribute of anything.

    Args:
        cls: Any class.
        name: Name of the attribute, such as `"attend"`.
        of_flax: Whether the methods of Flax's own classes are looked at, or those of all others.
    """
    functions = (value for base in cls.__mro__ if _of_flax(base) == of_flax for value in vars(base).values())
    return any(name in _names(code) for code in map(_code, functions) if code is not None)


def receivers(cls: type, name: str) -> list[tuple[str, ...] | None]:
    """Return on what the methods of a class, those of Flax aside, name an attribute.

    Args:
        cls: Any class.
        name: Name of the attribute, such as `"attend"`.

    Returns:
        For each use the attributes that lead from `self` to the object, `("decoder", "table")` for
        `self.decoder.table.attend`; None where the object is reached in another way.
    """
    if not names_attribute(cls, name):
        return []
    trees = [_tree(base) for base in cls.__mro__ if not _of_flax(base)]
    found = [_chain(node) for tree in trees if tree is not None for node, _ in _loads(tree, name)]
    # The methods name it, but where is not to be had.
    return found or [None]


def _chain(node: ast.AST) -> tuple[str, ...] | None:
    names: list[str] = []
    value = node.value if isinstance(node, ast.Attribute) else node
    while isinstance(value, ast.Attribute):
        names.append(value.attr)
        value = value.value
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "super":
        return ()
    return tuple(reversed(names)) if isinstance(value, ast.Name) and value.id == "self" else None


def _uses(cls: type, name: str) -> Iterator[Usage]:
    for base in cls.__mro__:
        tree = None if _of_flax(base) else _tree(base)
        for node, parents in [] if tree is None else _loads(tree, name):
            kind = _use(node, parents)
            if kind is not None:
                yield kind


@functools.lru_cache(maxsize=512)
def _tree(cls: type) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return None


def _loads(tree: ast.AST, name: str) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    """Yield every `self.name` that is read, with what it stands in, the closest last."""
    stack: list[tuple[ast.AST, list[ast.AST]]] = [(tree, [])]
    while stack:
        node, parents = stack.pop()
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load):
            yield node, parents
        stack.extend((child, [*parents, node]) for child in ast.iter_child_nodes(node))


def _use(node: ast.AST, parents: list[ast.AST]) -> Usage | None:
    """Return what becomes of a value, or None where only its shape or type is asked for."""
    for parent in reversed(parents):
        if isinstance(parent, ast.BinOp):
            usage = _of_operator(parent.op)
            other = parent.right if node is parent.left else parent.left
            # A sum of parameters alone is followed further: `x @ (self.w + self.correction)` multiplies with both.
            if usage != "added" or not _of_attributes(other):
                return usage
        elif isinstance(parent, ast.AugAssign) and node is parent.value:
            return _of_operator(parent.op)
        elif isinstance(parent, ast.Call):
            called = _called(parent)
            if called not in _PASSING:
                return "multiplied" if called in _PRODUCTS else "unknown"
        elif isinstance(parent, ast.Attribute):
            if parent.attr in _DESCRIPTIONS:
                return None
        elif not isinstance(parent, ast.keyword) and getattr(parent, "value", None) is not node:
            return "unknown"
        node = parent
    return "unknown"


def _of_operator(operator: ast.operator) -> Usage:
    if isinstance(operator, ast.MatMult):
        return "multiplied"
    return "added" if isinstance(operator, (ast.Add, ast.Sub)) else "unknown"


def _of_attributes(node: ast.AST) -> bool:
    return all(inner.id == "self" for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _of_flax(cls: type) -> bool:
    return cls.__module__.startswith("flax.") or cls is object


def _code(value: object) -> CodeType | None:
    value = getattr(value, "__func__", getattr(value, "fget", value))
    return getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)


def _names(code: CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)
